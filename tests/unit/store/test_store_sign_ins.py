"""Sign-in links and kept sign-ins: each step of a link succeeds once, one Slack user has an account."""

import asyncio
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import pytest
from bot.domain.audit import Entry, Event
from bot.domain.errors import Code
from bot.domain.people import SignInLink
from bot.domain.values import TeamId, UserId
from bot.store import sign_ins
from bot.store.database import Database, Transaction
from bot.store.sign_ins import SignInRow
from bot.store.tables import sign_in_links
from sqlalchemy import select, update
from tests.support import builders
from tests.support.bot import refused
from tests.support.builders import account_of
from tests.unit.store.conftest import run_behind
from tests.unit.store.rows import KEN, MEI, NOW, a_request, get, stored

TEN_MINUTES = timedelta(minutes=10)
LATER = NOW + TEN_MINUTES


def a_link(name: str, user: UserId = KEN) -> SignInLink:
    return SignInLink(
        digest=name, team=TeamId("T0CONTOSO"), user=user, expires_at=LATER, view_id="V1", claims="{}"
    )


EMAILS = frozenset({"ken@contoso.com", "k@contoso.com"})
ACCOUNT = account_of(builders.KEN, tenant="tenant", oid="oid", emails=EMAILS, authenticated_at=NOW)
SEALED = {"sealed": b"\x00\xff", "log_seq": 1, "log_hash": "x"}
A_SIGN_IN = SignInRow(user=KEN, **asdict(ACCOUNT), **SEALED)
SIGNED_IN = Entry(event=Event.SIGNED_IN, at=NOW, actor=KEN)


async def put(database: Database, **changes: Any) -> None:
    await database.run(lambda tx: sign_ins.put_sign_in(tx, replace(A_SIGN_IN, **changes), SIGNED_IN))


async def got(database: Database, user: UserId = KEN) -> Any:
    return await database.read(lambda connection: sign_ins.get_sign_in(connection, user))


async def added(
    database: Database, name: str, user: UserId = KEN, *, now: Any = NOW, limit: int = 20
) -> None:
    await database.run(lambda tx: sign_ins.add_link(tx, a_link(name, user), now=now, limit=limit))


async def begun(database: Database, name: str = "link", state: str = "state", now: Any = NOW) -> bool:
    row = sign_ins.LinkRow(a_link(name), state, b"flow")
    return await database.run(lambda tx: sign_ins.begin_flow(tx, row, now=now))


async def taken(database: Database, state: str = "state", now: Any = NOW) -> Any:
    return await database.run(lambda tx: sign_ins.take(tx, state, now=now))


async def looked_up(database: Database, name: str = "link", now: Any = NOW) -> Any:
    return await database.read(lambda c: sign_ins.find_link(c, name, database.audit_log, now=now))


async def test_each_step_of_a_link_succeeds_once_on_two_replicas(replicas):
    here, elsewhere = replicas
    for number in range(5):
        name, state = f"link{number}", f"state{number}"
        await added(here, name)
        begins = await asyncio.gather(begun(here, name, state), begun(elsewhere, name, state))
        assert sorted(begins) == [False, True]
        found = await looked_up(here, name)
        assert (found.link, found.state_digest, found.sealed) == (a_link(name), state, b"flow")
        flows = await asyncio.gather(taken(here, state), taken(elsewhere, state))
        [flow] = filter(None, flows)
        assert flow.sealed == b"flow"
        assert await looked_up(here, name) is None
        await elsewhere.run(lambda tx, flow=flow: sign_ins.put_back(tx, flow))
        assert (await taken(here, state)).sealed == b"flow"
        key = f"key-{name}"
        held = sign_ins.LinkRow(a_link(name), key, b"result")
        await here.run(lambda tx, held=held: sign_ins.hold_result(tx, held, now=NOW))
        results = await asyncio.gather(taken(here, key), taken(elsewhere, key))
        assert [row.sealed for row in results if row is not None] == [b"result"]
        assert await taken(here, key) is None


@pytest.mark.parametrize("column", [*sign_ins.SEALED_OF_LINK, "seal"])
async def test_a_link_leads_where_the_bot_meant_it_to(database: Database, column: str):
    await added(database, "link")
    await begun(database)
    await run_behind(database, update(sign_in_links).values({column: "x"}))
    assert (await looked_up(database), await taken(database)) == (None, None)


async def test_a_link_and_a_flow_that_are_out_of_time_are_gone(database: Database):
    await added(database, "link")
    await added(database, "later")
    await begun(database)
    assert await looked_up(database, now=LATER) is None
    assert await taken(database, now=LATER) is None
    assert not await begun(database, "later", "x", now=LATER)


async def test_used_links_count_towards_the_quota_until_the_hour_is_over(database: Database):
    for number in range(3):
        await added(database, f"link{number}", limit=3)
        await begun(database, f"link{number}", f"s{number}")
        await taken(database, f"s{number}")
    await database.run(lambda tx: sign_ins.sweep_links(tx, now=NOW + timedelta(minutes=59)))
    assert (await refused(added(database, "over", limit=3))).code is Code.QUOTA_EXCEEDED
    await added(database, "mei", MEI, limit=3)
    later = NOW + timedelta(hours=1)
    await added(database, "later", now=later, limit=3)
    await database.run(lambda tx: sign_ins.sweep_links(tx, now=later))
    left = await database.read(lambda connection: connection.scalars(select(sign_in_links.c.digest)).all())
    assert left == ["later"]


async def test_who_signs_in_makes_due_what_waits_for_that(database: Database):
    waiting = await stored(database, a_request(by=KEN, next_at=LATER))
    await put(database)
    assert (await get(database, waiting)).next_at == A_SIGN_IN.signed_in_at


async def test_a_sign_in_comes_back_as_it_was_and_confirmations_at_once_get_a_version_each(replicas):
    here, _ = replicas
    await asyncio.gather(*(put(replicas[n % 2]) for n in range(8)))
    first = await got(here)
    assert first == replace(A_SIGN_IN, version=first.version)
    await asyncio.gather(*(put(replicas[n % 2]) for n in range(20)))
    await put(here, oid="another", authenticated_at=None)
    again = {"oid": "another", "authenticated_at": None, "version": first.version + 21}
    assert await got(here) == replace(A_SIGN_IN, **again)
    assert await here.read(lambda c: sign_ins.sign_ins_after(c, KEN, limit=9)) == []


async def test_an_account_is_linked_to_one_slack_user(replicas):
    here, elsewhere = replicas
    ends = await asyncio.gather(put(here, user=KEN), put(elsewhere, user=MEI), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["LostRace", "NoneType"]
    holder = await here.read(lambda connection: sign_ins.linked_to(connection, "tenant", "oid"))
    kept = {user for user in (KEN, MEI) if await got(here, user) is not None}
    assert kept == {holder}


async def test_a_refresh_that_was_overtaken_or_signed_out_writes_nothing(database: Database):
    def refresh(tx: Transaction, version: int) -> bool:
        return sign_ins.update_sealed(tx, KEN, version=version, sealed=b"new")

    def sign_out(tx: Transaction) -> bool:
        return sign_ins.delete_sign_in(tx, KEN, Entry(event=Event.SIGNED_OUT, at=NOW, actor=KEN))

    await put(database)
    read = (await got(database)).version
    assert [await database.run(lambda tx: refresh(tx, read)) for _ in range(2)] == [True, False]
    assert [await database.run(sign_out) for _ in range(2)] == [True, False]
    await put(database)
    assert not await database.run(lambda tx: refresh(tx, read + 1))
