"""The sandbox on the network: its server, who may call it, and whether the bot's server can be reached."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from email.utils import format_datetime
from typing import Final
from urllib.parse import urlsplit

import uvicorn
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

GRACE_SECONDS: Final = 2.0
SECONDS_BETWEEN_LOOKS: Final = 2.0


class Server(uvicorn.Server):
    """Uvicorn inside a process of the caller: takes no signals, and listens and stops by events.

    uvicorn's own loop wakes every 0.1 s, and its shutdown waits 0.1 s even where nothing is open.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self.stopping = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        await self.stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close what listens and what is idle; give running answers `GRACE_SECONDS`, then cancel them."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if tasks := list(self.server_state.tasks):
            _, late = await asyncio.wait(tasks, timeout=GRACE_SECONDS)
            for task in late:
                task.cancel()
        await asyncio.sleep(0)  # the transports close in the next turn of the loop


class SameOrigin:
    """Refuses a request whose Host is not the sandbox's, or that a page of another origin sent.

    The sandbox has no passwords, so this is what stops another page that is open in the browser (also one
    whose name was made to point at this machine, by DNS rebinding) from pressing buttons here.
    """

    def __init__(self, app: ASGIApp, base_url: Callable[[], str]) -> None:
        self._app = app
        self._base_url = base_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or self._ours(Headers(scope=scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            refused = JSONResponse({"error": "The sandbox only listens to its own page."}, 403)
            await refused(scope, receive, send)

    def _ours(self, headers: Headers) -> bool:
        base = urlsplit(self._base_url())
        port = f":{base.port}" if base.port else ""
        hosts = {base.netloc, *(f"{name}{port}" for name in ("127.0.0.1", "localhost", "[::1]"))}
        origin = headers.get("origin")
        return headers.get("host", "") in hosts and (origin is None or urlsplit(origin).netloc in hosts)


class Dated:
    """Gives every answer a Date, as the vendors do. `now`: the time that it says."""

    def __init__(self, app: ASGIApp, now: Callable[[], datetime]) -> None:
        self._app = app
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = format_datetime(self._now(), usegmt=True).encode()
                message["headers"] = [*message["headers"], (b"date", date)]
            await send(message)

        await self._app(scope, receive, dated)


class Reachability:
    """Looks every two seconds whether the bot's server listens, so that the page can say so."""

    def __init__(self, url: Callable[[], str | None], changed: Callable[[], None]) -> None:
        self.reachable = False
        self._url = url
        self._changed = changed
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._looking = asyncio.create_task(self._look())

    async def stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking
            self._looking = None

    async def _look(self) -> None:
        while True:
            before, self.reachable = self.reachable, await _listens(self._url())
            if self.reachable != before:
                self._changed()
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
