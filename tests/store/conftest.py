"""Databases for the store's tests: migrated once, copied for each test."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from bot.store import Store, migrate, open_store
from kept import Kept, in_memory, in_sql, opened
from tests.postgres.cluster import Cluster, running
from written import Ask, asking


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


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL server of the tests' own."""
    with running() as started:
        yield started


@pytest.fixture(scope="session")
def template(cluster: Cluster) -> str:
    """A database with every table, to copy."""
    name = cluster.create()
    migrate(cluster.url(name))
    return name


@pytest.fixture
def postgresql(cluster: Cluster, template: str) -> Iterator[str]:
    """The address of a database of one's own."""
    name = cluster.create(template=template)
    yield cluster.url(name)
    cluster.drop(name)


@pytest.fixture(params=["sqlite", "postgresql", "fake"])
async def kept(request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    """Every place that keeps the promises of the ports."""
    if request.param == "fake":
        yield in_memory()
        return
    if request.param == "sqlite":
        path = request.getfixturevalue("path")
        here, elsewhere = opened(path), opened(path)
    else:
        url = request.getfixturevalue("postgresql")
        here, elsewhere = open_store(url), open_store(url)
    yield in_sql(here, elsewhere)
    await here.close()
    await elsewhere.close()


@pytest.fixture
def verdict(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Ask `unlatch audit verify` about a record."""
    return asking(capsys)
