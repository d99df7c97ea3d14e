"""What was acknowledged survives: a killed process, a killed server, a lost answer, a pooler between."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from bot.domain.errors import CommitUnknown, LostRace, StoreError, StoreUnavailable
from bot.domain.request import Status
from bot.store import requests
from bot.store.database import Database
from bot.store.engine import engine_for
from bot.store.migrations import migrate
from bot.store.tables import requests as table
from sqlalchemy import select, text
from sqlalchemy.engine import make_url
from tests.support.database import audit_log
from tests.support.postgres import Cluster, free_port, running
from tests.unit.store.conftest import QUICK, opened
from tests.unit.store.rows import KEN, NOW, TIMING, a_pending, a_request, get, noted, stored

ROOT = Path(__file__).parents[3]
ACKNOWLEDGED = 60


async def ids(url: str) -> set[str]:
    async with opened(url) as database:
        return await database.read(lambda connection: set(connection.scalars(select(table.c.id))))


async def test_a_process_killed_right_after_an_acknowledgement_has_lost_nothing(url: str):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.unit.store.writer", url), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    acknowledged = []
    async with asyncio.timeout(30):
        while len(acknowledged) < ACKNOWLEDGED:
            acknowledged.append((await process.stdout.readline()).decode().strip())
    process.kill()
    rest, _ = await process.communicate()
    acknowledged += rest.decode().split("\n")[:-1]

    assert set(acknowledged) <= await ids(url)


async def test_every_commit_on_sqlite_waits_for_the_disk(on_sqlite: Database):
    names = ("journal_mode", "synchronous", "busy_timeout")

    shown = await on_sqlite.run(lambda tx: [tx.scalar(text(f"PRAGMA {name}")) for name in names])

    assert shown == ["wal", 2, 2000]


async def test_every_transaction_on_postgresql_waits_for_the_disk_and_is_bounded(
    postgresql: str, cluster: Cluster
):
    name = make_url(postgresql).database
    cluster.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    cluster.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    async with opened(postgresql) as database:
        names = (
            "synchronous_commit",
            "lock_timeout",
            "statement_timeout",
            "idle_in_transaction_session_timeout",
        )

        shown = await database.run(
            lambda tx: [tx.scalar(text(f"SHOW {name}")) for name in (*names, "transaction_isolation")]
        )

        assert shown == ["on", "2s", "5s", "3s", "read committed"]


def test_a_new_sqlite_file_is_readable_for_its_owner_alone(tmp_path: Path):
    path = tmp_path / "new.sqlite3"
    os.umask(0o022)
    migrate(f"sqlite:///{path}", audit_log())

    assert [stat.S_IMODE(part.stat().st_mode) for part in tmp_path.glob("new.sqlite3*")] == [0o600]


async def test_a_database_that_is_not_there_is_unavailable_and_not_ready(tmp_path: Path):
    port = free_port()
    for url in (f"sqlite:///{tmp_path}/no/folder.sqlite3", f"postgresql://unlatch@127.0.0.1:{port}/none"):
        async with opened(url) as database:
            with pytest.raises(StoreUnavailable):
                await stored(database, a_request())
            assert "does not answer" in str(await database.problem())


async def test_a_server_that_was_killed_is_used_again_when_it_is_back():
    with running(durable=False) as cluster:
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


# A proxy between the bot and PostgreSQL


class Proxy:
    """Passes bytes to PostgreSQL and back, until it is told to do otherwise when a COMMIT passes."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.on_commit: str | None = None
        self.silent = False
        self.url_port = 0
        self._writers: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Proxy"]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url_port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self._writers:
                writer.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.silent:
            self._writers.add(writer)
            return
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, to_server}
        answering = asyncio.Event()
        answering.set()
        answers = asyncio.create_task(self._answer(from_server, writer, answering))
        while data := await reader.read(65536):
            if self.silent:
                continue
            if self.on_commit and b"COMMIT\0" in data:
                if self.on_commit == "cut after":
                    answering.clear()
                    to_server.write(data)
                    await answers  # which the server has stored by now
                self.on_commit = None
                writer.close()
                to_server.close()
                return
            to_server.write(data)
            await to_server.drain()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answering: asyncio.Event
    ) -> None:
        while (data := await reader.read(65536)) and answering.is_set():
            writer.write(data)
            await writer.drain()


def through(url: str, proxy: Proxy) -> str:
    return make_url(url).set(port=proxy.url_port).render_as_string(hide_password=False)


@pytest.mark.parametrize(("when", "is_stored"), [("cut before", False), ("cut after", True)])
async def test_a_commit_whose_answer_is_lost_is_looked_up_so_that_what_is_said_is_true(
    postgresql: str, cluster: Cluster, when: str, is_stored: bool
):
    async with Proxy(cluster.port).serving() as proxy, opened(through(postgresql, proxy)) as database:
        await noted(database)
        proxy.on_commit = when
        request = a_request()

        try:
            answer = await stored(database, request)
        except StoreUnavailable:
            answer = None

        assert (answer == request) is is_stored
        assert (request.id in await ids(postgresql)) is is_stored
        await noted(database)


async def test_a_commit_without_an_audit_row_whose_answer_is_lost_is_unknown(
    postgresql: str, cluster: Cluster
):
    async with Proxy(cluster.port).serving() as proxy, opened(through(postgresql, proxy)) as database:
        pending = await stored(database, a_pending())
        proxy.on_commit = "cut after"
        later = pending.remind(now=NOW, timing=TIMING)

        with pytest.raises(CommitUnknown):
            await database.run(lambda tx: requests.move(tx, pending, later, None))
        assert (await get(database, pending)).reminders == 1


async def test_a_replica_frozen_in_a_transaction_stops_the_others_for_a_while_only(
    postgresql: str,
):
    frozen = engine_for(make_url(postgresql), timing=QUICK)
    connection = frozen.connect()
    audit_log().lock(connection)  # begins, and holds the audit lock
    async with opened(postgresql) as database:
        async with asyncio.timeout(5):
            while True:
                try:
                    await stored(database, a_request())
                    break
                except StoreUnavailable:
                    continue

        with closing(connection), pytest.raises(Exception, match=r"idle-in-transaction|terminating|closed"):
            connection.execute(text("SELECT 1"))
    frozen.dispose()


async def test_a_server_that_falls_silent_holds_no_caller_and_no_shutdown_for_long(
    postgresql: str, cluster: Cluster
):
    """New connections are accepted, and those that worked stay open; neither is answered."""
    async with Proxy(cluster.port).serving() as proxy:
        database = Database(through(postgresql, proxy), audit_log(), QUICK)
        await asyncio.gather(*(stored(database, a_request()) for _ in range(8)))
        assert await database.problem() is None
        proxy.silent = True

        async with asyncio.timeout(10):
            units = [stored(database, a_request()) for _ in range(100)]
            *ends, problem = await asyncio.gather(*units, database.problem(), return_exceptions=True)
            await database.close()

    assert {type(end) for end in ends} == {StoreUnavailable}
    assert "does not answer" in str(problem)


# PgBouncer


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
        for _ in range(100):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)  # it has no other sign of being ready
            else:
                writer.close()
                break
        yield f"postgresql://unlatch@127.0.0.1:{port}/{database}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


async def test_behind_pgbouncer_no_statement_of_one_replica_runs_for_another(
    postgresql: str, cluster: Cluster
):
    async with pgbouncer(cluster, str(make_url(postgresql).database)) as url:
        both = [Database(url, audit_log()) for _ in range(2)]
        pending = [await stored(both[0], a_pending()) for _ in range(20)]

        async def work(database: Database) -> list[str]:
            told = []
            for request in pending:
                assert (await get(database, request)).id == request.id
                denied = request.deny("no", by=KEN, now=NOW)
                try:
                    await database.run(lambda tx, old=request, new=denied: requests.move(tx, old, new, None))
                except LostRace:
                    told.append("lost")
                else:
                    told.append("won")
            return told

        first, second = await asyncio.gather(*map(work, both))
        assert all({one, other} == {"won", "lost"} for one, other in zip(first, second, strict=True))
        for request in pending:
            assert (await get(both[1], request)).status is Status.DENIED
        for database in both:
            await database.close()
