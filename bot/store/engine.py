"""The engine and what hangs on it. SQLite: one connection, WAL, full sync, writers queue fairly."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import aiosqlite
from sqlalchemy import event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError, StatementError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from bot.domain.errors import StoreAway
from bot.store.schema import HEAD

BUSY_MS: Final = 5000
"""How long SQLite waits for another process's lock, in milliseconds."""
PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    f"PRAGMA busy_timeout = {BUSY_MS}",
)
LAST_WORD_SECONDS: Final = 1.0
"""How long the driver's thread is waited for where it could not open the file."""
_DRIVERS: Final = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
}


def database_url(text_: str) -> URL:
    """Read `DATABASE_URL` with this project's drivers, or raise ValueError with a sentence."""
    try:
        url = make_url(text_)
    except SQLAlchemyError:
        raise ValueError("DATABASE_URL is no database address such as sqlite:///unlatch.sqlite3") from None
    name = url.drivername.partition("+")[0]
    if name not in _DRIVERS:
        raise ValueError(f"DATABASE_URL names {name}; Unlatch keeps its rows in sqlite or postgresql")
    if name == "sqlite" and (not url.database or ":memory:" in url.database):
        raise ValueError("DATABASE_URL must name a file, as in sqlite:///unlatch.sqlite3: memory forgets")
    if name != "sqlite" and not _has_psycopg():
        raise ValueError("DATABASE_URL names PostgreSQL, but its driver is not installed: install psycopg")
    return url.set(drivername=_DRIVERS[name])


def _has_psycopg() -> bool:
    try:
        return find_spec("psycopg") is not None
    except ValueError:  # it is in sys.modules without a spec: not importable
        return False


def is_sqlite(url: URL) -> bool:
    """Whether this is the embedded database."""
    return url.drivername.startswith("sqlite")


def make_engine(url: URL) -> AsyncEngine:
    """An engine whose transactions begin as writers, so that two never wait for each other in a circle.

    Its errors carry no values of a statement, which may be reasons or sealed tokens.
    """
    if is_sqlite(url):
        keep_private(url)
        engine = create_async_engine(
            url, pool_size=1, max_overflow=0, pool_timeout=BUSY_MS / 1000, hide_parameters=True
        )
        event.listen(engine.sync_engine, "do_connect", open_with_care)
        event.listen(engine.sync_engine, "connect", prepare_sqlite)
        event.listen(engine.sync_engine, "begin", begin_immediate)
        return engine
    return create_async_engine(url, pool_pre_ping=True, hide_parameters=True)


def keep_private(url: URL) -> None:
    """Make SQLite's file before SQLite does, for its owner alone; the files beside it follow its mode."""
    with suppress(OSError):  # opening it fails too, and says why
        Path(url.database or "").touch(mode=0o600)


def open_with_care(_dialect: object, _record: object, _args: object, given: dict[str, Any]) -> None:
    """Let `opened` open each connection."""
    given["async_creator_fn"] = opened


async def opened(*args: Any, **given: Any) -> aiosqlite.Connection:
    """A connection, on its thread. Of a file that cannot be opened that thread speaks to the loop once more:
    it is waited for, else a loop that ends meanwhile leaves a traceback behind.
    """
    connection = aiosqlite.connect(*args, **given)
    connection._thread.daemon = True  # as SQLAlchemy does: it never holds up the end of the process
    try:
        return await connection
    except BaseException:
        await asyncio.to_thread(connection._thread.join, LAST_WORD_SECONDS)
        raise


def prepare_sqlite(connection: Any, _record: object) -> None:
    """Set a new connection up: durable commits, one writer at a time."""
    connection.isolation_level = None  # BEGIN is ours: the driver's own begins as a reader
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def begin_immediate(connection: Any) -> None:
    """Begin as a writer."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def store_errors() -> Iterator[None]:
    """Whatever the database says when it is away, full or locked, becomes StoreAway; our mistakes do not."""
    try:
        yield
    except IntegrityError:
        raise
    except StatementError as error:
        if not isinstance(error, DBAPIError):  # a value that cannot be bound: the database was never asked
            raise
        raise StoreAway from error
    except (SQLAlchemyError, sqlite3.Error, OSError, TimeoutError) as error:
        raise StoreAway from error


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One transaction, committed at the end of the block."""
    with store_errors():
        async with engine.begin() as connection:
            yield connection


async def is_current(engine: AsyncEngine) -> bool:
    """Whether every migration that this code knows has run; raises StoreAway.

    A database that is newer serves too: a replica that is replaced last goes on, and may start again.
    """
    with store_errors():
        try:
            async with engine.connect() as connection:
                found = await connection.scalar(text("SELECT version_num FROM alembic_version"))
        except DBAPIError as error:
            if "alembic_version" in str(error.orig):  # no such table: nothing has run
                return False
            raise
    return found is not None and found >= HEAD
