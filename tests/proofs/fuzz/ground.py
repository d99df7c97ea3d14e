"""What the openings stand on: an emptied database and a bot of its own for every input."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from bot.store import tables
from bot.store.database import Database
from sqlalchemy import delete
from tests.proofs.fuzz.checks import watched
from tests.support.bot import Bot
from tests.support.database import sqlite_database

Play = Callable[[Any], Awaitable[None]]
"""Sends one case, and fails where something happens that never may."""

MEMORY: Final = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108, PTH112  faster than a disk


@asynccontextmanager
async def temporary_database() -> AsyncIterator[Database]:
    """A database that goes at the end of the block."""
    with TemporaryDirectory(dir=MEMORY) as folder:
        async with sqlite_database(Path(folder)) as database:
            yield database


async def emptied(database: Database) -> Bot:
    """A new bot, and no row of an earlier input but those of the audit log."""
    for table in (tables.requests, tables.sign_in_links, tables.sign_ins):
        await database.run(lambda tx, table=table: tx.execute(delete(table)) and None)
    seen = database.audit_log.seen
    return Bot(database, log_starts_after=1 if seen is None else seen.seq)


@contextmanager
def played(opening: Callable[[], AbstractAsyncContextManager[Play]]) -> Iterator[Callable[[Any], None]]:
    """Open it, and return how to play a case: synchronous, as hypothesis calls it, and watched."""
    with asyncio.Runner() as runner:
        stack = opening()
        play = runner.run(stack.__aenter__())

        def play_watched(case: Any) -> None:
            with watched(runner.get_loop()):
                runner.run(_once(play, case))

        try:
            yield play_watched
        finally:
            runner.run(_closed(stack))


async def _once(play: Play, case: Any) -> None:
    async with asyncio.timeout(20):  # a hang
        await play(case)


async def _closed(stack: AbstractAsyncContextManager[Play]) -> None:
    await stack.__aexit__(None, None, None)
