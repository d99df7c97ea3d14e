"""Fixtures that several folders of unit tests share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bot.store.database import Database
from tests.support.database import opened, sqlite_url


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A migrated SQLite database of this test's own."""
    async with opened(sqlite_url(tmp_path)) as database:
        yield database
