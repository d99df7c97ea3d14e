"""A migrated database of each kind, open twice: as two replicas have it."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bot.domain.audit import Entry, Event
from bot.domain.request import ResetRequest
from bot.store import requests
from bot.store.database import Database
from bot.store.migrations import migrate
from bot.store.requests import Claimed, Queue
from bot.timing import Timing
from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.engine import make_url
from tests.support.database import audit_log, opened, sqlite_url
from tests.support.postgres import Cluster, running
from tests.unit.store.rows import NOW, TIMING

OPERATE = (Path(__file__).parents[3] / "docs" / "operate.md").read_text()
GRANTS, EMPTY = re.findall(r"```sql\n(.*?)```", OPERATE, re.DOTALL)
"""As documented: what the bot's role is granted, and what makes room for a dump of data alone."""


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with running() as started:
        yield started


@pytest.fixture(scope="session")
def template(cluster: Cluster) -> str:
    name = cluster.create()
    migrate(cluster.url(name), audit_log())
    cluster.execute("CREATE ROLE unlatch_bot LOGIN")
    cluster.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC", name)
    cluster.execute(GRANTS.replace("DATABASE unlatch", f"DATABASE {name}"), name)
    return name


@pytest.fixture
def postgresql(cluster: Cluster, template: str) -> Iterator[str]:
    """The URL of a role that owns nothing and has the documented grants."""
    name = cluster.create(template=template)
    yield cluster.url(name, "unlatch_bot")
    cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return sqlite_url(tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of a migrated, empty database of each kind."""
    return request.getfixturevalue(request.param)


MILLISECONDS = {"lock_timeout": 600, "idle_timeout": 400, "statement_timeout": 800}
MILLISECONDS |= {"database_answer": 1000, "database_wait": 1500}
QUICK = Timing(**{name: timedelta(milliseconds=each) for name, each in MILLISECONDS.items()})
"""For tests that wait until something is given up."""


@pytest.fixture
async def replicas(url: str) -> AsyncIterator[tuple[Database, Database]]:
    """Two processes' stores on one database."""
    async with opened(url) as here, opened(url) as elsewhere:
        yield here, elsewhere


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with opened(url) as database:
        yield database


@pytest.fixture
async def on_sqlite(sqlite: str) -> AsyncIterator[Database]:
    async with opened(sqlite) as database:
        yield database


def as_owner(url: str) -> str:
    """The database's URL for the owner of its tables."""
    return url.replace("unlatch_bot@", "unlatch@")


async def moved(
    database: Database, old: ResetRequest, new: ResetRequest, event: Event = Event.DENIED
) -> ResetRequest:
    await database.run(lambda tx: requests.move(tx, old, new, Entry.of_move(event, new, {})))
    return new


async def claimed(
    database: Database, queue: Queue = Queue.ADVANCE, *, now: datetime = NOW, limit: int = 16
) -> list[Claimed]:
    lease = TIMING.lease
    return list(await database.run(lambda tx: requests.claim(tx, queue, now=now, lease=lease, limit=limit)))


async def run_behind(database: Database, *statements: Any) -> None:
    """Change rows behind the bot's back."""
    await database.run(lambda tx: [tx.execute(statement).rowcount for statement in statements])


def owner(url: str) -> AbstractContextManager[Connection]:
    """A transaction of the tables' owner, beside the bot."""
    kind = "sqlite" if "sqlite" in url else "postgresql+psycopg"
    return create_engine(make_url(as_owner(url)).set(drivername=kind), poolclass=NullPool).begin()
