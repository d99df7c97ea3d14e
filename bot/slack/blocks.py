"""Block Kit: text made safe for Slack, its text objects, and builders for blocks and modals.

Sources: Slack's pages "Formatting message text" (what to escape), "Text object" and "Block Kit" (limits).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from typing import Final

from bot.domain.values import Secret, visible
from bot.slack.payloads import VALUE

Block = dict[str, object]
"""One block, or an element or a text object inside one."""

View = dict[str, object]
"""A modal."""

TEXT_LIMIT: Final = 3000
FIELD_LIMIT: Final = 2000
"""Also of an input's label and hint."""
HEADER_LIMIT: Final = 150
"""Also of a placeholder and of an option's value."""
BUTTON_LIMIT: Final = 75
"""Also of options, their descriptions and accessibility labels."""
TITLE_LIMIT, CONFIRM_LIMIT, MAX_CONFIRMATION = 24, 30, 300
MESSAGE_LIMIT: Final = 3900
"""`chat.update` refuses a text of more than 4000 bytes of UTF-8; the documentation says characters."""
MAX_RADIO_BUTTONS, MAX_OPTIONS = 10, 100

NOTHING: Final = "–"
_TORN: Final = re.compile(r"(&[a-z]{0,3}|<[^<>]*)$")
_USER: Final = re.compile(r"[UW][A-Z0-9]+")
_DATE: Final = re.compile(r"<!date\^[^|>]*\|([^>]*)>")
_UNTYPABLE: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f\ud800-\udfff]")
# Bold, strike, code and emoji marks have no escape: their look-alikes show the same and mark nothing.
_MARKS: Final = str.maketrans({"*": "∗", "~": "∼", "`": "ˋ"})
_UNMASKED: Final = str.maketrans("∗∼ˋˍ∶", "*~`_:")
_ITALIC: Final = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
_EMOJI: Final = re.compile(r":(?=[a-z0-9_+\-']+:)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Message:
    """`text` is what screen readers and notifications read: it says everything that the blocks show."""

    text: str
    blocks: Sequence[Block]


# Text


def escaped(text: str) -> str:
    """Return text as one line that Slack shows as typed: no mention, no link, nothing invisible."""
    return visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cut(text: str, limit: int) -> str:
    """Return at most `limit` characters, with … where some are missing; never half an entity or mention."""
    if len(text) <= limit:
        return text
    return _TORN.sub("", text[: limit - 1]).rstrip() + "…"


def fallback(text: str) -> str:
    """Return a message's own text as `cut` does, within MESSAGE_LIMIT bytes."""
    return cut(text, len(text.encode()[:MESSAGE_LIMIT].decode(errors="ignore")))


def inline(text: str, limit: int = 300) -> str:
    """Return people's text for a sentence of ours: escaped, cut, and without marks that would format it."""
    without_marks = _ITALIC.sub("ˍ", escaped(text).translate(_MARKS))
    return cut(_EMOJI.sub("∶", without_marks), limit) or NOTHING


def date(moment: datetime) -> str:
    """Return a time that Slack shows in the reader's own zone; `moment` is aware."""
    fallback = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"<!date^{int(moment.timestamp())}^{{date_short_pretty}} at {{time}}|{fallback}>"


def mention(user: str) -> str:
    """Return a Slack user, linked; anything that is no user id is only text."""
    return f"<@{user}>" if _USER.fullmatch(user) else inline(user)


def group(usergroup: str) -> str:
    """Return a Slack user group, linked and notified."""
    return f"<!subteam^{usergroup}>" if usergroup.isalnum() else inline(usergroup)


def without_markup(text: str) -> str:
    """Return a sentence for a place that reads no mrkdwn: a form's errors, a page in the browser."""
    ours = _DATE.sub(r"\1", text).replace("*", "").replace("`", "")
    return unescape(ours).translate(_UNMASKED)


def plain(text: str, limit: int = TEXT_LIMIT) -> Block:
    """Return a plain text object; `text` is ours or went through `escaped`."""
    return {"type": "plain_text", "text": cut(text, limit) or NOTHING, "emoji": False}


def mrkdwn(text: str, limit: int = TEXT_LIMIT) -> Block:
    """Return a mrkdwn object of our own sentences; with `verbatim` Slack links nothing that we did not."""
    return {"type": "mrkdwn", "text": cut(text, limit) or NOTHING, "verbatim": True}


def labelled(label: str, text: str) -> Block:
    """Return a label and, on the next line, `text`, which is safe already and one line."""
    return mrkdwn(f"*{label}*\n{text or NOTHING}", FIELD_LIMIT)


# Blocks


def header(text: str) -> Block:
    return {"type": "header", "text": plain(text, HEADER_LIMIT)}


def section(text: str, fields: Sequence[Block] = ()) -> Block:
    """One of our sentences, with up to ten fields under it."""
    return _with({"type": "section", "text": mrkdwn(text)}, fields=list(fields))


def fields(*pairs: tuple[str, str]) -> Block:
    """Up to ten labelled values side by side; the values are safe already."""
    return {"type": "section", "fields": [labelled(label, value) for label, value in pairs]}


def paragraph(label: str, typed: str) -> Block:
    """Long text that people typed, under its label."""
    return {"type": "section", "text": labelled(label, inline(typed, FIELD_LIMIT))}


def context(*texts: str) -> Block:
    return {"type": "context", "elements": [mrkdwn(text) for text in texts]}


def divider() -> Block:
    return {"type": "divider"}


def preformatted(secret: Secret) -> Block:
    """A secret, character by character as it is, in a box of its own."""
    text: Block = {"type": "text", "text": secret.reveal()}
    return {"type": "rich_text", "elements": [{"type": "rich_text_preformatted", "elements": [text]}]}


def actions(*elements: Block) -> Block:
    return {"type": "actions", "elements": list(elements)}


def button(
    text: str, *, action_id: str, label: str, value: str = "", url: str = "", style: str = ""
) -> Block:
    """A button that carries an id or opens a page; `label` is what a screen reader says."""
    element: Block = {
        "type": "button",
        "text": plain(text, BUTTON_LIMIT),
        "action_id": action_id,
        "accessibility_label": cut(label, BUTTON_LIMIT),
    }
    return _with(element, value=value, url=url, style=style)


def confirmation(title: str, text: str, confirm: str, deny: str) -> Block:
    """What Slack asks before a button acts."""
    return {
        "title": plain(title, HEADER_LIMIT),
        "text": plain(text, MAX_CONFIRMATION),
        "confirm": plain(confirm, CONFIRM_LIMIT),
        "deny": plain(deny, CONFIRM_LIMIT),
    }


def option(text: str, value: str, description: str = "") -> Block:
    found: Block = {"text": plain(text, BUTTON_LIMIT), "value": cut(value, HEADER_LIMIT)}
    return _with(found, description=description and plain(description, BUTTON_LIMIT))


def text_input(limit: int, initial: str = "", *, placeholder: str = "", multiline: bool = False) -> Block:
    """A text field. What is too long already stays, so that it can be shortened instead of typed again."""
    initial = _UNTYPABLE.sub("", initial if multiline else initial.replace("\n", " "))[:TEXT_LIMIT]
    length = max(limit, len(initial))
    element: Block = {"type": "plain_text_input", "multiline": multiline, "max_length": length}
    shown = placeholder and plain(placeholder, HEADER_LIMIT)
    return _with(element, initial_value=initial, placeholder=shown)


def input_block(
    block_id: str, label: str, element: Block, *, hint: str = "", optional: bool = False
) -> Block:
    """A labelled field of a form; `block_id` names it in the submission."""
    block: Block = {
        "type": "input",
        "block_id": block_id,
        "label": plain(label, FIELD_LIMIT),
        "element": element | {"action_id": VALUE},
        "optional": optional,
    }
    return _with(block, hint=hint and plain(hint, FIELD_LIMIT))


def modal(title: str, blocks: Sequence[Block], *, close: str, submit: str = "", **about: str) -> View:
    """A modal; without `submit` it can only be closed. `about`: its `callback_id` and `private_metadata`."""
    view: View = {
        "type": "modal",
        "title": plain(title, TITLE_LIMIT),
        "close": plain(close, TITLE_LIMIT),
        "blocks": list(blocks),
    }
    return _with(view, submit=submit and plain(submit, TITLE_LIMIT), **about)


def _with(block: Block, **optional: object) -> Block:
    """Add what there is: Slack takes nothing that is empty."""
    return block | {name: given for name, given in optional.items() if given}
