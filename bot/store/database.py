"""The database: a unit of work is a plain function of a transaction, run off the event loop.

SQLite has one writer thread, which commits what waits at once, each unit in a savepoint of its own. People's
units go before the worker's, for which nobody looks at Slack.
PostgreSQL has a few threads, one unit a transaction. Nobody is answered before the COMMIT, not even with a
refusal. A unit changes rows and nothing else: it may run twice. It returns plain values, and never commits.
"""

import asyncio
import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from math import inf
from queue import PriorityQueue
from threading import Lock, Thread
from typing import Any, Final, TypeVar

import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection

from bot.domain.audit import Entry
from bot.domain.errors import CommitUnknown, StoreUnavailable
from bot.store.audit_log import SEEN, AuditLog, Head, of_another
from bot.store.engine import DEFAULT, POOL, code_of, engine_for, is_alive, meant_by, parse_url
from bot.store.tables import REVISION, audit, metadata, requests
from bot.timing import Timing

BATCH: Final = (64, 4)
"""Units in one COMMIT on SQLite; fewer where they can wait: people's that come meanwhile cannot."""
WAITING: Final = 2000
"""Units that may wait; one more is refused at once."""
LINGER, YIELD = 0.003, 0.1
"""Seconds for which what can wait does: after a unit of people's, and at most before and in the queue."""
ANSWER: Final = 0.9
"""Seconds after which what Slack waits for is refused: it waits for three, a unit two for a lock."""
FAILED_FOR: Final = 30.0
"""Seconds for which a failed commit counts, unless a later one stores something."""
MAX_SKEW: Final = timedelta(seconds=5)
"""Between PostgreSQL's clock and ours: leases are times."""
REVISION_AND_CLOCK: Final = text("SELECT version_num, CURRENT_TIMESTAMP FROM alembic_version")
DEMOTED, FULL, RETRIED = "25006", "53300", ("40001", "40P01")
"""SQLSTATEs of a server that only reads by now, that takes no more connections, and of a lost race."""
BEGUN_ANEW: Final = "has requests from before its audit log: restore all of the backup into an empty database"
OLDER_REQUESTS: Final = text(
    "SELECT 1 FROM audit AS first WHERE seq = 1 AND NOT EXISTS (SELECT 1 FROM audit WHERE seq > 1) "
    "AND EXISTS (SELECT 1 FROM requests WHERE asked_at < first.at)"
)
"""Data that was restored into tables which `unlatch migrate` had made with row 1."""

T = TypeVar("T")
Work = Callable[["Transaction"], T]

log = structlog.get_logger()


class Transaction:
    """What a unit may do. Its audit rows are written after it, under the lock that every writer needs."""

    def __init__(self, connection: Connection, audit_log: AuditLog, before: Sequence[Entry] = ()) -> None:
        self.execute, self.scalar, self.audit_log = connection.execute, connection.scalar, audit_log
        self.before = before
        """Entries of units before this one in the same commit."""
        self.is_postgresql = connection.dialect.name == "postgresql"
        self.entries: list[Entry] = []


def write_nothing(tx: Transaction) -> None:
    """Use every right that the bot needs on its tables, on rows that cannot be."""
    for table in metadata.sorted_tables:
        key = next(iter(table.primary_key))
        none = key.is_(None)
        tx.execute(table.insert().from_select(list(table.c), table.select().where(none)))
        if table is not audit:
            tx.execute(table.update().where(none).values({key: key}))
        if table not in (audit, requests):
            tx.execute(table.delete().where(none))


class Unit:
    """Claimed once: by a writer, who runs it, or by its cancelled caller, who drops it."""

    def __init__(self, work: Callable[[Transaction], Any], until: float) -> None:
        self.work, self.until, self.claim = work, until, Lock().acquire
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.result = None
        self.entries: Sequence[Entry] = ()
        self.error: Exception | None = StoreUnavailable()  # until it is run

    def refuse(self) -> None:
        if self.claim(blocking=False):
            answer([self])


class Database:
    def __init__(self, url: str, audit_log: AuditLog, timing: Timing = DEFAULT, size: int = POOL) -> None:
        """`size`: of the two pools of connections, one for writing and one for reading."""
        at = parse_url(url)
        self.audit_log, self.is_sqlite = audit_log, at.drivername.startswith("sqlite")
        self.engine = engine_for(url, timing=timing, size=size)
        self.reader = engine_for(url, read_only=True, timing=timing, size=size)
        self.committed: Callable[[Entry], None] = lambda _: None
        """Told of each audit row that is stored, in a writer's thread."""
        self._wait = timing.database_wait.total_seconds()
        self._path = at.database or ""
        self._files: list[tuple[int, int]] | None = None
        self._waiting: PriorityQueue[tuple[float, int, bool, Unit | None]] = PriorityQueue()
        self._numbers = count()
        self._ahead, self._quiet = 0, asyncio.Event()
        """How many units of people's are under way; set where there was none for LINGER."""
        self._quiet.set()
        self._failed_at = -FAILED_FOR
        self._closed, writers = False, 1 if self.is_sqlite else size
        self._readers = ThreadPoolExecutor(size, thread_name_prefix="store-read")
        self._writers = [Thread(target=self._write, name="store", daemon=True) for _ in range(writers)]
        for writer in self._writers:
            writer.start()

    async def run(self, work: Work[T], *, can_wait: bool = False, within: float | None = None) -> T:
        """Return what `work` returns, after its COMMIT. `can_wait`: people's units go first.

        `within`: seconds after which it is refused, whatever the writer does, unless it has begun.

        Nothing is stored where it raises what `work` raised, StoreUnavailable or AuditBroken; CommitUnknown:
        read again. A cancelled caller goes on once its unit is dropped or over.
        """
        if can_wait and self._ahead:
            with suppress(TimeoutError):
                async with asyncio.timeout(YIELD):
                    await self._quiet.wait()
        if self._closed or self._waiting.qsize() >= WAITING:
            raise StoreUnavailable
        unit = Unit(work, time.monotonic() + self._wait)
        self._waiting.put((time.monotonic() + YIELD * can_wait, next(self._numbers), can_wait, unit))
        if not can_wait:
            self._count_ahead(1)
        if within is not None:
            asyncio.get_running_loop().call_later(within, unit.refuse)
        try:
            result: T = await asyncio.shield(unit.future)
            return result
        except asyncio.CancelledError:
            while not unit.claim(blocking=False) and not unit.future.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([unit.future])
            raise
        finally:
            if not can_wait:
                asyncio.get_running_loop().call_later(LINGER, self._count_ahead, -1)

    def _count_ahead(self, more: int) -> None:
        self._ahead += more
        self._quiet.clear() if self._ahead else self._quiet.set()

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` reads, shortly; it sees all that was answered before it began.

        Raises StoreUnavailable, and what `work` raised.
        """
        if self._closed:
            raise StoreUnavailable
        until = time.monotonic() + self._wait
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work, until)

    async def problem(self) -> str | None:
        """Return why the database cannot be relied on, in a few words; None where it can."""
        failed = "the last COMMIT failed" if time.monotonic() < self._failed_at + FAILED_FOR else None
        try:
            return await self.read(self._look) or failed
        except StoreUnavailable as away:
            return f"{failed}; it {away.reason}" if failed else away.reason

    def _look(self, connection: Connection) -> str | None:
        revision, clock = connection.execute(REVISION_AND_CLOCK).first() or ("", None)
        if revision < REVISION:  # a newer one serves too
            return "is not up to date: run `unlatch migrate`"
        if another := of_another(connection, self.audit_log.name):
            return another
        if connection.scalar(OLDER_REQUESTS):
            return BEGUN_ANEW
        if isinstance(clock, datetime) and abs(datetime.now(UTC) - clock) > MAX_SKEW:  # of PostgreSQL
            return "has another time than this machine"
        return None

    async def close(self) -> None:
        """Run what waits, accept nothing more, and close every connection."""
        self._closed = True
        for _ in self._writers:
            self._waiting.put((inf, next(self._numbers), True, None))
        for writer in self._writers:
            await asyncio.to_thread(writer.join)
        await asyncio.to_thread(self._readers.shutdown)
        self.engine.dispose()
        self.reader.dispose()

    def _read(self, work: Callable[[Connection], T], until: float) -> T:
        if time.monotonic() > until:
            raise StoreUnavailable
        try:
            seen = self.audit_log.seen
            with self._connect(self.reader, until) as connection:
                connection.info[SEEN] = seen
                return work(connection)
        except (DBAPIError, NoConnection) as error:
            raise meant_by(error) from None

    def _connect(self, engine: Engine, until: float) -> Connection:
        """Return a connection; where the server gives no further one, close idle ones and wait for a turn."""
        while True:
            try:
                return engine.connect()
            except DBAPIError as error:
                if code_of(error) != FULL or time.monotonic() > until:
                    raise
                for one in (self.engine, self.reader):
                    one.pool.dispose()
                time.sleep(0.1)

    def _write(self) -> None:
        due = 0.0
        while due < inf:
            batch = [self._waiting.get()]
            while self.is_sqlite and len(batch) < BATCH[batch[-1][2]] and not self._waiting.empty():
                batch.append(self._waiting.get())
            due = batch[-1][0]
            if units := [unit for *_, unit in batch if unit is not None and unit.claim(blocking=False)]:
                if in_time := [unit for unit in units if time.monotonic() < unit.until]:
                    self._commit(in_time)
                with suppress(RuntimeError):  # the loop is closed: nobody waits
                    units[0].future.get_loop().call_soon_threadsafe(answer, units)  # one wake-up a batch
                for entry in [entry for unit in units if not unit.error for entry in unit.entries]:
                    with suppress(Exception):  # the thread outlives it
                        self.committed(entry)

    def _commit(self, units: Sequence[Unit]) -> None:
        """Set what each is answered. What breaks a transaction of several is found by giving each its own."""
        ran: list[Unit] = []
        sent: list[Head | None] = []
        stored: bool | None = False
        try:
            self.audit_log.remember(self._transact(units, ran, sent))
            if sent[0] is not None:  # what stores nothing succeeds on a full disk too
                self._failed_at = -FAILED_FOR
        except BaseException as error:  # the thread outlives whatever a unit raises
            code = code_of(error)
            if sent:
                stored = self._was_stored(sent[0])
                self.audit_log.remember(sent[0] if stored else None)
            elif (ran and len(units) > 1) or (code in RETRIED and time.monotonic() < units[0].until):
                for unit in units:
                    self._commit([unit])
                return
            for unit in units:
                unit.error = None if stored else meant_by(error, unknown=stored is None)
                if isinstance(unit.error, StoreUnavailable | CommitUnknown):
                    if code == DEMOTED:
                        self.engine.dispose()
                        self.reader.dispose()
                    if time.monotonic() > self._failed_at + FAILED_FOR:
                        kind = type(getattr(error, "orig", error)).__name__
                        reason = getattr(unit.error, "reason", "not known whether it was stored")
                        log.error("commit_failed", error=kind, code=code, reason=reason)
                    self._failed_at = time.monotonic()

    def _transact(self, units: Sequence[Unit], ran: list[Unit], sent: list[Head | None]) -> Head | None:
        """Run the units and commit. `ran` and `sent` tell how far it came: `sent` has the last audit row."""
        entries: list[Entry] = []
        with self._connect(self.engine, units[0].until) as connection, connection.begin() as transaction:
            for unit in units:
                ran.append(unit)
                tx, unit.error = Transaction(connection, self.audit_log, entries), None
                try:
                    with nullcontext() if len(units) == 1 else connection.begin_nested():
                        unit.result = unit.work(tx)
                        if isinstance(unit.result, Iterator):  # it would read what others have not committed
                            raise TypeError("a unit returns plain values")
                    unit.entries = tx.entries
                    entries += tx.entries
                except BaseException as error:  # its own, where the transaction outlives it
                    if len(units) == 1 or not is_alive(connection):
                        raise
                    unit.error = meant_by(error)
            head = self.audit_log.append(connection, entries)
            if not is_alive(connection):  # a COMMIT would "succeed" and store nothing
                raise StoreUnavailable
            sent.append(head)
            transaction.commit()
            self._check_files()
        return head

    def _was_stored(self, head: Head | None) -> bool | None:
        """Whether a COMMIT whose answer was lost took place; None where nobody can say."""
        until = time.monotonic() + self._wait
        for pause in (0.0, 0.2, 0.8, 2.0, 2.0):
            # What SQLite could not sync may come back after a crash.
            if head is None or self.is_sqlite or time.monotonic() > until:
                return None
            time.sleep(pause)
            with suppress(DBAPIError, NoConnection), self.engine.begin() as connection:
                return self.audit_log.holds(connection, head)
        return None

    def _check_files(self) -> None:
        """SQLite goes on writing into files that were replaced or removed under it."""
        if self.is_sqlite:
            stats = [os.stat(self._path + end) for end in ("", "-wal")]  # noqa: PTH116  a tenth of the time
            found = [(stat.st_ino, stat.st_dev) for stat in stats]
            self._files = self._files or found
            if found != self._files:
                raise OSError("the database file was replaced")


def answer(units: Sequence[Unit]) -> None:
    for unit in units:
        if unit.error is None:
            unit.future.set_result(unit.result)
        else:
            traceback.clear_frames(unit.error.__traceback__)  # they would keep connections and rows alive
            unit.future.set_exception(unit.error)
            unit.future.exception()  # a cancelled caller does not look at it
