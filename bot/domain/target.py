"""The typed target: a person, a device or an app, parsed strictly, so that nothing else reaches Graph."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bot.domain.errors import Code, Refusal
from bot.domain.values import comparable, normalized

MAX_TARGET, MAX_TYPED = 255, 1000
IMEI_DIGITS: Final = 14
"""They name the phone; what may follow, a check digit or two digits of its software, does not."""


class TargetKind(StrEnum):
    """How a device is looked for. The value is the prefix that people type, and is stored."""

    PERSON = "person"
    MENTION = "mention"
    SERIAL = "serial"
    IMEI = "imei"
    NAME = "name"
    ID = "id"
    APP = "app"


@dataclass(frozen=True, slots=True)
class Target:
    """One target; `value` is checked: address, Slack id, serial, IMEI, name, GUID or app id."""

    kind: TargetKind
    value: str

    @property
    def has_own_path(self) -> bool:
        """Whether Graph resets its devices below a path of its own, and not below all devices."""
        return self.kind in (TargetKind.PERSON, TargetKind.APP)

    @property
    def key(self) -> str:
        """The same for every way to type it."""
        return f"{self.kind}:{comparable(self.value)}"

    def __str__(self) -> str:
        """Return the target as a person would type it."""
        return self.value if self.kind is TargetKind.PERSON else f"{self.kind}:{self.value}"


_ADDRESS: Final = re.compile(
    r"(?=[A-Za-z0-9_])[A-Za-z0-9._%+'!#^~&*=?{}|$\-]+@([A-Za-z0-9\-]+\.)+([A-Za-z]{2,}|xn--[A-Za-z0-9\-]+)"
)
"""What Entra allows, and what else a mail address may have; no slash, which some servers find in %2F too."""
_GUID: Final = re.compile(r"(?!0{8}-)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHAPES: Final[Mapping[TargetKind, re.Pattern[str]]] = {
    TargetKind.PERSON: _ADDRESS,
    TargetKind.SERIAL: re.compile(r"[A-Za-z0-9][A-Za-z0-9._/\-]{1,62}[A-Za-z0-9]"),
    TargetKind.IMEI: re.compile(r"[0-9]{14,16}"),
    TargetKind.NAME: re.compile(r"[^\x00-\x1f\x7f@][^\x00-\x1f\x7f]*"),
    TargetKind.ID: _GUID,
    TargetKind.APP: re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]{2,127}"),
}
_MENTION: Final = re.compile(r"<@([UW][A-Z0-9]{2,20})(?:\|[^>]*)?>")
_PREFIX: Final = re.compile(r"\s*([^\W\d_]{2,6})\s*[:：﹕∶]\s*")
_SCHEME: Final = re.compile(r"(mailto|tel):", re.IGNORECASE)
PUNCTUATION: Final = " ,.;:!?…、。，；：！？．"
"""Stands behind a target and is no part of it."""
QUOTES: Final[Mapping[str, str]] = {
    **{'"': '"”“', "“": '”"“', "„": '“”"', "”": '”"', "‟": '”"', "«": "»", "»": "«»", "‹": "›", "›": "‹›"},
    **{"'": "'’", "‘": "’'", "’": "’'", "‚": "‘’'", "‛": "’'", "`": "`'´", "´": "´", "＂": "＂", "＇": "＇"},
    **{"「": "」", "『": "』", "《": "》", "〈": "〉", "〝": "〞〟", "❝": "❞", "❛": "❜"},
    **{"｢": "｣", "【": "】", "״": "״"},
}
"""Each opening quote, with what closes it."""
APOSTROPHES: Final = "'’‘ʼ`´＇"


def parse_target(typed: str) -> Target:
    """Parse what a person typed, without Slack's links, or raise Refusal(BAD_TARGET) with it, cut.

    A mention is `<@U1>`: a name alone would not say who it is. The fact `problem` tells a quote that is not
    closed, and an IMEI whose check digit shows a typo.
    """
    if len(typed) > MAX_TYPED:
        raise _bad(typed)
    if mention := _MENTION.fullmatch(typed.strip()):
        return Target(TargetKind.MENTION, mention[1])
    kind, value = split_kind(typed)
    return _checked(kind or TargetKind.PERSON, value, typed)


def person_at(address: str) -> Target:
    """Return the person with this e-mail address, parsed as strictly as a typed one."""
    return _checked(TargetKind.PERSON, address, address)


def split_kind(text: str) -> tuple[TargetKind | None, str]:
    """Return the kind that a prefix such as `serial:` names, if there is one, and what stands behind it."""
    prefixed = _PREFIX.match(text)
    kind = normalized(prefixed[1]).lower() if prefixed else ""
    return (TargetKind(kind), text[prefixed.end() :]) if prefixed and kind in _SHAPES else (None, text)


def quoted(text: str) -> tuple[str, str] | None:
    """Return what is quoted at the start of `text`, and the rest; None where it is not clear what is."""
    marks = QUOTES[text[0]]
    for mark in map(re.escape, marks):
        # an apostrophe inside of a word closes nothing, a quote before a word opens, and 12" may be inches
        closes = rf"{mark}(?!\w)" if mark in APOSTROPHES else rf"(?<=\S){mark}(?!{mark})|{mark}(?![\w{mark}])"
        if end := re.search(closes, text[1:]):
            parts = text[1 : end.start() + 1], text[end.end() + 1 :]
            return None if any(_is_torn(part, text[0] + marks) for part in parts) else parts
    return None


def _is_torn(text: str, marks: str) -> bool:
    """Whether more or fewer quotes are opened than closed in it."""
    any_ = f"[{re.escape(marks)}]"
    text = re.sub(rf"(?<=\d){any_}$", "", text)  # inches
    opened = re.findall(rf"(?<!\w){any_}(?=\w)", text)
    return len(opened) != len(re.findall(rf"(?<=\w){any_}(?!\w)", text))


def check_digit(imei: str) -> str:
    """Return the digit that follows the first 14 of an IMEI (3GPP TS 23.003: Luhn's formula)."""
    weighed = (int(digit) * (1 + place % 2) for place, digit in enumerate(imei[:IMEI_DIGITS]))
    return str(-sum(sum(divmod(number, 10)) for number in weighed) % 10)


def _checked(kind: TargetKind, value: str, typed: str) -> Target:
    value = " ".join(value.split())
    if value[:1] in QUOTES:
        value, rest = quoted(value) or ("", value)
        if rest.strip(PUNCTUATION):
            raise _bad(typed, problem="quote")
        value = value.strip()
    if kind is not TargetKind.NAME:
        value = _SCHEME.sub("", normalized(value).lstrip("<([*").rstrip(">)]*" + PUNCTUATION))
    if kind is TargetKind.IMEI:
        value = "".join(str(unicodedata.decimal(mark, mark)) for mark in re.sub(r"[ ./()\-]", "", value))
    if kind in (TargetKind.PERSON, TargetKind.ID):
        value = value.strip("{}" if kind is TargetKind.ID else "").lower()
    fits = all(0 < len(text) <= MAX_TARGET for text in (value, comparable(value)))
    if not fits or value[0] in QUOTES or not _SHAPES[kind].fullmatch(value):
        raise _bad(typed)
    if kind is TargetKind.IMEI:
        imei = value[:IMEI_DIGITS] + check_digit(value)
        if len(value) == len(imei) and value != imei:
            raise _bad(typed, problem="check_digit")
        value = imei
    return Target(kind, value)


def _bad(typed: str, **facts: str) -> Refusal:
    return Refusal(Code.BAD_TARGET, typed=typed.strip()[:MAX_TARGET], **facts)
