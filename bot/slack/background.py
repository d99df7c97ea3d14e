"""Background tasks: what goes on after an acknowledgement, owned by the process and awaited at shutdown."""

import asyncio
import traceback
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import structlog

log = structlog.get_logger()


class Background:
    """Bolt keeps no reference to what a listener leaves behind and awaits nothing at shutdown; this does."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, object], *, name: str) -> None:
        """Run `work`; a crash in it is logged and never raised into a listener that has acknowledged."""
        task = asyncio.create_task(self._guarded(work, name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, *, grace: timedelta) -> None:
        """Wait for all of it, then cancel what is late; what it moved is in the store."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=grace.total_seconds())
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _guarded(self, work: Coroutine[Any, Any, object], name: str) -> None:
        try:
            await work
        except Exception as crash:  # the task is awaited by nobody who could handle it
            log_crash("background_crashed", crash, work=name)


def log_crash(event: str, crash: Exception, **ids: str) -> None:
    """Log the kind and the place of a crash. Not its text: libraries put bodies and tokens into theirs."""
    frames = [
        f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(crash.__traceback__)
    ]
    log.error(event, error=type(crash).__name__, frames=frames[-12:], **ids)
