"""Requests in both databases: one winner of each move, one replica at each row, limits that hold at once."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from bot.domain.errors import Cause, Code, LostRace, Refusal
from bot.domain.request import Attempt, MessageRef, MessageState, ResetRequest, Status
from bot.domain.values import ChannelId, DeviceId, UserId, utc_text
from bot.store import requests
from bot.store.database import Database
from bot.store.requests import UNREADABLE_PAUSE, Claimed, Queue, backlog
from bot.store.tables import audit
from bot.store.tables import requests as table
from sqlalchemy import select, update
from structlog.testing import capture_logs
from tests.support.bot import refused
from tests.unit.store.conftest import claimed, moved, opened, owner, run_behind
from tests.unit.store.rows import KEN, MEI, NOW, TIMING, a_pending, a_request, add, an_approval, get, stored

LEASE = TIMING.lease
SECOND = timedelta(seconds=1)
SHOWN = MessageState(card=MessageRef(ChannelId("C0ONCALL"), "1.2"), card_digest="d", posting=True, failures=2)


def approve(pending: ResetRequest, device: str = "d1") -> ResetRequest:
    return pending.approve(an_approval(device), reviewed=pending.revision)


async def due(database: Database, queue: Queue = Queue.ADVANCE) -> Any:
    return await database.read(lambda connection: requests.next_due(connection, queue))


async def released(database: Database, row: Claimed, due_at: Any) -> None:
    await database.run(lambda tx: requests.release(tx, row, due_at=due_at))


async def events(database: Database, request: ResetRequest) -> list[str]:
    rows = select(audit.c.event).where(audit.c.request_id == request.id).order_by(audit.c.seq)
    return await database.read(lambda connection: list(connection.scalars(rows)))


async def test_a_request_comes_back_as_it_was_in_every_status(database: Database):
    full: dict[str, Any] = {"ticket": "INC-1", "expires_at": NOW, "reminders": 3, "attempts": 2}
    full |= {"approval": an_approval(), "decided_by": KEN, "decided_at": NOW, "denial": "no"}
    full["attempt"] = Attempt(started_at=NOW, client_request_id="guid", seen_at=NOW + SECOND)
    full["cause"] = Cause(Code.DEVICE_FAILED, {"error_code": "1"})
    for status in Status:
        for fields in (full | {"held_device": DeviceId(status)}, {"next_at": None}):
            request = a_request(status=status, **fields)
            assert await get(database, await stored(database, request)) == request


async def test_a_second_delivery_finds_the_first_ones_row_and_costs_no_quota(database: Database):
    first = await stored(database, a_request())
    again = replace(a_request(), delivery=first.delivery)
    assert await database.run(lambda tx: add(tx, again, limit=1)) == first
    assert (await events(database, first), await events(database, again)) == (["requested"], [])


async def test_of_two_moves_from_one_version_one_wins_and_only_it_leaves_an_audit_row(replicas):
    here, _ = replicas
    for _ in range(20):
        pending = await stored(here, a_pending())
        denied = [pending.deny("no", by=KEN, now=NOW) for _ in range(2)]
        both = zip(replicas, denied, strict=True)
        ends = await asyncio.gather(*(moved(at, pending, new) for at, new in both), return_exceptions=True)
        assert sorted(type(end).__name__ for end in ends) == ["LostRace", "ResetRequest"]
        assert (await get(here, pending)).status is Status.DENIED
        assert await events(here, pending) == ["requested", "denied"]


async def two_that_take(what: str, database: Database, name: str) -> list[tuple[ResetRequest, ResetRequest]]:
    """Two requests, and each as it is when it has taken the same target or device."""
    if what == "target":
        olds = [await stored(database, a_request(target=f"serial:{text_}")) for text_ in (name, name.lower())]
        return [(old, old.accept(target=old.target, now=NOW, timing=TIMING)) for old in olds]
    olds = [await stored(database, a_pending()) for _ in range(2)]
    return [(old, approve(old, name)) for old in olds]


@pytest.mark.parametrize("what", ["target", "device"])
async def test_a_target_and_a_device_are_held_by_one_request_at_a_time(replicas, what):
    here, elsewhere = replicas
    (first, took), (second, takes) = await two_that_take(what, here, "F2LX1234")
    await moved(here, first, took)
    told = await refused(moved(elsewhere, second, takes))
    assert await get(here, second) == second
    if what == "target":
        first_one = {"ref": first.ref, "by": first.asked_by, "first": first.id}
        assert (told.code, told.facts) == (Code.ALREADY_REQUESTED, first_one)
        over = took.deny("no", by=KEN, now=NOW)
    else:
        assert (told.code, told.facts) == (Code.DEVICE_BUSY, {"ref": first.ref})
        attempt = took.start_attempt(client_request_id="g", now=NOW, timing=TIMING)
        over = attempt.mark_sent(now=NOW, timing=TIMING).mark_done(NOW, now=NOW)
    await moved(here, took, over)
    await moved(elsewhere, second, takes)


@pytest.mark.parametrize("what", ["target", "device"])
async def test_of_two_that_take_one_target_or_device_at_once_one_is_refused(replicas, what):
    here, elsewhere = replicas
    for number in range(10):
        one, other = await two_that_take(what, here, f"SN{number:04}")
        ends = await asyncio.gather(moved(here, *one), moved(elsewhere, *other), return_exceptions=True)
        [lost] = [end for end in ends if not isinstance(end, ResetRequest)]
        assert isinstance(lost, Refusal | LostRace)  # LostRace: read again, then a Refusal


async def test_a_quota_holds_when_many_ask_at_once_on_two_replicas(replicas):
    adding = [replicas[n % 2].run(lambda tx: add(tx, a_request(), limit=20)) for n in range(60)]
    ends = await asyncio.gather(*adding, return_exceptions=True)
    over = [end for end in ends if isinstance(end, BaseException)]
    assert [getattr(end, "code", end) for end in over] == [Code.QUOTA_EXCEEDED] * 40


async def test_a_quota_slides_says_until_when_and_is_each_persons_own(database: Database):
    async def ask(minutes: int, by: UserId = MEI) -> None:
        asked = a_request(at=NOW + timedelta(minutes=minutes), by=by)
        await database.run(lambda tx: add(tx, asked, limit=3))

    for minutes in (0, 20, 40):
        await ask(minutes)
    told = {"limit": "3", "until": utc_text(NOW + timedelta(hours=1))}
    assert (await refused(ask(59))).facts == told
    await ask(0, by=KEN)
    await ask(60)


async def test_a_person_has_as_many_open_requests_as_the_limit_says_and_no_more(database: Database):
    def ask() -> Any:
        return database.run(lambda tx: add(tx, a_request(), open_limit=2))

    await asyncio.gather(ask(), ask())
    assert (await refused(ask())).facts == {"limit": "2"}


@pytest.mark.parametrize("queue", list(Queue))
async def test_each_due_row_is_claimed_by_one_of_many_the_oldest_first_until_its_lease_ends(replicas, queue):
    here, elsewhere = replicas
    rows = [await stored(here, a_request(at=NOW - n * SECOND)) for n in range(30)]
    found = await asyncio.gather(*(claimed(replicas[n % 2], queue, limit=3) for n in range(10)))
    found.append(await claimed(here, queue, limit=99))
    ids = [row.request.id for batch in found for row in batch]
    assert sorted(ids) == sorted(row.id for row in rows)
    for batch in found:
        asked = [row.request.asked_at for row in batch]
        assert asked == sorted(asked)
    assert await claimed(elsewhere, queue, now=NOW + LEASE - SECOND) == []
    [other] = set(Queue) - {queue}
    assert len(await claimed(elsewhere, other, limit=99)) == 30  # its leases are its own
    assert len(await claimed(elsewhere, queue, now=NOW + LEASE, limit=99)) == 30


async def test_a_row_that_another_replica_is_claiming_is_passed_over(postgresql: str):
    async with opened(postgresql) as database:
        rows = [await stored(database, a_request(at=NOW - n * SECOND)) for n in range(2)]
        with owner(postgresql) as claiming:
            claiming.execute(select(table).where(table.c.id == rows[1].id).with_for_update())
            assert [row.request for row in await claimed(database)] == [rows[0]]


@pytest.mark.parametrize(
    ("queue", "due_at", "again"),
    [
        (Queue.PUBLISH, None, None),
        (Queue.PUBLISH, NOW + SECOND, NOW + SECOND),
        (Queue.ADVANCE, NOW + SECOND, NOW + SECOND),
        (Queue.ADVANCE, None, NOW),
    ],
)
async def test_a_release_says_when_the_row_is_due_again(database, queue, due_at, again):
    await stored(database, a_request())
    (row,) = await claimed(database, queue)
    await released(database, row, due_at)
    assert await due(database, queue) == again


@pytest.mark.parametrize("queue", list(Queue))
async def test_a_release_yields_to_a_move_that_was_made_meanwhile(database: Database, queue: Queue):
    received = await stored(database, a_request())
    (row,) = await claimed(database, queue)
    later = received.verify_later(now=NOW + SECOND, timing=TIMING)
    await database.run(lambda tx: requests.move(tx, received, later, None))
    await released(database, row, NOW + timedelta(days=9))
    assert await due(database, queue) == (later.next_at if queue is Queue.ADVANCE else later.changed_at)


async def test_who_lost_the_lease_ends_and_writes_nothing(replicas):
    here, elsewhere = replicas
    await stored(here, a_request())
    (late,) = await claimed(here, Queue.PUBLISH)
    (owner,) = await claimed(elsewhere, Queue.PUBLISH, now=NOW + LEASE)
    await released(here, late, NOW)
    with pytest.raises(LostRace):
        await here.run(lambda tx: requests.save_messages(tx, late, SHOWN))
    assert await claimed(here, Queue.PUBLISH, now=NOW + LEASE) == []
    await elsewhere.run(lambda tx: requests.save_messages(tx, owner, SHOWN))
    await released(elsewhere, owner, NOW)
    (again,) = await claimed(here, Queue.PUBLISH, now=NOW + LEASE)
    assert again.messages == SHOWN


async def test_what_a_dead_process_leased_is_due_at_once_and_its_posts_when_they_are_over(on_sqlite):
    await stored(on_sqlite, a_request())
    tampered = await stored(on_sqlite, a_request())
    spoil = update(table).where(table.c.id == tampered.id)
    await run_behind(on_sqlite, spoil.values(reason="x"))
    for queue in Queue:
        await claimed(on_sqlite, queue)
    await run_behind(on_sqlite, spoil.values(reason=tampered.reason))
    posted = NOW + TIMING.slack_timeout
    await on_sqlite.run(lambda tx: requests.end_leases(tx, now=NOW, published_by=TIMING.slack_timeout))
    assert len(await claimed(on_sqlite)) == 2
    found = [len(await claimed(on_sqlite, Queue.PUBLISH, now=now)) for now in (posted - SECOND, posted)]
    assert found == [0, 2]


UNREADABLE: tuple[tuple[str, str], ...] = (
    *(("status", "later"), ("cause", "[]")),
    *(("approval", text) for text in ("{", "[]", "5", '{"device": "x"}', "[" * 100_000)),
    *(("next_at", text) for text in ("x", "0", "0001-01-01T00:00:00+14:00")),
    *(("seal", text) for text in ("", "[Infinity, 1, 1, 1]", "[1e400, 1, 1, 1]")),
)


@pytest.mark.parametrize(("column", "value"), UNREADABLE, ids=lambda text: text[:9])
async def test_a_row_that_cannot_be_read_stands_in_no_other_rows_way(database, column, value):
    bad = await stored(database, a_request(at=NOW - SECOND))
    await run_behind(database, update(table).where(table.c.id == bad.id).values({column: value}))
    good = [await stored(database, a_request()) for _ in range(3)]
    found = await claimed(database, Queue.PUBLISH)
    assert sorted(row.request.id for row in found) == sorted(row.id for row in good)
    assert await claimed(database, Queue.PUBLISH) == []
    recent = await database.read(lambda c: requests.recent_requests(c, [MEI], database.audit_log, limit=9))
    assert len(recent) == 3
    with capture_logs() as logs:
        assert len(await claimed(database, Queue.ADVANCE)) == 3
    assert {line["log_level"] for line in logs} <= {"critical"}
    for now in (NOW, NOW + UNREADABLE_PAUSE - SECOND):
        assert (await database.read(lambda c, now=now: backlog(c, now=now))).set_aside == 1
    assert len(await claimed(database, Queue.PUBLISH, now=NOW + LEASE, limit=1)) == 1
    for queue in Queue:
        await database.read(lambda connection, queue=queue: requests.next_due(connection, queue))
    assert (await database.read(lambda c: backlog(c, now=NOW))).open_requests[Status.RECEIVED] >= 3


async def test_the_next_due_time_is_when_the_first_row_is_due_and_free(database: Database):
    assert await due(database) is None
    await stored(database, a_request(next_at=NOW + 5 * SECOND))
    await stored(database, a_request(next_at=None))
    assert await due(database) == NOW + 5 * SECOND
    await stored(database, a_request())
    await claimed(database)
    assert await due(database) == NOW + 5 * SECOND
    await claimed(database, now=NOW + 5 * SECOND)
    assert await due(database) == NOW + LEASE


async def test_the_latest_requests_of_a_person_come_newest_first(database: Database):
    mine = [await stored(database, a_request(at=NOW + n * SECOND)) for n in range(4)]
    await stored(database, a_request(by=KEN))
    recent = await database.read(lambda c: requests.recent_requests(c, [MEI], database.audit_log, limit=3))
    assert list(recent) == mine[:0:-1]
    assert await database.read(lambda c: requests.count_requests(c, [MEI])) == 4


async def test_the_backlog_counts_what_waits(database: Database):
    await stored(database, a_request())
    await stored(database, a_pending())
    await stored(database, a_request(status=Status.DONE, next_at=None))
    (row, *_) = await claimed(database, Queue.PUBLISH, limit=1)
    await database.run(lambda tx: requests.save_messages(tx, row, replace(SHOWN, failures=1)))
    later = NOW + timedelta(minutes=1)
    found = await database.read(lambda connection: backlog(connection, now=later))
    waiting = {status: count for status, count in found.open_requests.items() if count}
    assert waiting == {Status.RECEIVED: 1, Status.PENDING: 1}
    assert found.overdue == {Queue.ADVANCE: timedelta(minutes=1), Queue.PUBLISH: timedelta(minutes=1)}
    assert (found.not_published, found.sign_ins) == (1, 0)
