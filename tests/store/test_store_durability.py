"""What the store does when things break: nothing acknowledged is lost, and whatever fails is StoreAway."""

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from bot.domain.chain import Head
from bot.domain.errors import StoreAway, UnknownRequest
from bot.domain.identifiers import TeamId, UserId
from bot.domain.record import Event
from bot.domain.request import ResetRequest
from bot.domain.sign_in import Ticket
from bot.ports import Lane, Shown
from bot.store import Store, is_current, migrate, open_store
from bot.store import engine as engine_module
from kept import NOON, PLENTY, a_request, an_entry, moved, opened
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError

ASKED = a_request()
TICKET = Ticket(digest="digest", team=TeamId("T0"), user=UserId("U1"), expires_at=NOON)
EVERY_CALL: dict[str, Callable[[Store], Awaitable[object]]] = {
    "add": lambda store: store.requests.add(a_request(), an_entry(), PLENTY),
    "get": lambda store: store.requests.get(ASKED.id),
    "replace": lambda store: store.requests.replace(ASKED, moved(ASKED), an_entry()),
    "recent": lambda store: store.requests.recent(UserId("U1"), limit=1),
    "waiting": lambda store: store.requests.waiting(limit=1),
    "claim": lambda store: store.requests.claim(Lane.SHOW, now=NOON, lease=timedelta(1), limit=1),
    "save_shown": lambda store: store.requests.save_shown(ASKED.id, Shown()),
    "next_due": lambda store: store.requests.next_due(Lane.DRIVE),
    "note": lambda store: store.record.note(an_entry()),
    "newest": lambda store: store.record.newest(Event.STARTED),
    "adopt": lambda store: store.chain.adopt(),
    "tip": lambda store: store.chain.tip(),
    "signed_to": lambda store: store.chain.signed_to(),
    "keep": lambda store: store.chain.keep(Head(seq=1, hash="", at="", key="", signature="")),
    "find": lambda store: store.tickets.find("digest", now=NOON),
    "begin": lambda store: store.tickets.begin("digest", state_digest="state", flow=b"", now=NOON),
    "take": lambda store: store.tickets.take("state", now=NOON),
    "sweep": lambda store: store.tickets.sweep(now=NOON),
    "sign-in": lambda store: store.sign_ins.get(UserId("U1")),
    "hold": lambda store: store.tickets.hold(TICKET, key="k", arrival=b"", now=NOON),
    "sealed": lambda store: store.tickets.sealed(),
    "add_code": lambda store: store.codes.add_code(TICKET, flow=b"", poll_at=NOON),
    "due_codes": lambda store: store.codes.due_codes(now=NOON, lease=timedelta(1), limit=1),
    "poll_again": lambda store: store.codes.poll_again("digest", poll_at=NOON, flow=b""),
    "end_code": lambda store: store.codes.end_code("digest"),
    "next_code": lambda store: store.codes.next_code(),
    "after": lambda store: store.sign_ins.after(None, limit=1),
    "older": lambda store: store.sign_ins.older(NOON, limit=1),
    "unseen": lambda store: store.sign_ins.unseen(since=NOON, now=NOON, limit=1),
    "tied_to": lambda store: store.sign_ins.tied_to("t", "o"),
    "update_cache": lambda store: store.sign_ins.update_cache(
        UserId("U1"), version=1, key_id="k", sealed=b""
    ),
    "delete": lambda store: store.sign_ins.delete(UserId("U1"), an_entry()),
    "is_current": lambda store: is_current(store.engine),
}
CALLS = pytest.mark.parametrize("call", EVERY_CALL.values(), ids=EVERY_CALL)

WRITER = """
import asyncio, sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from kept import PLENTY, a_request, an_entry, opened

async def main():
    store = opened(Path(sys.argv[1]))
    while True:
        asked = a_request()
        await store.requests.add(asked, an_entry(asked), PLENTY)
        print(asked.id, flush=True)

asyncio.run(main())
"""


async def test_nothing_acknowledged_is_lost_when_the_process_is_killed(path: Path) -> None:
    here = Path(__file__).parent
    command = [sys.executable, "-c", WRITER, str(path), str(here), str(here.parent.parent)]
    writer = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert writer.stdout is not None
    acknowledged = [(await writer.stdout.readline()).decode().strip() for _ in range(50)]
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged += (await writer.stdout.read()).decode().split()
    await writer.wait()

    with closing(sqlite3.connect(path)) as connection:
        kept = {id_ for (id_,) in connection.execute("SELECT id FROM requests")}
        noted = {id_ for (id_,) in connection.execute("SELECT request_id FROM audit")}
    assert set(acknowledged) <= kept
    assert noted == kept


async def test_every_commit_is_on_the_disk_and_writers_queue(sql: Store) -> None:
    async with sql.engine.begin() as connection:
        found = [
            await connection.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]

    assert found == ["wal", 2, 1, 5000]
    assert sql.engine.pool.status().startswith("Pool size: 1 ")


async def test_a_move_and_its_record_are_stored_together_or_not_at_all(sql: Store) -> None:
    asked = a_request()
    await sql.requests.add(asked, an_entry(asked), PLENTY)
    async with sql.engine.begin() as connection:
        await connection.execute(
            text("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END")
        )

    with pytest.raises(IntegrityError):
        await sql.requests.replace(asked, moved(asked), an_entry(asked))
    with pytest.raises(IntegrityError):
        await sql.requests.add(new := a_request(), an_entry(), PLENTY)

    assert await sql.requests.get(asked.id) == asked
    with pytest.raises(UnknownRequest):
        await sql.requests.get(new.id)


async def test_a_transaction_that_begins_by_reading_can_always_go_on_to_write(sql: Store, path: Path) -> None:
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        async with sql.engine.begin() as connection:
            await connection.execute(text("SELECT count(*) FROM requests"))
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("DELETE FROM requests")
        other.execute("DELETE FROM requests")


@CALLS
async def test_a_database_that_cannot_be_opened_is_away(
    tmp_path: Path, call: Callable[[Store], Awaitable[object]]
) -> None:
    store = opened(tmp_path / "nowhere" / "unlatch.sqlite3")

    with pytest.raises(StoreAway):
        await call(store)
    assert not await store.alive()
    assert _driver_threads() == []  # at once: one that still speaks to a loop that ends leaves a traceback
    await store.close()


@CALLS
async def test_a_file_that_is_no_database_is_away(
    tmp_path: Path, call: Callable[[Store], Awaitable[object]]
) -> None:
    path = tmp_path / "unlatch.sqlite3"
    path.write_bytes(b"no database at all, but long enough to be taken for the head of one" * 99)
    store = opened(path)

    with pytest.raises(StoreAway) as away:
        await call(store)

    assert await asyncio.to_thread(_join_driver_threads) == [], away  # which still holds what was opened
    await store.close()


async def test_a_database_that_another_process_keeps_locked_is_away_and_comes_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = [p.replace("5000", "1") for p in engine_module.PRAGMAS]
    monkeypatch.setattr(engine_module, "PRAGMAS", impatient)
    store, asked = opened(path), a_request()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreAway):
            await store.requests.add(asked, an_entry(asked), PLENTY)
        other.execute("ROLLBACK")

    assert await store.requests.add(asked, an_entry(asked), PLENTY) == asked
    await store.close()


async def test_a_full_disk_is_away_and_nothing_is_half_stored(sql: Store) -> None:
    async with sql.engine.begin() as connection:
        await connection.execute(text("PRAGMA max_page_count = 1"))
    asked: list[ResetRequest] = []
    with pytest.raises(StoreAway):  # noqa: PT012  the page that fills up is not ours to choose
        while len(asked) < 1000:
            asked.append(a_request())
            await sql.requests.add(asked[-1], an_entry(asked[-1]), PLENTY)
    async with sql.engine.begin() as connection:
        await connection.execute(text("PRAGMA max_page_count = 100000"))
        rows = await connection.scalar(text("SELECT count(*) FROM requests"))
        notes = await connection.scalar(text("SELECT count(*) FROM audit"))

    assert rows == notes == len(asked) - 1
    assert await sql.requests.add(asked[-1], an_entry(asked[-1]), PLENTY) == asked[-1]


async def test_a_pool_that_gives_no_connection_in_time_is_away(
    sql: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql.engine.pool, "_timeout", 0.01)
    async with sql.engine.begin():
        with pytest.raises(StoreAway):
            await sql.requests.next_due(Lane.SHOW)

    assert await sql.alive()


async def test_calls_that_are_cancelled_leave_the_one_connection_usable(sql: Store) -> None:
    """A caller gives up at every point where a call waits; the store goes on after each."""
    for waits in range(60):
        asked = a_request()
        task = asyncio.create_task(sql.requests.add(asked, an_entry(asked), PLENTY))
        for _ in range(waits):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async with asyncio.timeout(10):
        assert await sql.alive()
    async with sql.engine.begin() as connection:
        rows = await connection.scalar(text("SELECT count(*) FROM requests"))
        assert rows == await connection.scalar(text("SELECT count(*) FROM audit"))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit SET actor = 'U0MALLORY'",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit (id, at, event, facts) VALUES (1, '2026', 'denied', '{}')",
        "REPLACE INTO audit (id, at, event, facts) VALUES (1, '2026', 'denied', '{}')",
        "UPDATE OR REPLACE audit SET id = 2 WHERE id = 1",
        "INSERT INTO audit (id, at, event, facts) VALUES (1, '2026', 'denied', '{}')"
        " ON CONFLICT (id) DO UPDATE SET event = 'denied'",
    ],
)
async def test_the_record_refuses_every_change(sql: Store, path: Path, change: str) -> None:
    await sql.record.note(an_entry())
    await sql.record.note(an_entry())
    with closing(sqlite3.connect(path)) as auditor:
        before = auditor.execute("SELECT * FROM audit").fetchall()

        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            auditor.execute(change)

        assert auditor.execute("SELECT * FROM audit").fetchall() == before


async def test_an_error_never_carries_the_values_of_a_statement(sql: Store) -> None:
    entry = replace(an_entry(), facts={"account": "aiko@contoso.com"})
    async with sql.engine.begin() as connection:
        await connection.execute(text("DROP TABLE audit"))

    with pytest.raises(StoreAway) as away:
        await sql.record.note(entry)

    told = "".join(traceback.format_exception(away.value))
    assert "INSERT INTO audit" in told
    assert "aiko" not in told


async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "unlatch.sqlite3"
    await asyncio.to_thread(migrate, f"sqlite:///{path}")
    store = opened(path)
    await store.record.note(an_entry())

    assert {stat.S_IMODE(file.stat().st_mode) for file in _files(tmp_path)} == {0o600}
    await store.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "no database address"),
        ("mysql://root:hunter2@db/unlatch", "sqlite or postgresql"),
        ("sqlite://", "file"),
        ("sqlite:///:memory:", "file"),
        ("postgresql://unlatch:hunter2@db/unlatch", "psycopg"),
    ],
)
def test_an_address_that_cannot_be_used_is_explained(
    url: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(ValueError, match=says) as refused:
        open_store(url)

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite", "sqlite+pysqlite"])
async def test_every_way_to_write_a_file_is_understood(path: Path, scheme: str) -> None:
    store = open_store(f"{scheme}:///{path}")

    assert await store.alive()
    await store.close()


async def test_looking_for_due_rows_does_not_read_what_is_over(sql: Store) -> None:
    plans: list[str] = []

    def explained(_c: object, _k: object, statement: str, _p: object, _x: object, _m: object) -> None:
        if statement.startswith("SELECT min"):
            plans.append(statement)

    event.listen(sql.engine.sync_engine, "before_cursor_execute", explained)
    await sql.requests.next_due(Lane.DRIVE)
    event.remove(sql.engine.sync_engine, "before_cursor_execute", explained)
    assert plans
    async with sql.engine.begin() as connection:
        plan = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {plans[0]}", ("0001",))).all()
    assert [row.detail for row in plan] == ["SEARCH requests USING INDEX requests_by_next_at (next_at>?)"]


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def _join_driver_threads() -> list[threading.Thread]:
    """Wait for the driver's threads, which outlive a failed connection by a moment; those that stay."""
    for thread in _driver_threads():
        thread.join(timeout=2)
    return _driver_threads()


def _driver_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "_connection_worker" in thread.name]
