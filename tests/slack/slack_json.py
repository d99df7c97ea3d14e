"""Looks into what is handed to Slack: is it accepted, and what in it is text."""

from collections.abc import Iterator

from bot.slack.message import Message, View
from sandbox.slack.blocks import accepted_blocks, accepted_view

OURS = ("<@U0", "<!date^", "<!subteam^S0ONCALL>", "<#C0")


def accepted(shown: Message | View) -> None:
    """Slack takes it: the schema, unique ids, 50 or 100 blocks, 250 kB, 4000 characters of text."""
    if isinstance(shown, Message):
        accepted_blocks(list(shown.blocks))
        assert 0 < len(shown.text) <= 4000
    else:
        accepted_view(shown)


def texts(shown: object) -> Iterator[str]:
    """Every text that Slack reads markup or entities in: text objects and a message's own text."""
    match shown:
        case Message():
            yield shown.text
            yield from texts(list(shown.blocks))
        case {"type": "plain_text" | "mrkdwn", "text": str(text)}:
            yield text
        case dict():
            for value in shown.values():
                yield from texts(value)
        case list() | tuple():
            for item in shown:
                yield from texts(item)


def marked_up(shown: object) -> Iterator[str]:
    """What Slack would format."""
    match shown:
        case Message():
            yield shown.text
            yield from marked_up(list(shown.blocks))
        case {"type": "mrkdwn", "text": str(text)}:
            yield text
        case dict():
            for value in shown.values():
                yield from marked_up(value)
        case list() | tuple():
            for item in shown:
                yield from marked_up(item)


def elements(shown: object, kind: str) -> Iterator[dict[str, object]]:
    """Every object of this `type`, however deep."""
    match shown:
        case dict():
            if shown.get("type") == kind:
                yield shown
            for value in shown.values():
                yield from elements(value, kind)
        case list() | tuple():
            for item in shown:
                yield from elements(item, kind)


def everything(shown: Message | View) -> str:
    """All text in one."""
    return "\n".join(texts(shown))


def calls_nobody(shown: Message | View) -> bool:
    """Whether every angle bracket is one of ours, and every ampersand an entity."""
    return all(_quiet(text) for text in texts(shown))


def _quiet(text: str) -> bool:
    for ours in OURS:
        text = text.replace(ours, "")
    entities = text.count("&amp;") + text.count("&lt;") + text.count("&gt;")
    return "<" not in text and text.count("&") == entities
