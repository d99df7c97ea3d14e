"""How an input is sent to an entry point and watched, and what holds whatever comes in."""

import asyncio
import logging
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, Final

from bot.domain.errors import UnlatchError
from bot.domain.request import ResetRequest, Status
from bot.domain.target import TargetKind
from bot.slack.blocks import Message, View
from bot.slack.messages import card, receipt, reminder
from bot.slack.wording import ENGLISH
from bot.store import tables
from bot.store.database import Database
from bot.store.requests import read_request, request_columns
from hypothesis import given, settings
from hypothesis.strategies import SearchStrategy
from sqlalchemy import delete
from structlog.testing import capture_logs
from tests.support.bot import Bot
from tests.support.builders import TIMING
from tests.support.database import sqlite_database
from tests.unit.slack.shown import check_accepted, texts

_OURS: Final = re.compile(
    r"<(@[UW][A-Z0-9]+|!subteam\^S0ONCALL|!date\^-?\d+\^[^|<>]*\|[^<>]*)>|&(amp|lt|gt);"
)
_TYPED: Final = re.compile("<[^>]*[UCS]0TEXT")
"""In no workspace: where one of these is mentioned, typed text came out as a mention."""
SLOW: Final = 1.5
"""Seconds of this process's own time for one input; a page of text takes some milliseconds."""
HANGS: Final = 20
MEMORY: Final = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108, PTH112  faster than a disk

Play = Callable[[Any], Awaitable[None]]
"""Sends one input, and fails where something happens that never may."""


@dataclass(frozen=True)
class Opening:
    name: str
    inputs: SearchStrategy[Any]
    opened: Callable[[], AbstractAsyncContextManager[Play]]

    @contextmanager
    def fuzzed(self, chosen: settings, ran: Callable[[], Any] = int) -> Iterator[Callable[[], None]]:
        """Open it, and return hypothesis's test that no input breaks anything; `ran` is told of each."""
        with asyncio.Runner() as runner:
            opened = self.opened()
            play = runner.run(opened.__aenter__())

            @chosen
            @given(sent=self.inputs)
            def nothing_breaks(sent: Any) -> None:
                ran()
                with watched(runner.get_loop()):
                    runner.run(_in_time(play, sent))

            try:
                yield nothing_breaks
            finally:
                runner.run(opened.__aexit__(None, None, None))


async def _in_time(play: Play, sent: Any) -> None:
    async with asyncio.timeout(HANGS):
        await play(sent)


@contextmanager
def watched(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Fail where the bot logs a crash, a library an error, asyncio finds one, or the block takes long."""
    found: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: found.append(f"{record.name}: {record.getMessage()[:500]}")
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
    found += [str(line) for line in lines if line["log_level"] in ("error", "critical")]
    assert not found
    assert took < SLOW, f"it took {took:.1f} s"


@asynccontextmanager
async def temporary_database() -> AsyncIterator[Database]:
    with TemporaryDirectory(dir=MEMORY) as folder:
        async with sqlite_database(Path(folder)) as database:
            yield database


async def emptied(database: Database) -> Bot:
    """A new bot, and no row of an earlier input but those of the audit log."""
    for table in (tables.requests, tables.sign_in_links, tables.sign_ins):
        await database.run(lambda tx, table=table: tx.execute(delete(table)) and None)
    seen = database.audit_log.seen
    return Bot(database, log_starts_after=1 if seen is None else seen.seq)


# What holds whatever comes in


def check_text(said: str) -> None:
    """Every angle bracket and every ampersand is ours."""
    assert not set(_OURS.sub("", said)) & set("<>&"), f"unescaped: {said[:300]!r}"
    assert not _TYPED.search(said), f"a mention that was typed: {said[:300]!r}"


def check_shown(shown: Message | View) -> None:
    """Slack accepts the message or view, and all of its texts are escaped."""
    check_accepted(shown)
    for said in texts(shown):
        check_text(said)


def check_error(error: UnlatchError) -> None:
    """Its title and sentence can be shown."""
    check_text(ENGLISH.error(error))
    check_text(ENGLISH.title(error))


async def check_stored(bot: Bot, but: Container[ResetRequest] = ()) -> None:
    """All rows `but` these come back from their columns, are storable on any database, and can be shown."""
    for row in (await bot.rows()).values():
        if row not in but and row.target.kind is not TargetKind.MENTION:  # which is shown as one, as asked
            check_shown(card(row, ENGLISH, ["S0ONCALL"]))
            check_shown(receipt(row, ENGLISH, reveal_for=TIMING.reveal_for))
            if row.status is Status.PENDING:
                check_shown(reminder(row, ENGLISH, ["S0ONCALL"]))
            columns = request_columns(row)
            check_storable(columns)
            assert read_request(SimpleNamespace(**columns, _mapping=columns)) == row
    for entry in await bot.entries():
        check_storable(entry.facts)


def check_storable(columns: Mapping[str, Any]) -> None:
    """A database takes text that is UTF-8 and holds no NUL."""
    for name, value in columns.items():
        if isinstance(value, str):
            value.encode()
            assert "\x00" not in value, f"{name} holds a NUL"
