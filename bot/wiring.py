"""The composition root: the only module that builds things and ties them together."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from html import unescape
from importlib.metadata import version
from types import MappingProxyType
from typing import Final

import structlog
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient
from starlette.routing import Route
from starlette.types import ASGIApp

from bot.connections import bot_user, graph_devices, open_sockets, opened_store, slack_client, slack_session
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
from bot.entrance import Entrance, entra_client, entrance
from bot.graph.devices import GraphDevices
from bot.notary import Notary
from bot.ports import Clock
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
from bot.store import Store
from bot.web.metrics import Events, Metrics
from bot.web.probes import probe_routes
from bot.web.sign_in import SignInPages
from bot.web.site import site
from bot.worker import Chore, Worker

GRACE: Final = timedelta(seconds=20)
"""How long shutdown waits for what is in flight."""
NO_EVENTS: Final[Events] = MappingProxyType({})

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
        store = await opened_store(settings, stack)
        session = await stack.enter_async_context(slack_session())
        slack = slack_client(settings, session)
        us, entra = await bot_user(slack), _entra(settings, stack)
        devices = await graph_devices(settings, stack, SystemClock())
        bot = _assembled(settings, store, slack, us, devices, entra, events)
        await _start(bot.desk, settings)
        running = asyncio.create_task(bot.worker.run(), name="worker")
        try:
            if bot.sockets is not None:
                await open_sockets(bot.sockets)
            yield bot
        finally:
            if bot.sockets is not None:
                await bot.sockets.close()
            await bot.afterwork.drain(grace=GRACE)
            await bot.worker.stop(grace=GRACE)
            await running
            with suppress(StoreAway):  # the first head after the next start vouches for what is left
                await seal(bot.sealing)


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
    people = SlackPeople(slack, team=TeamId(us.team_id or ""), enterprise=us.enterprise_id)
    worker: list[Worker] = []
    desk = _desk(settings, store, people, devices, way_in, clock, lambda: worker[0].wake())
    words = replace(ENGLISH, approver_channel=desk.rules.approver_channel)
    conversation = Conversation(desk, Views(slack), Direct(slack), words)
    worker.append(_worker(desk, slack, sealing, way_in, conversation))
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
    routes = [*_deliveries(settings, app, clock), *probe_routes(checks)]
    if isinstance(way_in.way, EntraLinks):
        sentence = partial(_in_a_browser, words)
        secure = _by_https(settings)
        pages = SignInPages(desk, way_in.way, conversation, sentence, afterwards, secure=secure)
        routes += pages.routes()
    public = settings.metrics_port == settings.port
    return Unlatch(
        asgi=site([*routes, *([metrics.route()] if public else [])], https=_by_https(settings)),
        metrics=None if public or settings.metrics_port is None else site([metrics.route()], https=False),
        worker=worker[0],
        desk=desk,
        afterwork=afterwork,
        sockets=sockets,
        sealing=sealing,
    )


def _desk(
    settings: Settings,
    store: Store,
    people: SlackPeople,
    devices: GraphDevices,
    way_in: Entrance,
    clock: Clock,
    wake: Callable[[], None],
) -> Desk:
    return Desk(
        requests=store.requests,
        record=store.record,
        people=people,
        devices=devices,
        sign_ins=way_in.sign_ins,
        invitations=way_in.way,
        rules=rules(settings),
        timing=Timing(lifetime=settings.request_lifetime, reveal_for=settings.reveal_for),
        limits=Limits(asks=settings.asks_per_hour),
        clock=clock,
        wake=wake,
    )


def _worker(
    desk: Desk, slack: AsyncWebClient, sealing: Sealing, way_in: Entrance, conversation: Conversation
) -> Worker:
    """The lanes, and beside them what is done every minute and every two seconds."""
    channel = desk.rules.approver_channel
    board = SlackBoard(slack, channel=channel, words=ENGLISH, on_call=_on_call(desk.rules))
    chores: dict[str, Chore] = {"seal": partial(seal, sealing), "leavers": partial(look_for_leavers, desk)}
    errands: dict[str, Chore] = {}
    if isinstance(way_in.way, EntraCodes):
        errands["codes"] = partial(_poll, desk, way_in.way, conversation)
    return Worker(desk, board, chores=chores, errands=errands)


def _deliveries(settings: Settings, app: AsyncApp, clock: Clock) -> list[Route]:
    """Where Slack posts to in HTTP mode; in Socket Mode nothing is taken over HTTP."""
    if settings.slack_app_token is not None or settings.slack_signing_secret is None:
        return []
    secret = Secret(settings.slack_signing_secret.get_secret_value())
    return [Route("/slack/events", door(app, secret, clock), methods=["POST"])]


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
