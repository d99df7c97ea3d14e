"""How payloads reach the handlers: Bolt's app, `POST /slack/events`, and Socket Mode.

Over HTTP the receiver verifies the signature over the raw bytes, parses, and hands to Bolt as a socket would:
Bolt 1.30 parses a body before it checks the signature, answers malformed ones with 500, and loses every
slash command whose raw body contains the word `payload`.
"""

import asyncio
import hashlib
import hmac
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Final
from urllib.parse import parse_qsl

import structlog
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from bot.domain.values import Secret, read_object
from bot.log import log_crash
from bot.slack.handlers import Handlers
from bot.slack.payloads import Malformed, text_at

MAX_AGE: Final = 300
"""Seconds that a signature is valid, either way."""
MAX_FIELDS: Final = 100
SOCKETS: Final = 2
"""The SDK closes a socket before it opens the next one; the other one receives meanwhile."""
WATCH_EVERY: Final = 1.0
"""Seconds between looks at the sockets."""
_NAMES: Final = (("command",), ("actions", 0, "action_id"), ("view", "callback_id"), ("event", "type"))
"""Where a payload says which of our commands, buttons or forms it is for."""
_OUTAGE: Final = tuple(
    f"Failed to {what}" for what in ("check the current", "retrieve WSS", "connect", "receive or enqueue")
)
"""How the SDK's lines begin while a socket is away."""

log = structlog.get_logger()


def bolt_app(
    client: AsyncWebClient, us: AuthorizeResult, handlers: Handlers, answered: Callable[[float], None]
) -> AsyncApp:
    """Return an app for one workspace. `us`: the bot; `answered`: told the seconds of each acknowledgement.

    `process_before_response`: with it Bolt answers when the handler returns; without it Bolt looks for the
    answer every 10 ms. No handler awaits anything slow before or after its acknowledgement.
    """

    class TimedApp(AsyncApp):
        """Over HTTP and over sockets alike."""

        async def async_dispatch(self, req: AsyncBoltRequest) -> BoltResponse:
            began = time.perf_counter()
            try:
                answer = await super().async_dispatch(req)
            finally:
                answered(time.perf_counter() - began)
            if answer.status == 404:
                names = "".join(text_at(req.body, *path) for path in _NAMES)
                log.warning("delivery_unknown", type=text_at(req.body, "type")[:64], name=names[:64])
            return answer

    async def authorize() -> AuthorizeResult:
        return us

    app = TimedApp(
        name="unlatch",  # without one, Bolt reads the source of every caller
        client=client,
        authorize=authorize,
        process_before_response=True,
        request_verification_enabled=False,  # the receiver has verified; a socket needs none
        ssl_check_enabled=False,
        logger=logging.getLogger("slack_bolt.unlatch"),
    )
    app.error(crashed)
    handlers.register(app)
    return app


async def crashed(error: Exception) -> BoltResponse:
    """Bolt's last resort: a payload of another shape than Slack's, or a crash before the acknowledgement."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, Malformed) or all("slack_bolt" in frame.filename for frame in frames):
        log.warning("malformed_payload", error=type(error).__name__)
        return BoltResponse(status=400, body="This is no payload of Slack's.")
    log_crash("handler_crashed", error)
    return BoltResponse(status=500, body="")


# Over HTTP


def http_receiver(
    app: AsyncApp, signing_secret: Secret, now: Callable[[], float]
) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint. `now`: seconds since the epoch.

    401 for whoever did not sign, 400 for a body that is none of Slack's, else what Bolt answers; 200 for
    Slack's check of the certificate, which is not signed.
    """

    async def slack_events(request: Request) -> Response:
        try:
            raw = await request.body()
        except ClientDisconnect:
            return Response(status_code=400)
        if is_certificate_check(raw):
            return Response()
        if why := why_refused(raw, request.headers, signing_secret, now=now()):
            log.warning("delivery_refused", reason=why)
            return Response("The signature is missing, wrong or too old.", status_code=401)
        try:
            payload = parse(raw, request.headers.get("content-type", ""))
            answer = await app.async_dispatch(AsyncBoltRequest(mode="socket_mode", body=payload))
        except Exception as error:  # of no shape that Bolt expects; a listener's crash ends in `app.error`
            log.warning("malformed_payload", error=type(error).__name__)
            return Response("This is no payload of Slack's.", status_code=400)
        headers = {name: values[0] for name, values in answer.headers.items() if name != "content-length"}
        return Response(answer.body, status_code=answer.status, headers=headers)

    return slack_events


def is_certificate_check(raw: bytes) -> bool:
    """Return whether this is `ssl_check=1` and neither a command nor a payload: it has no effect."""
    fields = dict(field.partition(b"=")[::2] for field in raw.split(b"&")) if b"ssl_check=1" in raw else {}
    return fields.get(b"ssl_check") == b"1" and not {b"command", b"payload"} & fields.keys()


def why_refused(raw: bytes, headers: Mapping[str, str], secret: Secret, *, now: float) -> str:
    """Return why this is not Slack's v0 signature over timestamp and body, at most five minutes old; or "".

    Source: docs.slack.dev, "Verifying requests from Slack".
    """
    stamp, given = headers.get("x-slack-request-timestamp", ""), headers.get("x-slack-signature", "")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 12 and given.isascii()):
        return "no signature, or none of Slack's form"
    if abs(now - int(stamp)) > MAX_AGE:
        return "signed more than five minutes ago, or this machine's clock is wrong"
    wanted = hmac.new(secret.reveal().encode(), b"v0:" + stamp.encode() + b":" + raw, hashlib.sha256)
    good = hmac.compare_digest(f"v0={wanted.hexdigest()}", given)
    return "" if good else "not signed with SLACK_SIGNING_SECRET"


def parse(raw: bytes, content_type: str) -> dict[str, object]:
    """Return the body as a socket would deliver it: a form's fields or `payload`'s JSON; or ValueError."""
    text = raw.decode()
    if content_type.startswith("application/json"):
        value = read_object(text)
    else:
        fields = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
        value = {**fields} if "command" in fields else read_object(fields.get("payload", ""))
    if not value:
        raise ValueError("no object")
    return value


# Over sockets


class SocketNews(logging.Filter):
    """One line where a socket is lost, where the cause is another, and where all are back.

    The SDK's own lines about an outage come every few seconds, without a cause and without an end.
    """

    cause = ""
    """Why a socket could not be opened last; Slack's word where it has one."""
    _said: tuple[int, str] = (SOCKETS, "")

    def filter(self, record: logging.LogRecord) -> bool:
        """Take the cause out of the SDK's line; drop what `tell` says."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, SlackApiError):
            self.cause = text_at(error.response.data, "error")
        elif error is not None:
            self.cause = type(error).__name__
        return not str(record.msg).startswith(_OUTAGE)

    def tell(self, count: int) -> None:
        """So many sockets are open now."""
        now = (count, "" if count == SOCKETS else self.cause)
        if now != self._said:
            event = "sockets_back" if count == SOCKETS else "socket_lost"
            log.warning(event, open=count, cause=self.cause)
        self._said, self.cause = now, now[1]


class Sockets:
    """Several sockets to Slack, watched, so that one that Slack closes leaves no gap."""

    def __init__(self, app: AsyncApp, app_token: Secret, client: AsyncWebClient) -> None:
        self.news = SocketNews()
        self._logger = logging.getLogger("slack_sdk.unlatch")
        self._logger.addFilter(self.news)
        self._watch: asyncio.Task[None] | None = None
        self._handlers = [
            AsyncSocketModeHandler(app, app_token.reveal(), web_client=client, logger=self._logger)
            for _ in range(SOCKETS)
        ]

    async def open(self, *, within: timedelta = timedelta(seconds=15)) -> None:
        """Connect all. TimeoutError where Slack lets none in: the SDK would try without end."""
        async with asyncio.timeout(within.total_seconds()):
            await asyncio.gather(*(handler.client.connect() for handler in self._handlers))  # type: ignore[no-untyped-call]  # the SDK leaves it untyped
        self._watch = asyncio.create_task(self._tell_changes(), name="sockets")

    async def is_open(self) -> bool:
        """Return whether Slack can reach us on at least one socket."""
        return await self._count() > 0

    async def close(self) -> None:
        """Take no more payloads. What was delivered goes on in its background tasks."""
        if self._watch is not None:
            self._watch.cancel()
        await asyncio.gather(*(handler.client.close() for handler in self._handlers))  # type: ignore[no-untyped-call]  # as above
        self._logger.removeFilter(self.news)

    async def _count(self) -> int:
        return [await handler.client.is_connected() for handler in self._handlers].count(True)

    async def _tell_changes(self) -> None:
        while True:
            self.news.tell(await self._count())
            await asyncio.sleep(WATCH_EVERY)
