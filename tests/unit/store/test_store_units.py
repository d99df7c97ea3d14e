"""Units of work: what each caller is told is what is stored, whatever happens to the others."""

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bot.domain.errors import Code, CommitUnknown, LostRace, Refusal, StoreUnavailable
from bot.store.database import WAITING, Database, Transaction
from bot.store.tables import requests as table
from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.exc import DBAPIError
from tests.support.database import audit_log
from tests.unit.store.conftest import QUICK, opened
from tests.unit.store.rows import a_request, add, get, noted, stored


class Gate:
    """Holds the writer inside a unit until it is opened."""

    def __init__(self) -> None:
        self.reached, self._open = threading.Event(), threading.Event()

    def __call__(self, _tx: Transaction | None = None) -> str:
        self.reached.set()
        self._open.wait(10)
        return "gate"

    def open(self) -> None:
        self._open.set()


async def held(database: Database) -> tuple[Gate, asyncio.Task[str]]:
    """The one writer of SQLite, inside a unit."""
    gate = Gate()
    task = asyncio.create_task(database.run(gate))
    await asyncio.to_thread(gate.reached.wait, 10)
    return gate, task


async def together(database: Database, *units: Callable[[Transaction], Any]) -> list[Any]:
    """What each is answered; on SQLite all share one commit."""
    gate, first = await held(database) if database.is_sqlite else (Gate(), None)
    tasks = [asyncio.create_task(database.run(unit)) for unit in units]
    await asyncio.sleep(0)
    gate.open()
    ends = await asyncio.gather(*tasks, *filter(None, [first]), return_exceptions=True)
    return ends[: len(units)]


async def count(database: Database) -> int:
    return await database.read(
        lambda connection: connection.scalar(select(func.count()).select_from(table)) or 0
    )


def raising(error: BaseException) -> Callable[[Transaction], None]:
    def unit(tx: Transaction) -> None:
        add(tx, a_request())
        raise error

    return unit


def unbindable(tx: Transaction) -> None:
    tx.execute(insert(table).values(id=object()))


def same_row(tx: Transaction) -> None:
    tx.execute(text("INSERT INTO alembic_version VALUES ('0001')"))


@pytest.mark.parametrize(
    ("unit", "told"),
    [
        (raising(Refusal(Code.OWN_REQUEST)), Refusal),
        (raising(LostRace()), LostRace),
        (raising(OSError("a unit's own")), OSError),
        (raising(TimeoutError()), TimeoutError),
        (raising(StopIteration()), RuntimeError),
        (raising(KeyboardInterrupt()), RuntimeError),
        (same_row, Exception),
        (unbindable, Exception),
        (lambda tx: tx.execute(select(table)), TypeError),
        (lambda tx: (row for row in tx.execute(select(table))), TypeError),
    ],
    ids=lambda given: given.__name__ if isinstance(given, type) else "",
)
async def test_a_unit_that_fails_stores_nothing_and_takes_no_other_with_it(
    database: Database, unit: Callable[[Transaction], Any], told: type[Exception]
):
    before, after = a_request(), a_request()

    first, failed, last = await together(
        database, lambda tx: add(tx, before), unit, lambda tx: add(tx, after)
    )

    assert (first, last) == (before, after)
    assert isinstance(failed, told)
    assert not isinstance(failed, DBAPIError)  # it would carry the parameters
    assert await count(database) == 2
    assert await stored(database, a_request())  # the writer lives


async def test_no_unit_is_answered_before_the_commit_it_rests_on_not_even_with_a_refusal(on_sqlite: Database):
    winner = a_request()

    def refused(tx: Transaction) -> None:
        if tx.scalar(select(func.count()).select_from(table)):
            raise Refusal(Code.ALREADY_DECIDED)

    def ends_the_transaction(tx: Transaction) -> None:
        tx.execute(text("ROLLBACK"))  # as a full disk does

    stored_, told, broken = await together(
        on_sqlite, lambda tx: add(tx, winner), refused, ends_the_transaction
    )

    assert stored_ == winner
    assert isinstance(told, Refusal)
    assert isinstance(broken, Exception)
    assert await get(on_sqlite, winner) == winner


async def test_a_caller_that_is_cancelled_while_its_unit_waits_leaves_nothing_behind(on_sqlite: Database):
    gate, first = await held(on_sqlite)
    cancelled, other = a_request(), a_request()
    task = asyncio.create_task(on_sqlite.run(lambda tx: add(tx, cancelled)))
    beside = asyncio.create_task(on_sqlite.run(lambda tx: add(tx, other)))
    await asyncio.sleep(0)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.open()

    assert (await first, await beside) == ("gate", other)
    assert await count(on_sqlite) == 1


async def test_a_caller_that_is_cancelled_while_its_unit_runs_goes_on_when_the_outcome_is_known(
    on_sqlite: Database,
):
    gate, request = Gate(), a_request()

    def unit(tx: Transaction) -> None:
        gate(tx)
        add(tx, request)

    task = asyncio.create_task(on_sqlite.run(unit))
    await asyncio.to_thread(gate.reached.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    gate.open()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert await get(on_sqlite, request) == request


async def test_units_that_wait_at_the_shutdown_are_run_and_later_ones_refused(url: str):
    database = Database(url, audit_log())
    requests = [a_request() for _ in range(20)]
    tasks = [asyncio.create_task(database.run(lambda tx, one=one: add(tx, one))) for one in requests]
    await asyncio.sleep(0)

    async with asyncio.timeout(10):
        await database.close()

    assert await asyncio.gather(*tasks) == requests
    for use in (database.run, database.read):
        with pytest.raises(StoreUnavailable):
            await use(lambda _: None)


async def test_one_unit_too_many_is_refused_at_once(on_sqlite: Database):
    gate, first = await held(on_sqlite)
    waiting = [asyncio.create_task(on_sqlite.run(lambda _: 1)) for _ in range(WAITING)]
    await asyncio.sleep(0)

    with pytest.raises(StoreUnavailable):
        await on_sqlite.run(lambda _: 1)

    gate.open()
    await first
    assert sum(await asyncio.gather(*waiting)) == WAITING


async def test_on_a_full_disk_what_was_acknowledged_is_stored_and_the_rest_is_not(on_sqlite: Database):
    await stored(on_sqlite, a_request())
    pages = await on_sqlite.read(lambda connection: connection.scalar(text("PRAGMA page_count")) or 0)
    await on_sqlite.run(lambda tx: tx.scalar(text(f"PRAGMA max_page_count = {pages + 20}")))
    requests = [a_request(reason="x" * 900) for _ in range(300)]

    ends = await asyncio.gather(
        *(on_sqlite.run(lambda tx, one=one: add(tx, one)) for one in requests), return_exceptions=True
    )

    good = {request.id for request, end in zip(requests, ends, strict=True) if end == request}
    failed = [end for end in ends if isinstance(end, Exception)]
    assert good
    assert failed
    assert all(isinstance(end, StoreUnavailable) for end in failed)
    assert len({id(end) for end in failed}) == len(failed)
    rows = await on_sqlite.read(lambda connection: list(connection.scalars(select(table.c.id))))
    assert good <= set(rows)
    assert len(rows) == len(good) + 1


@pytest.mark.parametrize("replaced", ["", "-wal"])
async def test_a_commit_into_files_that_were_replaced_is_unknown_and_not_ready(
    on_sqlite: Database, tmp_path: Path, replaced: str
):
    await stored(on_sqlite, a_request())
    path = tmp_path / f"unlatch.sqlite3{replaced}"
    shutil.copy(path, tmp_path / "copy")
    (tmp_path / "copy").replace(path)

    with pytest.raises(CommitUnknown):
        await stored(on_sqlite, a_request())

    assert await on_sqlite.problem() == "the last COMMIT failed"


async def test_a_database_that_another_process_locks_is_unavailable_once_for_all_that_wait(
    sqlite: str, tmp_path: Path
):
    """Each unit would else wait for the lock in turn."""
    async with opened(sqlite, timing=QUICK) as database:
        await noted(database)
        other = sqlite3.connect(tmp_path / "unlatch.sqlite3", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            units = [stored(database, a_request()) for _ in range(20)]
            async with asyncio.timeout(20 * QUICK.lock_timeout.total_seconds()):
                ends = await asyncio.gather(*units, return_exceptions=True)
        finally:
            other.execute("ROLLBACK")
            other.close()

        assert [type(end) for end in ends] == [StoreUnavailable] * 20
        assert await count(database) == 0


async def test_a_read_sees_what_was_answered_before_it_and_cannot_write(database: Database):
    for _ in range(20):
        request = await stored(database, a_request())
        assert await get(database, request) == request
    with pytest.raises(StoreUnavailable):
        await database.read(lambda connection: connection.execute(table.delete()).rowcount)
    assert await count(database) == 20


async def test_a_reader_that_stays_open_keeps_no_writer_waiting(on_sqlite: Database):
    gate = Gate()

    def slow(connection: Connection) -> None:
        connection.execute(select(table)).all()
        gate()

    reading = asyncio.create_task(on_sqlite.read(slow))
    await asyncio.to_thread(gate.reached.wait, 10)

    async with asyncio.timeout(2):
        await stored(on_sqlite, a_request())

    gate.open()
    await reading


async def test_one_byte_that_is_no_utf_8_hides_no_other_row(on_sqlite: Database, tmp_path: Path):
    good, bad = await stored(on_sqlite, a_request()), await stored(on_sqlite, a_request())
    other = sqlite3.connect(tmp_path / "unlatch.sqlite3")
    other.execute("UPDATE requests SET reason = CAST(x'ff' AS TEXT) WHERE id = ?", (bad.id,))
    other.commit()
    other.close()

    assert (await get(on_sqlite, bad)).reason == "�"
    assert await get(on_sqlite, good) == good
