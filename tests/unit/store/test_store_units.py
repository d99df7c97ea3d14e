"""Units of work: what each caller is told is what is stored, whatever happens to the others."""

import asyncio
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import pytest
from bot.domain.errors import Code, CommitUnknown, LostRace, Refusal, StoreUnavailable
from bot.domain.request import ResetRequest
from bot.store import database as database_module
from bot.store.database import WAITING, Database, Transaction, Unit
from bot.store.tables import requests as table
from sqlalchemy import event, func, insert, select, text
from sqlalchemy.exc import DBAPIError
from tests.support.database import audit_log
from tests.unit.store.conftest import QUICK, opened, owner, run_behind
from tests.unit.store.rows import a_request, add, get, noted, stored

COUNT = select(func.count()).select_from(table)


@asynccontextmanager
async def held(
    use: Callable[[Any], Coroutine[Any, Any, Any]], work: Callable[[Any], Any] = lambda _: None
) -> AsyncIterator[asyncio.Task[Any]]:
    """`run` or `read`, in `work` that is done and does not return before the end of the block."""
    reached, opened_ = threading.Event(), threading.Event()

    def unit(connection: Any) -> Any:
        result = work(connection)
        reached.set()
        opened_.wait(10)
        return result

    task = asyncio.create_task(use(unit))
    await asyncio.to_thread(reached.wait, 10)
    try:
        yield task
    finally:
        opened_.set()
        await asyncio.wait([task])


async def started(database: Database, *units: Callable[[Transaction], Any]) -> list[asyncio.Task[Any]]:
    """Each unit, handed over to the database and not yet awaited."""
    tasks = [asyncio.create_task(database.run(unit)) for unit in units]
    await asyncio.sleep(0)
    return tasks


async def together(database: Database, *units: Callable[[Transaction], Any]) -> list[Any]:
    """What each is answered; on SQLite all share one commit."""
    async with held(database.run) if database.is_sqlite else nullcontext():
        tasks = await started(database, *units)
    return await asyncio.gather(*tasks, return_exceptions=True)


def adding(request: ResetRequest) -> Callable[[Transaction], ResetRequest]:
    return lambda tx: add(tx, request)


async def count(database: Database) -> int:
    return await database.read(lambda connection: connection.scalar(COUNT) or 0)


def raising(error: BaseException) -> Callable[[Transaction], None]:
    def unit(tx: Transaction) -> None:
        add(tx, a_request())
        raise error

    return unit


@pytest.mark.parametrize(
    ("unit", "told"),
    [
        (raising(Refusal(Code.OWN_REQUEST)), Refusal),
        (raising(LostRace()), LostRace),
        (raising(OSError("a unit's own")), OSError),
        (raising(TimeoutError()), TimeoutError),
        (raising(StopIteration()), RuntimeError),
        (raising(KeyboardInterrupt()), RuntimeError),
        (lambda tx: tx.execute(text("INSERT INTO alembic_version VALUES ('0001')")), Exception),
        (lambda tx: tx.execute(insert(table).values(id=object())), Exception),
        (lambda tx: tx.execute(select(table)), TypeError),
        (lambda tx: (row for row in tx.execute(select(table))), TypeError),
    ],
    ids=lambda given: given.__name__ if isinstance(given, type) else "",
)
async def test_a_unit_that_fails_stores_nothing_and_takes_no_other_with_it(database, unit, told):
    before, after = a_request(), a_request()
    first, failed, last = await together(database, adding(before), unit, adding(after))
    assert (first, last) == (before, after)
    assert isinstance(failed, told)
    assert not isinstance(failed, DBAPIError)  # it would carry the parameters
    assert await count(database) == 2
    assert await stored(database, a_request())  # the writer lives


async def test_no_unit_is_answered_before_the_commit_it_rests_on_not_even_with_a_refusal(on_sqlite: Database):
    winner = a_request()

    def refused(tx: Transaction) -> None:
        if tx.scalar(COUNT):
            raise Refusal(Code.ALREADY_DECIDED)

    def ends_the_transaction(tx: Transaction) -> None:
        tx.execute(text("ROLLBACK"))  # as a full disk does

    committing, may_commit = threading.Event(), threading.Event()

    def hold(_connection: object) -> None:
        committing.set()
        may_commit.wait(10)

    event.listen(on_sqlite.engine, "commit", hold)
    units = await started(on_sqlite, adding(winner), refused, ends_the_transaction)
    assert await asyncio.to_thread(committing.wait, 10)
    await asyncio.wait(units, timeout=0.05)  # an answer that was sent by now would be here
    assert not any(unit.done() for unit in units)
    may_commit.set()

    stored_, told, broken = await asyncio.gather(*units, return_exceptions=True)
    assert stored_ == winner
    assert isinstance(told, Refusal)
    assert isinstance(broken, Exception)
    assert await get(on_sqlite, winner) == winner


async def test_of_two_units_one_that_breaks_the_transaction_takes_the_other_not_with_it(on_sqlite: Database):
    kept = a_request()
    async with held(on_sqlite.run):
        units = await started(on_sqlite, lambda tx: tx.execute(text("ROLLBACK")).close(), adding(kept))
    broken, stored_ = await asyncio.gather(*units, return_exceptions=True)
    assert (isinstance(broken, StoreUnavailable), stored_) == (True, kept)
    assert await get(on_sqlite, kept) == kept


async def test_a_cancelled_caller_leaves_nothing_of_a_unit_that_waits_and_all_of_one_that_runs(
    on_sqlite,
):
    running, other = a_request(), a_request()
    async with held(on_sqlite.run, adding(running)) as runs:
        waits, beside = await started(on_sqlite, adding(a_request()), adding(other))
        waits.cancel()
        runs.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        assert not runs.done()
    assert await beside == other
    assert runs.cancelled()
    assert await get(on_sqlite, running) == running
    assert await count(on_sqlite) == 2


async def test_units_that_wait_at_the_shutdown_are_run_and_later_ones_refused(url: str):
    database = Database(url, audit_log())
    requests = [a_request() for _ in range(20)]
    tasks = await started(database, *map(adding, requests))
    async with asyncio.timeout(10):
        await database.close()
    assert await asyncio.gather(*tasks) == requests
    for use in (database.run, database.read):
        with pytest.raises(StoreUnavailable):
            await use(lambda _: None)


async def test_one_unit_too_many_is_refused_at_once(on_sqlite: Database):
    async with held(on_sqlite.run):
        waiting = await started(on_sqlite, *[lambda _: 1] * WAITING)
        with pytest.raises(StoreUnavailable):
            await on_sqlite.run(lambda _: 1)
    assert sum(await asyncio.gather(*waiting)) == WAITING


async def test_on_a_full_disk_what_was_acknowledged_is_stored_and_the_rest_is_not(on_sqlite):
    await stored(on_sqlite, a_request())
    pages = await on_sqlite.read(lambda connection: connection.scalar(text("PRAGMA page_count")) or 0)
    await on_sqlite.run(lambda tx: tx.scalar(text(f"PRAGMA max_page_count = {pages + 20}")))
    requests = [a_request(reason="x" * 900) for _ in range(300)]
    ends = await asyncio.gather(*(stored(on_sqlite, one) for one in requests), return_exceptions=True)
    good = {request.id for request, end in zip(requests, ends, strict=True) if end == request}
    failed = [end for end in ends if isinstance(end, Exception)]
    assert good
    assert {type(end) for end in failed} == {StoreUnavailable}
    assert len({id(end) for end in failed}) == len(failed)
    rows = await on_sqlite.read(lambda connection: list(connection.scalars(select(table.c.id))))
    assert good <= set(rows)
    assert len(rows) == len(good) + 1
    await on_sqlite.run(lambda _: None)  # a commit that stores nothing succeeds
    assert await on_sqlite.problem() == "the last COMMIT failed"
    await on_sqlite.run(lambda tx: tx.scalar(text("PRAGMA max_page_count = 100000")))
    await stored(on_sqlite, a_request())
    assert await on_sqlite.problem() is None


@pytest.mark.parametrize("replaced", ["", "-wal"])
async def test_a_commit_into_files_that_were_replaced_is_unknown_and_not_ready(on_sqlite, tmp_path, replaced):
    await stored(on_sqlite, a_request())
    path = tmp_path / f"unlatch.sqlite3{replaced}"
    shutil.copy(path, tmp_path / "copy")
    (tmp_path / "copy").replace(path)
    with pytest.raises(CommitUnknown):
        await stored(on_sqlite, a_request())
    assert str(await on_sqlite.problem()).startswith("the last COMMIT failed")


async def test_a_database_that_another_process_locks_is_unavailable_once_for_all_that_wait(sqlite: str):
    """Each unit would else wait for the lock in turn."""
    async with opened(sqlite, timing=QUICK) as database:
        await noted(database)
        with owner(sqlite) as other:
            other.execute(table.delete())
            units = [stored(database, a_request()) for _ in range(20)]
            async with asyncio.timeout(20 * QUICK.lock_timeout.total_seconds()):
                ends = await asyncio.gather(*units, return_exceptions=True)
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
    async with held(on_sqlite.read, lambda connection: connection.execute(select(table)).all()):
        async with asyncio.timeout(20):
            await stored(on_sqlite, a_request())


async def test_one_byte_that_is_no_utf_8_hides_no_other_row(on_sqlite: Database):
    good, bad = await stored(on_sqlite, a_request()), await stored(on_sqlite, a_request())
    spoil = text("UPDATE requests SET reason = CAST(x'ff' AS TEXT) WHERE id = :id").bindparams(id=bad.id)
    await run_behind(on_sqlite, spoil)
    with pytest.raises(Refusal):  # it is not what was sealed
        await get(on_sqlite, bad)
    assert await get(on_sqlite, good) == good


async def test_people_s_units_go_before_those_that_can_wait(on_sqlite: Database, monkeypatch):
    order: list[str] = []
    queued, put = asyncio.Event(), on_sqlite._waiting.put
    monkeypatch.setattr(database_module, "YIELD", 0.5)  # a machine that stalls for less changes nothing
    async with held(on_sqlite.run):
        monkeypatch.setattr(on_sqlite._waiting, "put", lambda unit: put(unit) or queued.set())
        later = asyncio.create_task(on_sqlite.run(lambda _: order.append("later"), can_wait=True))
        await asyncio.sleep(0)
        assert not queued.is_set()  # it waits for a while, which has an end
        await asyncio.wait_for(queued.wait(), 10)
        first = await started(on_sqlite, lambda _: order.append("first"))
    await asyncio.gather(later, *first)
    assert order == ["first", "later"]


async def test_once_people_s_units_are_over_what_can_wait_goes_at_once(on_sqlite: Database, monkeypatch):
    monkeypatch.setattr(database_module, "YIELD", 60)
    await on_sqlite.run(lambda _: None)
    await asyncio.wait_for(on_sqlite.run(lambda _: None, can_wait=True), 5)


async def test_a_unit_of_people_s_waits_for_four_at_most_that_can_wait(on_sqlite: Database):
    commits = 0

    def counted(_connection: object) -> None:
        nonlocal commits
        commits += 1

    units = [Unit(lambda _: None, time.monotonic() + 10) for _ in range(11)]
    async with held(on_sqlite.run):
        event.listen(on_sqlite.engine, "commit", counted)
        for number, unit in enumerate(units):
            on_sqlite._waiting.put((number, number, number >= 3, unit))  # three of people's come first
    await asyncio.gather(*(unit.future for unit in units))
    assert commits == 1 + 3  # what was held; three of people's with one; four; three


async def test_what_can_wait_is_not_kept_waiting_for_ever(on_sqlite: Database, monkeypatch):
    """However many units of people's come: what has waited for long goes before what is new."""
    order: list[str] = []
    queued, put = asyncio.Event(), on_sqlite._waiting.put
    monkeypatch.setattr(database_module, "YIELD", 0.0)
    async with held(on_sqlite.run):
        monkeypatch.setattr(on_sqlite._waiting, "put", lambda unit: put(unit) or queued.set())
        later = asyncio.create_task(on_sqlite.run(lambda _: order.append("later"), can_wait=True))
        await asyncio.wait_for(queued.wait(), 10)
        people = await started(on_sqlite, *[lambda _: order.append("people's")] * 3)
    await asyncio.gather(later, *people)
    assert order == ["later", *["people's"] * 3]


async def test_what_is_told_as_committed_is_what_was_stored(database: Database):
    told: list[Any] = []
    database.committed = lambda entry: told.append(entry.request_id)

    def refused(tx: Transaction) -> None:
        add(tx, a_request())
        raise LostRace

    kept = a_request()
    await together(database, adding(kept), refused)
    await database.close()  # told in a writer's thread, after the answer
    assert told == [kept.id]


async def test_what_slack_waits_for_is_refused_in_time_whatever_the_writer_does(on_sqlite: Database):
    begun: list[str] = []
    async with held(on_sqlite.run):
        person = asyncio.create_task(on_sqlite.run(lambda _: begun.append("person"), within=0.01))
        other = asyncio.create_task(on_sqlite.run(lambda _: begun.append("other")))
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(person, 5)  # while the writer is held
    await asyncio.wait_for(other, 5)
    assert begun == ["other"]


async def test_a_unit_that_began_in_time_is_not_refused(on_sqlite: Database, monkeypatch):
    units, put = [], on_sqlite._waiting.put
    monkeypatch.setattr(on_sqlite._waiting, "put", lambda unit: put(unit) or units.append(unit[-1]))
    async with held(on_sqlite.run, lambda _: "begun") as begun:
        units[0].refuse()  # its time has come while it runs
    assert await begun == "begun"


async def test_the_writer_outlives_what_is_told_of_its_commits(on_sqlite: Database):
    def fails(_: object) -> None:
        raise OSError

    on_sqlite.committed = fails
    for _ in range(2):
        assert await asyncio.wait_for(stored(on_sqlite, a_request()), 5)
