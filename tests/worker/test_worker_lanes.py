"""A lane: it outlives outages and crashes, is never idle while a row is due, and never spins."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from bot import worker
from bot.domain.errors import LostRace, SlackAway, StoreAway
from bot.domain.limits import Limits
from bot.domain.request import Status
from bot.ports import Claimed, Lane
from bot.worker import AT_ONCE, BOUND, LEASE, LONGEST_SLEEP, LaneLoop, Worker
from tests.fakes.board import FakeBoard
from tests.fakes.desk import StaffedDesk, a_desk
from tests.fakes.store import FakeRequests

GRACE = timedelta(seconds=5)
SOON = timedelta(seconds=0.01)
Attend = Callable[[Claimed], Awaitable[datetime | None]]


class CountedRequests(FakeRequests):
    """Counts passes, and runs `on_claim` before each."""

    passes: int = 0
    on_claim: Callable[[], None] = staticmethod(lambda: None)

    async def claim(self, lane, *, now, lease, limit):
        self.passes += 1
        self.on_claim()
        return await super().claim(lane, now=now, lease=lease, limit=limit)


@asynccontextmanager
async def running(lane: LaneLoop):
    task = asyncio.create_task(lane.run())
    try:
        yield task
    finally:
        await lane.stop(grace=GRACE)
        await task


@pytest.fixture
def staffed() -> StaffedDesk:
    return a_desk(limits=Limits(asks=1000))


@pytest.fixture
def rows(staffed) -> CountedRequests:
    return CountedRequests(staffed.record, staffed.requests.rows)


def lane_of(staffed: StaffedDesk, rows: CountedRequests, attend: Attend) -> LaneLoop:
    return LaneLoop(Lane.DRIVE, rows, staffed.clock, attend)


async def many_turns() -> None:
    """Everything that can run without time passing runs."""
    for _ in range(200):
        await asyncio.sleep(0)


async def test_a_wake_is_followed_at_once(staffed, rows):
    attended = asyncio.Event()

    async def attend(_row):
        attended.set()

    lane = lane_of(staffed, rows, attend)
    async with running(lane):
        await many_turns()
        assert not attended.is_set()
        await staffed.ask()
        lane.wake()
        async with asyncio.timeout(LONGEST_SLEEP.total_seconds() / 5):
            await attended.wait()


async def test_a_lane_with_nothing_due_sleeps(staffed, rows):
    async with running(lane_of(staffed, rows, _nothing)):
        await many_turns()
        assert rows.passes == 1


async def test_a_row_that_always_crashes_is_tried_once_a_lease_and_not_in_a_circle(staffed, rows):
    async def attend(_row):
        raise RuntimeError

    await staffed.ask()
    lane = lane_of(staffed, rows, attend)
    async with running(lane):
        await many_turns()
        assert rows.passes <= 3
        staffed.clock.pass_(LEASE)
        lane.wake()
        await many_turns()
    assert rows.passes <= 8


async def test_one_crashing_row_does_not_stop_the_others(staffed, rows):
    attended = []
    broken, *sound = [await staffed.ask() for _ in range(4)]

    async def attend(row):
        attended.append(row.request.id)
        if row.request.id == broken.id:
            raise RuntimeError

    async with running(lane_of(staffed, rows, attend)):
        await many_turns()
    assert {request.id for request in sound} < set(attended)


async def test_a_lane_survives_a_store_that_is_away(staffed, rows, monkeypatch):
    monkeypatch.setattr(worker, "LONGEST_SLEEP", SOON)
    attended = asyncio.Event()

    async def attend(_row):
        attended.set()

    await staffed.ask()
    staffed.record.away = True
    tried_twice = asyncio.Event()
    rows.on_claim = lambda: tried_twice.set() if rows.passes > 1 else None
    async with running(lane_of(staffed, rows, attend)):
        await tried_twice.wait()
        assert not attended.is_set()
        staffed.record.away = False
        async with asyncio.timeout(2):
            await attended.wait()


async def test_a_lane_survives_an_error_that_nobody_foresaw(staffed, rows, monkeypatch):
    monkeypatch.setattr(worker, "LONGEST_SLEEP", SOON)
    attended = asyncio.Event()

    async def attend(_row):
        attended.set()

    def broken_once():
        if rows.passes == 1:
            raise ValueError("a row that cannot be read")

    rows.on_claim = broken_once
    await staffed.ask()
    async with running(lane_of(staffed, rows, attend)), asyncio.timeout(2):
        await attended.wait()


async def test_no_more_than_its_share_is_at_work_at_once(staffed, rows):
    go_on, at_once = asyncio.Event(), []
    attended = 0

    async def attend(_row):
        nonlocal attended
        attended += 1
        at_once.append(len(lane.at_work))
        await go_on.wait()

    for _ in range(AT_ONCE + 5):
        await staffed.ask()
    lane = lane_of(staffed, rows, attend)
    async with running(lane):
        await many_turns()
        assert (attended, len(lane.at_work)) == (AT_ONCE, AT_ONCE)
        passes = rows.passes
        await many_turns()
        assert rows.passes == passes
        go_on.set()
        await many_turns()
        assert attended >= AT_ONCE + 5
    assert max(at_once) == AT_ONCE


async def test_a_row_that_is_moved_while_it_is_attended_to_is_not_lost(staffed, rows):
    seen = []
    request = await staffed.ask()

    async def attend(row):
        seen.append(row.request.status)
        if len(seen) == 1:
            moved = row.request
            await rows.replace(moved, replace(moved, status=Status.PENDING, version=moved.version + 1))
            raise LostRace
        await rows.replace(row.request, replace(row.request, next_at=None, version=row.request.version + 1))

    async with running(lane_of(staffed, rows, attend)):
        await many_turns()
    assert seen == [Status.RECEIVED, Status.PENDING]
    assert staffed.row(request.id).next_at is None


@pytest.mark.parametrize("lane", list(Lane))
async def test_what_the_store_interrupted_is_taken_up_again(staffed, rows, lane):
    attended = []

    async def attend(row):
        attended.append(row.request.id)
        if len(attended) == 1:
            raise StoreAway

    request = await staffed.ask()
    loop = LaneLoop(lane, rows, staffed.clock, attend)
    async with running(loop):
        await many_turns()
        assert attended == [request.id]
        staffed.clock.pass_(worker.AGAIN)
        loop.wake()
        await many_turns()
    assert attended[:2] == [request.id] * 2


async def test_a_row_is_given_up_before_another_replica_may_take_it(staffed, rows, monkeypatch):
    assert BOUND < LEASE
    monkeypatch.setattr(worker, "BOUND", SOON)
    cancelled = asyncio.Event()

    async def attend(_row):
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    await staffed.ask()
    async with running(lane_of(staffed, rows, attend)), asyncio.timeout(2):
        await cancelled.wait()


async def test_stopping_waits_for_what_is_in_flight(staffed, rows):
    begun, go_on, ended = asyncio.Event(), asyncio.Event(), []

    async def attend(row):
        begun.set()
        await go_on.wait()
        ended.append(row.request.id)

    request = await staffed.ask()
    lane = lane_of(staffed, rows, attend)
    async with running(lane):
        await begun.wait()
        stopping = asyncio.create_task(lane.stop(grace=GRACE))
        await many_turns()
        assert not stopping.done()
        await staffed.ask()
        go_on.set()
        await stopping
    assert ended == [request.id]


async def test_stopping_waits_for_rows_that_a_claim_under_way_still_starts(staffed, rows):
    ended = []

    async def attend(row):
        await many_turns()
        ended.append(row.request.id)

    request = await staffed.ask()
    lane = lane_of(staffed, rows, attend)
    stops: list[asyncio.Task[None]] = []
    rows.on_claim = lambda: stops.append(asyncio.create_task(lane.stop(grace=GRACE)))
    await lane.run()
    await stops[0]
    assert ended == [request.id]


async def test_stopping_cancels_what_is_late_and_its_row_is_taken_up_later(staffed, rows):
    begun = asyncio.Event()

    async def attend(_row):
        begun.set()
        await asyncio.Event().wait()

    request = await staffed.ask()
    lane = lane_of(staffed, rows, attend)
    task = asyncio.create_task(lane.run())
    await begun.wait()
    await lane.stop(grace=SOON)
    await task
    staffed.clock.pass_(LEASE)
    [again] = await rows.claim(Lane.DRIVE, now=staffed.clock.now(), lease=LEASE, limit=5)
    assert again.request.id == request.id


# Both lanes


async def test_a_checked_request_is_shown_at_once():
    staffed, board = a_desk(), FakeBoard()
    both = Worker(staffed.desk, board)
    task = asyncio.create_task(both.run())
    await many_turns()
    request = await staffed.ask()
    both.wake()
    await many_turns()
    assert staffed.row(request.id).status is Status.PENDING
    assert set(board.posted) == {"card", "receipt"}
    await both.stop(grace=GRACE)
    await task


async def test_a_slow_slack_delays_no_reset():
    staffed, board = a_desk(), FakeBoard()
    board.troubles = {"card": SlackAway("timeout"), "receipt": SlackAway("timeout")}
    both = Worker(staffed.desk, board)
    request_id = await staffed.approved()
    task = asyncio.create_task(both.run())
    await many_turns()
    assert len(staffed.graph.resets) == 1
    assert staffed.row(request_id).status is Status.SENT
    await both.stop(grace=GRACE)
    await task


# What is done once a minute


async def test_a_chore_is_done_at_the_start_and_outlives_every_failure(monkeypatch):
    monkeypatch.setattr(worker, "SWEEP_EVERY", SOON)
    failures: list[Exception] = [StoreAway(), RuntimeError()]
    done = asyncio.Event()

    async def chore() -> None:
        if failures:
            raise failures.pop(0)
        done.set()

    both = Worker(a_desk().desk, FakeBoard(), chores={"seal": chore})
    task = asyncio.create_task(both.run())
    async with asyncio.timeout(2):
        await done.wait()
    await both.stop(grace=GRACE)
    await task


async def _nothing(_row: Claimed) -> None:
    return None
