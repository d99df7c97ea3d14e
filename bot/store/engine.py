"""Engines: how each database is set up so that "committed" means stored, and what its errors mean."""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection

from bot.domain.errors import BadAddress, CommitUnknown, StoreUnavailable
from bot.timing import Timing

DEFAULT: Final = Timing()
POOL: Final = 4
MOUNTS: Final = Path("/proc/self/mounts")
ENDING: Final = ("overlay", "tmpfs", "ramfs")
"""File systems of a container itself, and of memory. Linux tells them in MOUNTS."""
PRAGMAS = ("synchronous = FULL", "foreign_keys = ON", "journal_size_limit = 16777216")
CONNECT = {"prepare_threshold": None, "tcp_user_timeout": 10_000, "client_encoding": "utf8"}
FAULTS: Final = {
    "08001": "cannot be reached: DATABASE_URL has a wrong parameter",
    "25006": "is read-only, as a standby is",
    "28": "refuses the login",
    "3D": "does not exist",
    "3F": "does not permit it: GRANT USAGE, CREATE ON SCHEMA",
    "42501": "does not permit it: GRANT what is missing",
    "42P01": "has no tables: run `unlatch migrate`",
    "42P07": "has another program's tables: give Unlatch a database of its own",
    "53100": "has no room on its disk",
    "53300": "takes no more connections: lower DATABASE_CONNECTIONS, or raise its limit",
    "55P03": "is in use",
    "SQLITE_BUSY": "is locked by another process; it must not be on a network share",
    "SQLITE_CANTOPEN": "cannot be opened; `unlatch migrate` makes it where its folder can be written",
    "SQLITE_CORRUPT": "is damaged: restore a backup",
    "SQLITE_FULL": "has no room on its disk",
    "SQLITE_IOERR": "is on a disk that fails, or on a network share",
    "SQLITE_NOTADB": "is no SQLite database",
    "SQLITE_READONLY": "cannot be written",
}
"""What is wrong, by how SQLSTATEs and SQLite's names begin; it follows "The database"."""
LASTING: Final = ("08001", "28", "3D", "3F", "42", "SQLITE_CANTOPEN", "SQLITE_NOTADB", "SQLITE_READONLY")
WORDS: Final = {
    "25006": "session is read-only|hot standby",
    "53300": "too many (connections|clients)|connection slots|no more connections",
    "3D000": "FATAL: +(database .* does not exist|no such database)",
    "28000": "FATAL: .*(authentication|pg_hba|role)",
    "08001": "invalid .*(option|value|number|URI)",
    "42P01": "^no such table",
    "42P07": "^table .* already exists",
}
"""A refused connection has no SQLSTATE, and SQLite one name for all that is wrong with a statement."""
SEVERAL_HOSTS: Final = re.compile(r"(\w[\w+]*://(?:[^@]*@)?)([^@/?]+,[^@/?]+)([/?].*)?", re.DOTALL)
NO_ADDRESS: Final = "It is no address of a database; write @, : and / in a password as %40, %3A and %2F"


def parse_url(address: str) -> URL:
    """Return a database's address. Several hosts may stand in it as libpq has them: `h1:5432,h2:5432`.

    Raises BadAddress: a password may be in the wrong place.
    """
    several = SEVERAL_HOSTS.fullmatch(address)
    try:
        url = make_url(f"{several[1]}{several[3] or ''}" if several else address)
        if several:
            hosts = [make_url(f"postgresql://{host}") for host in several[2].split(",")]
            ports = ",".join(str(host.port or 5432) for host in hosts)
            url = url.update_query_dict({"host": ",".join(host.host or "" for host in hosts), "port": ports})
    except (ValueError, ArgumentError):
        raise BadAddress(NO_ADDRESS) from None
    if url.drivername.startswith("sqlite"):
        if url.host or url.database in (None, "", ":memory:"):
            raise BadAddress("SQLite's address has three slashes and names a file: sqlite:///unlatch.sqlite3")
    elif "@" in f"{url.host}{url.database}" or "%00" in address:  # libpq would read up to the NUL
        raise BadAddress(NO_ADDRESS)
    return url


def engine_for(
    address: str, *, read_only: bool = False, bounded: bool = True, timing: Timing = DEFAULT, size: int = POOL
) -> Engine:
    """Return an engine; `bounded`: PostgreSQL is waited for as `timing` allows. Raises ValueError."""
    at = parse_url(address)
    if at.drivername.startswith("sqlite"):
        begin, size = ("BEGIN", size) if read_only else ("BEGIN IMMEDIATE", 1)
        query = {"uri": "true", "mode": "rw"}  # no file is made but by `keep_private`
        path = f"file:{quote(at.database or '')}"
        url = at.set(drivername="sqlite", database=path, query=query)
        engine = create_engine(url, pool_size=size, max_overflow=0, hide_parameters=True)
        event.listen(engine, "connect", lambda made, _: prepare(made, timing, read_only=read_only))
    else:
        begin = "; ".join(["SET TRANSACTION READ ONLY"] * read_only + [limits(timing, bounded=bounded)])
        url = at.set(drivername="postgresql+psycopg")
        answer = timing.database_answer.total_seconds()
        connect_args = CONNECT | {"connect_timeout": max(2, round(answer))}  # whole seconds, two at the least
        isolation = "REPEATABLE READ" if read_only else "READ COMMITTED"  # a row and its audit rows fit
        options = {"pool_pre_ping": True, "isolation_level": isolation, "connect_args": connect_args}
        engine = create_engine(url, pool_size=size, max_overflow=0, hide_parameters=True, **options)
        event.listen(engine, "connect", lambda connection, _: check_encoding(connection))
        if bounded:
            connect = bounded_connection(answer).connect
            event.listen(engine, "do_connect", lambda _d, _r, args, options: connect(*args, **options))
    if begin:
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


@contextmanager
def temporary_engine(address: str, *, read_only: bool = False, bounded: bool = True) -> Iterator[Engine]:
    """Yield an engine for one piece of work; what its database raises is told as `meant_by` tells it."""
    engine = engine_for(address, read_only=read_only, bounded=bounded)
    try:
        yield engine
    except (DBAPIError, NoConnection) as error:
        raise meant_by(error) from None
    finally:
        engine.dispose()


def limits(timing: Timing, *, bounded: bool) -> str:
    """Return what each transaction begins with, for PgBouncer keeps nothing of a session; 0: no limit."""
    values = {
        "lock_timeout": milliseconds(timing.lock_timeout) * bounded,
        "statement_timeout": milliseconds(timing.statement_timeout) * bounded,
        "idle_in_transaction_session_timeout": milliseconds(timing.idle_timeout) * bounded,
        "synchronous_commit": "on",
        "DateStyle": "ISO",
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
    if not read_only and connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
        raise StoreUnavailable("cannot have a write-ahead log: its disk has to be a local one", lasts=True)
    busy, query = milliseconds(timing.lock_timeout), "ON" if read_only else "OFF"
    for pragma in (*PRAGMAS, f"busy_timeout = {busy}", f"query_only = {query}"):
        connection.execute(f"PRAGMA {pragma}")


def check_encoding(connection: Any) -> None:
    """Raise StoreUnavailable for a PostgreSQL database that does not keep text as UTF-8."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in (None, "UTF8"):
        raise StoreUnavailable(f"is encoded as {encoding}: make one with the encoding UTF8", lasts=True)


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
    code = code_of(error)
    said = next(iter(str(getattr(error, "orig", None) or error).strip().splitlines()), "")[:200]
    meant = next((meant for known, meant in FAULTS.items() if code.startswith(known)), "does not answer")
    shown = f"{meant} ({said})" if said and code[:2] not in ("22", "23") else meant
    return StoreUnavailable(shown, lasts=code.startswith(LASTING))


def code_of(error: BaseException) -> str:
    """Return the SQLSTATE, or SQLite's name, of what a driver raised; empty where nothing tells it."""
    reason = getattr(error, "orig", None) or error
    code = getattr(reason, "sqlstate", None) or getattr(reason, "sqlite_errorname", None) or ""
    if code not in ("", "SQLITE_ERROR"):
        return str(code)
    return next((known for known, words in WORDS.items() if re.search(words, str(reason))), str(code))


def keep_private(address: str) -> None:
    """Create SQLite's file readable for its owner alone; an existing one is left as it is."""
    at = parse_url(address)
    if at.drivername.startswith("sqlite") and at.database and not Path(at.database).exists():
        try:
            os.close(os.open(at.database, os.O_CREAT | os.O_WRONLY, 0o600))
        except OSError as error:
            raise StoreUnavailable(f"{FAULTS['SQLITE_CANTOPEN']} ({error.strerror})", lasts=True) from None


def backup(url: str, copy: Path) -> None:
    """Copy SQLite's file, beside those who use it, to a new file of its owner alone, and wait for the disk.

    Raises FileExistsError and other OSErrors, StoreUnavailable; no part of a copy is left where it failed.
    """
    source, copy = Path(parse_url(url).database or "").absolute(), copy.absolute()
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


def passing_disk(address: str, platform: str | None = None) -> str | None:
    """Return why SQLite's rows may be gone after a restart; it follows "The database". Raises OSError."""
    at = parse_url(address)
    if not at.drivername.startswith("sqlite"):
        return None
    if platform is not None:
        return f"is on a disk that ends with the process, as {platform} says: name a volume or PostgreSQL"
    path = Path(at.database or "").resolve()
    if path.stat().st_dev != path.parent.stat().st_dev:
        return "is a file that is mounted without its folder, which has the newest rows: mount the folder"
    lines = [line.split() for line in MOUNTS.read_text().splitlines()] if MOUNTS.exists() else []
    kinds = {fields[1].replace("\\040", " "): fields[2] for fields in lines}
    kind = next((kinds[str(folder)] for folder in path.parents if str(folder) in kinds), "")
    return f"is on a disk that ends with the container ({kind}): mount a volume" if kind in ENDING else None
