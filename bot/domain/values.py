"""Small values that every layer shares: ids, secrets, times, and text that is safe to store or show."""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from itertools import islice
from typing import Final, NewType

UserId = NewType("UserId", str)
"""A Slack user, `U…` or `W…`; opaque."""

TeamId = NewType("TeamId", str)
"""A Slack workspace, `T…`; on Enterprise Grid payloads may carry the organisation, `E…`, instead."""

ChannelId = NewType("ChannelId", str)
"""A Slack conversation: `C…`, `G…`, or `D…` for a direct message."""

RequestId = NewType("RequestId", str)
"""One reset request, 32 random hexadecimal digits. A button carries it; it grants nothing."""

DeviceId = NewType("DeviceId", str)
"""An Intune managedDevice, a GUID."""

Facts = Mapping[str, str]
"""What a cause or an audit row says besides its code: short strings, never a token or a passcode."""

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
"""Where plain http is allowed: nobody else can listen in."""
MAX_VISIBLE: Final = 20_000
"""Characters that `visible` returns at most."""
MAX_ACCENTS: Final = 4
"""Combining marks kept on one letter; more would cover the lines above and below."""
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_BLANK: Final = re.compile(r"\s+")
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_INVISIBLE_LETTERS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0\u034f\u17b4\u17b5")
_ACCENTS: Final = frozenset({"Mn", "Me"})
_SPELLINGS: Final = {"'": "’‘‛ʼʹ′`´", '"': "“”„‟″«»", "-": "‐‑‒–—―−﹘", "": "\ufe0e\ufe0f"}
"""What keyboards write in place of a character; the last ones stand behind emoji."""
_STRAIGHT: Final = str.maketrans({other: one for one, others in _SPELLINGS.items() for other in others})


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A token or a passcode. It has no text form, so no log or exception can carry it.

    `reveal()` is the only way to the text; look for its callers when you review.
    """

    _text: str

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"


def utc_text(moment: datetime) -> str:
    """Return a time as the database and the audit log hold it, `2026-01-31T08:00:00.000000Z`.

    Such texts sort as the times do. `datetime.fromisoformat` reads them.
    """
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def storable(text: str) -> str:
    """Remove NUL, which PostgreSQL refuses, and lone surrogates, which UTF-8 cannot encode."""
    return _UNSTORABLE.sub("", text)


def visible(text: str) -> str:
    """Return `text` on one line, without controls, direction marks, zero widths and piled accents."""
    return _BLANK.sub(" ", "".join(islice(_visible(text), MAX_VISIBLE))).strip()


def straight(text: str) -> str:
    """Return `text` with the plain character for each quote, dash and emoji that has several spellings."""
    return text.translate(_STRAIGHT)


def normalized(text: str) -> str:
    """Return `text` as a plain keyboard writes it: straight, narrow, composed, nothing invisible."""
    return visible(unicodedata.normalize("NFKC", straight(text)))


def comparable(name: str) -> str:
    """Return a name as names are compared: spellings, entities of HTML, case and blanks make none other."""
    return normalized(unescape(name)).casefold()


def _visible(text: str) -> Iterator[str]:
    accents = 0
    for character in text:
        if "!" <= character <= "~":  # most characters, and the quickest to tell
            accents = 0
            yield character
            continue
        category = unicodedata.category(character)
        if character.isspace():
            accents = 0
            yield " "
        elif category in _INVISIBLE or character in _INVISIBLE_LETTERS:
            continue  # it does not separate an accent from its letter either
        else:
            accents = accents + 1 if category in _ACCENTS else 0
            if accents <= MAX_ACCENTS:
                yield character


def read_object(text: str | bytes) -> dict[str, object] | None:
    """Return the JSON object in `text`; None for anything else, also for JSON nested too deeply to read."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def dig(body: object, *path: str | int) -> object:
    """Return the value at the path, or None where anything on the way is missing or of another shape."""
    for step in path:
        match body, step:
            case Mapping(), str():
                body = body.get(step)
            case list(), int() if len(body) > step:
                body = body[step]
            case _:
                return None
    return body


def text_at(body: object, *path: str | int) -> str:
    """Return the text at the path or an empty one, without what no database stores (NUL, lone surrogates)."""
    value = dig(body, *path)
    return storable(value) if isinstance(value, str) else ""
