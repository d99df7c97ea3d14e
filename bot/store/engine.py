"""Engines: how each database is set up so that "committed" means stored, and what its errors mean."""

import os
import re
import sqlite3
from contextlib import closing
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection

from bot.domain.errors import CommitUnknown, StoreUnavailable
from bot.timing import Timing

DEFAULT: Final = Timing()
POOL: Final = 8
PRAGMAS = ("synchronous = FULL", "foreign_keys = ON", "journal_size_limit = 16777216")
CONNECT = {"prepare_threshold": None, "tcp_user_timeout": 10_000, "client_encoding": "utf8"}
FAULTS: Final = {
    "25006": "is read-only, as a standby is",
    "28": "refuses the login",
    "3D": "does not exist",
    "42501": "does not permit it: GRANT what is missing",
    "42P01": "has no tables: run `unlatch migrate`",
    "53100": "has no room on its disk",
    "53300": "takes no more connections",
    "55P03": "is in use",
    "SQLITE_BUSY": "is locked by another process; it must not be on a network share",
    "SQLITE_CANTOPEN": "cannot be opened: `unlatch migrate` makes the file, in a folder that can be written",
    "SQLITE_FULL": "has no room on its disk",
    "SQLITE_IOERR": "is on a disk that fails",
    "SQLITE_NOTADB": "is no SQLite database",
    "SQLITE_READONLY": "cannot be written",
}
"""What is wrong, by SQLSTATE or its class, and by SQLite's names; it follows "The database"."""
LASTING: Final = ("28", "3D", "42", "SQLITE_CANTOPEN", "SQLITE_NOTADB", "SQLITE_READONLY")
FATAL: Final = re.compile(
    r"FATAL: .*(authentication|no pg_hba|role|database) |invalid (connection|URI)", re.DOTALL
)
"""A refused connection has no SQLSTATE."""


def engine_for(at: URL, *, read_only: bool = False, bounded: bool = True, timing: Timing = DEFAULT) -> Engine:
    """Return an engine; `bounded`: no wait for PostgreSQL takes longer than `timing` allows."""
    if at.drivername.startswith("sqlite"):
        begin, size = ("BEGIN", POOL) if read_only else ("BEGIN IMMEDIATE", 1)
        query = {"uri": "true", "mode": "rw"}  # no file is made but by `keep_private`
        path = f"file:{quote(at.database or '')}"
        url = at.set(drivername="sqlite", database=path, query=query)
        engine = create_engine(url, pool_size=size, max_overflow=0, hide_parameters=True)
        event.listen(
            engine, "connect", lambda connection, _: prepare(connection, timing, read_only=read_only)
        )
    else:
        begin = "; ".join(
            [*(["SET TRANSACTION READ ONLY"] if read_only else []), *([limits(timing)] if bounded else [])]
        )
        url = at.set(drivername="postgresql+psycopg")
        answer = timing.database_answer.total_seconds()
        connect_args = CONNECT | {"connect_timeout": max(2, round(answer))}  # whole seconds, two at the least
        isolation = "REPEATABLE READ" if read_only else "READ COMMITTED"  # a row and its audit rows fit
        options = {"pool_pre_ping": True, "isolation_level": isolation, "connect_args": connect_args}
        engine = create_engine(url, pool_size=POOL, max_overflow=0, hide_parameters=True, **options)
        event.listen(engine, "connect", lambda connection, _: check_encoding(connection))
        if bounded:
            connect = bounded_connection(answer).connect
            event.listen(
                engine, "do_connect", lambda _dialect, _record, args, options: connect(*args, **options)
            )
    if begin:
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def limits(timing: Timing) -> str:
    """Return what each transaction begins with, for PgBouncer keeps nothing of a session."""
    values = {
        "lock_timeout": milliseconds(timing.lock_timeout),
        "statement_timeout": milliseconds(timing.statement_timeout),
        "idle_in_transaction_session_timeout": milliseconds(timing.idle_timeout),
        "synchronous_commit": "on",
    }
    return "; ".join(f"SET LOCAL {name} = {value}" for name, value in values.items())


def milliseconds(duration: timedelta) -> int:
    """Return a duration as databases take it."""
    return duration // timedelta(milliseconds=1)


@cache
def bounded_connection(seconds: float) -> Any:
    """Return a psycopg.Connection that gives up on a server which falls silent: stopped, or a paused pooler.

    TCP does not notice: the kernel, or a proxy, goes on acknowledging.
    """
    import psycopg  # SQLite needs no driver of PostgreSQL's

    class BoundedConnection(psycopg.Connection[Any]):
        def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = seconds) -> Any:
            """Under the ping, BEGIN, each statement and COMMIT alike; closes the connection on a time-out."""
            try:
                return super().wait(gen, interval, timeout)
            except psycopg.errors._WaitTimeout:  # what `wait` is documented to raise
                self.close()
                raise psycopg.OperationalError("the server does not answer") from None

    return BoundedConnection


def prepare(connection: sqlite3.Connection, timing: Timing, *, read_only: bool) -> None:
    connection.isolation_level = None
    connection.text_factory = lambda raw: raw.decode(errors="replace")  # one bad byte would hide every row
    if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
        raise sqlite3.OperationalError("SQLite cannot use WAL here")
    busy, query = milliseconds(timing.lock_timeout), "ON" if read_only else "OFF"
    for pragma in (*PRAGMAS, f"busy_timeout = {busy}", f"query_only = {query}"):
        connection.execute(f"PRAGMA {pragma}")


def check_encoding(connection: Any) -> None:
    """Raise StoreUnavailable for a PostgreSQL database that does not keep text as UTF-8."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in (None, "UTF8"):
        reason = f"is encoded as {encoding}: make one with the encoding UTF8"
        raise StoreUnavailable(reason, lasts=True)


def is_alive(connection: Connection) -> bool:
    """Whether the transaction still is one. Both databases "commit" one that has ended, silently."""
    driver: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite":
        return bool(driver.in_transaction)
    return driver.info.transaction_status.name in ("INTRANS", "IDLE")


def meant_by(error: BaseException, *, unknown: bool = False) -> Exception:
    """Return what a caller is told. Never SQLAlchemy's own error: it carries the statement's parameters."""
    away = isinstance(error, DBAPIError | NoConnection) and not isinstance(error, IntegrityError)
    ours = isinstance(error, SQLAlchemyError | StopIteration) or not isinstance(error, Exception)
    if not (unknown or away or ours) and isinstance(error, Exception):
        return error
    told = CommitUnknown() if unknown else fault(error) if away else RuntimeError("a unit broke off")
    told.__cause__ = getattr(error, "orig", error).with_traceback(None)
    return told


def fault(error: BaseException) -> StoreUnavailable:
    """Return what is wrong with the database, with the driver's own line, which holds no value of a row."""
    reason = getattr(error, "orig", None) or error
    code = getattr(reason, "sqlstate", None) or getattr(reason, "sqlite_errorname", None) or ""
    said = next(iter(str(reason).strip().splitlines()), "")[:200]
    if said.startswith("no such table"):
        code = "42P01"
    meant = FAULTS.get(code) or FAULTS.get(code[:2]) or "does not answer"
    shown = f"{meant} ({said})" if said and code[:2] not in ("22", "23") else meant
    return StoreUnavailable(shown, lasts=code.startswith(LASTING) or bool(FATAL.search(said)))


def keep_private(at: URL) -> None:
    """Create SQLite's file readable for its owner alone; an existing one is left as it is."""
    if at.drivername.startswith("sqlite") and at.database and not Path(at.database).exists():
        os.close(os.open(at.database, os.O_CREAT | os.O_WRONLY, 0o600))


def backup(url: str, copy: Path) -> None:
    """Copy SQLite's file, beside those who use it, to a new file of its owner alone, and wait for the disk.

    Raises FileExistsError and other OSErrors, StoreUnavailable; no part of a copy is left where it failed.
    """
    source, copy = Path(make_url(url).database or "").absolute(), copy.absolute()
    copy.touch(0o600, exist_ok=False)
    try:
        with closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True)) as connection:
            connection.execute("VACUUM INTO ?", (str(copy),))
        with closing(sqlite3.connect(copy)) as connection:
            [found] = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise sqlite3.DatabaseError(found)
        for path in (copy, copy.parent):
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
    except BaseException as error:
        copy.unlink()
        if not isinstance(error, sqlite3.Error):
            raise
        raise StoreUnavailable(f"{source} could not be copied to {copy} ({error})") from None
