"""The composition root: the only module that builds things and ties them together."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from html import unescape
from importlib.metadata import version
from types import MappingProxyType
from typing import Final

import aiohttp
import structlog
import uvicorn
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from starlette.routing import Route
from starlette.types import ASGIApp

from bot.domain.clouds import ENDPOINTS
from bot.domain.errors import StoreAway, UnlatchError
from bot.domain.identifiers import ChannelId, TeamId
from bot.domain.limits import Limits
from bot.domain.people import Account, Audience, AudienceKind
from bot.domain.policy import Rules
from bot.domain.request import Timing
from bot.domain.secret import Secret
from bot.domain.sign_in import FRESH_FOR, Ticket
from bot.entra import EntraClient, EntraCodes, EntraLinks
from bot.entrance import CannotStart as CannotStart
from bot.entrance import entra_client, entrance
from bot.graph.devices import GraphDevices
from bot.graph.http import graph_client
from bot.notary import Notary
from bot.resets.desk import Desk
from bot.resets.leavers import look_for_leavers
from bot.resets.seal import Sealing, seal
from bot.resets.sign_in import poll
from bot.resets.start import start
from bot.settings import Settings, without_secrets
from bot.shipping import Shipping, append
from bot.slack.afterwork import Afterwork
from bot.slack.app import bolt_app
from bot.slack.board import SlackBoard
from bot.slack.conversation import Conversation
from bot.slack.direct import Direct
from bot.slack.door import door
from bot.slack.listeners import Listeners
from bot.slack.people import SlackPeople
from bot.slack.socket import Sockets
from bot.slack.views import Views
from bot.slack.wording import ENGLISH, Wording
from bot.store import Store, is_current, migrate, open_store
from bot.web.connections import Connection
from bot.web.metrics import Events, Metrics
from bot.web.probes import probe_routes
from bot.web.sign_in import SignInPages
from bot.web.site import site
from bot.worker import Chore, Worker

GRACE: Final = timedelta(seconds=20)
"""How long shutdown waits for what is in flight."""
STORE_PAUSE: Final = timedelta(seconds=2)
SLACK_IDLE: Final = timedelta(seconds=15)
KEEP_ALIVE: Final = timedelta(seconds=75)
"""Longer than a load balancer keeps an idle connection (mostly a minute), so that the balancer closes it.
The other way round it now and then sends a delivery into a connection that we have just closed."""
NO_EVENTS: Final[Events] = MappingProxyType({})
SLACK_TIMEOUT: Final = aiohttp.ClientTimeout(total=10, connect=3)

log = structlog.get_logger()


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        """Aware, UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Unlatch:
    """One running bot."""

    asgi: ASGIApp
    metrics: ASGIApp | None
    """What METRICS_PORT shows, where it has a listener of its own."""
    worker: Worker
    desk: Desk
    afterwork: Afterwork
    sockets: Sockets | None
    sealing: Sealing


@asynccontextmanager
async def unlatch(settings: Settings, events: Events = NO_EVENTS) -> AsyncIterator[Unlatch]:
    """Build everything, run the worker, and take it all down in order: deliveries, work, connections."""
    async with AsyncExitStack() as stack:
        store = await _store(settings, stack)
        session = await stack.enter_async_context(_slack_session())
        slack = slack_client(settings, session)
        us, devices, entra = await _us(slack), await _devices(settings, stack), _entra(settings, stack)
        bot = _assembled(settings, store, slack, us, devices, entra, events)
        await _start(bot.desk, settings)
        running = asyncio.create_task(bot.worker.run(), name="worker")
        try:
            if bot.sockets is not None:
                await _open(bot.sockets)
            yield bot
        finally:
            if bot.sockets is not None:
                await bot.sockets.close()
            await bot.afterwork.drain(grace=GRACE)
            await bot.worker.stop(grace=GRACE)
            await running
            with suppress(StoreAway):  # the first head after the next start vouches for what is left
                await seal(bot.sealing)


async def serve(settings: Settings, events: Events) -> None:
    """Run until SIGTERM or SIGINT; what is in flight is finished within a bounded time.

    `events`: how often what was logged, for /metrics.
    """
    async with unlatch(settings, events) as bot, AsyncExitStack() as beside:
        listener = socket.create_server((settings.host, settings.port))
        if bot.metrics is not None:
            scraped = socket.create_server((settings.metrics_host, settings.metrics_port or 0))
            await beside.enter_async_context(_served_beside(bot.metrics, scraped))
        host, port = listener.getsockname()[:2]
        server = _Server(http_config(bot.asgi))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, server.stop)
        log.info("serving", host=host, port=port, socket_mode=bot.sockets is not None)
        await server.serve([listener])


@asynccontextmanager
async def _served_beside(asgi: ASGIApp, listener: socket.socket) -> AsyncIterator[None]:
    """Serve on a listener of its own during the block."""
    server = _Server(http_config(asgi))
    serving = asyncio.create_task(server.serve([listener]), name="metrics")
    log.info("serving_metrics", port=listener.getsockname()[1])
    try:
        yield
    finally:
        server.stop()
        await serving


def http_config(asgi: ASGIApp) -> uvicorn.Config:
    """How the web server behaves."""
    return uvicorn.Config(
        asgi,
        http=Connection,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_keep_alive=int(KEEP_ALIVE.total_seconds()),
        timeout_graceful_shutdown=int(GRACE.total_seconds()),
    )


class _Server(uvicorn.Server):
    """Uvicorn's own signal handling raises the signal again when it has stopped, before our work is done."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `serve`."""
        yield

    def stop(self) -> None:
        """Take no more requests, finish those that are here."""
        self.should_exit = True


def _assembled(
    settings: Settings,
    store: Store,
    slack: AsyncWebClient,
    us: AuthorizeResult,
    devices: GraphDevices,
    entra: EntraClient,
    events: Events,
) -> Unlatch:
    clock = SystemClock()
    sealing = _sealing(settings, store, clock)
    way_in = entrance(settings, store, clock, entra)
    worker: list[Worker] = []
    desk = Desk(
        requests=store.requests,
        record=store.record,
        people=SlackPeople(slack, team=TeamId(us.team_id or ""), enterprise=us.enterprise_id),
        devices=devices,
        sign_ins=way_in.sign_ins,
        invitations=way_in.way,
        rules=rules(settings),
        timing=Timing(lifetime=settings.request_lifetime, reveal_for=settings.reveal_for),
        limits=Limits(asks=settings.asks_per_hour),
        clock=clock,
        wake=lambda: worker[0].wake(),
    )
    words = replace(ENGLISH, approver_channel=desk.rules.approver_channel)
    board = SlackBoard(
        slack, channel=desk.rules.approver_channel, words=ENGLISH, on_call=_on_call(desk.rules)
    )
    conversation = Conversation(desk, Views(slack), Direct(slack), words)
    errands: dict[str, Chore] = {}
    if isinstance(way_in.way, EntraCodes):
        errands["codes"] = partial(_poll, desk, way_in.way, conversation)
    chores: dict[str, Chore] = {"seal": partial(seal, sealing), "leavers": partial(look_for_leavers, desk)}
    worker.append(Worker(desk, board, chores=chores, errands=errands))
    afterwork = Afterwork()
    listeners = Listeners(desk, conversation, afterwork, words)
    app = bolt_app(slack, us, listeners, lambda seconds: metrics.answered(seconds))
    sockets = _sockets(settings, app, slack)

    def afterwards(work: Awaitable[None]) -> None:
        afterwork.start(_awaited(work), name="after_sign_in")

    async def slack_reaches_us() -> bool:
        return sockets is None or await sockets.is_open()

    checks = {"database": store.alive, "worker": worker[0].is_turning, "slack": slack_reaches_us}
    metrics = Metrics(events, checks, lambda: store.backlog(now=clock.now()))
    routes = probe_routes(checks)
    if isinstance(way_in.way, EntraLinks):
        sentence = partial(_in_a_browser, words)
        secure = _by_https(settings)
        pages = SignInPages(desk, way_in.way, conversation, sentence, afterwards, secure=secure)
        routes += pages.routes()
    if settings.slack_app_token is None and settings.slack_signing_secret is not None:
        secret = Secret(settings.slack_signing_secret.get_secret_value())
        routes.insert(0, Route("/slack/events", door(app, secret, clock), methods=["POST"]))
    scraped = None
    if settings.metrics_port == settings.port:
        routes.append(metrics.route())
    elif settings.metrics_port is not None:
        scraped = site([metrics.route()], https=False)
    asgi = site(routes, https=_by_https(settings))
    return Unlatch(
        asgi=asgi,
        metrics=scraped,
        worker=worker[0],
        desk=desk,
        afterwork=afterwork,
        sockets=sockets,
        sealing=sealing,
    )


def _by_https(settings: Settings) -> bool:
    """Whether browsers reach us by https; with device codes none does."""
    return (settings.public_url or "").startswith("https://")


def _in_a_browser(words: Wording, error: UnlatchError) -> str:
    """A sentence of Slack's on a page."""
    return unescape(words.refusal(error))


async def _poll(desk: Desk, codes: EntraCodes, conversation: Conversation) -> None:
    """Tie whoever has used a device code, and tell them."""
    for ticket, outcome in await poll(desk, codes):
        await _tell(conversation, ticket, outcome)


async def _tell(conversation: Conversation, ticket: Ticket, outcome: Account | UnlatchError) -> None:
    if isinstance(outcome, UnlatchError):
        await conversation.resume_refused(ticket, outcome)
    else:
        await conversation.resume(ticket, outcome)


def _on_call(rules: Rules) -> list[str]:
    """The user groups that a card and a reminder call by name."""
    return [part.id for part in rules.approvers if part.kind is AudienceKind.USERGROUP]


async def _awaited(work: Awaitable[None]) -> None:
    await work


def _slack_session() -> aiohttp.ClientSession:
    """One session for every call; it gives up an idle connection before Slack cuts it under a call."""
    connector = aiohttp.TCPConnector(keepalive_timeout=SLACK_IDLE.total_seconds())
    return aiohttp.ClientSession(timeout=SLACK_TIMEOUT, connector=connector)


def slack_client(settings: Settings, session: aiohttp.ClientSession) -> AsyncWebClient:
    """A client on one shared session; without it every call would open a connection of its own."""
    return AsyncWebClient(
        token=settings.slack_bot_token.get_secret_value(),
        base_url=settings.slack_api_url,
        session=session,
        retry_handlers=[],  # the SDK's own would repeat a chat.postMessage that arrived
    )


async def warm_entra(settings: Settings) -> None:
    """Fetch Entra's configuration; raises CannotStart or CouldNotVerify."""
    client = entra_client(settings)
    with closing(client):
        await asyncio.to_thread(client.warm)


def rules(settings: Settings) -> Rules:
    """Who may do what, as the settings say; unset, the approver channel's members may ask."""
    channel = ChannelId(settings.approver_channel)
    return Rules(
        approver_channel=channel,
        requesters=settings.requesters or (Audience.channel(channel),),
        approvers=settings.approvers,
        allow_owner_approval=settings.allow_owner_approval,
        fresh_within=FRESH_FOR if settings.fresh_sign_in else None,
    )


async def _store(settings: Settings, stack: AsyncExitStack) -> Store:
    """The store, up to date. A server that is away is waited for; a file that cannot be used is not."""
    embedded = settings.database_url.startswith("sqlite")
    try:
        if embedded:
            await asyncio.to_thread(migrate, settings.database_url)
        store = open_store(settings.database_url)
        stack.push_async_callback(store.close)
        if not await _is_current(store, wait=not embedded):
            raise CannotStart("The database is not up to date. Run `unlatch migrate` first.")
    except (StoreAway, ImportError):
        raise CannotStart("The database does not answer. Check DATABASE_URL, then try again.") from None
    except ValueError as wrong:
        raise CannotStart(f"{wrong}.") from None
    return store


async def _is_current(store: Store, *, wait: bool) -> bool:
    while True:
        try:
            return await is_current(store.engine)
        except StoreAway:
            if not wait:
                raise
        log.warning("store_away_at_start", again_in=STORE_PAUSE.total_seconds())
        await asyncio.sleep(STORE_PAUSE.total_seconds())


async def _open(sockets: Sockets) -> None:
    try:
        await sockets.open()
    except TimeoutError:
        raise CannotStart(
            "Slack opens no socket. Check SLACK_APP_TOKEN, its scope connections:write, and that Socket Mode "
            "is switched on for the app."
        ) from None


async def _us(slack: AsyncWebClient) -> AuthorizeResult:
    """Who the bot is, asked once, before anybody waits for an answer."""
    try:
        answer = await slack.auth_test()
    except SlackApiError as error:
        code = slacks_word(error)
        if not code:
            raise CannotStart("What answers at SLACK_API_URL is not Slack.") from None
        raise CannotStart(
            f"Slack refuses SLACK_BOT_TOKEN ({code}). Copy it anew from the app's page."
        ) from None
    except (aiohttp.ClientError, TimeoutError) as error:
        raise CannotStart(f"Slack does not answer at SLACK_API_URL ({type(error).__name__}).") from None
    return AuthorizeResult.from_auth_test_response(auth_test_response=answer, bot_token=slack.token)


def slacks_word(error: SlackApiError) -> str:
    """Slack's own word for what is wrong; empty where the answer is no JSON, and so not Slack's."""
    data = getattr(error.response, "data", None)
    return str(data.get("error", "")) if isinstance(data, dict) else ""


async def _devices(settings: Settings, stack: AsyncExitStack) -> GraphDevices:
    http = await stack.enter_async_context(graph_client())
    return GraphDevices(http, settings.graph_url or ENDPOINTS[settings.cloud].graph_url, SystemClock())


def _sealing(settings: Settings, store: Store, clock: SystemClock) -> Sealing:
    path = settings.audit_heads
    try:
        notary = Notary(settings.vault_keys.get_secret_value().split(","))
        if path is not None:
            append(path, "")
    except ValueError as error:
        raise CannotStart(f"VAULT_KEYS cannot be used: {error}.") from None
    except OSError as error:
        raise CannotStart(f"AUDIT_HEADS names a file that cannot be written ({error.strerror}).") from None
    return Sealing(chain=store.chain, notary=notary, ship=Shipping(path).ship, clock=clock)


async def _start(desk: Desk, settings: Settings) -> None:
    try:
        await start(desk.record, desk.clock, version=version("unlatch"), settings=without_secrets(settings))
    except StoreAway:
        raise CannotStart("The database does not answer. Check DATABASE_URL, then try again.") from None


def _entra(settings: Settings, stack: AsyncExitStack) -> EntraClient:
    client = entra_client(settings)
    stack.callback(client.close)
    return client


def _sockets(settings: Settings, app: AsyncApp, slack: AsyncWebClient) -> Sockets | None:
    if settings.slack_app_token is None:
        return None
    return Sockets(app, Secret(settings.slack_app_token.get_secret_value()), slack)
