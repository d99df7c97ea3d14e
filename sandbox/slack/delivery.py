"""Bringing what people do to the app: one signed HTTP request, or one envelope on a socket."""

import asyncio
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Final, Literal, Protocol
from urllib.parse import urlencode

import httpx

from sandbox.clock import Clock
from sandbox.slack.shapes import JsonObject

ACK_SECONDS: Final = 3.0
EnvelopeKind = Literal["slash_commands", "interactive", "events_api"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One delivery. `takes_answer`: the acknowledgement may carry a body."""

    kind: EnvelopeKind
    payload: JsonObject
    takes_answer: bool


@dataclass(frozen=True, slots=True)
class Ack:
    """How the app acknowledged: `body` is its answer (text or JSON), empty if it only said yes."""

    outcome: Literal["ok", "timeout", "failed"]
    body: str | JsonObject = ""


class Carrier(Protocol):
    """A way to the app."""

    async def carry(self, envelope: Envelope) -> Ack:
        """Deliver once and wait for the acknowledgement, three real seconds at most."""
        ...

    async def repeat(self) -> Ack:
        """Deliver the last envelope again, byte for byte."""
        ...


@dataclass(frozen=True, slots=True)
class _Request:
    body: bytes
    headers: dict[str, str]


class SignedHttp:
    """HTTP mode: `POST {bot_url}/slack/events`, signed; nothing is ever retried."""

    def __init__(
        self, bot_url: str | None, *, secret: str, clock: Clock, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self.bot_url = bot_url
        self.ack_seconds = ACK_SECONDS
        self._secret = secret
        self._clock = clock
        self._transport = transport
        self._client: httpx.AsyncClient | None = None
        self._last: _Request | None = None

    async def carry(self, envelope: Envelope) -> Ack:
        self._last = self._signed(envelope)
        return await self._send(self._last)

    async def repeat(self) -> Ack:
        if self._last is None:
            raise LookupError("nothing was delivered yet")
        return await self._send(self._last)

    async def close(self) -> None:
        """Close connections to the app."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _signed(self, envelope: Envelope) -> _Request:
        body, content_type = _encoded(envelope)
        timestamp = int(self._clock.now().timestamp())
        headers = {
            "Content-Type": content_type,
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "X-Slack-Request-Timestamp": str(timestamp),
            "X-Slack-Signature": signature(self._secret, timestamp, body),
        }
        return _Request(body, headers)

    async def _send(self, request: _Request) -> Ack:
        if self.bot_url is None:
            return Ack("failed")
        url = f"{self.bot_url.rstrip('/')}/slack/events"
        try:
            async with asyncio.timeout(self.ack_seconds):
                response = await self._http().post(url, content=request.body, headers=request.headers)
        except TimeoutError:
            return Ack("timeout")
        except httpx.HTTPError:
            return Ack("failed")
        return _acknowledgement(response)

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            # A second more than Slack waits: the three seconds are counted around the whole exchange.
            self._client = httpx.AsyncClient(
                transport=self._transport, timeout=self.ack_seconds + 1, trust_env=False
            )
        return self._client


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """Return the `X-Slack-Signature` of a raw body sent at `timestamp` (Unix seconds).

    Source: docs.slack.dev/authentication/verifying-requests-from-slack
    """
    base = b"v0:%d:%s" % (timestamp, body)
    return "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()


def _encoded(envelope: Envelope) -> tuple[bytes, str]:
    form = "application/x-www-form-urlencoded"
    match envelope.kind:
        case "slash_commands":
            return urlencode(envelope.payload).encode(), form
        case "interactive":
            return urlencode({"payload": json.dumps(envelope.payload)}).encode(), form
        case "events_api":
            return json.dumps(envelope.payload).encode(), "application/json"


def _acknowledgement(response: httpx.Response) -> Ack:
    if response.status_code != httpx.codes.OK:
        return Ack("failed")
    text = response.text.strip()
    if not text or not response.headers.get("content-type", "").startswith("application/json"):
        return Ack("ok", text)
    try:
        body = json.loads(text)
    except ValueError:
        return Ack("ok", text)
    return Ack("ok", body if isinstance(body, dict) else text)
