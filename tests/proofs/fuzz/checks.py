"""What holds whatever comes in: nothing crashes, typed text mentions nobody, Slack takes what is shown."""

import asyncio
import json
import logging
import re
import time
from bisect import bisect_left
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final

from bot.domain.errors import UnlatchError
from bot.domain.request import ResetRequest, Status
from bot.slack.blocks import Message, View
from bot.slack.messages import card, receipt, reminder
from bot.slack.wording import ENGLISH
from bot.store.requests import read_request, request_columns
from structlog.testing import capture_logs
from tests.support.bot import Bot
from tests.support.builders import TIMING
from tests.unit.slack.shown import check_accepted, texts

SLOW: Final = 1.5
"""Seconds of this process's own time for one input; a page of text takes some milliseconds."""
LIMITS: Final = (0, 24, 30, 75, 100, 150, 255, 300, 2000, 3000, 4000)
"""Of Block Kit, in characters."""
_accepted: Final[set[str]] = set()
_OURS: Final = re.compile(
    r"<(@[UW][A-Z0-9]+|!subteam\^S0ONCALL|!date\^-?\d+\^[^|<>]*\|[^<>]*)>|&(amp|lt|gt);"
)
_TYPED: Final = re.compile("<[^>]*[UCS]0TEXT")
"""In no workspace: where one of these is mentioned, typed text came out as a mention."""


@contextmanager
def watched(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Fail where the bot logs a crash, a library an error, asyncio finds one, or the block takes long."""
    found: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: found.append(f"{record.name}: {record.getMessage()[:500]}")  # type: ignore[method-assign]
    loop.set_exception_handler(lambda _, context: found.append(f"asyncio: {context}"))
    logging.getLogger().addHandler(handler)
    began = time.process_time()
    try:
        with capture_logs() as lines:
            yield
    finally:
        logging.getLogger().removeHandler(handler)
        loop.set_exception_handler(None)
    took = time.process_time() - began
    crashes = [dict(line) for line in lines if line["log_level"] in ("error", "critical")]
    assert not crashes + found, crashes + found
    assert took < SLOW, f"it took {took:.1f} s"


def check_text(said: str) -> None:
    """Every angle bracket and every ampersand is ours."""
    assert not set(_OURS.sub("", said)) & set("<>&"), f"unescaped: {said[:300]!r}"
    assert not _TYPED.search(said), f"a mention that was typed: {said[:300]!r}"


def check_shown(shown: Message | View) -> None:
    """Slack accepts the message or view, and all of its texts are escaped."""
    whole = {"text": shown.text, "blocks": list(shown.blocks)} if isinstance(shown, Message) else shown
    shape = json.dumps(_shape(whole, ""))
    if shape not in _accepted:
        check_accepted(shown)
        _accepted.add(shape)
    for said in texts(shown):
        check_text(said)


def _shape(shown: Any, name: str) -> Any:
    """What is shown, with its texts only as long as the next limit: the schema takes most of the time."""
    match shown:
        case dict():
            return {key: _shape(part, key) for key, part in shown.items()}
        case list():
            return [_shape(part, name) for part in shown]
        case str() if name in ("text", "value", "initial_value", "private_metadata", "url"):
            return bisect_left(LIMITS, len(shown))
    return shown


def check_error(error: UnlatchError) -> None:
    """Its title and sentence can be shown."""
    check_text(ENGLISH.error(error))
    check_text(ENGLISH.title(error))


def check_row(row: ResetRequest) -> None:
    """Each of its messages can be shown."""
    on_call = ["S0ONCALL"]
    check_shown(card(row, ENGLISH, on_call))
    check_shown(receipt(row, ENGLISH, reveal_for=TIMING.reveal_for))
    if row.status is Status.PENDING:
        check_shown(reminder(row, ENGLISH, on_call))


async def check_stored(bot: Bot, but: Container[ResetRequest] = ()) -> None:
    """All rows `but` these come back from their columns, are storable on any database, and can be shown."""
    for row in (await bot.rows()).values():
        if row in but:
            continue
        check_row(row)
        columns = request_columns(row)
        check_storable(columns)
        assert read_request(SimpleNamespace(**columns, _mapping=columns)) == row  # type: ignore[arg-type]
    for entry in await bot.entries():
        check_storable(entry.facts)


def check_storable(columns: Mapping[str, Any]) -> None:
    """A database takes text that is UTF-8 and holds no NUL."""
    for name, value in columns.items():
        if isinstance(value, str):
            value.encode()
            assert "\x00" not in value, f"{name} holds a NUL"
