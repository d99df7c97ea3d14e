"""Bots on SQLite databases of their own."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from bot.store.database import Database
from tests.support.bot import Bot
from tests.support.database import audit_log, sqlite_url


@pytest.fixture
async def new_bot(tmp_path: Path) -> AsyncIterator[Callable[[], Bot]]:
    """Return a bot on another new database each time."""
    databases = []

    def make() -> Bot:
        folder = tmp_path / str(len(databases))
        folder.mkdir()
        databases.append(Database(sqlite_url(folder), audit_log()))
        return Bot(databases[-1])

    yield make
    for database in databases:
        await database.close()


@pytest.fixture
def bot(new_bot: Callable[[], Bot]) -> Bot:
    return new_bot()
