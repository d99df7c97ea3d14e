"""What a stranger, or Slack, can send to the door."""

import hashlib
import hmac
import json
from datetime import datetime
from urllib.parse import urlencode

import httpx
from bot.domain.secret import Secret
from bot.slack.door import Dispatcher, door
from bot.web.limits import BodyLimit
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route
from tests.fakes.clock import NOON, HandClock

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
FORM = "application/x-www-form-urlencoded"
COMMAND = {
    "team_id": "T0CONTOSO",
    "user_id": "U0MEI",
    "channel_id": "C0SUPPORT",
    "command": "/reset-passcode",
    "text": "ada@contoso.com locked out",
    "trigger_id": "1.2.three",
}


class Mailbox:
    """Sends to the door; `headers` change what Slack would send, None leaves one out."""

    def __init__(self, app: Dispatcher) -> None:
        self.clock = HandClock()
        routes = [Route("/slack/events", door(app, Secret(SECRET), self.clock), methods=["POST"])]
        asgi = Starlette(routes=routes, middleware=[Middleware(BodyLimit)])
        transport = httpx.ASGITransport(asgi, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://bot.test")

    async def post(self, body: bytes, *, kind: str = FORM, **headers: str | bytes | None) -> httpx.Response:
        given = signed(body, at=self.clock.now()) | {"content-type": kind} | headers
        sent = {name.replace("_", "-"): value for name, value in given.items() if value is not None}
        return await self.http.post("/slack/events", content=body, headers=sent)


def signed(body: bytes, *, at: datetime = NOON, secret: str = SECRET) -> dict[str, str | bytes | None]:
    """Slack's two headers, computed from its documentation and not with the bot's own code."""
    stamp = str(int(at.timestamp()))
    digest = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {"x_slack_request_timestamp": stamp, "x_slack_signature": f"v0={digest}"}


def command(**changes: str) -> bytes:
    return urlencode(COMMAND | changes).encode()


def interaction(payload: object) -> bytes:
    return urlencode({"payload": json.dumps(payload)}).encode()
