"""Bots on one SQLite database, emptied for each; to open a new one costs a hundred times as much."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bot.store import tables
from bot.store.database import Database, Transaction, Unit
from sqlalchemy import Connection, delete, func, select
from tests.support.bot import Bot
from tests.support.database import audit_log, sqlite_url

MEMORY = Path("/dev/shm")  # noqa: S108  an fsync on a disk takes most of these tests' time


class InlineDatabase(Database):
    """Run each unit on the calling thread: half the time, and the same order of events each time."""

    async def run(self, work: Callable[[Transaction], Any]) -> Any:
        await asyncio.sleep(0)
        unit = Unit(work)
        self._commit([unit])
        if unit.error is not None:
            raise unit.error
        return unit.result

    async def read(self, work: Callable[[Connection], Any]) -> Any:
        await asyncio.sleep(0)
        return self._read(work)


@pytest.fixture(scope="session")
def one_database() -> Iterator[Database]:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        database = InlineDatabase(sqlite_url(Path(folder)), audit_log())
        yield database
        asyncio.run(database.close())


@pytest.fixture
def new_bot(one_database: Database) -> Callable[[], Awaitable[Bot]]:
    """Return a bot that finds no request, and reads the audit log from here on."""

    def empty(tx: Transaction) -> int:
        tx.execute(delete(tables.requests))
        return int(tx.scalar(select(func.max(tables.audit.c.seq))) or 0)

    async def make() -> Bot:
        return Bot(one_database, log_starts_after=await one_database.run(empty))

    return make


@pytest.fixture
async def bot(new_bot: Callable[[], Awaitable[Bot]]) -> Bot:
    return await new_bot()
