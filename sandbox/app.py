"""The sandbox as one ASGI application: a local Slack, Entra and Intune, and the page to play in."""

import asyncio
import socket
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from sandbox.cast import DEFAULT_CAST, Cast
from sandbox.clock import Clock, SystemClock
from sandbox.control import ControlApi
from sandbox.entra import Entra
from sandbox.faults import FaultInjection, Faults
from sandbox.faults.connections import BreakableHttp, BreakableSocket
from sandbox.intune import Intune
from sandbox.journal import NO_TOKEN, Bearer, Journal, Vendor
from sandbox.network import Dated, Reachability, SameOrigin, Server
from sandbox.slack import Slack
from sandbox.slack.local_slack import SCOPES
from sandbox.snapshot import Json, calls_snapshot, slack_snapshot

PAGE: Final = Path(__file__).with_name("page")


class Sandbox:
    """A local Slack, Entra and Intune that share one cast, one clock and one journal.

    `faults` are the rules of what goes wrong between them and the bot; none at first.

    Args:
        base_url: where the sandbox is served; may be set until it serves (`serve` sets it).
        bot_url: where the bot's HTTP server is. Its sign-in callback becomes a redirect URI in Entra.
        action_seconds: how long a phone takes to carry out a reset.
        transport: how the bot is reached if it runs in this process (httpx.ASGITransport).
        signing_clock: the clock of Slack's request signatures; the real one unless told otherwise.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        base_url: str = "http://127.0.0.1:8080",
        bot_url: str | None = None,
        cast: Cast = DEFAULT_CAST,
        action_seconds: float = 6,
        scopes: Collection[str] = SCOPES,
        transport: httpx.AsyncBaseTransport | None = None,
        signing_clock: Clock | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self.journal = Journal(self.clock)
        self.slack = Slack(
            cast,
            self.clock,
            self.journal,
            base_url=base_url,
            scopes=scopes,
            transport=transport,
            signing_clock=signing_clock,
        )
        self.entra = Entra(cast, self.clock, self.journal, base_url)
        self.intune = Intune(
            cast, self.clock, self.journal, base_url, self.entra, timedelta(seconds=action_seconds)
        )
        self.faults = Faults(self.clock)
        self.clock_ahead = timedelta(0)
        """How far the Date of every answer is ahead."""
        self.closing = False
        self._reachability = Reachability(lambda: self.slack.bot_url, self.slack.changed.tell)
        self._in_process = transport is not None
        self._sequence = count(1)
        self._change = asyncio.Event()
        self._control = ControlApi(self)
        self.bot_url = bot_url
        for part in (self.journal, self.entra, self.intune, self.faults):
            part.on_change.append(self._changed)
        self.slack.changed.listeners.append(self._changed)
        self.asgi = Starlette(routes=self._routes(), middleware=self._middleware())

    @property
    def base_url(self) -> str:
        """Where the sandbox is served, without a slash at the end."""
        return self.slack.base_url

    @base_url.setter
    def base_url(self, url: str) -> None:
        self.slack.base_url = self.entra.base_url = self.intune.base_url = url.rstrip("/")

    @property
    def bot_url(self) -> str | None:
        """Where the bot's HTTP server is; None if that is not known yet."""
        return self.slack.bot_url

    @bot_url.setter
    def bot_url(self, url: str | None) -> None:
        self.slack.bot_url = url
        if url is not None:
            callback = f"{url.rstrip('/')}/sign-in/callback"
            self.entra.redirect_uris = [*self.entra.redirect_uris, callback]

    async def start(self) -> None:
        """Begin to look whether the bot can be reached, and when the phones are done."""
        self._reachability.start()
        await self.intune.start()

    async def close(self) -> None:
        """End every stream and every connection to the bot."""
        self.closing = True
        self._changed()
        self.faults.close()
        await self._reachability.stop()
        await self.intune.close()
        await self._control.aclose()
        await self.slack.aclose()

    def content(self) -> Json:
        """Everything the page shows. Holds a passcode only inside a modal that the bot itself shows."""
        return {
            "bot": {"reachable": self._reachable(), "mode": self.slack.mode},
            **slack_snapshot(self.slack),
            "phones": self.intune.snapshot(),
            "roles": self.intune.roles_snapshot(),
            "faults": self.faults.snapshot(),
            "calls": calls_snapshot(self.journal.calls),
        }

    def snapshot(self) -> Json:
        """`content` with a `seq` that grows with every snapshot."""
        return {"seq": next(self._sequence), **self.content()}

    def next_change(self) -> asyncio.Event:
        """An event that is set when anything changes from now on."""
        return self._change

    def _changed(self) -> None:
        woken, self._change = self._change, asyncio.Event()
        woken.set()

    def _reachable(self) -> bool:
        return self._in_process or self.slack.mode == "socket" or self._reachability.reachable

    def _whose_token(self, to: Vendor, authorization: str) -> Bearer:
        match to:
            case "slack":
                return self.slack.bearer_of(authorization)
            case "graph":
                return self.intune.bearer_of(authorization)
            case "entra":
                return NO_TOKEN  # it issues tokens, and takes none

    def _middleware(self) -> list[Middleware]:
        return [
            Middleware(Dated, now=lambda: self.clock.now() + self.clock_ahead),
            Middleware(SameOrigin, base_url=lambda: self.base_url),
            Middleware(
                FaultInjection, faults=self.faults, journal=self.journal, whose_token=self._whose_token
            ),
        ]

    def _routes(self) -> list[BaseRoute]:
        return [
            Route("/", _page),
            Mount("/page", StaticFiles(directory=PAGE)),
            *self._control.routes(),
            *self.slack.routes(),
            *self.entra.routes(),
            *self.intune.routes(),
        ]


async def _page(_request: object) -> Response:
    headers = {"cache-control": "no-cache", "x-frame-options": "DENY", "x-content-type-options": "nosniff"}
    return FileResponse(PAGE / "index.html", headers=headers)


@asynccontextmanager
async def serve(sandbox: Sandbox, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Sandbox]:
    """Serve the sandbox; it listens, and knows its `base_url`, when the block begins.

    Port 0 takes any free one. OSError if the port is taken.
    """
    listener = socket.create_server((host, port))
    # Inherited by what it accepts: asyncio sets it on none whose listener has protocol number 0, and without
    # it an answer on a kept connection waits 40 ms for the client's delayed ACK (Kludex/uvicorn#3149).
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    address: tuple[Any, ...] = listener.getsockname()  # (host, port, …), by the family of the address
    sandbox.base_url = f"http://{host}:{address[1]}"
    config = uvicorn.Config(
        sandbox.asgi,
        log_config=None,
        access_log=False,
        lifespan="off",
        http=BreakableHttp,
        ws=BreakableSocket,
        date_header=False,
        timeout_keep_alive=75,  # as long as the vendors'; a client's idle connection is not closed under it
    )
    server = Server(config)
    serving = asyncio.create_task(server.serve([listener]))
    await server.listening.wait()
    await sandbox.start()
    try:
        yield sandbox
    finally:
        await sandbox.close()
        server.stopping.set()
        await serving
