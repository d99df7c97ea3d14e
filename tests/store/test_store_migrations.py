"""The migrations make the schema that the code works with: once, all or nothing."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from bot.store import Store, is_current, migrate
from bot.store.migrations import config
from bot.store.schema import HEAD, metadata
from kept import an_entry, opened
from sqlalchemy import create_engine, text


def test_the_code_works_with_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(config()).get_heads() == [HEAD]


def test_the_migrations_make_the_tables_of_the_code(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, metadata)
    engine.dispose()

    assert differences == []


async def test_a_database_is_current_once_it_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "unlatch.sqlite3"
    store = opened(path)
    before = await is_current(store.engine)

    await asyncio.to_thread(migrate, f"sqlite:///{path}")

    assert not before
    assert await is_current(store.engine)
    await store.close()


async def test_migrating_again_changes_nothing(sql: Store, path: Path) -> None:
    await sql.record.note(an_entry())

    await asyncio.to_thread(migrate, f"sqlite:///{path}")

    async with sql.engine.begin() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM audit")) == 1


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "unlatch.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE tickets (digest)")
        connection.commit()
    program = f"from bot.store import migrate; migrate('sqlite:///{path}')"

    failed = _ran(program)

    with closing(sqlite3.connect(path)) as connection:
        tables = {
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
    assert "StoreAway" in failed.stderr
    assert tables == {"tickets"}


def test_opening_the_store_loads_no_alembic() -> None:
    program = "import sys, bot.store; print('alembic' in sys.modules)"

    assert _ran(program).stdout.strip() == "False"


def _ran(program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own program
