"""A gate in front of the sandbox: counts connections, and lets nobody answer until it is told to."""

import asyncio
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Receive, Scope, Send


@dataclass
class Gate:
    """`held`: prefixes of paths that get no answer until `release`."""

    app: ASGIApp
    held: set[str] = field(default_factory=set)
    connections: set[tuple[str, tuple[str, int]]] = field(default_factory=set)
    """The first part of each path, and the client's address and port."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Somebody waits at the gate."""
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.connections.add((scope["path"].split("/")[1], tuple(scope["client"])))
            if any(scope["path"].startswith(prefix) for prefix in self.held):
                self.arrived.set()
                await self._released.wait()
        await self.app(scope, receive, send)

    def hold(self, *prefixes: str) -> None:
        """Let nobody through to these from now on."""
        self._released = asyncio.Event()
        self.arrived = asyncio.Event()
        self.held = set(prefixes)

    def release(self) -> None:
        """Let everybody through, also those who wait."""
        self.held = set()
        self._released.set()
