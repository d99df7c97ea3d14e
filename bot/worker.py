"""The worker: two queues of due rows, claimed under a lease, and the periodic tasks.

What waits costs a row and no task: only rows that are due have one, at most MAX_ROWS of them in each queue.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog

from bot.domain.errors import LostRace, Refusal, StoreError
from bot.domain.request import MessageState
from bot.store import requests
from bot.store.requests import Claimed, Queue
from bot.use_cases.deps import Deps, Notifier
from bot.use_cases.execute import advance
from bot.use_cases.publish import Published, publish

MAX_ROWS: Final = 8
AUDIT_HEAD: Final = "audit_head"
"""The periodic task that keeps the audit log's head outside the database."""

log = structlog.get_logger()


@dataclass(repr=False, eq=False)
class QueueLoop:
    """Claims what is due in one queue and handles it; it outlives an outage of the database.

    `handle` returns what `publish` does; None where a move has said when the row is due again.
    """

    _deps: Deps
    _queue: Queue
    _handle: Callable[[Claimed], Awaitable[Published | None]]
    _at_work: set[asyncio.Task[None]] = field(init=False, default_factory=set)
    _due: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _stopping: bool = field(init=False, default=False)
    _passed_at: datetime | None = field(init=False, default=None)

    def wake(self) -> None:
        self._due.set()

    def stop(self) -> None:
        """Claim nothing more. `run` returns when what is at work has ended."""
        self._stopping = True
        self.wake()

    def is_stalled(self) -> bool:
        """Whether the queue was not looked at for `stalled_after`."""
        oldest = self._deps.now() - self._deps.timing.stalled_after
        return self._passed_at is None or self._passed_at <= oldest

    async def run(self) -> None:
        """Loop until `stop`. Cancelled, it cancels what is at work; those rows go on after their lease."""
        async with asyncio.TaskGroup() as rows:
            while not self._stopping:
                self._due.clear()
                await _sleep(self._due, await self._pass(rows))

    async def _pass(self, rows: asyncio.TaskGroup) -> timedelta:
        """Claim and start what is due; return how long nothing else will be due."""
        now, timing = self._deps.now(), self._deps.timing
        room = MAX_ROWS - len(self._at_work)
        claim = partial(requests.claim, queue=self._queue, now=now, lease=timing.lease, limit=room)
        try:
            claimed = await self._deps.database.run(claim, can_wait=True) if room else []
            for row in claimed:
                task = rows.create_task(self._work(row))
                self._at_work.add(task)
                task.add_done_callback(self._at_work.discard)
                task.add_done_callback(lambda _: self.wake())
            self._passed_at = now
            if len(claimed) == room:
                return timing.idle  # full: the first that ends wakes the queue
            due = await self._deps.database.read(partial(requests.next_due, queue=self._queue))
        except StoreError as error:
            log.warning("store_unavailable", queue=self._queue.value, error=type(error).__name__)
            return timing.idle
        except Exception as crash:  # a queue that ends would leave every row where it is
            log.error("pass_crashed", queue=self._queue.value, error=type(crash).__name__)
            return timing.idle
        if due is None or due <= now:  # due, and not claimed: another replica claims it right now
            return timing.idle
        return min(timing.idle, due - now)

    async def _work(self, row: Claimed) -> None:
        """Handle one row and end its lease; where that fails the lease runs out, and the row is due again."""
        about = {"queue": self._queue.value, "request": row.request.id}
        due_at, shown = None, None
        try:
            async with asyncio.timeout(self._deps.timing.work_timeout.total_seconds()):
                if published := await self._handle(row):
                    due_at, shown = published
            await self._release(row, due_at, shown)
        except (LostRace, StoreError, Refusal) as lost:  # of a row that changed behind our back
            log.info("row_left", **about, error=type(lost).__name__)
            try:  # `due_at` yields to a move; what is shown is kept, though to end the lease failed once
                await self._release(row, self._deps.now() + self._deps.timing.retry, shown)
            except StoreError:
                log.info("lease_left_to_run_out", **about)
        except TimeoutError:
            log.warning("row_timed_out", **about)
        except Exception as crash:  # the lease spaces the next try; the other rows go on
            log.error("row_crashed", **about, error=type(crash).__name__)

    async def _release(self, row: Claimed, due_at: datetime | None, shown: MessageState | None) -> None:
        release = partial(requests.release, claimed=row, due_at=due_at, messages=shown)
        await self._deps.database.run(release, can_wait=True)


class Worker:
    """Both queues of one process, and its periodic tasks: done at the start and every minute.

    `periodic`: by name. A task that fails is logged and done again.
    """

    def __init__(
        self, deps: Deps, notifier: Notifier, periodic: Mapping[str, Callable[[], Awaitable[object]]]
    ) -> None:
        self._timing = deps.timing
        self._queues = {
            Queue.ADVANCE: QueueLoop(deps, Queue.ADVANCE, lambda row: advance(deps, row.request)),
            Queue.PUBLISH: QueueLoop(deps, Queue.PUBLISH, partial(publish, deps, notifier)),
        }
        self._periodic = dict(periodic)
        self._due = {name: asyncio.Event() for name in periodic}
        self._stopping = False
        self._running: list[asyncio.Task[None]] = []

    def start(self) -> None:
        loops = [*(queue.run() for queue in self._queues.values()), *map(self._repeat, self._periodic)]
        self._running = [asyncio.create_task(loop) for loop in loops]

    def wake(self) -> None:
        """A row changed: both queues look now."""
        for queue in self._queues.values():
            queue.wake()

    def keep_head(self) -> None:
        """Do the audit head's task now."""
        self._due[AUDIT_HEAD].set()

    def stalled(self) -> list[Queue]:
        """Return the queues that were not looked at for too long; /readyz says so."""
        return [name for name, queue in self._queues.items() if queue.is_stalled()]

    async def stop(self) -> None:
        """Take no more work, let what is in flight end within `grace`, then cancel it."""
        self._stopping = True
        for queue in self._queues.values():
            queue.stop()
        for due in self._due.values():
            due.set()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=self._timing.grace.total_seconds())
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _repeat(self, name: str) -> None:
        while not self._stopping:
            self._due[name].clear()
            try:
                await self._periodic[name]()
            except StoreError as error:
                log.info("task_postponed", task=name, error=type(error).__name__)
            except Exception as crash:  # the queues and the other tasks go on
                log.error("task_crashed", task=name, error=type(crash).__name__)
            await _sleep(self._due[name], self._timing.periodic)


async def _sleep(due: asyncio.Event, pause: timedelta) -> None:
    """Sleep until `due` is set, or for `pause`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(pause.total_seconds()):
            await due.wait()
