"""A gate in front of the sandbox: counts connections, and lets nobody answer until it is told to."""

import asyncio
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass
class Gate:
    """`held`: parts of paths that nobody gets to until `release`; `muted`: those that only get no answer."""

    app: ASGIApp
    held: set[str] = field(default_factory=set)
    muted: set[str] = field(default_factory=set)
    connections: set[tuple[str, tuple[str, int]]] = field(default_factory=set)
    """The first part of each path, and the client's address and port."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Somebody waits at the gate."""
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.connections.add((scope["path"].split("/")[1], tuple(scope["client"])))
            if any(part in scope["path"] for part in self.held):
                self.arrived.set()
                await self._released.wait()
            if any(part in scope["path"] for part in self.muted):
                send = self._unheard(send)
        await self.app(scope, receive, send)

    def hold(self, *parts: str) -> None:
        """Let nobody through to these from now on."""
        self._close()
        self.held = set(parts)

    def mute(self, *parts: str) -> None:
        """Let these do what they are asked to, and say nothing."""
        self._close()
        self.muted = set(parts)

    def _close(self) -> None:
        self._released, self.arrived = asyncio.Event(), asyncio.Event()

    def _unheard(self, send: Send) -> Send:
        released, arrived = self._released, self.arrived

        async def later(message: Message) -> None:
            arrived.set()
            await released.wait()
            await send(message)

        return later

    def release(self) -> None:
        """Let everybody through, also those who wait."""
        self.held, self.muted = set(), set()
        self._released.set()
