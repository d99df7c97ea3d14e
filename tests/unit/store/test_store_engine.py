"""Engines: addresses, what each fault is said to be, roles and their limits, and disks that do not stay."""

import asyncio
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bot.domain.errors import StoreUnavailable
from bot.store import engine
from bot.store.database import write_nothing
from bot.store.engine import POOL, meant_by, parse_url
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.support.postgres import free_port
from tests.unit.store.conftest import opened, owner
from tests.unit.store.rows import a_request, stored

SAID = [
    ("O15 O16", "42501", "permission denied for table requests", "GRANT what is missing", True),
    ("", "42P01", 'relation "alembic_version" does not exist', "unlatch migrate", True),
    ("", None, "no such table: alembic_version", "unlatch migrate", True),
    ("O4", "25006", "cannot execute UPDATE in a read-only transaction", "read-only", False),
    ("", "53100", "could not extend file", "no room", False),
    ("O12", "53300", "too many connections for role", "no more connections", False),
    ("O12", None, 'failed: FATAL:  too many connections for role "u"', "no more connections", False),
    ("", None, 'connection failed: FATAL:  password authentication failed for user "u"', "password", True),
    ("", None, 'connection failed: FATAL:  database "db" does not exist', "does not exist", True),
    ("O18", None, 'invalid connection option "pgbouncer"', "has a wrong parameter", True),
    ("", None, "connection failed: Connection refused", "does not answer", False),
    ("O26", "SQLITE_BUSY", "database is locked", "network share", False),
    ("O26", "SQLITE_BUSY_SNAPSHOT", "database is locked", "network share", False),
    ("O26", "SQLITE_IOERR_WRITE", "disk I/O error", "disk that fails", False),
    ("", "SQLITE_NOTADB", "file is not a database", "no SQLite database", True),
]


@pytest.mark.parametrize(("row", "code", "said", "words", "lasts"), SAID)
def test_a_fault_of_the_database_says_what_it_is_and_whether_waiting_mends_it(row, code, said, words, lasts):
    reason: Any = Exception(said + "\nDETAIL: secret")
    reason.sqlstate = reason.sqlite_errorname = code  # as the drivers do
    told = meant_by(DBAPIError("SELECT secret", {"x": "secret"}, reason))
    assert isinstance(told, StoreUnavailable)
    assert (words in told.reason, told.lasts, "secret" in told.reason) == (True, lasts, False), row


async def test_o13_o18_a_database_that_cannot_be_used_is_unavailable_and_not_ready_and_says_why(cluster):
    name = cluster.create()
    cluster.execute(f"CREATE DATABASE {name}_ascii TEMPLATE template0 ENCODING 'SQL_ASCII'")
    for url, words in {
        cluster.url(f"{name}_ascii"): "is encoded as SQL_ASCII: make one with the encoding UTF8",
        f"{cluster.url(name)}?pgbouncer=true": 'wrong parameter (invalid connection option "pgbouncer")',
        f"postgresql://unlatch@127.0.0.1:{free_port()}/none": "does not answer",
        "sqlite:////no/such/folder.sqlite3": "cannot be opened",
    }.items():
        async with opened(url) as database:
            with pytest.raises(StoreUnavailable, match=re.escape(words)):
                await stored(database, a_request())
            assert words in str(await database.problem())


ADDRESSES = {
    "postgres://u:p,w@h1:5433,h2/db?sslmode=require": ("u", "p,w", "h1,h2", "5433,5432"),
    "postgresql://u:a?b@[::1]:5433,h2:5434": ("u", "a?b", "::1,h2", "5433,5434"),
    "postgresql://h1,h2/db": (None, None, "h1,h2", "5432,5432"),
}


@pytest.mark.parametrize(("address", "parts"), ADDRESSES.items(), ids="o17 {}".format)
def test_several_hosts_stand_in_an_address_as_libpq_has_them(address, parts):
    url = parse_url(address)
    assert (url.username, url.password, url.query["host"], url.query["port"]) == parts


WRONG = ["nothing", "postgresql://u:hunter2@x@h/db", "postgresql://u@h:hunter2/db", "sqlite://a", "sqlite://"]


@pytest.mark.parametrize("address", WRONG)
def test_an_address_that_is_none_is_named_without_any_part_of_it(address):
    with pytest.raises(ValueError, match=r"no address of a database|three slashes") as told:
        parse_url(address)
    assert "hunter2" not in f"{told.value}{told.value.__cause__}"


async def test_o17_of_several_hosts_the_one_that_answers_is_used(postgresql):
    both = postgresql.replace("@", f"@127.0.0.1:{free_port()},")
    async with opened(f"{both}?target_session_attrs=read-write") as database:
        assert await stored(database, a_request())


@pytest.mark.parametrize("size", [2, POOL], ids="o12 {}".format)
async def test_sixteen_asks_at_once_are_stored_where_the_role_has_five_connections(postgresql, cluster, size):
    cluster.execute("CREATE ROLE few LOGIN IN ROLE unlatch_bot CONNECTION LIMIT 5")
    async with opened(postgresql.replace("unlatch_bot", "few"), size=size) as database:
        await asyncio.gather(*(stored(database, a_request()) for _ in range(16)))
        assert await database.problem() is None
        opened_now = text("SELECT count(*) FROM pg_stat_activity WHERE usename = 'few'")
        assert await database.read(lambda connection: connection.scalar(opened_now)) <= min(5, 2 * size)
    cluster.execute("DROP ROLE few")


async def test_limits_of_the_role_end_no_migration_and_no_commit_before_the_disk_has_it(postgresql, cluster):
    cluster.execute("CREATE ROLE hasty LOGIN IN ROLE unlatch_bot")
    for limit in ("statement_timeout = 50", "synchronous_commit = off"):
        cluster.execute(f"ALTER ROLE hasty SET {limit}")
    hasty = postgresql.replace("unlatch_bot", "hasty")
    with engine.temporary_engine(hasty, bounded=False) as long, long.begin() as connection:
        connection.execute(text("SELECT pg_sleep(0.2)"))
        assert connection.scalar(text("SHOW synchronous_commit")) == "on"
    cluster.execute("DROP ROLE hasty")


LACKING = ["INSERT ON audit", "UPDATE ON requests", "DELETE ON sign_ins", "INSERT ON sign_in_links"]


@pytest.mark.parametrize("lacking", LACKING, ids="o15-o16-{}".format)
async def test_the_documented_rights_are_enough_and_one_that_is_lacking_is_named(postgresql, lacking):
    async with opened(postgresql) as database:
        await database.run(write_nothing)
        with owner(postgresql) as connection:
            connection.execute(text(f"REVOKE {lacking} FROM unlatch_bot"))
        missed = rf"GRANT .* \(permission denied for table {lacking.split()[-1]}\)"
        with pytest.raises(StoreUnavailable, match=missed):
            await database.run(write_nothing)


DISKS = {
    "ext4": "None",
    "overlay": "is on a disk that ends with the container (overlay)",
    "alone": "is a file that is mounted without its folder",
}


@pytest.mark.parametrize(("kind", "words"), DISKS.items(), ids="o11 {}".format)
def test_a_file_that_may_be_gone_after_a_restart_is_named(tmp_path, monkeypatch, kind, words):
    mounts, file = tmp_path / "mounts", tmp_path / "rows"
    file.touch()
    mounts.write_text(f"/dev/sda / tmpfs rw 0 0\n/dev/sdb {tmp_path} {kind} rw 0 0\n")
    monkeypatch.setattr(engine, "MOUNTS", mounts)
    with monkeypatch.context() as mounted:  # which takes root
        if kind == "alone":
            mounted.setattr(Path, "stat", lambda path: SimpleNamespace(st_dev=path == file))
        doubt = engine.passing_disk(f"sqlite:///{file}")
    assert str(doubt).startswith(words)
