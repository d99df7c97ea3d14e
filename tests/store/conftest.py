"""Databases for the store's tests: migrated once, copied for each test."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bot.store import Store, migrate
from kept import Kept, in_memory, in_sql, opened


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with every table."""
    path = tmp_path_factory.mktemp("migrated") / "unlatch.sqlite3"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def path(migrated: Path, tmp_path: Path) -> Path:
    """A database of one's own."""
    return Path(shutil.copy(migrated, tmp_path / "unlatch.sqlite3"))


@pytest.fixture
async def sql(path: Path) -> AsyncIterator[Store]:
    """The store, opened."""
    store = opened(path)
    yield store
    await store.close()


@pytest.fixture(params=["sqlite", "fake"])
async def kept(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[Kept]:
    """Every place that keeps the promises of the ports."""
    if request.param == "fake":
        yield in_memory()
        return
    here, elsewhere = opened(path), opened(path)
    yield in_sql(here, elsewhere)
    await here.close()
    await elsewhere.close()
