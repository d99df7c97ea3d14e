"""One connection, and how long and how large a request may be while it arrives: uvicorn has no such bounds.

The body's size is bounded one floor up (`limits`), where an answer can say so.
"""

import asyncio
from datetime import timedelta
from http import HTTPStatus
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

ARRIVES_WITHIN: Final = timedelta(seconds=20)
"""From its first byte to its last. Slack gives up on us after three seconds."""
MOST_CONNECTIONS: Final = 1000
MOST_HEADERS: Final = 100
LARGEST_HEAD: Final = 64 * 1024
"""Bytes of request line and headers."""


class Connection(HttpToolsProtocol):
    """Closes on whoever trickles, floods or never speaks, and never on who waits for an answer."""

    arrives_within: ClassVar[timedelta] = ARRIVES_WITHIN
    most_connections: ClassVar[int] = MOST_CONNECTIONS

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._deadline: asyncio.TimerHandle | None = None
        self._in_head = False
        self._head_bytes = 0

    @property
    def _begun(self) -> RequestResponseCycle | None:
        """The newest request whose head is complete; uvicorn says nothing of None, but begins with it."""
        return self.cycle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """One too many is closed at once; one that says nothing, after as long as an idle one."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            transport.abort()
            return
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._unset_keepalive_if_required()
        self._has_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Any byte starts the clock: also one that belongs to no request."""
        self._expect()
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > LARGEST_HEAD:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A request, perhaps one behind another."""
        self._expect()
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """What has arrived in one piece is measured here."""
        self._in_head = False
        head = len(self.url) + sum(len(name) + len(text) for name, text in self.headers)
        if len(self.headers) > MOST_HEADERS or head > LARGEST_HEAD:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of it is here; how long the answer takes is our own affair."""
        self._has_arrived()
        if self._begun is not None:
            super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        """Of a request that was refused, nothing is kept."""
        if self._begun is not None and not self.transport.is_closing():
            super().on_body(body)

    def _expect(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.arrives_within.total_seconds(), self._is_late)

    def _has_arrived(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _is_late(self) -> None:
        self._deadline = None
        self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def _refuse(self, status: HTTPStatus) -> None:
        """Say why where nothing else is being said on this connection, and close it."""
        if self.transport.is_closing():
            return
        begun = self._begun
        if begun is None or begun.response_complete or not begun.response_started:
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\n"
            rest = "content-length: 0\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
            self.transport.write(f"{head}{rest}".encode())
        self.transport.close()
