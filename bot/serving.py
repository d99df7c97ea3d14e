"""Serve: the bot behind a web server until SIGTERM, and its numbers on a listener of their own."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Final

import structlog
import uvicorn
from starlette.types import ASGIApp

from bot.settings import Settings
from bot.web.connections import Connection
from bot.web.metrics import Events
from bot.wiring import GRACE, unlatch

KEEP_ALIVE: Final = timedelta(seconds=75)
"""Longer than a load balancer keeps an idle connection (mostly a minute), so that the balancer closes it.
The other way round it now and then sends a delivery into a connection that we have just closed."""

log = structlog.get_logger()


async def serve(settings: Settings, events: Events) -> None:
    """Run until SIGTERM or SIGINT; what is in flight is finished within a bounded time.

    `events`: how often what was logged, for /metrics.
    """
    async with unlatch(settings, events) as bot, AsyncExitStack() as beside:
        listener = socket.create_server((settings.host, settings.port))
        if bot.metrics is not None:
            scraped = socket.create_server((settings.metrics_host, settings.metrics_port or 0))
            await beside.enter_async_context(_served_beside(bot.metrics, scraped))
        host, port = listener.getsockname()[:2]
        server = _Server(http_config(bot.asgi))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, server.stop)
        log.info("serving", host=host, port=port, socket_mode=bot.sockets is not None)
        await server.serve([listener])


@asynccontextmanager
async def _served_beside(asgi: ASGIApp, listener: socket.socket) -> AsyncIterator[None]:
    """Serve on a listener of its own during the block."""
    server = _Server(http_config(asgi))
    serving = asyncio.create_task(server.serve([listener]), name="metrics")
    log.info("serving_metrics", port=listener.getsockname()[1])
    try:
        yield
    finally:
        server.stop()
        await serving


def http_config(asgi: ASGIApp) -> uvicorn.Config:
    """How the web server behaves."""
    return uvicorn.Config(
        asgi,
        http=Connection,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_keep_alive=int(KEEP_ALIVE.total_seconds()),
        timeout_graceful_shutdown=int(GRACE.total_seconds()),
    )


class _Server(uvicorn.Server):
    """Uvicorn's own signal handling raises the signal again when it has stopped, before our work is done."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `serve`."""
        yield

    def stop(self) -> None:
        """Take no more requests, finish those that are here."""
        self.should_exit = True
