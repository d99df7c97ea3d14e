"""What people type, as Slack sends it: links become what they mean before anything is split."""

import re
from dataclasses import dataclass
from html import unescape
from typing import Final
from urllib.parse import unquote

from bot.domain.errors import Refusal
from bot.domain.target import APOSTROPHES, PUNCTUATION, QUOTES, TargetKind, parse_target, quoted, split_kind
from bot.domain.values import normalized

_LINK: Final = re.compile(r"<([@#!]|(?=[a-z][a-z0-9+.\-]*:))([^<>|]*)(?:\|([^<>]*))?>", re.IGNORECASE)
_PIECE: Final = re.compile(r"((?:<[^<>]*>|\S)*)")
"""Up to the next blank outside of a link."""
_BEFORE_REASON: Final = re.compile(
    rf"(<[^<>]*>)(?:[{APOSTROPHES}]s\b|[,;:、，；：]|(?=[(\u0e00-\u0e7f\u3040-\u9fff\uac00-\ud7af]))"
)
"""A link with what may stand between it and a reason; some languages write no blanks."""
_UNSEEN: Final = re.compile("[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_IMEI: Final = re.compile(r"\s*(\d{14}(?=\s)|(?:\d[\s.\-/\u2010-\u2015]*){14}(?:\d{1,2})?)(?:/\d\d)?(?!\w)")
_WHOLE_NAME: Final = re.compile(
    rf"(?=\S*(?:[\d_]|[^\w\s{APOSTROPHES}′<(\[]))\S+(?<![{APOSTROPHES}])(?<![{APOSTROPHES}]s)", re.IGNORECASE
)
"""One that may end at the first blank: with a digit or a sign in it or behind it, and no possessive."""
_ANOTHER: Final = re.compile(r"\W{0,5}(?:\w{1,6}\W{1,3})?[^\s@]*@\w")
"""A second person, after a word such as `and`; a reason begins otherwise."""
_GLUED: Final = re.compile(r">\.?\w")
"""What cannot be told from the address that Slack linked before it."""
_MORE: Final = re.compile(r"\s*[A-Z0-9]")
"""What may go on with a name, as in `8:14 AM` or `Pixel-7 Pro`."""
_GROUP: Final = re.compile(r"\s*[A-Z]*\d[A-Z0-9]+\b", re.IGNORECASE)
"""What may be the next group of a serial number that was typed with blanks."""
_SERIAL_LENGTH: Final = 8
"""Shorter ones are rare."""
_OPENING: Final = re.compile(r"^[-–—:,;.]+\s+|^[,;、，；]+\s*")
_SHORTCODE: Final = re.compile(r"(?<!\w):([a-z0-9_+\-']+):(?!\w)", re.IGNORECASE)
_SLACKS: Final = {
    **{"beetle": "🪲", "egg": "🥚", "email": "✉️", "satellite": "🛰️", "snowman": "☃️", "umbrella": "☂️"},
    **{f"skin-tone-{number}": chr(0x1F3F9 + number) for number in range(2, 7)},
}
"""Shortcodes that mean another emoji in Slack than elsewhere, or none elsewhere."""
_PEOPLE: Final = (None, TargetKind.PERSON)


@dataclass(frozen=True, slots=True)
class Typed:
    """A target as `parse_target` reads it, how it is shown, and a reason. A mention is shown by its name."""

    target: str = ""
    shown: str = ""
    reason: str = ""


NOTHING: Final = Typed()


def read_command(text: str) -> Typed:
    """Split `serial:X a reason` or, with quotes, `name:"Ken's iPhone" a reason`.

    Where it is not clear where the target ends, all of it is the target, so that it is asked again.
    """
    text = _UNSEEN.sub("", text).strip()
    kind, wire = split_kind(text)
    plain, first = unlinked(wire), _PIECE.match(wire)
    word, torn = first[1] if first else "", False
    if plain[:1] in QUOTES:
        value, reason = quoted(plain) or (plain, "")
    elif kind is TargetKind.IMEI and (digits := _IMEI.match(plain)):
        value, reason = digits[1], plain[digits.end() :]
    else:
        piece = (kind in _PEOPLE and _BEFORE_REASON.match(wire)) or first
        word, rest = (piece[1], wire[piece.end() :]) if piece else (wire, "")
        value, reason = _with_emoji(kind, unlinked(word)).rstrip(PUNCTUATION), unlinked(rest)
        match kind:
            case TargetKind.NAME:
                torn = not _WHOLE_NAME.fullmatch(word) or _MORE.match(rest) is not None
            case TargetKind.SERIAL:
                torn = len(value) < _SERIAL_LENGTH and _GROUP.match(rest) is not None
    if torn or (kind in _PEOPLE and (_ANOTHER.match(reason) or _GLUED.search(word))):
        value, reason = plain, ""
    return _typed(f"{kind}:{value}" if kind else value, word + value, _OPENING.sub("", reason.strip()))


def read_form(text: str, mentioned: str = "") -> str:
    """Return what was typed into a form as `parse_target` reads it; `mentioned`: whom it was opened for."""
    return _typed(_UNSEEN.sub("", text), mentioned + text).target


def subcommand(text: str) -> str:
    """Return the text of a command as subcommands are compared: `signin` for `Sign–in` and `sign in`."""
    return re.sub(r"[\s\-]", "", normalized(text.strip()[:64]).casefold().rstrip(PUNCTUATION))


def unlinked(text: str) -> str:
    """Undo what Slack does to typed text: it links people, channels and addresses, and escapes & < >."""
    plain = _LINK.sub(_meaning, text)
    return plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _meaning(link: re.Match[str]) -> str:
    sign, value, label = link[1], link[2], link[3] or ""
    scheme, _, rest = value.partition(":")
    if not sign and scheme.lower() == "mailto":
        address = unquote(rest.partition("?")[0])
        same = normalized(unescape(label)).casefold() == normalized(unescape(address)).casefold()
        # a label that is another address is shown with it: who is meant is not clear
        return label if same else f"{label} ({address})" if "@" in label else address
    if not sign and scheme.lower() == "tel":
        return label if re.sub(r"\D", "", label) == re.sub(r"\D", "", rest) else rest
    shown = label or value.removeprefix("subteam^")
    is_whole = shown.startswith(("@", "#")) or value.startswith("date^")
    return shown if is_whole else sign.replace("!", "@") + shown


def _typed(text: str, said: str, reason: str = "") -> Typed:
    """Take the name of who is mentioned in `said` for that person, and shortcodes in a device's for emoji."""
    around = "<>()[]*_~" + PUNCTUATION
    mentioned = {unlinked(link[0]).strip(around): link[2] for link in _LINK.finditer(said) if link[1] == "@"}
    kind, value = split_kind(_LINK.sub(_meaning, text))
    name = value.strip(around)
    if name in mentioned and kind in _PEOPLE:
        return Typed(f"<@{mentioned[name]}|{name[1:]}>", name, reason)
    target = f"{kind}:{_with_emoji(kind, value)}" if kind else value
    try:
        return Typed(target, str(parse_target(target)), reason)
    except Refusal:
        return Typed(target, target, reason)


def _with_emoji(kind: TargetKind | None, text: str) -> str:
    return _SHORTCODE.sub(_emoji, text) if kind is TargetKind.NAME else text


def _emoji(code: re.Match[str]) -> str:
    """Return the emoji of a shortcode, which is the same text where there is none."""
    from emoji import emojize  # most never need its 3 MB of tables

    name = code[1].lower()
    other = name.replace("female-", "woman_").replace("male-", "man_").replace("-", "_")
    names = (name, name.removeprefix("flag-"), other)
    found = (emojize(f":{spelled}:", language="alias") for spelled in names)
    return _SLACKS.get(name) or next((text for text in found if text[0] != ":"), code[0])
