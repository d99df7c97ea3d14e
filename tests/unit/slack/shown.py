"""Looks into what is handed to Slack: does Slack accept it, and what in it is text."""

import re
from collections.abc import Iterator

from bot.slack.blocks import Message, View
from hypothesis import strategies as st
from sandbox.slack.blocks import accepted_blocks, accepted_view

_OURS = re.compile(r"<(@[UW][A-Z0-9]+|!subteam\^S0ONCALL|!date\^-?\d+\^[^|<>]*\|[^<>]*)>|&(amp|lt|gt);")
_TYPED = re.compile("<[^>]*[UCS]0TEXT")
"""In no workspace: where one of these is mentioned, typed text came out as a mention."""
_NASTY = [
    *("<!channel> ", "<@U0AIKO>", "\u202e", "\u200b", "*_~`", ":fire:", "&amp;", "\n", "> "),
    *("é" * 50, "&" * 900),
]
nasty = st.lists(st.text(max_size=20) | st.sampled_from(_NASTY), min_size=1, max_size=40).map("".join)


def check_accepted(shown: Message | View) -> None:
    """Slack takes it: the schema, unique ids, 50 or 100 blocks, 250 kB, 4000 bytes of text."""
    if isinstance(shown, Message):
        accepted_blocks(list(shown.blocks))
        assert 0 < len(shown.text.encode()) <= 4000
    else:
        accepted_view(shown)


def check_harmless(shown: Message | View) -> None:
    """Nothing typed formats, and all texts are escaped."""
    for found in elements(shown, "mrkdwn"):
        assert "~" not in str(found["text"])
    for text in texts(shown):
        check_text(text)


def check_text(said: str) -> None:
    """Every angle bracket and every ampersand is ours."""
    assert not set(_OURS.sub("", said)) & set("<>&"), f"unescaped: {said[:300]!r}"
    assert not _TYPED.search(said), f"a mention that was typed: {said[:300]!r}"


def elements(shown: object, kind: str) -> Iterator[dict[str, object]]:
    """Every object of this `type`, however deep."""
    match shown:
        case Message():
            yield from elements(list(shown.blocks), kind)
        case dict():
            if shown.get("type") == kind:
                yield shown
            for value in shown.values():
                yield from elements(value, kind)
        case list():
            for item in shown:
                yield from elements(item, kind)


def texts(shown: Message | View) -> Iterator[str]:
    """Every text that Slack reads markup or entities in: text objects and a message's own text."""
    if isinstance(shown, Message):
        yield shown.text
    for kind in ("plain_text", "mrkdwn"):
        for found in elements(shown, kind):
            yield str(found["text"])


def everything(shown: Message | View) -> str:
    return "\n".join(texts(shown))


def buttons(shown: Message | View) -> list[str]:
    return [str(button["action_id"]) for button in elements(shown, "button")]


def field(view: View, block_id: str) -> dict[str, object]:
    found = next(block for block in elements(view, "input") if block["block_id"] == block_id)
    return found["element"]
