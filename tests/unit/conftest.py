"""Fixtures that several folders of unit tests share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bot.store.database import Database
from tests.support.database import sqlite_database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A migrated SQLite database of this test's own."""
    async with sqlite_database(tmp_path) as database:
        yield database
