"""Notices that a reset moved on, so that somebody who watches the page sees it."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from sandbox.clock import Clock
from sandbox.intune.fleet import Fleet

SHORTEST_WAIT_SECONDS: Final = 0.02


class Watch:
    """Waits for the next instant at which an action changes state; `tick` does the same by hand."""

    def __init__(self, fleet: Fleet, clock: Clock, tell: Callable[[], None]) -> None:
        self._fleet = fleet
        self._clock = clock
        self._tell = tell
        self._seen = self._states()
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def tick(self) -> None:
        """Let what is due happen; tell if an action changed state since the last look."""
        self._fleet.settle(self._clock.now())
        states = self._states()
        if states != self._seen:
            self._seen = states
            self._tell()

    def wake(self) -> None:
        """Look again: something new may be due sooner."""
        self._woken.set()

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="sandbox-phones")

    async def close(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            self.tick()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds_to_next()):
                    await self._woken.wait()

    def _seconds_to_next(self) -> float | None:
        now = self._clock.now()
        actions = (action for phone in self._fleet.phones.values() for action in phone.actions)
        changes = [at for action in actions if (at := action.next_change_at(now)) is not None]
        if not changes:
            return None
        return max((min(changes) - now).total_seconds(), SHORTEST_WAIT_SECONDS)

    def _states(self) -> list[str]:
        now = self._clock.now()
        phones = self._fleet.phones.values()
        return [action.state(now) for phone in phones for action in phone.actions]
