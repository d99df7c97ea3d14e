"""Seals: a row that another writer of the database made, changed or put back is not acted on."""

import asyncio
import concurrent.futures
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from bot.domain.audit import Entry, Event
from bot.domain.errors import AuditBroken, Code, Refusal
from bot.domain.request import MessageState, ResetRequest, Status
from bot.keys import new_key
from bot.store import requests
from bot.store.database import Database
from bot.store.requests import SEALED, Queue, backlog
from bot.store.tables import requests as table
from sqlalchemy import Connection, Integer, Row, delete, insert, select, update
from structlog.testing import capture_logs
from tests.support.database import VAULT_KEYS
from tests.unit.store.conftest import claimed, moved, opened, owner, run_behind
from tests.unit.store.rows import KEN, MEI, NOW, TIMING, a_pending, a_request, an_approval, get, noted, stored
from tests.unit.store.test_store_audit_log import log_of, tamper

EXEMPT = {"next_at", "advance_leased_until", "publish_at", "publish_leased_until", "publish_failures"}
"""When a row is worked on, and by whom: that allows nothing that the row does not allow."""


async def row_of(database: Database, request: ResetRequest) -> Row[Any]:
    query = select(table).where(table.c.id == request.id)
    return await database.read(lambda connection: connection.execute(query).one())


def put_back(row: Row[Any]) -> Any:
    return update(table).where(table.c.id == row.id).values(dict(row._mapping))


async def is_stopped(database: Database, request: ResetRequest) -> bool:
    """Whether nobody can decide on it and the worker advances others only; the log says so loudly."""
    other = await stored(database, a_request())
    with pytest.raises((Refusal, AuditBroken)) as refused:
        await get(database, request)
    with pytest.raises((Refusal, AuditBroken)):
        await database.run(lambda tx: requests.get_request(tx, request.id, tx.audit_log).id)
    with capture_logs() as logs:
        found = await claimed(database)
    assert [row.request.id for row in found] == [other.id]
    told = [(line["event"], line["log_level"], line["request"]) for line in logs]
    assert (await database.read(lambda connection: backlog(connection, now=NOW))).set_aside == 1
    broken = isinstance(refused.value, AuditBroken)
    assert broken or refused.value.code is Code.TAMPERED
    return told == [("audit_broken" if broken else "row_tampered", "critical", request.id)]


def test_every_column_is_sealed_but_for_when_a_row_is_worked_on_and_by_whom():
    assert set(table.columns.keys()) - set(SEALED) == EXEMPT | {"messages", "seal"}


@pytest.mark.parametrize("column", [*sorted({*SEALED} - {"id"}), "seal"])
async def test_a_row_with_one_column_changed_is_stopped(database: Database, column: str):
    approved = a_pending().approve(an_approval(), reviewed=a_pending().revision)
    request = await stored(database, replace(approved, next_at=NOW, ticket="INC-1"))
    value = 7 if isinstance(table.c[column].type, Integer) else "x"
    await run_behind(database, update(table).where(table.c.id == request.id).values({column: value}))
    assert await is_stopped(database, request)


async def test_that_nobody_looks_any_more_cannot_be_written_into_a_row(database: Database):
    approved = a_pending().approve(an_approval(), reviewed=a_pending().revision)
    attempted = approved.start_attempt(client_request_id="call-1", now=NOW, timing=TIMING)
    lost = await stored(database, attempted.mark_uncertain(now=NOW, timing=TIMING))
    await run_behind(database, update(table).where(table.c.id == lost.id).values(next_at=None))
    with pytest.raises(Refusal, match="tampered"):
        await get(database, lost)


async def test_a_row_that_was_made_by_hand_is_stopped(database: Database):
    genuine = await stored(database, a_request(status=Status.DONE, next_at=None))
    forged = dict((await row_of(database, genuine))._mapping)
    forged |= {"id": "f" * 32, "delivery": "forged", "status": "approved", "next_at": forged["asked_at"]}
    await run_behind(database, insert(table).values(forged))
    assert await is_stopped(database, a_request(id=forged["id"]))


async def withdrawn_and_put_back(database: Database, request: ResetRequest) -> None:
    before = await row_of(database, request)
    await moved(database, request, request.withdraw(by=request.asked_by, now=NOW), Event.WITHDRAWN)
    await run_behind(database, put_back(before))


async def withdrawn_put_back_and_its_audit_row_removed(database: Database, request: ResetRequest) -> None:
    await withdrawn_and_put_back(database, request)
    await noted(database)
    url = database.engine.url.render_as_string(hide_password=False)
    tamper(url, "DELETE FROM audit WHERE event = 'withdrawn'")


async def deleted_and_inserted_again(database: Database, request: ResetRequest) -> None:
    before = await row_of(database, request)
    await moved(database, request, request.deny("no", by=KEN, now=NOW), Event.DENIED)
    with owner(database.engine.url.render_as_string(hide_password=False)) as connection:
        connection.execute(delete(table).where(table.c.id == request.id))
        connection.execute(insert(table).values(before._mapping))


@pytest.mark.parametrize(
    "attack",
    [withdrawn_and_put_back, withdrawn_put_back_and_its_audit_row_removed, deleted_and_inserted_again],
)
@pytest.mark.parametrize("who", [0, 1], ids=["here", "by a replica that has not seen the end of the log"])
async def test_an_old_state_of_a_row_is_stopped(replicas, attack: Callable[..., Any], who: int):
    request = await stored(replicas[0], replace(a_pending(), next_at=NOW))
    await attack(replicas[0], request)
    assert await is_stopped(replicas[who], request)


async def test_messages_are_updated_only_where_the_bot_posted_them(database: Database):
    for_another, request = [await stored(database, a_request()) for _ in range(2)]
    theirs = await row_of(database, for_another)
    await run_behind(database, update(table).where(table.c.id == request.id).values(messages=theirs.messages))
    seen = {row.request.id: row.messages for row in await claimed(database, Queue.PUBLISH)}
    assert seen == {for_another.id: MessageState(), request.id: MessageState(posting=True)}


async def test_a_move_without_an_audit_row_reads_the_log_on_from_where_it_was_read(database: Database):
    request = await stored(database, replace(a_pending(), next_at=NOW))
    await noted(database, 3)
    reminded = request.remind(now=NOW, timing=TIMING)
    await database.run(lambda tx: requests.move(tx, request, reminded, None))
    before, seal = await row_of(database, request), json.loads((await row_of(database, request)).seal)
    newest = await database.read(database.audit_log.look)
    assert (seal[:3], await get(database, request)) == ([newest.seq, newest.hash, 0], reminded)
    await moved(database, reminded, reminded.withdraw(by=request.asked_by, now=NOW), Event.WITHDRAWN)
    await run_behind(database, put_back(before))
    with pytest.raises(Refusal, match="tampered"):
        await get(database, request)


async def test_a_move_replaces_no_row_that_was_changed_meanwhile(database: Database):
    """Two workers hold one row, whose version is put back after the first one's move."""
    approved = await stored(database, a_pending().approve(an_approval(), reviewed=a_pending().revision))
    first, second = [approved.start_attempt(client_request_id=f"{n}", now=NOW, timing=TIMING) for n in "12"]
    await moved(database, approved, first, Event.ATTEMPT_STARTED)
    back = update(table).where(table.c.id == approved.id).values(version=approved.version)
    await run_behind(database, back)
    with pytest.raises(Refusal, match="tampered"):
        await moved(database, approved, second, Event.ATTEMPT_STARTED)


async def test_a_row_that_was_changed_is_not_sealed_again_by_a_move_without_an_audit_row(database: Database):
    request = await stored(database, a_pending())
    await run_behind(database, update(table).where(table.c.id == request.id).values(reason="x"))
    reminded = request.remind(now=NOW, timing=TIMING)
    with pytest.raises(Refusal, match="tampered"):
        await database.run(lambda tx: requests.move(tx, request, reminded, None))


async def test_two_moves_in_one_commit_fit_their_seals(database: Database):
    request = await stored(database, a_pending())
    denied = request.deny("no", by=KEN, now=NOW)

    def deny(tx: Any) -> str:
        old = requests.get_request(tx, request.id, tx.audit_log)
        if old.status is denied.status:
            return "second"
        requests.move(tx, old, denied, Entry.of_move(Event.DENIED, denied, {}))
        return "first"

    ends = await asyncio.gather(*(database.run(deny) for _ in range(8)), return_exceptions=True)
    assert sorted(map(str, ends)) == ["first", *["second"] * 7]


async def test_a_row_is_sealed_under_any_key_of_the_vault(url: str):
    new = new_key()
    async with opened(url) as before:
        request = await stored(before, a_request())
    async with opened(url, log_of(new, VAULT_KEYS)) as both:
        assert await get(both, request) == request


async def test_what_is_over_and_sealed_with_a_key_that_is_gone_raises_no_alarm_in_a_list(url: str):
    async with opened(url) as before:
        await stored(before, a_request(status=Status.DONE, next_at=None))
    async with opened(url, log_of(new_key())) as after:
        with capture_logs() as logs:
            read = partial(requests.recent_requests, users=[MEI], audit_log=after.audit_log, limit=9)
            assert (await after.read(read), logs) == ([], [])


async def test_a_read_that_is_overtaken_by_other_commits_raises_no_alarm(database: Database):
    request = await stored(database, a_request())
    loop = asyncio.get_running_loop()

    def overtaken(connection: Connection) -> ResetRequest:
        connection.execute(select(table)).all()  # from here on it sees what was committed before
        asyncio.run_coroutine_threadsafe(noted(database, 3), loop).result(10)
        return requests.get_request(connection, request.id, database.audit_log)

    assert await database.read(overtaken) == request


async def test_a_second_delivery_that_a_move_elsewhere_overtakes_raises_no_alarm(postgresql: str):
    async with opened(postgresql) as here, opened(postgresql) as elsewhere:
        request, loop = await stored(here, a_request()), asyncio.get_running_loop()
        accepted = request.accept(target=request.target, now=NOW, timing=TIMING)
        read_log, moves = here.audit_log.since, []

        def overtaken(*about: Any) -> Any:
            """Between the row and the log: it happens at once, or has to wait for us."""
            moving = moved(elsewhere, request, accepted, Event.VERIFIED)
            moves.append(asyncio.run_coroutine_threadsafe(moving, loop))
            concurrent.futures.wait(moves, timeout=0.5)
            return read_log(*about)

        here.audit_log.since = overtaken  # type: ignore[method-assign]
        assert await stored(here, request) == request
        assert await asyncio.wrap_future(moves[0]) == accepted
