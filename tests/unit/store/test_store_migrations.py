"""Migrations: safe to run twice, by several at once, and while replicas serve."""

import asyncio
import os
import sqlite3
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from bot.domain.errors import StoreUnavailable
from bot.domain.request import Status
from bot.keys import Keys
from bot.store import migrations, requests
from bot.store.audit_log import AuditLog
from bot.store.migrations import configuration, migrate
from bot.store.tables import REVISION, metadata
from sqlalchemy import inspect, text
from tests.support.database import VAULT_KEYS, audit_log, sqlite_template
from tests.support.postgres import Cluster
from tests.unit.store.conftest import as_owner, opened, owner
from tests.unit.store.rows import KEN, NOW, a_pending, get, noted, stored

NEXT = Path(__file__).with_name("next_release")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without a table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.sqlite3"
    cluster: Cluster = request.getfixturevalue("cluster")
    return cluster.url(cluster.create())


@pytest.fixture
def next_release(monkeypatch: pytest.MonkeyPatch, template: str) -> None:  # noqa: ARG001  made before
    """`migrate` of a release to come: one more script, and its revision."""
    sqlite_template()
    both = configuration()
    both.set_main_option("version_locations", f"{migrations.HERE / 'versions'}{os.pathsep}{NEXT}")
    monkeypatch.setattr(migrations, "configuration", lambda: both)
    monkeypatch.setattr(migrations, "REVISION", "9999")


def columns(url: str) -> dict[str, set[str]]:
    with owner(url) as connection:
        found = inspect(connection)
        names = found.get_table_names()
        return {name: {column["name"] for column in found.get_columns(name)} for name in names}


async def test_the_newest_script_makes_the_revision_and_the_tables_that_the_code_uses(empty: str):
    assert ScriptDirectory.from_config(configuration()).get_heads() == [REVISION]
    migrate(empty, audit_log())
    assert columns(empty) == {
        "alembic_version": {"version_num"},
        **{table.name: set(table.columns.keys()) for table in metadata.sorted_tables},
    }
    async with opened(empty) as database:
        assert await database.problem() is None
        await noted(database)


def test_a_database_of_another_deployment_is_named(empty: str):
    migrate(empty, audit_log())
    with pytest.raises(StoreUnavailable, match="belongs to tests, and the settings say others"):
        migrate(empty, AuditLog(Keys.parse(VAULT_KEYS), "others"))


async def test_several_that_migrate_at_once_make_one_database(empty: str):
    await asyncio.gather(*(asyncio.to_thread(migrate, empty, audit_log()) for _ in range(4)))
    with owner(empty) as connection:
        assert connection.scalar(text("SELECT count(*) FROM audit")) == 1


@pytest.mark.parametrize(("name", "value"), [("requests", 1), *product(["alembic_version"], (1, "'a'"))])
def test_the_tables_of_another_program_are_named_and_left_as_they_are(empty: str, name: str, value: str):
    with owner(empty) as connection:
        connection.execute(text(f"CREATE TABLE {name} AS SELECT {value} AS version_num"))
    with pytest.raises(StoreUnavailable, match="another program's tables"):
        migrate(empty, audit_log())
    assert columns(empty) == {name: {"version_num"}}


def test_a_migration_waits_for_a_file_that_another_process_has_locked(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/new.sqlite3"
    with closing(sqlite3.connect(tmp_path / "new.sqlite3", isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN IMMEDIATE")
        migrate(url, audit_log(), sleep=lambda _: other.execute("ROLLBACK"))
    assert "requests" in columns(url)


async def test_a_database_that_is_behind_is_not_ready_and_a_newer_one_is(url: str):
    async with opened(url) as database:
        for revision, problem in (("0000", "is not up to date: run `unlatch migrate`"), ("9999", None)):
            change = text("UPDATE alembic_version SET version_num = :revision").bindparams(revision=revision)
            with owner(url) as connection:
                connection.execute(change)
            assert await database.problem() == problem


@pytest.mark.usefixtures("next_release")
async def test_replicas_of_this_release_serve_while_the_next_ones_migration_runs_and_after(url: str):
    async with opened(url) as database:

        async def life() -> None:
            pending = await stored(database, a_pending())
            denied = pending.deny("no", by=KEN, now=NOW)
            await database.run(lambda tx: requests.move(tx, pending, denied, None))
            assert (await get(database, pending)).status is Status.DENIED

        migrating = asyncio.create_task(asyncio.to_thread(migrate, as_owner(url), audit_log()))
        lives = 0
        while not migrating.done() or lives < 5:
            await life()
            lives += 1
        await migrating

        assert await database.problem() is None
        assert "later" in columns(url)["requests"]
        migrate(as_owner(url), audit_log())
        await life()


@pytest.mark.usefixtures("next_release")
def test_a_migration_gives_way_to_who_holds_a_table_and_changes_nothing_where_it_never_gets_it(
    postgresql,
):
    gave_way: list[float] = []
    with owner(postgresql) as holder:
        holder.execute(text("LOCK TABLE requests IN ROW EXCLUSIVE MODE"))
        with pytest.raises(StoreUnavailable):
            migrate(as_owner(postgresql), audit_log(), sleep=gave_way.append, tries=2)
        assert gave_way
        assert "later" not in columns(postgresql)
    migrate(as_owner(postgresql), audit_log())
    assert "later" in columns(postgresql)
