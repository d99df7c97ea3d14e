"""Migrating while replicas serve: those of the previous release work on, before, during and after."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import previous_release
import pytest
from alembic import command
from alembic.config import Config
from bot.ports import Lane
from bot.store import Store, is_current, migrate, migrations, open_store
from bot.store.engine import database_url, is_sqlite, make_engine
from bot.store.schema import HEAD
from kept import NOON, PLENTY, a_request, an_entry, moved
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.postgres.cluster import Cluster
from tests.store.to_come import NEXT, migrate_to_the_next, next_release

BOTH = ("sqlite", "postgresql")


@pytest.fixture(params=BOTH)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database without a table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/unlatch.sqlite3"
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    name = cluster.create()
    yield cluster.url(name)
    cluster.drop(name)


@pytest.fixture
def url(empty: str) -> str:
    """The address of a database as the previous release left it."""
    with_connection(empty, lambda connection: command.upgrade(configured(connection), "0001"))
    return empty


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    """How a replica of the previous release is connected."""
    made = make_engine(database_url(url))
    yield made
    await made.dispose()


@pytest.fixture
async def store(empty: str) -> AsyncIterator[Store]:
    """How a replica of this release is connected."""
    await asyncio.to_thread(migrate, empty)
    opened = open_store(empty)
    yield opened
    await opened.close()


def configured(connection: Connection) -> Config:
    made = migrations.config()
    made.attributes["connection"] = connection
    return made


def with_connection(url: str, work: Callable[[Connection], object]) -> object:
    """Do something in one transaction, as the `migrate` of any release does."""
    parsed = database_url(url)
    made = create_engine(parsed.set(drivername="sqlite") if is_sqlite(parsed) else parsed)
    try:
        with made.begin() as connection:
            return work(connection)
    finally:
        made.dispose()


def revision(url: str) -> object:
    query = text("SELECT version_num FROM alembic_version")
    return with_connection(url, lambda connection: connection.scalar(query))


# The previous release, and the migrations of this one


async def test_all_that_the_previous_release_does_works_after_the_newest_migration(url, engine):
    await previous_release.live(engine)
    await asyncio.to_thread(migrate, url)
    await previous_release.live(engine)
    assert revision(url) == HEAD


async def test_all_that_the_previous_release_does_works_while_the_newest_migration_runs(url, engine):
    lives = await while_it_lives(lambda: previous_release.live(engine), lambda: migrate(url))
    count = text("SELECT count(*) FROM requests")
    assert with_connection(url, lambda connection: connection.scalar(count)) == lives
    assert revision(url) == HEAD


async def test_rows_of_the_previous_release_are_read_by_this_one(url, engine):
    request_id = await previous_release.live(engine)
    await asyncio.to_thread(migrate, url)
    store = open_store(url)
    [waiting] = await store.requests.waiting(limit=5)
    await store.close()
    assert waiting.id == request_id


# This release, and a migration to come


async def test_this_release_serves_on_after_the_next_ones_migration(empty, store):
    await migrate_to_the_next(empty)
    assert revision(empty) == NEXT
    assert await is_current(store.engine)
    assert await store.alive()
    await live(store)


async def test_this_release_serves_on_while_the_next_ones_migration_runs(empty, store):
    with next_release():
        await while_it_lives(lambda: live(store), lambda: migrate(empty))
    assert revision(empty) == NEXT


async def test_this_releases_migrate_leaves_a_newer_database_alone(empty, store):
    await migrate_to_the_next(empty)
    await asyncio.to_thread(migrate, empty)
    assert revision(empty) == NEXT
    await live(store)


async def test_an_older_database_is_not_current(store):
    async with store.engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    assert not await is_current(store.engine)
    assert not await store.alive()


# Several at once


async def test_several_that_migrate_an_empty_database_at_once_all_succeed(empty):
    await migrate_in_processes(empty)
    assert revision(empty) == HEAD


async def test_several_that_migrate_the_previous_releases_database_at_once_all_succeed(url, engine):
    await previous_release.live(engine)
    await migrate_in_processes(url)
    await previous_release.live(engine)
    assert revision(url) == HEAD


async def migrate_in_processes(url: str) -> None:
    """All are ready before the first one begins."""
    program = f"from bot.store import migrations; print(flush=True); input(); migrations.upgrade({url!r})"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = (sys.executable, "-c", program)
    started = [await asyncio.create_subprocess_exec(*command, **pipes) for _ in range(4)]
    for process in started:
        assert process.stdout is not None
        await process.stdout.readline()
    ended = await asyncio.gather(*(process.communicate(b"\n") for process in started))
    assert [process.returncode for process in started] == [0] * 4, [errors for _, errors in ended]


# On PostgreSQL a table that somebody reads cannot be altered, and everybody queues behind who waits for it


@pytest.mark.parametrize("empty", ["postgresql"], indirect=True)
async def test_a_migration_steps_aside_for_a_long_reader_and_nobody_waits_for_it(empty, store):
    stepped_aside, go_on = threading.Event(), threading.Event()

    def pause(_seconds: float) -> None:
        stepped_aside.set()
        assert go_on.wait(20)

    async with store.engine.connect() as reader:
        await reader.execute(text("SELECT count(*) FROM audit"))
        migrating = asyncio.create_task(migrate_to_the_next(empty, sleep=pause))
        assert await asyncio.to_thread(stepped_aside.wait, 20)
        await live(store)
    go_on.set()
    await migrating
    assert revision(empty) == NEXT


@pytest.mark.parametrize("empty", ["postgresql"], indirect=True)
async def test_a_move_and_a_migration_never_wait_for_each_other_in_a_circle(empty, store):
    """A move takes the request first, then the record."""
    asked = a_request()
    await store.requests.add(asked, an_entry(asked), PLENTY)
    async with store.engine.begin() as move:
        await move.execute(text("UPDATE requests SET version = 2"))
        migrating = asyncio.create_task(migrate_to_the_next(empty))
        await waits_for_a_lock(store)
        await move.execute(text("INSERT INTO audit (at, event, facts) VALUES ('2026', 'moved', '{}')"))
    await migrating
    assert revision(empty) == NEXT


async def waits_for_a_lock(store: Store) -> None:
    """Until somebody does."""
    query = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    async with asyncio.timeout(20), store.engine.connect() as connection:
        while not await connection.scalar(query):  # noqa: ASYNC110  it happens in the server
            await asyncio.sleep(0)


async def while_it_lives(life: Callable[[], object], work: Callable[[], None]) -> int:
    """Live on and on, before, during and after `work`; how often."""
    lives = 0

    async def on_and_on() -> None:
        nonlocal lives
        while True:
            await life()
            lives += 1

    living = asyncio.create_task(on_and_on())
    await until(lambda: lives >= 2, living)
    await asyncio.to_thread(work)
    enough = lives + 2
    await until(lambda: lives >= enough, living)
    living.cancel()
    with suppress(asyncio.CancelledError):
        await living
    return lives


async def until(seen: Callable[[], bool], living: asyncio.Task[None]) -> None:
    async with asyncio.timeout(30):
        while not seen():
            if living.done():
                living.result()
            await asyncio.sleep(0)


async def live(store: Store) -> None:
    """What a request of this release does to the database."""
    asked = a_request()
    await store.requests.add(asked, an_entry(asked), PLENTY)
    [*_, claimed] = await store.requests.claim(Lane.DRIVE, now=NOON, lease=timedelta(seconds=1), limit=99)
    went_on = moved(claimed.request)
    await store.requests.replace(claimed.request, went_on, an_entry(went_on))
    await store.requests.release(Lane.DRIVE, went_on, again_at=None)
    assert await store.requests.get(went_on.id) == went_on
