"""Socket Mode: envelopes over WebSockets (docs.slack.dev/apis/events-api/using-socket-mode)."""

import asyncio
import json
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from sandbox.cast import APP_ID
from sandbox.faults.connections import transport_of
from sandbox.slack.delivery import ACK_SECONDS, Ack, Envelope
from sandbox.slack.shapes import JsonObject
from sandbox.slack.workspace import Changes

CONNECTIONS: Final = 10
DisconnectReason = Literal["warning", "refresh_requested", "link_disabled"]


@dataclass(eq=False, slots=True)
class _Connection:
    socket: WebSocket
    retiring: bool = False


class Sockets:
    """The open connections of the app; each envelope goes to exactly one of them, in turn."""

    def __init__(self, changes: Changes) -> None:
        self.ack_seconds = ACK_SECONDS
        self.refused_handshakes: list[int] = []
        """The status of the answer to each of the next handshakes; the ticket is used up by it."""
        self._changes = changes
        self._tickets: set[str] = set()
        self._open: list[_Connection] = []
        self._turn = 0
        self._acks: dict[str, asyncio.Future[Ack]] = {}
        self._last: JsonObject | None = None

    @property
    def connections(self) -> int:
        """How many sockets are open."""
        return len(self._open)

    def ticket(self) -> str:
        """Return the single-use right to open one socket."""
        ticket = secrets.token_urlsafe(18)
        self._tickets.add(ticket)
        return ticket

    async def accept(self, socket: WebSocket) -> None:
        """Serve one WebSocket until it closes."""
        ticket = socket.query_params.get("ticket", "")
        if ticket not in self._tickets:
            await socket.close(code=1008)
            return
        self._tickets.remove(ticket)
        if self.refused_handshakes:
            await socket.send_denial_response(Response(status_code=self.refused_handshakes.pop(0)))
            return
        await socket.accept()
        if len(self._open) >= CONNECTIONS:
            await socket.send_json({"type": "disconnect", "reason": "too_many_websockets"})
            await socket.close()
            return
        await self._serve(_Connection(socket))

    async def carry(self, envelope: Envelope) -> Ack:
        body: JsonObject = {
            "envelope_id": f"{secrets.token_hex(4)}-{secrets.token_hex(6)}",
            "type": envelope.kind,
            "accepts_response_payload": envelope.takes_answer,
            "payload": envelope.payload,
        }
        return await self._send(body)

    async def repeat(self) -> Ack:
        if self._last is None:
            raise LookupError("nothing was delivered yet")
        return await self._send(self._last)

    async def disconnect(self, reason: DisconnectReason) -> None:
        """Tell every open socket to go away, as Slack does before it closes one.

        After `warning` a socket still gets envelopes; after the others it gets none. `link_disabled` closes
        at once, in the middle of whatever is on its way.
        """
        for connection in list(self._open):
            connection.retiring = reason != "warning"
            with suppress(WebSocketDisconnect, RuntimeError):  # it is going already
                await connection.socket.send_json(
                    {"type": "disconnect", "reason": reason, "debug_info": {"host": "sandbox"}}
                )
                if reason == "link_disabled":
                    await connection.socket.close()

    def freeze(self) -> None:
        """Read nothing more from the open sockets, and answer no ping, without closing them."""
        for connection in self._open:
            connection.retiring = True
            transport_of(connection.socket.scope).pause_reading()

    def cut(self) -> None:
        """Break every socket without a word, as a network does."""
        for connection in list(self._open):
            connection.retiring = True
            transport_of(connection.socket.scope).abort()

    async def close(self) -> None:
        """Close every socket."""
        for connection in list(self._open):
            if connection.socket.client_state is WebSocketState.CONNECTED:
                await connection.socket.close(code=1001)

    async def _serve(self, connection: _Connection) -> None:
        self._open.append(connection)
        try:
            await connection.socket.send_json(self._hello())
            self._changes.tell()
            while True:
                self._acknowledged(await connection.socket.receive_text())
        except (WebSocketDisconnect, RuntimeError):
            pass  # the app, or this side, closed the socket
        finally:
            self._open.remove(connection)
            self._changes.tell()

    def _hello(self) -> JsonObject:
        return {
            "type": "hello",
            "num_connections": len(self._open),
            "debug_info": {"host": "sandbox", "build_number": 1, "approximate_connection_time": 3600},
            "connection_info": {"app_id": APP_ID},
        }

    def _acknowledged(self, text: str) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            return
        if not isinstance(message, dict):
            return
        # Any socket of the app may acknowledge: the one that was asked may have been replaced since.
        waiting = self._acks.get(str(message.get("envelope_id")))
        if waiting is not None and not waiting.done():
            waiting.set_result(Ack("ok", message.get("payload") or ""))

    def _next(self) -> _Connection | None:
        willing = [c for c in self._open if not c.retiring]
        if not willing:
            return None
        self._turn += 1
        return willing[self._turn % len(willing)]

    async def _send(self, body: JsonObject) -> Ack:
        connection = self._next()
        if connection is None:
            return Ack("failed")
        self._last = body
        envelope_id = str(body["envelope_id"])
        waiting: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        self._acks[envelope_id] = waiting
        try:
            async with asyncio.timeout(self.ack_seconds):
                await connection.socket.send_json(body)
                return await waiting
        except TimeoutError:
            return Ack("timeout")
        except (WebSocketDisconnect, RuntimeError):
            return Ack("failed")
        finally:
            self._acks.pop(envelope_id, None)
