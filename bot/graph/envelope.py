"""Graph's error envelope, and the JSON that Intune puts inside its message, sometimes twice."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

DEEPEST: Final = 5
LONGEST: Final = 300
_VAGUE: Final = ("", "UnknownError")
_ACTIVITY: Final = re.compile(r"Activity ID:\s*([0-9a-fA-F-]{36})")
_SUPPORT: Final = re.compile(r"\s*-\s*Operation ID \(for customer support\).*", re.DOTALL)
_URL: Final = re.compile(r"\S*https?://\S+")
"""Intune's own URLs name scale units and devices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What an error body says: Graph's code, one sentence without addresses, and the ids for support."""

    code: str = ""
    message: str = ""
    request_id: str = ""
    activity_id: str = ""
    retry_after: str = ""


def read(body: str) -> Said:
    """Read an error body; an HTML page or anything else that is no envelope says nothing."""
    error = _object(_json(body).get("error"))
    inner = _object(error.get("innerError") or error.get("innererror"))
    said = Said(code=_text(error.get("code")), request_id=_text(inner.get("request-id")))
    return _sentence(_text(error.get("message")), said, depth=0)


def _sentence(text: str, said: Said, *, depth: int) -> Said:
    """Unwrap the message until it is a sentence."""
    inside = _json(text) if text.lstrip().startswith("{") and depth < DEEPEST else {}
    if not inside:
        return _plain(text, said)
    said = replace(
        said,
        code=_text(inside.get("ErrorCode")) or said.code if said.code in _VAGUE else said.code,
        retry_after=said.retry_after or _retry_after(inside.get("RetryAfter")),
    )
    return _sentence(_text(inside.get("Message") or inside.get("message")), said, depth=depth + 1)


def _plain(text: str, said: Said) -> Said:
    activity = _ACTIVITY.search(text)
    sentence = _URL.sub("", _SUPPORT.sub("", text)).strip()
    return replace(said, message=sentence[:LONGEST], activity_id=activity.group(1) if activity else "")


def _retry_after(value: object) -> str:
    return str(value) if isinstance(value, int | str) else ""


def _json(text: str) -> Mapping[str, object]:
    try:
        return _object(json.loads(text))
    except ValueError:
        return {}


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
