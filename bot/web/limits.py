"""A bound on what anybody may send, enforced while it arrives and before anything is parsed."""

import json
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST: Final = 512 * 1024
"""Bytes. Slack's largest delivery is a view of 250 kB, form-encoded; a sign-in's answer is some kB."""


class TooLarge(Exception):
    """The body is larger than LARGEST."""


class BodyLimit:
    """ASGI middleware: 413 for a body larger than LARGEST, announced or not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what is received."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen, started = 0, False

        async def bounded() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > LARGEST:
                raise TooLarge
            return message

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, bounded, sending)
        except ClientDisconnect:
            return  # nobody is there to be answered
        except TooLarge:
            if started:
                raise
            await _answer(send)


async def _answer(send: Send) -> None:
    body = json.dumps({"error": "Too large."}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
