"""Waiting for something to change, without polling."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Changes:
    """Tells everybody who listens, or waits, that something changed."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[], None]] = []
        self._next = asyncio.Event()

    def tell(self) -> None:
        """Something changed."""
        woken, self._next = self._next, asyncio.Event()
        woken.set()
        for listener in list(self.listeners):
            listener()

    async def until(
        self,
        predicate: Callable[[], T],
        timeout: float = 5.0,  # noqa: ASYNC109 - a test's sentence: wait until this, at most so long
    ) -> T:
        """Return the first true value of `predicate`, asked after every change.

        TimeoutError after `timeout` real seconds.
        """
        async with asyncio.timeout(timeout):
            while not (found := predicate()):
                await self._next.wait()
        return found
