"""Whether the bot's HTTP server answers, so that the page can say so before anybody tries."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

SECONDS_BETWEEN_LOOKS = 2.0


class Reachability:
    """Looks every two seconds whether something listens where the bot should be."""

    def __init__(self, url: Callable[[], str | None], changed: Callable[[], None]) -> None:
        self.reachable = False
        self._url = url
        self._changed = changed
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._looking = asyncio.create_task(self._look_on())

    async def stop(self) -> None:
        """Stop looking."""
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking
            self._looking = None

    async def look(self) -> None:
        """Look once."""
        before, self.reachable = self.reachable, await _listens(self._url())
        if self.reachable != before:
            self._changed()

    async def _look_on(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)


async def _listens(url: str | None) -> bool:
    if url is None:
        return False
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True
