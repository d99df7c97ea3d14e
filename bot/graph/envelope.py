"""Graph's error envelope, and the JSON that Intune puts inside its message, sometimes twice."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from bot.domain.json_objects import read_object
from bot.domain.storable import storable

DEEPEST: Final = 5
LONGEST: Final = 300
MOST_READ: Final = 4000
"""Of a sentence; what looks for addresses in it takes the square of its length."""
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


def read(body: bytes) -> Said:
    """Read an error body; an HTML page or anything else that is no envelope says nothing."""
    error = _object((read_object(body) or {}).get("error"))
    inner = _object(error.get("innerError") or error.get("innererror"))
    said = Said(code=_text(error.get("code"))[:LONGEST], request_id=_text(inner.get("request-id")))
    return _sentence(_text(error.get("message")), said, depth=0)


def _sentence(text: str, said: Said, *, depth: int) -> Said:
    """Unwrap the message until it is a sentence."""
    inside = read_object(text) if text.lstrip().startswith("{") and depth < DEEPEST else None
    if not inside:
        return _plain(text, said)
    said = replace(
        said,
        code=_text(inside.get("ErrorCode"))[:LONGEST] or said.code if said.code in _VAGUE else said.code,
        retry_after=said.retry_after or _retry_after(inside.get("RetryAfter")),
    )
    return _sentence(_text(inside.get("Message") or inside.get("message")), said, depth=depth + 1)


def _plain(text: str, said: Said) -> Said:
    text = text[:MOST_READ]
    activity = _ACTIVITY.search(text)
    sentence = _URL.sub("", _SUPPORT.sub("", text)).strip()
    return replace(said, message=sentence[:LONGEST], activity_id=activity.group(1) if activity else "")


def _retry_after(value: object) -> str:
    return str(value) if isinstance(value, int | str) else ""


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return storable(value) if isinstance(value, str) else ""
