"""Bots on one SQLite database, emptied for each; to open a new one costs a hundred times as much."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bot.store import tables
from bot.store.audit_log import AuditLog
from bot.store.database import Transaction
from bot.store.engine import engine_for
from sqlalchemy import Connection, delete, func, select
from tests.support.bot import Bot
from tests.support.database import MEMORY, audit_log, sqlite_url


class InlineDatabase:
    """A Database that runs each unit on the calling thread: half the time, and the same order each time."""

    def __init__(self, url: str, audit_log: AuditLog) -> None:
        self.engine = engine_for(url)
        self.audit_log = audit_log

    async def run(self, work: Callable[[Transaction], Any], **_how: Any) -> Any:
        await asyncio.sleep(0)
        with self.engine.begin() as connection:
            tx = Transaction(connection, self.audit_log)
            result = work(tx)
            head = self.audit_log.append(connection, tx.entries)
        self.audit_log.remember(head)
        return result

    async def read(self, work: Callable[[Connection], Any]) -> Any:
        await asyncio.sleep(0)
        with self.engine.begin() as connection:
            return work(connection)


@pytest.fixture(scope="session")
def one_database() -> Iterator[InlineDatabase]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        database = InlineDatabase(sqlite_url(Path(folder)), audit_log())
        yield database
        database.engine.dispose()


@pytest.fixture
def new_bot(one_database: InlineDatabase) -> Callable[[], Awaitable[Bot]]:
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
