"""A migrated database of each kind, open twice: as two replicas have it."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from bot.store.audit_log import AuditLog
from bot.store.database import Database
from bot.store.engine import POOL
from bot.store.migrations import migrate
from bot.timing import Timing
from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.engine import make_url
from tests.support.database import audit_log, sqlite_url
from tests.support.postgres import Cluster, running
from tests.unit.store.rows import TIMING

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
    cluster.drop(name)


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return sqlite_url(tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of a migrated, empty database of each kind."""
    found: str = request.getfixturevalue(request.param)
    return found


QUICK = Timing(
    lock_timeout=timedelta(milliseconds=600),
    idle_timeout=timedelta(milliseconds=400),
    statement_timeout=timedelta(milliseconds=800),
    database_answer=timedelta(seconds=1),
    database_wait=timedelta(seconds=1.5),
)
"""For tests that wait until something is given up."""


@asynccontextmanager
async def opened(
    url: str, log: AuditLog | None = None, timing: Timing = TIMING, size: int = POOL
) -> AsyncIterator[Database]:
    database = Database(url, log or audit_log(), timing, size)
    try:
        yield database
    finally:
        await database.close()


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


def owner(url: str) -> AbstractContextManager[Connection]:
    """A transaction of the tables' owner, beside the bot."""
    kind = "sqlite" if "sqlite" in url else "postgresql+psycopg"
    return create_engine(make_url(as_owner(url)).set(drivername=kind), poolclass=NullPool).begin()
