"""The web server: uvicorn in our own process, bounded for a listener that the internet may reach.

uvicorn bounds neither the age, the size nor the number of connections. Here each carries one request, lives a
minute and may send 640 kB; where too many are open, the oldest makes room, so that Slack always gets in.
"""

import asyncio
import math
import resource
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from bot.web.sign_in import STYLE_SOURCE

MAX_BODY: Final = 512 * 1024
"""Bytes. Slack's largest delivery is a view of 250 kB, form-encoded; a sign-in's answer is some kB."""
BACKLOG: Final = 100
"""Connections accepted in one turn of the event loop. Several times fewer than `Bounds.connections`: in a
burst that is as large, Slack's own connection would be the oldest before its request is read."""
WAITING: Final = 1024
"""Connections that may wait in the kernel; with 100 a burst of reconnects would drop SYNs."""
DESCRIPTORS: Final = 2048
"""Asked for where the limit is lower: shells and systemd mostly give 1024, macOS 256."""
UNSENT: Final = 1.0
"""Seconds that shutdown waits for the rest of a request; for its answer it waits as `serving` is told."""
HEADERS: Final = {
    "Content-Security-Policy": f"default-src 'none'; style-src {STYLE_SOURCE}; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}
HSTS: Final = {"Strict-Transport-Security": f"max-age={365 * 24 * 60 * 60}"}


def web_app(routes: Sequence[BaseRoute], *, https: bool) -> ASGIApp:
    """Return the application. `https`: browsers reach it over https, and use nothing else from then on.

    Around everything, a 404 and a crash too: at most MAX_BODY bytes in, the security headers out. Nothing
    redirects between paths with and without a slash: that would repeat the Host that the peer sent.
    """
    app = Starlette(routes=routes, exception_handlers={ClientDisconnect: _disconnected})
    app.router.redirect_slashes = False
    headers = HEADERS | (HSTS if https else {})

    async def edge(scope: Scope, receive: Receive, send: Send) -> None:
        received = 0

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY:
                raise HTTPException(413)
            return message

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = MutableHeaders(scope=message)
                for name, text in headers.items():
                    known.setdefault(name, text)
            await send(message)

        await app(scope, bounded, send_with_headers)

    return edge


async def _disconnected(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it; without an answer it would be logged as a crash


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one listener bears. `connections` and three times BACKLOG must fit into DESCRIPTORS."""

    lifetime: timedelta = timedelta(seconds=60)
    """Of one connection, which is one request and its answer: longer than anything of ours takes."""
    received: int = 640 * 1024
    """Bytes of one connection, head and framing included."""
    connections: int = 500
    """Open at once; one more, and the oldest is aborted that waits for a request, else the oldest."""


def bounded_protocol(bounds: Bounds) -> type[H11Protocol]:
    """Return the protocol of one listener. It overrides only what asyncio documents."""
    open_: dict[H11Protocol, asyncio.Transport] = {}  # oldest first

    class Connection(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's
            self.__left = bounds.received
            loop = asyncio.get_running_loop()
            self.__end = loop.call_later(bounds.lifetime.total_seconds(), transport.abort)
            open_[self] = transport
            if len(open_) > bounds.connections:
                # A request that is being answered goes on. uvicorn's types lack the None before the first.
                idle = (one for one in open_ if one.cycle is None)  # type: ignore[redundant-expr]
                open_.pop(next(idle, next(iter(open_)))).abort()
            super().connection_made(transport)

        def data_received(self, data: bytes) -> None:
            self.__left -= len(data)
            if self.__left >= 0:
                super().data_received(data)
            elif self in open_:
                open_[self].abort()

        def connection_lost(self, exc: Exception | None) -> None:
            self.__end.cancel()
            open_.pop(self, None)
            super().connection_lost(exc)

    return Connection


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for sock in sockets or []:
            sock.listen(WAITING)  # asyncio has one number for this and for BACKLOG
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the process: uvicorn raises them again before our own work has ended."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """Return a listener for IPv4, IPv6, or with `::` both. Raises OSError.

    Accepted sockets inherit TCP_NODELAY, which asyncio sets on none whose listener has protocol number 0;
    without it an acknowledgement may wait 40 ms for the peer's delayed ACK (Kludex/uvicorn#3149).
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, port), family=family, dualstack_ipv6=host == "::")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    return sock


@asynccontextmanager
async def serving(
    app: ASGIApp, sock: socket.socket, *, grace: timedelta, bounds: Bounds = Bounds()
) -> AsyncIterator[None]:
    """Serve during the block; then accept no more, and cancel what has not ended within `grace`.

    One request per connection (`Connection: close`): no keep-alive time-outs, no pipelining, and no load
    balancer that reuses a connection just closed.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < DESCRIPTORS:
        wanted = DESCRIPTORS if hard < 0 else min(DESCRIPTORS, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    config = uvicorn.Config(
        app,
        http=bounded_protocol(bounds),
        headers=[("connection", "close")],
        backlog=BACKLOG,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=math.ceil(grace.total_seconds()),
    )
    server = _Server(config)
    running = asyncio.create_task(server.serve([sock]), name="web")
    try:
        await server.listening.wait()
        yield
    finally:
        server.should_exit = True
        await asyncio.wait([running], timeout=UNSENT)
        for connection in server.server_state.connections:
            cycle = getattr(connection, "cycle", None)  # of uvicorn's one request
            if cycle is None or cycle.more_body:
                connection.transport.abort()
        await running
        for connection in list(server.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
