"""The frame of a window and the fields in it. `private_metadata` says what it is about."""

import re
from collections.abc import Sequence
from typing import Final

from bot.slack import ids
from bot.slack.about import About
from bot.slack.message import Block, View
from bot.slack.text import TEXT_LIMIT, TITLE_LIMIT, plain
from bot.slack.wording import Wording

_HINT_LIMIT: Final = 2000
_PLACEHOLDER_LIMIT: Final = 150
_UNTYPABLE: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f\ud800-\udfff]")


def window(title: str, blocks: Sequence[Block], words: Wording) -> View:
    """A modal that can only be closed."""
    return {
        "type": "modal",
        "title": plain(title, TITLE_LIMIT),
        "close": plain(words.close, TITLE_LIMIT),
        "blocks": list(blocks),
    }


def form(
    title: str,
    blocks: Sequence[Block],
    words: Wording,
    *,
    callback: str,
    submit: str,
    about: About | None = None,
) -> View:
    """A modal that is sent back to us."""
    view = window(title, blocks, words) | {
        "callback_id": callback,
        "submit": plain(submit, TITLE_LIMIT),
        "close": plain(words.cancel, TITLE_LIMIT),
    }
    return view | ({"private_metadata": about.written()} if about else {})


def input_block(
    block_id: str, label: str, element: Block, *, hint: str = "", optional: bool = False
) -> Block:
    """A labelled field."""
    block: Block = {
        "type": "input",
        "block_id": block_id,
        "label": plain(label, _HINT_LIMIT),
        "element": element | {"action_id": ids.VALUE},
        "optional": optional,
    }
    return block | ({"hint": plain(hint, _HINT_LIMIT)} if hint else {})


def line(limit: int, initial: str = "", placeholder: str = "") -> Block:
    """A field of one line."""
    return _typing(limit, initial.replace("\n", " "), placeholder) | {"multiline": False}


def lines(limit: int, initial: str = "") -> Block:
    """A field of several lines."""
    return _typing(limit, initial, "") | {"multiline": True}


def _typing(limit: int, initial: str, placeholder: str) -> Block:
    """What is too long already stays, so that it can be shortened instead of typed anew."""
    initial = _UNTYPABLE.sub("", initial)[:TEXT_LIMIT]
    element: Block = {"type": "plain_text_input", "max_length": max(limit, len(initial))}
    if initial:
        element["initial_value"] = initial
    if placeholder:
        element["placeholder"] = plain(placeholder, _PLACEHOLDER_LIMIT)
    return element
