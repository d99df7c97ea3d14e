"""A web server as a guest in the process of a test, which says when it listens."""

import asyncio
import socket

import uvicorn


class GuestServer(uvicorn.Server):
    """uvicorn, with an event in the place of a wait."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()
