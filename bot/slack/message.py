"""What is handed to Slack: a message or a view, as Slack's JSON."""

from collections.abc import Sequence
from dataclasses import dataclass

Block = dict[str, object]
"""One Block Kit block, or an element or text object inside one."""

View = dict[str, object]
"""A modal."""


@dataclass(frozen=True, slots=True)
class Message:
    """`text` is what screen readers and notifications read: it says everything that the blocks show."""

    text: str
    blocks: Sequence[Block]
