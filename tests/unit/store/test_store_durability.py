"""What was acknowledged survives: a killed process, a killed server, a lost answer, a pooler between."""

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from bot.domain.errors import CommitUnknown, LostRace, StoreError, StoreUnavailable
from bot.domain.request import ResetRequest, Status
from bot.store import requests
from bot.store.database import Database, Transaction
from bot.store.engine import engine_for
from bot.store.migrations import migrate
from bot.store.tables import requests as table
from sqlalchemy import bindparam, select, text
from sqlalchemy.engine import make_url
from tests.support.database import audit_log
from tests.support.postgres import Cluster, free_port, running
from tests.unit.store.conftest import QUICK, opened
from tests.unit.store.rows import KEN, NOW, TIMING, a_pending, a_request, get, noted, stored

ROOT = Path(__file__).parents[3]


async def ids(url: str) -> set[str]:
    async with opened(url) as database:
        return await database.read(lambda connection: set(connection.scalars(select(table.c.id))))


async def store_without_end(url: str) -> None:
    """Store from sixteen callers at once, and print each id that is acknowledged."""
    async with opened(url) as database:

        async def caller() -> None:
            while True:
                print((await stored(database, a_request())).id, flush=True)

        await asyncio.gather(*(caller() for _ in range(16)))


async def test_a_process_killed_right_after_an_acknowledgement_has_lost_nothing(url: str):
    program = (
        "import asyncio; from tests.unit.store.test_store_durability import store_without_end;"
        f"asyncio.run(store_without_end({url!r}))"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    acknowledged = []
    async with asyncio.timeout(30):
        while len(acknowledged) < 60:
            acknowledged.append((await process.stdout.readline()).decode().strip())
    process.kill()
    rest, _ = await process.communicate()
    acknowledged += rest.decode().split("\n")[:-1]
    assert set(acknowledged) <= await ids(url)


async def test_every_commit_on_sqlite_waits_for_the_disk(on_sqlite: Database):
    names = ("journal_mode", "synchronous", "busy_timeout")
    shown = await on_sqlite.run(lambda tx: [tx.scalar(text(f"PRAGMA {name}")) for name in names])
    assert shown == ["wal", 2, 2000]


async def test_o3_every_transaction_on_postgresql_waits_for_the_disk_and_is_bounded(postgresql, cluster):
    name = make_url(postgresql).database
    cluster.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    cluster.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    expected = {"synchronous_commit": "on", "transaction_isolation": "read committed", "lock_timeout": "2s"}
    expected |= {"statement_timeout": "5s", "idle_in_transaction_session_timeout": "3s"}
    async with opened(postgresql) as database:
        shown = await database.run(lambda tx: {name: tx.scalar(text(f"SHOW {name}")) for name in expected})
    assert shown == expected


def test_a_new_sqlite_file_is_readable_for_its_owner_alone(tmp_path: Path):
    path = tmp_path / "new.sqlite3"
    os.umask(0o022)
    migrate(f"sqlite:///{path}", audit_log())
    assert [stat.S_IMODE(part.stat().st_mode) for part in tmp_path.glob("new.sqlite3*")] == [0o600]


async def test_o4_a_demoted_server_is_left_for_the_one_that_writes(postgresql, cluster):
    """New connections reach one that writes: the same, by a setting of its database."""
    async with opened(postgresql) as database, asyncio.timeout(10):

        async def ask(times: int) -> None:
            for _ in range(times):
                await stored(database, a_request())

        await asyncio.gather(database.problem(), *(ask(1) for _ in range(8)))
        name, setting = make_url(postgresql).database, "default_transaction_read_only"
        cluster.execute(f"ALTER DATABASE {name} SET {setting} = off")
        try:
            cluster.execute(f"ALTER SYSTEM SET {setting} = on")
            cluster.execute("SELECT pg_reload_conf()")
            with pytest.raises(StoreUnavailable, match="is read-only"):
                await ask(1000)
            await ask(16)
            assert await database.read(lambda connection: connection.scalar(text(f"SHOW {setting}"))) == "off"
        finally:
            cluster.execute(f"ALTER SYSTEM RESET {setting}")
            cluster.execute("SELECT pg_reload_conf()")


async def test_o43_what_the_administrator_set_for_times_and_bytes_changes_no_row(postgresql, cluster):
    name = make_url(postgresql).database
    for setting in ("TimeZone = 'America/St_Johns'", "DateStyle = 'German'", "bytea_output = 'escape'"):
        cluster.execute(f"ALTER DATABASE {name} SET {setting}")
    async with opened(postgresql) as database:
        request = await stored(database, a_request())
        assert (await get(database, request), await database.problem()) == (request, None)


async def test_o3_two_units_that_wait_for_each_other_are_both_stored(postgresql):
    both = threading.Barrier(2)
    lock = select(table.c.id).where(table.c.id == bindparam("id")).with_for_update()

    def unit(tx: Transaction, first: str, second: str) -> Any:
        tx.execute(lock, {"id": first})
        with suppress(threading.BrokenBarrierError):  # the one that comes again finds it so
            both.wait()
            both.abort()
        return tx.scalar(lock, {"id": second})

    async with opened(postgresql) as database:
        a, b = [(await stored(database, a_request())).id for _ in range(2)]
        there, back = (database.run(partial(unit, first=x, second=y)) for x, y in ((a, b), (b, a)))
        assert await asyncio.gather(there, back) == [b, a]


async def test_a_server_that_was_killed_is_used_again_when_it_is_back():
    with running() as cluster:
        url = cluster.url(cluster.create())
        await asyncio.to_thread(migrate, url, audit_log())
        async with opened(url) as database:
            before = await stored(database, a_request())
            await asyncio.to_thread(cluster.kill)
            with pytest.raises(StoreError):
                await stored(database, a_request())
            await asyncio.to_thread(cluster.start)
            after = await stored(database, a_request())
            assert {before.id, after.id} <= await ids(url)


def cut(monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """Cut the connection to PostgreSQL once, before its next COMMIT is sent or after it was answered."""
    commit = psycopg.Connection.commit

    def cutting(connection: psycopg.Connection[Any]) -> None:
        monkeypatch.setattr(psycopg.Connection, "commit", commit)
        if when == "after":
            commit(connection)
        with socket.socket(fileno=os.dup(connection.fileno())) as cable:
            cable.shutdown(socket.SHUT_RDWR)
        connection.execute("COMMIT")  # the driver meets the cut by itself

    monkeypatch.setattr(psycopg.Connection, "commit", cutting)


@pytest.mark.parametrize(("when", "is_stored"), [("before", False), ("after", True)])
async def test_a_commit_whose_answer_is_lost_is_looked_up_so_that_what_is_said_is_true(
    postgresql: str, monkeypatch: pytest.MonkeyPatch, when: str, is_stored: bool
):
    async with opened(postgresql) as database:
        await noted(database)
        cut(monkeypatch, when)
        request = a_request()
        with nullcontext() if is_stored else pytest.raises(StoreUnavailable):
            assert await stored(database, request) == request
        assert (request.id in await ids(postgresql)) is is_stored
        await noted(database)


async def test_a_commit_without_an_audit_row_whose_answer_is_lost_is_unknown(postgresql, monkeypatch):
    async with opened(postgresql) as database:
        pending = await stored(database, a_pending())
        cut(monkeypatch, "after")
        later = pending.remind(now=NOW, timing=TIMING)
        with pytest.raises(CommitUnknown):
            await database.run(lambda tx: requests.move(tx, pending, later, None))
        assert (await get(database, pending)).reminders == 1


async def test_a_replica_frozen_in_a_transaction_stops_the_others_for_a_while_only(postgresql: str):
    frozen = engine_for(postgresql, timing=QUICK)
    connection = frozen.connect()
    audit_log().lock(connection)  # begins, and holds the audit lock
    async with opened(postgresql) as database, asyncio.timeout(15):
        goes_on = False
        while not goes_on:
            with suppress(StoreUnavailable):
                goes_on = bool(await stored(database, a_request()))
        with closing(connection), pytest.raises(Exception, match=r"idle-in-transaction|terminating|closed"):
            connection.execute(text("SELECT 1"))
    frozen.dispose()


@contextmanager
def standing_still(cluster: Cluster) -> Iterator[None]:
    """Every process of the server stops: connections are accepted, stay open, and are not answered."""
    clients = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
    with psycopg.connect(cluster.url("postgres")) as connection:
        pids = {cluster.pid, *(pid for (pid,) in connection.execute(clients))} - {connection.info.backend_pid}
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_o2_a_server_that_falls_silent_holds_no_caller_and_no_shutdown_for_long(postgresql, cluster):
    database = Database(postgresql, audit_log(), QUICK)
    await asyncio.gather(*(stored(database, a_request()) for _ in range(8)))
    assert await database.problem() is None
    with standing_still(cluster):
        async with asyncio.timeout(10):
            units = [stored(database, a_request()) for _ in range(100)]
            *ends, problem = await asyncio.gather(*units, database.problem(), return_exceptions=True)
            await database.close()
    assert {type(end) for end in ends} == {StoreUnavailable}
    assert "does not answer" in str(problem)


@asynccontextmanager
async def pgbouncer(cluster: Cluster, database: str) -> AsyncIterator[str]:
    """PgBouncer in transaction mode; yields the URL of the database through it."""
    port = free_port()
    config = cluster.folder / f"{database}.ini"  # a folder that its user can read
    config.write_text(
        f"[databases]\n{database} = host=127.0.0.1 port={cluster.port} dbname={database} user=unlatch\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n"
        "pool_mode = transaction\ndefault_pool_size = 4\nunix_socket_dir =\n"
    )
    as_owner = {"user": cluster.owner.pw_uid} if cluster.owner is not None else {}
    binary = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert binary is not None, "PgBouncer is missing; `make test` installs it"
    process = subprocess.Popen(  # noqa: ASYNC220, S603  our own server
        [binary, "-q", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_owner
    )
    try:
        with socket.socket() as probe:
            while probe.connect_ex(("127.0.0.1", port)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # no event tells that it is ready
        yield f"postgresql://unlatch@127.0.0.1:{port}/{database}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


async def test_o6_behind_pgbouncer_no_statement_of_one_replica_runs_for_another(postgresql, cluster):
    async with (
        pgbouncer(cluster, str(make_url(postgresql).database)) as url,
        opened(url) as here,
        opened(url) as elsewhere,
    ):
        pending = [await stored(here, a_pending()) for _ in range(20)]

        async def deny(database: Database, old: ResetRequest) -> int:
            assert (await get(database, old)).id == old.id
            denied = old.deny("no", by=KEN, now=NOW)
            with suppress(LostRace):
                await database.run(lambda tx: requests.move(tx, old, denied, None))
                return 1
            return 0

        async def work(database: Database) -> list[int]:
            return [await deny(database, request) for request in pending]

        first, second = await asyncio.gather(work(here), work(elsewhere))
        assert [one + other for one, other in zip(first, second, strict=True)] == [1] * 20
        assert {(await get(elsewhere, request)).status for request in pending} == {Status.DENIED}
