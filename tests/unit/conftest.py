"""Fixtures that several folders of unit tests share."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from bot.settings import CONFIG_VARIABLE, Settings
from bot.store.database import Database
from tests.support.database import opened, sqlite_url


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A migrated SQLite database of this test's own."""
    async with opened(sqlite_url(tmp_path)) as database:
        yield database


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], object]:
    """Sets variables, in an empty folder and an environment that sets nothing of the bot's."""
    monkeypatch.chdir(tmp_path)
    for name in (CONFIG_VARIABLE, *map(str.upper, Settings.model_fields)):
        monkeypatch.delenv(name, raising=False)
    return lambda values: [monkeypatch.setenv(name, value) for name, value in values.items()]
