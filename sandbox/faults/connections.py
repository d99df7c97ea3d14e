"""Breaking a connection: the socket itself below uvicorn, httpx's own error in this process."""

import asyncio
import socket
import struct
from typing import Final

import httpx
from starlette.types import Message, Receive, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

EXTENSION: Final = "sandbox.connection"
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, zero seconds


class BreakableHttp(HttpToolsProtocol):
    """Uvicorn's HTTP/1.1, which also tells the application what connection a request came on.

    An application alone cannot close a connection without an answer: where it raises or returns early,
    uvicorn answers 500 and logs an error.
    """

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: {"transport": self.transport}}


class BreakableSocket(WebSocketsSansIOProtocol):
    """Uvicorn's WebSocket, which also tells the application what connection it is on."""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"][EXTENSION] = {"transport": self.transport}


def transport_of(scope: Scope) -> asyncio.Transport:
    """Return the transport of a request or a WebSocket of this server."""
    transport: asyncio.Transport = scope["extensions"][EXTENSION]["transport"]
    return transport


class Connection:
    """The connection of one request."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        extension = (scope.get("extensions") or {}).get(EXTENSION, {})
        self._transport: asyncio.Transport | None = extension.get("transport")
        self._receive = receive
        self._body = b""

    async def read(self) -> bool:
        """Take the whole request in, so that nothing is left to send; False if the client went away."""
        while (message := await self._receive())["type"] == "http.request":
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                return True
        return False

    def again(self) -> Receive:
        """The request that was read, to be received again, even if the client has gone away since."""
        body: list[Message] = [{"type": "http.request", "body": self._body, "more_body": False}]

        async def receive() -> Message:
            return body.pop() if body else await self._receive()

        return receive

    async def reset(self) -> None:
        """End it at once, as a crash or a firewall does (RST); in this process raise httpx.ReadError."""
        if self._transport is None:
            raise httpx.ReadError("the sandbox reset this connection")
        if not self._transport.is_closing():
            raw: socket.socket = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self._transport.abort()
        await self.gone()

    async def end(self) -> None:
        """End it after what was sent so far (FIN); in this process raise httpx.RemoteProtocolError."""
        if self._transport is None:
            raise httpx.RemoteProtocolError("the sandbox closed this connection in the middle of an answer")
        self._transport.close()
        await self.gone()

    async def gone(self) -> None:
        """Wait until it is closed, by either side."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
