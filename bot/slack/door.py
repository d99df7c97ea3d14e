"""The door of HTTP mode: signature and shape are checked here, before any of it reaches Bolt.

Bolt 1.30 parses a body before it checks the signature, answers malformed ones with 500, and loses every
slash command whose raw body contains the word `payload`. Here a stranger gets 401, and Bolt gets a parsed
body, the same as from a socket.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol
from urllib.parse import parse_qsl

from slack_bolt.async_app import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from bot.domain.json_objects import read_object
from bot.domain.secret import Secret
from bot.ports import Clock
from bot.slack.sieve import sifted

OLDEST: Final = 300
"""Seconds that a signature is good for, either way."""


class Dispatcher(Protocol):
    """Bolt's app."""

    async def async_dispatch(self, req: AsyncBoltRequest) -> BoltResponse:
        """Run the listener that the body is for."""


def door(app: Dispatcher, signing_secret: Secret, clock: Clock) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint of `POST /slack/events`."""

    async def slack_events(request: Request) -> Response:
        try:
            raw = await request.body()
        except ClientDisconnect:
            return Response(status_code=400)
        if not is_signed(raw, request.headers, signing_secret, now=clock.now().timestamp()):
            return Response("The signature is missing, wrong or too old.", status_code=401)
        body = parsed(raw, request.headers.get("content-type", ""))
        if body is None:
            return Response("This is no delivery of Slack's.", status_code=400)
        return _answer(await app.async_dispatch(AsyncBoltRequest(mode="socket_mode", body=sifted(body))))

    return slack_events


def is_signed(raw: bytes, headers: Mapping[str, str], secret: Secret, *, now: float) -> bool:
    """Slack's v0 signature over timestamp and body, at most five minutes old.

    Source: docs.slack.dev, "Verifying requests from Slack".
    """
    stamp, given = headers.get("x-slack-request-timestamp", ""), headers.get("x-slack-signature", "")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 12 and given.isascii()):
        return False
    if abs(now - int(stamp)) > OLDEST:
        return False
    wanted = hmac.new(secret.reveal().encode(), b"v0:" + stamp.encode() + b":" + raw, hashlib.sha256)
    return hmac.compare_digest(f"v0={wanted.hexdigest()}", given)


def parsed(raw: bytes, content_type: str) -> dict[str, object] | None:
    """The body as a socket would deliver it: a form's fields or the JSON in `payload`; None if neither."""
    try:
        text = raw.decode()
        if content_type.startswith("application/json"):
            return read_object(text)
        fields = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=100))
    except ValueError:
        return None
    if "payload" in fields and "command" not in fields:
        return read_object(fields["payload"])
    return {**fields} or None


def _answer(bolt: BoltResponse) -> Response:
    headers = {name: values[0] for name, values in bolt.headers.items() if name != "content-length"}
    return Response(bolt.body, status_code=bolt.status, headers=headers)
