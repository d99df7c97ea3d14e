"""The typed target: a person, a device or an app, parsed strictly, so that nothing else reaches Graph."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bot.domain.errors import Code, Refusal

MAX_TARGET: Final = 255
MAX_TYPED: Final = 1000
"""With Slack's link around it, which holds the address twice."""


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
    """One target; `value` is checked: address, Slack id, serial, 14-16 digits, name, GUID or app id."""

    kind: TargetKind
    value: str

    @property
    def has_own_path(self) -> bool:
        """Whether Graph resets its devices below a path of its own, and not below all devices."""
        return self.kind in (TargetKind.PERSON, TargetKind.APP)

    def __str__(self) -> str:
        """Return the target as a person would type it."""
        return self.value if self.kind is TargetKind.PERSON else f"{self.kind}:{self.value}"


_ADDRESS: Final = re.compile(r"[A-Za-z0-9._%+'\-]+@[A-Za-z0-9\-]+(\.[A-Za-z0-9\-]+)+")
_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SHAPES: Final[Mapping[TargetKind, re.Pattern[str]]] = {
    TargetKind.PERSON: _ADDRESS,
    TargetKind.MENTION: re.compile(r"[UW][A-Z0-9]{2,20}"),
    TargetKind.SERIAL: re.compile(r"[A-Za-z0-9][A-Za-z0-9._/\-]{2,63}"),
    TargetKind.IMEI: re.compile(r"[0-9]{14,16}"),
    TargetKind.NAME: re.compile(r"[^\x00-\x1f\x7f]{1,255}"),
    TargetKind.ID: _GUID,
    TargetKind.APP: re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]{2,127}"),
}
_PREFIXED: Final = re.compile(r"(serial|imei|name|id|app|person):(.*)", re.IGNORECASE | re.DOTALL)
_MENTION: Final = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>")
_MAIL_LINK: Final = re.compile(r"<mailto:[^|>]+\|([^>]+)>")


def parse_target(typed: str) -> Target:
    """Parse what a person typed, or raise Refusal(BAD_TARGET) with it, cut to 255 characters.

    Slack sends an address as `<mailto:a@b|a@b>` and a mention as `<@U1|mei>`; both forms are read.
    """
    if len(typed) > MAX_TYPED:
        raise Refusal(Code.BAD_TARGET, typed=typed.strip()[:MAX_TARGET])
    text = _MAIL_LINK.sub(r"\1", typed.strip()).strip()
    if mention := _MENTION.fullmatch(text):
        return _checked(TargetKind.MENTION, mention.group(1), typed)
    if prefixed := _PREFIXED.fullmatch(text):
        return _checked(TargetKind(prefixed.group(1).lower()), prefixed.group(2), typed)
    return _checked(TargetKind.PERSON, text, typed)


def person_at(address: str) -> Target:
    """Return the person with this e-mail address, parsed as strictly as a typed one."""
    return _checked(TargetKind.PERSON, address, address)


def _checked(kind: TargetKind, value: str, typed: str) -> Target:
    value = value.strip()
    if value.startswith(('"', "“")):
        value = value.strip('"“”').strip()
    if kind is TargetKind.IMEI:
        value = re.sub(r"[ \-]", "", value)
    if kind in (TargetKind.PERSON, TargetKind.ID):
        value = value.lower()
    if len(value) > MAX_TARGET or not _SHAPES[kind].fullmatch(value):
        raise Refusal(Code.BAD_TARGET, typed=typed.strip()[:MAX_TARGET])
    return Target(kind, value)
