"""The worker outlives outages and crashes, leaves no due row alone, never spins, and stops in time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from bot.domain.errors import LostRace, StoreUnavailable
from bot.domain.request import MessageRef, MessageState, Status
from bot.domain.values import ChannelId
from bot.store.requests import Claimed, Queue
from bot.timing import Timing
from bot.worker import AUDIT_HEAD, QueueLoop, Worker
from structlog.testing import capture_logs
from tests.support.bot import Bot

SOON = timedelta(milliseconds=5)
PATIENCE = 20.0
"""Seconds after which a test gives up."""
PATIENT = Timing(idle=timedelta(minutes=1), stalled_after=timedelta(minutes=2))
"""What a test sees was no idle look."""


class Fixture:
    """A bot, and the loop of one queue; `passes` counts its looks, each of which asks for the time.

    `before` is called before each of its units of work, and may raise. `locked`: no row can be had.
    """

    def __init__(self, bot: Bot) -> None:
        bot.rules(requests_per_hour=1000, open_requests=1000)
        self.bot, self.passes, self.locked = bot, 0, False
        self.before: Callable[[], None] = lambda: None
        real = bot.database
        database: Any = SimpleNamespace(run=self._run, read=real.read, audit_log=real.audit_log)
        self.deps = replace(bot.deps, database=database, now=self._now, timing=PATIENT)

    async def _run(self, work: Any, *, can_wait: bool) -> Any:
        self.before()
        return [] if self.locked else await self.bot.database.run(work, can_wait=can_wait)

    def _now(self) -> datetime:
        self.passes += 1
        return self.bot.clock.now()

    def timing(self, **changes: timedelta) -> None:
        self.deps = replace(self.deps, timing=replace(PATIENT, **changes))

    @asynccontextmanager
    async def running(self, handle: Callable[..., Any]) -> AsyncIterator[QueueLoop]:
        loop = QueueLoop(self.deps, Queue.PUBLISH, handle)
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            group.create_task(loop.run())
            yield loop
            loop.stop()

    @asynccontextmanager
    async def worker(self, **periodic: Callable[[], Awaitable[object]]) -> AsyncIterator[Worker]:
        worker = Worker(self.deps, self.bot.notifier, periodic)
        worker.start()
        try:
            async with asyncio.timeout(PATIENCE):
                yield worker
        finally:
            async with asyncio.timeout(PATIENCE):
                await worker.stop()

    async def settle(self) -> None:
        """Let happen what can without time passing: many turns of the loop and of the database."""
        for _ in range(20):
            await self.bot.database.run(lambda _tx: None, can_wait=True)

    async def until(self, seen: Callable[[], object]) -> None:
        while not seen():
            await self.bot.database.run(lambda _tx: None, can_wait=True)


@pytest.fixture
def fixture(database) -> Fixture:
    return Fixture(Bot(database))


class Handled:
    """A handler: raises what it is told to, and waits while it is held."""

    def __init__(self, *raising: Exception, held: bool = False) -> None:
        self.rows: list[Any] = []
        self.ended: list[Any] = []
        self.cancelled, self.go_on = asyncio.Event(), asyncio.Event()
        self._raising, self._held = list(raising), held

    async def __call__(self, row: Any) -> Any:
        self.rows.append(row)
        try:
            if self._held:
                await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self._raising:
            raise self._raising.pop(0)
        self.ended.append(row)
        return None, None


@pytest.mark.parametrize("is_due", [False, True], ids=["nothing is due", "another replica is claiming it"])
async def test_a_queue_with_nothing_to_claim_sleeps(fixture, is_due):
    if is_due:
        await fixture.bot.submit()
        fixture.locked = True
    async with fixture.running(Handled()):
        await fixture.until(lambda: fixture.passes)
        await fixture.settle()
        assert fixture.passes == 1


async def test_at_most_eight_rows_are_at_work_and_a_full_queue_does_not_spin(fixture):
    handled = Handled(held=True)
    for _ in range(13):
        await fixture.bot.submit()
    async with fixture.running(handled) as loop:
        await fixture.until(lambda: len(handled.rows) >= 8)
        for passes in (1, 2):
            await fixture.settle()
            assert (len(handled.rows), fixture.passes) == (8, passes)
            loop.wake()  # a wake adds one look, and no row
            await fixture.until(lambda passes=passes: fixture.passes > passes)
        handled.go_on.set()
        await fixture.until(lambda: len(handled.rows) >= 13)


async def test_a_row_that_becomes_due_is_handled_then(fixture):
    due = fixture.bot.clock.now() + SOON
    seen: list[int] = []

    async def handle(row: Claimed) -> Any:
        seen.append(row.request.version)
        fixture.bot.clock.advance(SOON)  # so that the second look finds it due
        return due, None

    await fixture.bot.submit()
    async with fixture.running(handle):
        await fixture.until(lambda: len(seen) >= 2)


@pytest.mark.parametrize(
    ("error", "level", "event", "wait"),
    [
        (RuntimeError(), "error", "row_crashed", PATIENT.lease),
        (TimeoutError(), "warning", "row_timed_out", PATIENT.lease),
        (StoreUnavailable(), "info", "row_left", PATIENT.retry),
        (LostRace(), "info", "row_left", PATIENT.retry),
    ],
)
async def test_a_failing_row_is_logged_tried_later_and_keeps_none_back(fixture, error, level, event, wait):
    """After its lease where it crashed, and soon where the store interrupted it."""
    handled = Handled(error)
    for _ in range(4):
        await fixture.bot.submit()
    with capture_logs() as logs:
        async with fixture.running(handled) as loop:
            await fixture.until(lambda: len(handled.ended) == 3)
            await fixture.settle()
            assert len(handled.rows) == 4
            fixture.bot.clock.advance(wait)
            loop.wake()
            await fixture.until(lambda: len(handled.ended) == 4)
    broken = handled.rows[0].request.id
    assert handled.ended[-1].request.id == broken
    [line] = [line for line in logs if line["event"].startswith("row_")]
    assert (line["log_level"], line["event"], line["request"]) == (level, event, broken)


@pytest.mark.parametrize(
    ("error", "event"),
    [(StoreUnavailable(), "store_unavailable"), (ValueError("a row that cannot be read"), "pass_crashed")],
    ids=["an outage", "a crash"],
)
async def test_a_queue_outlives_what_its_look_meets(fixture, error, event):
    raising = [error, error]

    def fail() -> None:
        if raising:
            raise raising.pop()

    fixture.timing(idle=SOON)
    fixture.before = fail
    await fixture.bot.submit()
    handled = Handled()
    with capture_logs() as logs:
        async with fixture.running(handled):
            await fixture.until(lambda: handled.rows)
    assert [line["event"] for line in logs if line.get("queue")] == [event] * 2


async def test_what_slack_shows_is_kept_though_the_first_try_to_end_the_lease_fails(fixture):
    await fixture.bot.submit()
    shown = MessageState(receipt=MessageRef(ChannelId("D1"), "1.0"))
    handled: list[Claimed] = []

    def fail() -> None:
        if len(handled) == 1:
            fixture.before = lambda: None
            raise StoreUnavailable

    async def handle(row: Claimed) -> Any:
        handled.append(row)
        fixture.before = fail
        return None, shown

    fixture.timing(retry=SOON)
    async with fixture.running(handle) as loop:
        await fixture.until(lambda: handled)
        await fixture.settle()
        fixture.bot.clock.advance(SOON)
        loop.wake()
        await fixture.until(lambda: len(handled) >= 2)
    assert handled[1].messages == shown


async def test_a_row_is_given_up_before_another_replica_may_take_it(fixture):
    fixture.timing(graph_timeout=SOON, attempt=2 * SOON, work_timeout=3 * SOON)  # the lease ends much later
    handled = Handled(held=True)
    await fixture.bot.submit()
    async with fixture.running(handled):
        await handled.cancelled.wait()


async def test_stopping_waits_for_what_is_at_work_and_takes_nothing_more(fixture):
    handled = Handled(held=True)
    await fixture.bot.submit()
    async with fixture.running(handled) as loop:
        await fixture.until(lambda: handled.rows)
        loop.stop()
        await fixture.bot.submit()
        await fixture.settle()
        assert handled.ended == []
        handled.go_on.set()
    assert len(handled.ended) == len(handled.rows) == 1


async def test_stopping_waits_for_rows_that_a_claim_under_way_still_starts(fixture):
    handled = Handled()
    await fixture.bot.submit()
    loop = QueueLoop(fixture.deps, Queue.PUBLISH, handled)
    fixture.before = loop.stop
    await asyncio.wait_for(loop.run(), PATIENCE)
    assert len(handled.ended) == 1


async def test_stopping_cancels_what_is_late_and_its_row_is_due_after_its_lease(fixture):
    """Within `PATIENCE`, though the row would be worked on for 75 seconds."""
    fixture.timing(grace=SOON)
    bot, handled = fixture.bot, Handled(held=True)
    bot.notifier.on_call = handled
    await bot.submit()
    async with fixture.worker(hangs=asyncio.Event().wait):
        await fixture.until(lambda: handled.rows)
    assert handled.cancelled.is_set()
    assert await bot.claim(Queue.PUBLISH) == []
    bot.clock.advance(fixture.deps.timing.lease)
    assert len(await bot.claim(Queue.PUBLISH)) == 1


async def test_a_slow_slack_delays_no_reset(fixture):
    fixture.timing(grace=SOON)
    request_id = await fixture.bot.pending()
    fixture.bot.notifier.on_call = slack = Handled(held=True)
    async with fixture.worker(hangs=asyncio.Event().wait) as worker:
        await fixture.until(lambda: slack.rows)
        await fixture.bot.approve(request_id)
        worker.wake()
        await fixture.until(lambda: fixture.bot.intune.resets)
    assert (await fixture.bot.row(request_id)).status is Status.SENT


async def test_a_queue_that_was_not_looked_at_for_too_long_is_stalled(fixture):
    async with fixture.worker() as worker:
        assert worker.stalled() == list(Queue)
        await fixture.until(lambda: not worker.stalled())
        fixture.bot.clock.advance(fixture.deps.timing.stalled_after)
        assert worker.stalled() == list(Queue)
        worker.wake()
        await fixture.until(lambda: not worker.stalled())


async def test_a_periodic_task_is_done_at_the_start_and_again_whatever_it_raises(fixture):
    fixture.timing(periodic=SOON, grace=SOON)
    raising: list[Exception] = [StoreUnavailable(), RuntimeError()]
    again = asyncio.Event()

    async def sweep() -> None:
        if raising:
            raise raising.pop(0)
        again.set()

    with capture_logs() as logs:
        async with fixture.worker(hangs=asyncio.Event().wait, sweep=sweep):
            await again.wait()
    events = [line["event"] for line in logs if line.get("task") == "sweep"]
    assert events == ["task_postponed", "task_crashed"]


async def test_the_audit_head_is_kept_at_once_when_asked(fixture):
    kept = asyncio.Queue[str]()
    async with fixture.worker(**{AUDIT_HEAD: partial(kept.put, "head")}) as worker:
        await kept.get()
        worker.keep_head()
        await kept.get()
        assert kept.empty()
