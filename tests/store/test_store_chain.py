"""What every store promises about the chain: each row is linked in its own commit, in one line, for ever."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from alembic import command
from bot.domain.chain import Head, StoredRow, Tip, linked
from bot.domain.errors import LostRace
from bot.domain.record import Event
from bot.store import Store, migrate, open_store
from bot.store import chain as chain_module
from bot.store.migrations import config
from bot.store.reading import reading
from kept import NOON, PLENTY, Kept, a_request, an_entry, moved, opened
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

HEAD = Head(seq=1, hash="a" * 64, at="2026-03-02T12:00:00.000000Z", key="k" * 16, signature="s")


async def test_every_row_moves_the_tip_on_by_one(kept: Kept) -> None:
    asked = a_request()
    tips = [await kept.chain.tip()]

    await kept.requests.add(asked, an_entry(asked), PLENTY)
    tips.append(await kept.chain.tip())
    await kept.requests.replace(asked, moved(asked), an_entry(asked, Event.VERIFIED))
    tips.append(await kept.chain.tip())
    await kept.record.note(an_entry())
    tips.append(await kept.chain_elsewhere.tip())

    assert tips[0] == Tip()
    assert [tip.seq for tip in tips] == [0, 1, 2, 3]
    assert len({tip.hash for tip in tips}) == 4


async def test_what_leaves_no_row_leaves_the_tip(kept: Kept) -> None:
    asked = a_request()
    await kept.requests.add(asked, an_entry(asked), PLENTY)
    before = await kept.chain.tip()

    await kept.requests.add(replace(a_request(), delivery=asked.delivery), an_entry(), PLENTY)
    await kept.requests.replace(asked, moved(asked))
    with pytest.raises(LostRace):
        await kept.requests.replace(asked, moved(asked), an_entry(asked))

    assert await kept.chain.tip() == before


async def test_rows_that_come_at_once_are_linked_one_after_the_other(kept: Kept) -> None:
    asked = [a_request() for _ in range(12)]
    places = [kept.requests, kept.elsewhere] * 6

    await asyncio.gather(*(p.add(a, an_entry(a), PLENTY) for p, a in zip(places, asked, strict=True)))

    assert (await kept.chain.tip()).seq == 12
    assert await kept.chain.adopt() == 0


async def test_a_link_is_signed_once(kept: Kept) -> None:
    await kept.record.note(an_entry())

    kept_heads = await asyncio.gather(
        kept.chain.keep(HEAD), kept.chain_elsewhere.keep(replace(HEAD, signature="t"))
    )

    assert sorted(kept_heads) == [False, True]
    assert await kept.chain.signed_to() == 1


async def test_the_newest_facts_of_an_event_are_found(kept: Kept) -> None:
    assert await kept.record.newest(Event.STARTED) is None
    for number in ("1", "2"):
        await kept.record.note(replace(an_entry(event=Event.STARTED), facts={"number": number}))
        await kept.record.note(an_entry())

    assert await kept.record.newest(Event.STARTED) == {"number": "2"}


# On both databases


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """The address of a migrated database of one's own."""
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('path')}"
    address: str = request.getfixturevalue("postgresql")
    return address


async def test_the_hash_is_over_the_row_as_it_is_stored(url: str) -> None:
    store = open_store(url)
    strange = {"reason": "naïve “=cmd” \x00\n", "half": "\ud800", "ticket": ""}
    await store.record.note(replace(an_entry(), at=NOON + timedelta(microseconds=1), facts=strange))
    await store.record.note(replace(an_entry(a_request(), Event.DENIED), actor=None))

    rows = [row async for row in _rows(store)]

    links = list(linked(Tip(), rows))
    assert await store.chain.tip() == Tip(2, links[-1].hash)
    assert rows[0].at == "2026-03-02T12:00:00.000001Z"
    assert json.loads(rows[0].facts)["half"] == "?"
    await store.close()


async def test_rows_of_an_older_version_are_adopted_once_by_whoever_looks_first(url: str) -> None:
    here, elsewhere = open_store(url), open_store(url)
    await here.record.note(an_entry())
    await _written_by_an_older_version(here, 7)
    await here.record.note(an_entry())

    adopted = await asyncio.gather(here.chain.adopt(), elsewhere.chain.adopt())

    assert sum(adopted) == 7
    assert (await here.chain.tip()).seq == 9
    assert await here.chain.adopt() == 0
    await here.close()
    await elsewhere.close()


async def test_adopting_goes_on_beyond_one_batch(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_module, "AT_ONCE", 3)
    store = open_store(url)
    await _written_by_an_older_version(store, 10)

    assert await store.chain.adopt() == 10
    await store.close()


async def test_only_the_first_look_for_rows_without_a_link_reads_the_whole_record(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that is committed late is found all the same, if no more than LATE are younger."""
    monkeypatch.setattr(chain_module, "LATE", 3)
    store, fresh = open_store(url), open_store(url)
    await _put(store, 100)
    first = await store.chain.adopt()

    await _put(store, 3)
    await _put(store, 98)
    found = [first, await store.chain.adopt(), await fresh.chain.adopt()]
    await store.close()
    await fresh.close()

    assert found == [1, 1, 1]


async def test_a_record_that_was_there_before_is_linked_by_the_migration(tmp_path: Path) -> None:
    path = tmp_path / "unlatch.sqlite3"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        made = config()
        made.attributes["connection"] = connection
        command.upgrade(made, "0001")
        rows = [{"at": f"2026-03-02T12:00:00.{n:06}Z", "facts": f'{{"n": "{n}"}}'} for n in range(2500)]
        connection.execute(
            text("INSERT INTO audit (at, event, actor, facts) VALUES (:at, 'asked', 'U0KEN', :facts)"), rows
        )
    engine.dispose()

    await asyncio.to_thread(migrate, f"sqlite:///{path}")

    store = opened(path)
    assert (await store.chain.tip()).seq == 2500
    await store.record.note(an_entry())
    links = list(linked(Tip(), [row async for row in _rows(store)]))
    assert await store.chain.tip() == Tip(2501, links[-1].hash)
    await store.close()


CHANGES = [
    "UPDATE {table} SET hash = 'x'",
    "UPDATE {table} SET seq = seq - 1",
    "DELETE FROM {table}",
]
ON_SQLITE = [
    ("audit_chain", "INSERT OR REPLACE INTO audit_chain (seq, audit_id, hash) VALUES (1, 9, 'x')"),
    ("audit_chain", "INSERT OR REPLACE INTO audit_chain (seq, audit_id, hash) VALUES (9, 1, 'x')"),
    ("audit_chain", "INSERT INTO audit_chain VALUES (1, 1, 'x') ON CONFLICT (seq) DO UPDATE SET hash = 'x'"),
    ("audit_heads", "REPLACE INTO audit_heads VALUES (1, 'x', 'x', 'x', 'x')"),
    ("audit_tip", "REPLACE INTO audit_tip VALUES (1, 0, 'x')"),
    ("audit_tip", "INSERT INTO audit_tip VALUES (2, 0, 'x')"),
]
ON_POSTGRESQL = [
    ("audit", "DELETE FROM audit"),
    ("audit", "TRUNCATE audit"),
    ("audit_chain", "TRUNCATE audit_chain"),
    (
        "audit_chain",
        "INSERT INTO audit_chain VALUES (1, 1, 'x') ON CONFLICT (seq) DO UPDATE SET hash = 'x'",
    ),
    ("audit_heads", "TRUNCATE audit_heads"),
    ("audit_tip", "TRUNCATE audit_tip"),
    (
        "audit_tip",
        "INSERT INTO audit_tip VALUES (1, 0, 'x') ON CONFLICT (id) DO UPDATE SET hash = 'x', seq = 0",
    ),
]
EVERYWHERE = [
    (table, change.format(table=table))
    for table in ("audit_chain", "audit_heads", "audit_tip")
    for change in CHANGES
]


@pytest.mark.parametrize(("table", "change"), [*EVERYWHERE, *ON_SQLITE])
async def test_sqlite_refuses_every_change_of_chain_tip_and_heads(
    sql: Store, path: Path, table: str, change: str
) -> None:
    await _some(sql)
    with closing(sqlite3.connect(path)) as auditor:
        before = auditor.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608  a table of ours

        with pytest.raises(sqlite3.IntegrityError, match=r"append-only|audit_tip_is_one_row"):
            auditor.execute(change)

        assert auditor.execute(f"SELECT * FROM {table}").fetchall() == before  # noqa: S608  as above
        assert before


@pytest.mark.parametrize(("table", "change"), [*EVERYWHERE, *ON_POSTGRESQL])
async def test_postgresql_refuses_every_change_of_record_chain_tip_and_heads(
    postgresql: str, table: str, change: str
) -> None:
    store = open_store(postgresql)
    await _some(store)
    await store.close()
    with psycopg.connect(postgresql, autocommit=True) as auditor:
        before = auditor.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608  a table of ours

        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            auditor.execute(change)

        assert auditor.execute(f"SELECT * FROM {table}").fetchall() == before  # noqa: S608  as above
        assert before


async def test_a_database_without_its_triggers_takes_no_row_beside_the_chain(sql: Store) -> None:
    await sql.record.note(an_entry())
    async with sql.engine.begin() as connection:
        await connection.execute(text("DROP TRIGGER audit_tip_follows"))
    await sql.record.note(an_entry())

    with pytest.raises(IntegrityError):
        await sql.record.note(an_entry())

    async with sql.engine.begin() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM audit")) == 2


async def test_whoever_reads_the_whole_record_holds_nobody_up(url: str) -> None:
    store = open_store(url)
    await _some(store)
    with reading(url) as record:
        links = record.links()
        next(links)
        await store.record.note(an_entry())
        rest = list(links)

        assert len(rest) == 1
        assert record.tip().seq == 2, "it is still the record of that moment"
    assert (await store.chain.tip()).seq == 3
    await store.close()


async def _some(store: Store) -> None:
    await store.record.note(an_entry())
    await store.record.note(an_entry())
    assert await store.chain.keep(HEAD)


async def _written_by_an_older_version(store: Store, rows: int) -> None:
    async with store.engine.begin() as connection:
        for _ in range(rows):
            await connection.execute(
                text("INSERT INTO audit (at, event, facts) VALUES ('2026-03-02T12:00:00Z', 'asked', '{}')")
            )


async def _put(store: Store, id_: int) -> None:
    async with store.engine.begin() as connection:
        insert = text("INSERT INTO audit (id, at, event, facts) VALUES (:id, '2026', 'asked', '{}')")
        await connection.execute(insert, {"id": id_})


async def _rows(store: Store) -> AsyncIterator[StoredRow]:
    query = text("SELECT id, at, event, actor, request_id, facts FROM audit ORDER BY id")
    async with store.engine.begin() as connection:
        for row in await connection.execute(query):
            yield StoredRow(**row._mapping)
