"""What people type, as Slack sends it: links become what they mean before anything is split."""

import re
from dataclasses import dataclass
from html import unescape
from typing import Final
from urllib.parse import unquote

import emoji

from bot.domain.errors import Refusal
from bot.domain.target import (
    MAX_TARGET,
    PUNCTUATION,
    QUOTES,
    TargetKind,
    parse_target,
    split_kind,
    split_quoted,
)
from bot.domain.values import normalized

_LINK: Final = re.compile(r"<([@#!]|(?=[a-z][a-z0-9+.\-]*:))([^<>|]*)(?:\|([^<>]*))?>", re.IGNORECASE)
_PIECE: Final = re.compile(r"((?:<[^<>]*>|\S)+)")
"""Up to the next blank outside of a link."""
_BEFORE_REASON: Final = re.compile(
    r"(<[^<>]*>)(?:['’]s\b|[,;:、，；：]|(?=[(\u0e00-\u0e7f\u3040-\u9fff\uac00-\ud7af]))"
)
"""A link with what may stand between it and a reason; some languages write no blanks."""
_UNSEEN: Final = re.compile("[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_MARKS: Final = ("*", "_", "~", "`")
_PEOPLE: Final = (None, TargetKind.PERSON)
_IMEI: Final = re.compile(r"\s*((?:\d[ .\-/\u00a0\u2010-\u2015]*){14}(?:\d{1,2})?)(?![\d\w])")
_OPENING: Final = re.compile(r"^[-–—:,;.]+\s+")
_SHORTCODE: Final = re.compile(r":([a-z0-9_+\-']+):", re.IGNORECASE)
_FLAG: Final = re.compile(r"flag-([a-z])([a-z])")
_TONE: Final = re.compile(r"skin-tone-([2-6])")
_SLACKS: Final = {
    **{"beetle": "🪲", "egg": "🥚", "email": "✉️", "satellite": "🛰️", "snowman": "☃️", "umbrella": "☂️"},
    **{"ladybug": "🐞", "lightning": "🌩️", "medal": "🎖️", "scooter": "🛴", "tornado_cloud": "🌪️"},
}
"""Shortcodes that mean another emoji in Slack than elsewhere, or none elsewhere."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A target as `parse_target` reads it, how it is shown, and a reason."""

    target: str
    shown: str
    """The target for people: without markup, a person by the name under which they were mentioned."""
    reason: str = ""

    @property
    def mention(self) -> str:
        """The mention that `shown` stands for; a form that shows it carries it to `read_form`."""
        is_mention = self.target.startswith("<@") and self.target != self.shown
        return self.target if is_mention and len(self.target) <= MAX_TARGET else ""


def read_command(text: str) -> Typed:
    """Split `serial:X a reason` or, with quotes, `name:"Ken's iPhone" a reason`.

    Where it is not clear where a quote ends, all of it is the target, which cannot be looked up then.
    """
    text = _UNSEEN.sub("", text).strip()
    if text[:1] in _MARKS and text.endswith(text[:1]) and text.count(text[:1]) == 2:
        text = text[1:-1].strip()
    kind, wire = split_kind(text)
    plain = unlinked(wire)
    if plain[:1] in QUOTES:
        quoted = split_quoted(plain)
        value, reason = quoted or (plain, "")
    elif kind is TargetKind.IMEI and (digits := _IMEI.match(plain)):
        value, reason = digits[1], plain[digits.end() :]
    else:
        piece = (kind in _PEOPLE and _BEFORE_REASON.match(wire)) or _PIECE.match(wire)
        value = _with_emoji(kind, unlinked(piece[1])).rstrip(PUNCTUATION) if piece else ""
        reason = unlinked(wire[piece.end() :]) if piece else ""
    reason = _OPENING.sub("", reason.lstrip(",;:、，；：").strip(), count=1)
    return _typed(f"{kind}:{value}" if kind else value, text + value, reason)


def read_form(text: str, mentioned: str = "") -> str:
    """Return what was typed into a form as `parse_target` reads it; `mentioned` is what the form carries."""
    return _typed(_UNSEEN.sub("", text), mentioned + text).target


def _typed(text: str, said: str, reason: str = "") -> Typed:
    """Take the name of who is mentioned in `said` for that person, and shortcodes in a device's for emoji."""
    mentioned = {unlinked(link[0]): link[2] for link in _LINK.finditer(said) if link[1] == "@"}
    text = _LINK.sub(_meaning, text)
    kind, value = split_kind(text)
    name = value.strip("<>()[]*_~" + PUNCTUATION)
    if name in mentioned and kind in _PEOPLE:
        return Typed(f"<@{mentioned[name]}|{name[1:]}>", name, reason)
    target = f"{kind}:{_with_emoji(kind, value)}" if kind else text
    try:
        return Typed(target, str(parse_target(target)), reason)
    except Refusal:
        return Typed(target, target, reason)


def subcommand(text: str) -> str:
    """Return the text of a command as its subcommands are compared: `signin` for `Sign–in` and `sign in`."""
    return re.sub(r"[\s\-]", "", normalized(text).casefold().rstrip(PUNCTUATION))


def unlinked(text: str) -> str:
    """Undo what Slack does to typed text: it links people, channels and addresses, and escapes & < >."""
    plain = _LINK.sub(_meaning, text)
    return plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _meaning(link: re.Match[str]) -> str:
    sign, value, label = link[1], link[2], link[3] or ""
    scheme, _, rest = value.partition(":")
    if scheme == "mailto" and not sign:
        address = unquote(rest.partition("?")[0])
        same = normalized(unescape(label)).casefold() == normalized(unescape(address)).casefold()
        # a label that is another address is shown with it: who is meant is not clear
        return label if same else f"{label} ({address})" if "@" in label else address
    if scheme == "tel" and not sign:
        return label if _digits(label) == _digits(rest) else rest
    if sign == "!" and value.startswith("date^"):
        return label
    shown = label or value
    return shown if shown.startswith(("@", "#")) else sign.replace("!", "@") + shown


def _digits(text: str) -> str:
    return "".join(filter(str.isdecimal, text))


def _with_emoji(kind: TargetKind | None, text: str) -> str:
    """Return the name of a device with emoji in place of their shortcodes; of other kinds, `text`."""
    return _SHORTCODE.sub(_emoji, text) if kind is TargetKind.NAME else text


def _emoji(code: re.Match[str]) -> str:
    """Return the emoji of a shortcode, which is the same text where there is none."""
    name = code[1].lower()
    if flag := _FLAG.fullmatch(name):
        return "".join(chr(0x1F1E6 + ord(letter) - ord("a")) for letter in flag.groups())
    if tone := _TONE.fullmatch(name):
        return chr(0x1F3F9 + int(tone[1]))
    other = name.replace("female-", "woman_").replace("male-", "man_").replace("-", "_")
    found = (emoji.emojize(f":{spelled}:", language="alias") for spelled in (name, other))
    return _SLACKS.get(name) or next((text for text in found if not text.startswith(":")), code[0])
