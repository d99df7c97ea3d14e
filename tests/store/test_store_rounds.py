"""What replicas share out: who is looked up, which device code is asked about, and what is signed out."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from bot.domain.errors import StoreAway
from bot.domain.identifiers import TeamId, UserId
from bot.domain.sign_in import TICKET_LIFE, Ticket
from bot.ports import SignInRow
from bot.store import Store, open_store
from kept import AIKO, KEN, NOON, PLENTY, an_entry, opened
from sqlalchemy import text

HOUR = timedelta(hours=1)
LEASE = timedelta(minutes=1)
LATER = timedelta(seconds=5)
CODE = Ticket(digest="d1", team=TeamId("T0"), user=KEN, expires_at=NOON + timedelta(minutes=15))

Pair = tuple[Store, Store]


@pytest.fixture(params=["sqlite", "postgresql"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """The same database in the hands of two processes."""
    if request.param == "sqlite":
        path = request.getfixturevalue("path")
        stores = opened(path), opened(path)
    else:
        url = request.getfixturevalue("postgresql")
        stores = open_store(url), open_store(url)
    yield stores
    for store in stores:
        await store.close()


def a_row(user: str, after: timedelta = timedelta(0)) -> SignInRow:
    return SignInRow(
        user=UserId(user),
        tenant="tenant",
        oid=f"oid of {user}",
        username=user,
        name=user,
        emails=frozenset(),
        signed_in_at=NOON + after,
        key_id="k1",
        sealed=b"sealed",
    )


async def events(store: Store) -> list[str]:
    async with store.engine.begin() as connection:
        return list(await connection.scalars(text("SELECT event FROM audit ORDER BY id")))


async def test_everybody_is_looked_up_by_one_replica_once_an_hour(pair: Pair) -> None:
    users = [f"U{number:02}" for number in range(20)]
    for user in users:
        await pair[0].sign_ins.put(a_row(user))
    now = NOON + HOUR

    found = await asyncio.gather(
        *(store.sign_ins.unseen(since=now - HOUR, now=now, limit=3) for store in pair * 6)
    )

    seen = [user for some in found for user in some]
    assert len(seen) == len(set(seen))
    while more := await pair[0].sign_ins.unseen(since=now - HOUR, now=now, limit=3):
        seen += more
    assert sorted(seen) == users
    assert await pair[0].sign_ins.unseen(since=now, now=now + HOUR, limit=1)


async def test_who_has_just_signed_in_was_looked_up_then(pair: Pair) -> None:
    await pair[0].sign_ins.put(a_row("U1", after=HOUR))

    assert await pair[0].sign_ins.unseen(since=NOON, now=NOON + HOUR, limit=9) == []


async def test_all_rows_are_paged_through_in_order(pair: Pair) -> None:
    for user in ("U3", "U1", "U2"):
        await pair[0].sign_ins.put(a_row(user))

    first = await pair[1].sign_ins.after(None, limit=2)
    rest = await pair[1].sign_ins.after(first[-1].user, limit=2)

    assert [row.user for row in [*first, *rest]] == ["U1", "U2", "U3"]
    assert await pair[1].sign_ins.after(UserId("U3"), limit=2) == []


async def test_old_sign_ins_are_found_oldest_first(pair: Pair) -> None:
    for user, after in (("U1", 2 * HOUR), ("U2", HOUR), ("U3", 3 * HOUR)):
        await pair[0].sign_ins.put(a_row(user, after=after))

    old = await pair[0].sign_ins.older(NOON + 2 * HOUR, limit=9)

    assert [row.user for row in old] == ["U2", "U1"]


async def test_a_row_and_its_place_in_the_record_go_together_once(pair: Pair) -> None:
    await pair[0].sign_ins.put(a_row(AIKO))

    gone = await asyncio.gather(*(store.sign_ins.delete(AIKO, an_entry()) for store in pair * 3))

    assert sum(gone) == 1
    assert len(await events(pair[0])) == 1


async def test_a_row_stays_where_the_record_takes_no_entry(pair: Pair) -> None:
    await pair[0].sign_ins.put(a_row(AIKO))
    async with pair[0].engine.begin() as connection:
        await connection.execute(text("ALTER TABLE audit RENAME TO elsewhere"))

    with pytest.raises(StoreAway):
        await pair[0].sign_ins.delete(AIKO, an_entry())

    assert await pair[0].sign_ins.get(AIKO) is not None


async def test_a_row_that_changed_since_it_was_read_is_not_removed(pair: Pair) -> None:
    await pair[0].sign_ins.put(a_row(AIKO))
    read = await pair[0].sign_ins.get(AIKO)
    assert read is not None
    await pair[1].sign_ins.put(a_row(AIKO, after=HOUR))

    assert not await pair[0].sign_ins.delete(AIKO, an_entry(), version=read.version)
    assert await events(pair[0]) == []


async def test_a_device_code_is_asked_about_by_one_replica_at_a_time(pair: Pair) -> None:
    for number in range(8):
        ticket = replace(CODE, digest=f"d{number}")
        await pair[0].codes.add_code(ticket, flow=b"flow", poll_at=NOON + LATER)
    assert await pair[0].codes.next_code() == NOON + LATER
    assert await pair[1].codes.due_codes(now=NOON, lease=LEASE, limit=9) == []

    now = NOON + LATER
    leased = await asyncio.gather(
        *(store.codes.due_codes(now=now, lease=LEASE, limit=3) for store in pair * 3)
    )

    asked = [row.ticket.digest for some in leased for row in some]
    assert len(asked) == len(set(asked))
    again = await pair[0].codes.due_codes(now=now + LEASE, lease=LEASE, limit=9)
    assert len(again) == 8, "a lease that ran out is due again"


async def test_a_code_goes_on_waiting_and_ends_for_one_caller(pair: Pair) -> None:
    await pair[0].codes.add_code(CODE, flow=b"flow", poll_at=NOON)
    await pair[0].codes.due_codes(now=NOON, lease=LEASE, limit=1)
    await pair[0].codes.poll_again("d1", poll_at=NOON + LATER, flow=b"slower")

    [row] = await pair[1].codes.due_codes(now=NOON + LATER, lease=LEASE, limit=1)
    assert (row.ticket, row.flow) == (CODE, b"slower")
    assert sum(await asyncio.gather(*(store.codes.end_code("d1") for store in pair * 3))) == 1
    assert await pair[0].codes.next_code() is None


async def test_a_code_is_no_link_and_outlives_the_sweep_until_its_owner_is_told(pair: Pair) -> None:
    await pair[0].codes.add_code(CODE, flow=b"flow", poll_at=NOON)
    await pair[0].tickets.add(replace(CODE, digest="a link", expires_at=NOON + TICKET_LIFE), PLENTY)

    assert await pair[0].tickets.take("", now=NOON) is None
    assert not await pair[0].tickets.begin("d1", state_digest="s", flow=b"f", now=NOON)
    assert await pair[0].tickets.sweep(now=CODE.expires_at) == 1
    assert await pair[0].codes.next_code() == NOON
    assert await pair[0].tickets.sweep(now=CODE.expires_at + TICKET_LIFE) == 1


async def test_all_that_is_sealed_is_counted(pair: Pair) -> None:
    await pair[0].tickets.add(replace(CODE, digest="never opened"), PLENTY)
    await pair[0].codes.add_code(CODE, flow=b"code", poll_at=NOON)
    await pair[0].tickets.hold(CODE, key="k", arrival=b"arrival", now=NOON)

    assert sorted(await pair[0].tickets.sealed()) == [b"arrival", b"code"]
