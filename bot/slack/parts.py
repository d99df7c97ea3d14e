"""Blocks that cards, receipts and windows share."""

from collections.abc import Sequence

from bot.domain.request import Approval, ResetRequest
from bot.slack.message import Block
from bot.slack.text import FIELD_LIMIT, HEADER_LIMIT, LABEL_LIMIT, cut, inline, mrkdwn, plain
from bot.slack.wording import Wording


def header(text: str) -> Block:
    """A headline of our own words."""
    return {"type": "header", "text": plain(text, HEADER_LIMIT)}


def said(sentence: str) -> Block:
    """One of our sentences."""
    return {"type": "section", "text": mrkdwn(sentence)}


def small(*sentences: str) -> Block:
    """Sentences of ours in small print."""
    return {"type": "context", "elements": [mrkdwn(sentence) for sentence in sentences]}


def typed(label: str, text: str) -> Block:
    """What somebody typed, under its label."""
    return {"type": "section", "text": labelled(label, text)}


def labelled(label: str, text: str, limit: int = FIELD_LIMIT) -> Block:
    """Label, line, value. The value is one line without marks, so it adds no line and formats nothing."""
    return mrkdwn(f"*{label}*\n{inline(text, limit - len(label) - 3)}", limit)


def fields(*pairs: tuple[str, str]) -> Block:
    """Up to ten labelled values side by side."""
    return {"type": "section", "fields": [labelled(label, value) for label, value in pairs]}


def button(
    label: str, *, action: str, reads: str, value: str = "", url: str = "", style: str | None = None
) -> Block:
    """A button that carries an id or opens a page; `reads` is what a screen reader says."""
    element: Block = {
        "type": "button",
        "text": plain(label, LABEL_LIMIT),
        "action_id": action,
        "accessibility_label": cut(reads, LABEL_LIMIT),
    }
    optional = {"value": value, "url": url, "style": style}
    return element | {name: given for name, given in optional.items() if given}


def actions(*elements: Block) -> Block:
    """A row of buttons."""
    return {"type": "actions", "elements": list(elements)}


def asked_for(request: ResetRequest, words: Wording) -> Sequence[Block]:
    """What was asked, why, under which ticket."""
    ticket = [(words.ticket, request.ticket)] if request.ticket else []
    return [
        fields((words.for_whom, str(request.target)), (words.number, request.ref), *ticket),
        typed(words.reason, request.reason),
    ]


def carried_out(approval: Approval, words: Wording) -> Sequence[Block]:
    """Which device, as whom, and what a reset does there."""
    return [
        fields((words.device, words.device_name(approval.device)), (words.account, approval.username)),
        said(words.fill(words.what_it_does, effect=words.effect(approval.effect))),
    ]
