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
from contextlib import suppress
from typing import Final
from urllib.parse import parse_qsl

import aiohttp
import structlog
from slack_bolt.adapter.socket_mode.async_internals import run_async_bolt_app, send_async_response
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.response import BoltResponse
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.web.async_client import AsyncWebClient
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from bot.domain.errors import SlackError, SlackUnavailable
from bot.domain.values import Secret, read_object, text_at
from bot.log import log_crash
from bot.network import proxy_for, tls_context
from bot.slack.client import call
from bot.slack.handlers import Handlers
from bot.slack.payloads import Malformed
from bot.timing import Timing

MAX_AGE: Final = 300
"""Seconds that a signature is valid, either way."""
MAX_FIELDS: Final = 100
SOCKETS: Final = 2
"""While one is lost, the other one receives."""
_NAMES: Final = (("command",), ("actions", 0, "action_id"), ("view", "callback_id"), ("event", "type"))
"""Where a payload says which of our commands, buttons or forms it is for."""

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


class Socket(SocketModeClient):
    """One connection, opened once: a handshake uses its address up, whatever comes of it.

    The SDK's own client tries one address without end, and closes a socket before it opens the next.
    """

    def __init__(self, app: AsyncApp, app_token: Secret, client: AsyncWebClient, timing: Timing) -> None:
        logger, ping = logging.getLogger("slack_sdk.unlatch"), timing.socket_ping.total_seconds()
        super().__init__(app_token.reveal(), logger, client, auto_reconnect_enabled=False, ping_interval=ping)
        self._within = timing.slack_timeout
        self.ending = asyncio.Event()
        """Slack closes it soon."""

        async def handle(_: object, request: SocketModeRequest) -> None:
            began = time.time()
            answer = await run_async_bolt_app(app, request)
            try:
                await send_async_response(self, request, answer, began)
            except (aiohttp.ClientError, OSError) as error:  # this socket ended: Slack delivers it again
                log.warning("acknowledgement_lost", error=type(error).__name__)

        self.socket_mode_request_listeners.append(handle)

    async def connect(self) -> None:
        """Ask for an address and use it; raises the SlackError tree."""
        asking = self.web_client.apps_connections_open(app_token=self.app_token)
        url = text_at(await call(asking, within=self._within), "url")
        try:
            opening = self.aiohttp_client_session.ws_connect(
                url, autoping=False, heartbeat=self.ping_interval, proxy=proxy_for(url), ssl=tls_context()
            )
            session = await asyncio.wait_for(opening, self._within.total_seconds())
        except aiohttp.WSServerHandshakeError as error:
            raise SlackUnavailable(f"handshake_{error.status}") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:  # a TimeoutError is an OSError
            raise SlackUnavailable(f"handshake_{type(error).__name__}") from error
        self.current_session = session
        self.message_receiver = asyncio.ensure_future(self.receive_messages())

    async def connect_to_new_endpoint(self, force: bool = False) -> None:  # noqa: ARG002  the SDK's name
        """What the SDK does where Slack wants the socket back: here the next one is opened first."""
        self.ending.set()

    async def is_good(self) -> bool:
        return not self.ending.is_set() and bool(await self.is_connected())


class Sockets:
    """Several sockets to Slack. One that ends, freezes or is refused leaves no gap, and is replaced soon."""

    def __init__(self, new: Callable[[], Socket], timing: Timing) -> None:
        self._new = new
        self._retry = timing.socket_retry
        self._look = timing.socket_ping.total_seconds() / 5
        """Seconds between looks at a socket; also how long an old one is left to acknowledge."""
        self._open: list[Socket | None] = [None] * SOCKETS
        self._keeping: list[asyncio.Task[None]] = []
        self._cause = ""
        """Why a socket could not be opened last; Slack's word where it has one."""
        self._said: tuple[int, str] = (SOCKETS, "")

    async def open(self) -> None:
        """Open those that are not, and keep them so; raises the SlackError tree."""
        missing = [slot for slot in range(SOCKETS) if self._open[slot] is None]
        for error in await asyncio.gather(*map(self._replace, missing), return_exceptions=True):
            if error is not None:
                raise error
        self._keeping = [asyncio.create_task(self._keep(slot), name="socket") for slot in range(SOCKETS)]

    async def problem(self) -> str:
        """Return why Slack can reach us on no socket; empty where it can."""
        if await self._count():
            return ""
        return f"no socket is open ({self._cause})" if self._cause else "no socket is open"

    async def close(self) -> None:
        """Take no more payloads. What was delivered goes on in its background tasks."""
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        await asyncio.gather(*(socket.close() for socket in self._open if socket is not None))  # type: ignore[no-untyped-call]  # the SDK leaves it untyped

    async def _count(self) -> int:
        return [socket is not None and await socket.is_good() for socket in self._open].count(True)

    async def _keep(self, slot: int) -> None:
        """Replace the socket where it is no good any more; the pause grows while that does not help."""
        tries = 0
        while socket := self._open[slot]:
            if await socket.is_good():
                tries = 0
                with suppress(TimeoutError):
                    await asyncio.wait_for(socket.ending.wait(), self._look)
                continue
            pause = self._retry * min(2**tries, 4)
            tries += 1
            await self._tell()
            try:
                await self._replace(slot)
            except SlackError as error:
                pause = error.retry_after or pause
            except Exception as crash:  # a task that ends would leave the socket closed
                log_crash("socket_crashed", crash)
            await self._tell()
            await asyncio.sleep(pause.total_seconds())

    async def _replace(self, slot: int) -> None:
        """Open the next socket, then close the one before it, once what it delivered is acknowledged."""
        new = self._new()
        left: Socket | None = new
        try:
            await new.connect()
            left, self._open[slot] = self._open[slot], new
            if left is not None and await left.is_connected():
                await asyncio.sleep(self._look)
        except SlackError as error:
            self._cause = error.code
            raise
        finally:
            if left is not None:
                await asyncio.shield(left.close())  # type: ignore[no-untyped-call]  # as above

    async def _tell(self) -> None:
        """One line where a socket is lost, where the cause is another, and where all are back."""
        count = await self._count()
        now = (count, "" if count == SOCKETS else self._cause)
        if now != self._said:
            event = "sockets_back" if count == SOCKETS else "socket_lost"
            log.warning(event, open=count, cause=self._cause)
        self._said, self._cause = now, now[1]
