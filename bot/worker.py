"""The worker: one loop a lane that claims due rows and lets the use cases move or show them.

Waiting costs a row, never a task: only rows that are due have one, and not more than `AT_ONCE` of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog

from bot.domain.errors import LostRace, SlackError, StoreAway
from bot.domain.request import ResetRequest
from bot.ports import Board, Claimed, Clock, Lane, Requests
from bot.resets.desk import Desk
from bot.resets.drive import drive
from bot.resets.show import show

AT_ONCE: Final = 16
LEASE: Final = timedelta(seconds=90)
"""Longer than a row may be worked on (`BOUND`), so that no other replica takes it from a living holder."""
BOUND: Final = timedelta(seconds=75)
SWEEP_EVERY: Final = timedelta(minutes=1)
LOOK_EVERY: Final = timedelta(seconds=2)
"""How often a process looks whether an errand is due, such as a device code; each has a pace of its own."""
STALE: Final = timedelta(seconds=30)
"""A lane that has not passed for so long is stuck."""
LONGEST_SLEEP: Final = timedelta(seconds=5)
"""Another replica's new rows are seen after this long at the latest."""
AGAIN: Final = timedelta(seconds=5)
"""When a row is looked at again that the database did not let us finish."""

log = structlog.get_logger()

Attend = Callable[[Claimed], Awaitable[datetime | None]]
Chore = Callable[[], Awaitable[object]]


@dataclass
class LaneLoop:
    """Claims what is due in one lane and attends to it; an outage of the database is waited for."""

    lane: Lane
    requests: Requests
    clock: Clock
    attend: Attend
    at_work: set[asyncio.Task[None]] = field(default_factory=set)
    stopping: bool = False
    last_pass_at: datetime | None = None
    _due: asyncio.Event = field(default_factory=asyncio.Event)
    _passing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def wake(self) -> None:
        """A row is due: look at once."""
        self._due.set()

    async def run(self) -> None:
        """Loop until `stop`."""
        while not self.stopping:
            self._due.clear()
            async with self._passing:
                pause = await self._guarded_pass()
            await self._sleep(pause)

    async def stop(self, *, grace: timedelta) -> None:
        """Claim nothing more; let what is in flight finish within `grace`, then cancel it.

        What is cancelled is taken up from its row after the next start.
        """
        self.stopping = True
        self.wake()
        async with self._passing:  # a claim that is under way may still start rows
            started = set(self.at_work)
        if started:
            _, late = await asyncio.wait(started, timeout=grace.total_seconds())
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _guarded_pass(self) -> timedelta:
        try:
            return await self._pass()
        except StoreAway:
            log.warning("store_away", lane=self.lane)
        except Exception as crash:  # a lane that ends would leave every row where it is
            log.error("pass_crashed", lane=self.lane, error=type(crash).__name__)
        return LONGEST_SLEEP

    async def _pass(self) -> timedelta:
        """Claim and start what is due; returns how long nothing will be due."""
        now = self.clock.now()
        room = AT_ONCE - len(self.at_work)
        claimed = await self.requests.claim(self.lane, now=now, lease=LEASE, limit=room) if room else []
        for row in claimed:
            self._start(row)
        self.last_pass_at = now
        if len(claimed) == room:
            return LONGEST_SLEEP if self.at_work else timedelta(0)
        next_due = await self.requests.next_due(self.lane)
        return LONGEST_SLEEP if next_due is None else min(LONGEST_SLEEP, max(next_due - now, timedelta(0)))

    def _start(self, row: Claimed) -> None:
        task = asyncio.create_task(self._work(row))
        self.at_work.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self.at_work.discard(task)
        self.wake()

    async def _work(self, row: Claimed) -> None:
        """Attend to one row and end its lease; if that fails the lease runs out and the row is due again."""
        try:
            async with asyncio.timeout(BOUND.total_seconds()):
                again_at = await self.attend(row)
            await self.requests.release(self.lane, row.request, again_at=again_at)
        except (LostRace, StoreAway) as lost:
            log.info("row_left", lane=self.lane, request=row.request.id, why=type(lost).__name__)
            await self._let_go(row)
        except Exception as crash:  # one broken row must not stop the others; its lease spaces the next try
            log.error("row_crashed", lane=self.lane, request=row.request.id, error=type(crash).__name__)

    async def _let_go(self, row: Claimed) -> None:
        try:
            again_at = self.clock.now() + AGAIN  # yields to a move; without it a message would never be shown
            await self.requests.release(self.lane, row.request, again_at=again_at)
        except StoreAway:
            log.info("lease_left_to_run_out", lane=self.lane, request=row.request.id)

    async def _sleep(self, pause: timedelta) -> None:
        if self.stopping or not pause:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(pause.total_seconds()):
                await self._due.wait()
        except TimeoutError:
            return


class Worker:
    """The two lanes of one process, and what it does once a minute or every few seconds."""

    def __init__(
        self,
        desk: Desk,
        board: Board,
        *,
        chores: Mapping[str, Chore] | None = None,
        errands: Mapping[str, Chore] | None = None,
    ) -> None:
        """Take `chores` by name, done at the start and once a minute beside the sweep of sign-ins.

        `errands` are done every few seconds.
        """
        self._desk = desk
        self._chores = {"sweep": desk.sign_ins.sweep} | dict(chores or {})
        self._errands = dict(errands or {})
        self._board = board
        self._stopped = asyncio.Event()
        self.lanes = (
            LaneLoop(Lane.DRIVE, desk.requests, desk.clock, self._drive),
            LaneLoop(Lane.SHOW, desk.requests, desk.clock, self._show),
        )

    def wake(self) -> None:
        """A row changed: both lanes look at once."""
        for lane in self.lanes:
            lane.wake()

    async def run(self) -> None:
        """Run both lanes until `stop`."""
        async with asyncio.TaskGroup() as group:
            for lane in self.lanes:
                group.create_task(lane.run())
            for name, chore in self._chores.items():
                group.create_task(self._every(SWEEP_EVERY, name, chore))
            for name, chore in self._errands.items():
                group.create_task(self._every(LOOK_EVERY, name, chore))

    async def is_turning(self) -> bool:
        """Whether both lanes have looked for work lately."""
        oldest = self._desk.clock.now() - STALE
        return all(lane.last_pass_at is not None and lane.last_pass_at > oldest for lane in self.lanes)

    async def stop(self, *, grace: timedelta = timedelta(seconds=20)) -> None:
        """Stop taking work and let what is in flight finish."""
        self._stopped.set()
        await asyncio.gather(*(lane.stop(grace=grace) for lane in self.lanes))

    async def _every(self, pause: timedelta, name: str, chore: Chore) -> None:
        while not self._stopped.is_set():
            try:
                await chore()
            except StoreAway:
                log.info("chore_left", chore=name)
            except Exception as crash:  # the lanes go on without it
                log.error("chore_crashed", chore=name, error=type(crash).__name__)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause.total_seconds()):
                    await self._stopped.wait()

    async def _drive(self, row: Claimed) -> None:
        await drive(self._desk, row.request)
        self.wake()  # what it moved is shown now, not at the next look

    async def _show(self, row: Claimed) -> datetime | None:
        return await show(self._desk, self._board, row, stuck=_log_stuck)


def _log_stuck(request: ResetRequest, error: SlackError) -> None:
    log.warning("not_shown", request=request.id, error=type(error).__name__, code=error.code)
