"""Tickets are used once; sign-ins are one a person, and a refresh never overwrites what it has not seen."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from bot.domain.errors import LostRace
from bot.domain.identifiers import RequestId, TeamId
from bot.domain.sign_in import TICKET_LIFE, Ticket
from bot.ports import LinkRow, SignInRow
from bot.store import Store
from kept import AIKO, KEN, NOON, PLENTY, an_entry, opened

INSTANT = timedelta(microseconds=1)
TICKET = Ticket(
    digest="d1",
    team=TeamId("T0"),
    user=AIKO,
    expires_at=NOON + TICKET_LIFE,
    request_id=RequestId("a" * 32),
    view_id="V1",
    claims='{"access_token":{}}',
)
ROW = SignInRow(
    user=AIKO,
    tenant="tenant",
    oid="oid",
    username="aiko@contoso.com",
    name="Aiko",
    emails=frozenset({"aiko@contoso.com", "a@contoso.com"}),
    signed_in_at=NOON + INSTANT,
    authenticated_at=NOON - INSTANT,
    key_id="k1",
    sealed=bytes(range(256)),
)


@pytest.fixture
async def elsewhere(path: Path) -> AsyncIterator[Store]:
    """The same database in another process's hands."""
    store = opened(path)
    yield store
    await store.close()


async def begun(store: Store, state: str = "s1", *, at: timedelta = timedelta(0)) -> bool:
    return await store.tickets.begin("d1", state_digest=state, flow=state.encode(), now=NOON + at)


async def test_a_ticket_is_found_until_its_time_is_over(sql: Store) -> None:
    await sql.tickets.add(TICKET, PLENTY)

    assert await sql.tickets.find("d1", now=TICKET.expires_at - INSTANT) == LinkRow(TICKET)
    assert await sql.tickets.find("d1", now=TICKET.expires_at) is None
    assert await sql.tickets.find("d2", now=NOON) is None


async def test_a_ticket_begins_one_flow_however_many_press(sql: Store, elsewhere: Store) -> None:
    await sql.tickets.add(TICKET, PLENTY)

    presses = await asyncio.gather(*(begun(store, f"s{n}") for n, store in enumerate([sql, elsewhere] * 3)))

    assert sum(presses) == 1
    winner = f"s{presses.index(True)}"
    flow = await sql.tickets.take(winner, now=NOON)
    assert flow is not None
    assert flow[1] == winner.encode()


async def test_a_link_that_was_opened_keeps_its_one_flow_until_somebody_took_it(sql: Store) -> None:
    await sql.tickets.add(TICKET, PLENTY)
    assert await begun(sql)

    assert not await begun(sql, "s2")
    found = await sql.tickets.find("d1", now=NOON)
    assert found is not None
    assert (found.state_digest, found.flow) == ("s1", b"s1")
    await sql.tickets.take("s1", now=NOON)
    assert await sql.tickets.find("d1", now=NOON) is None


async def test_an_arrival_is_taken_once_in_time_and_by_no_link(sql: Store, elsewhere: Store) -> None:
    await sql.tickets.hold(TICKET, key="k1", arrival=b"sealed", now=NOON)

    assert await sql.tickets.find("d1", now=NOON) is None
    assert await sql.tickets.take("k1", now=NOON + TICKET_LIFE) is None
    taken = await asyncio.gather(*(store.tickets.take("k1", now=NOON) for store in [sql, elsewhere] * 3))
    [(ticket, arrival)] = [one for one in taken if one is not None]
    assert (ticket, arrival) == (replace(TICKET, digest="k1"), b"sealed")


async def test_a_ticket_past_its_time_begins_nothing(sql: Store) -> None:
    await sql.tickets.add(TICKET, PLENTY)

    assert not await begun(sql, at=TICKET_LIFE)
    assert await begun(sql, at=TICKET_LIFE - INSTANT)


async def test_a_flow_is_taken_by_exactly_one_caller(sql: Store, elsewhere: Store) -> None:
    await sql.tickets.add(TICKET, PLENTY)
    await begun(sql)

    taken = await asyncio.gather(*(store.tickets.take("s1", now=NOON) for store in [sql, elsewhere] * 3))

    [(ticket, flow)] = [one for one in taken if one is not None]
    assert replace(ticket, expires_at=TICKET.expires_at) == TICKET
    assert flow == b"s1"


async def test_a_flow_has_a_life_of_its_own(sql: Store) -> None:
    await sql.tickets.add(TICKET, PLENTY)
    late = TICKET_LIFE - INSTANT
    await begun(sql, at=late)

    assert await sql.tickets.take("s1", now=NOON + late + TICKET_LIFE) is None
    assert await sql.tickets.take("s1", now=NOON + late + TICKET_LIFE - INSTANT) is not None


async def test_the_sweep_removes_what_is_past_its_time_only(sql: Store) -> None:
    await sql.tickets.add(TICKET, PLENTY)
    await sql.tickets.add(replace(TICKET, digest="d2"), PLENTY)
    await begun(sql, at=timedelta(minutes=5))

    assert await sql.tickets.sweep(now=TICKET.expires_at - INSTANT) == 0
    assert await sql.tickets.sweep(now=TICKET.expires_at) == 1
    assert await sql.tickets.take("s1", now=TICKET.expires_at) is not None


async def test_a_sign_in_comes_back_as_it_was(sql: Store, elsewhere: Store) -> None:
    await sql.sign_ins.put(ROW)

    found = await elsewhere.sign_ins.get(AIKO)

    assert found is not None
    assert replace(found, version=ROW.version) == ROW
    assert await elsewhere.sign_ins.tied_to("tenant", "oid") == AIKO
    assert await elsewhere.sign_ins.tied_to("other", "oid") is None
    assert await elsewhere.sign_ins.get(KEN) is None


async def test_an_account_is_tied_to_one_slack_user(sql: Store) -> None:
    await sql.sign_ins.put(ROW)

    with pytest.raises(LostRace):
        await sql.sign_ins.put(replace(ROW, user=KEN))

    assert await sql.sign_ins.tied_to("tenant", "oid") == AIKO
    assert await sql.sign_ins.get(KEN) is None


async def test_a_person_who_takes_anothers_account_keeps_their_own_row(sql: Store) -> None:
    kens = replace(ROW, user=KEN, oid="kens")
    await sql.sign_ins.put(ROW)
    await sql.sign_ins.put(kens)

    with pytest.raises(LostRace):
        await sql.sign_ins.put(replace(ROW, user=KEN))

    assert await sql.sign_ins.tied_to("tenant", "kens") == KEN


async def test_of_two_refreshes_at_once_one_is_kept_and_the_other_is_told(
    sql: Store, elsewhere: Store
) -> None:
    await sql.sign_ins.put(ROW)
    version = await _version(sql)

    outcomes = await asyncio.gather(
        sql.sign_ins.update_cache(AIKO, version=version, key_id="k2", sealed=b"one"),
        elsewhere.sign_ins.update_cache(AIKO, version=version, key_id="k2", sealed=b"two"),
    )

    found = await sql.sign_ins.get(AIKO)
    assert sorted(outcomes) == [False, True]
    assert found is not None
    assert found.sealed == (b"one" if outcomes[0] else b"two")
    assert (found.key_id, found.username) == ("k2", ROW.username)


async def test_a_refresh_from_before_a_new_sign_in_changes_nothing(sql: Store) -> None:
    await sql.sign_ins.put(ROW)
    version = await _version(sql)
    await sql.sign_ins.put(replace(ROW, sealed=b"new"))

    assert not await sql.sign_ins.update_cache(AIKO, version=version, key_id="k1", sealed=b"old")


async def test_a_refresh_from_before_a_sign_out_never_lands_on_the_next_sign_in(sql: Store) -> None:
    await sql.sign_ins.put(ROW)
    version = await _version(sql)
    await sql.sign_ins.delete(AIKO, an_entry())
    await sql.sign_ins.put(replace(ROW, sealed=b"new"))

    assert not await sql.sign_ins.update_cache(AIKO, version=version, key_id="k1", sealed=b"old")


async def test_signing_out_removes_the_row_and_says_whether_there_was_one(sql: Store) -> None:
    await sql.sign_ins.put(ROW)

    assert await sql.sign_ins.delete(AIKO, an_entry())
    assert not await sql.sign_ins.delete(AIKO, an_entry())
    assert await sql.sign_ins.get(AIKO) is None


async def _version(store: Store) -> int:
    row = await store.sign_ins.get(AIKO)
    assert row is not None
    return row.version
