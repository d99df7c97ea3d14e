"""The composition root: builds every part from the settings and connects them. No behaviour of its own."""

import asyncio
import errno
import fcntl
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import structlog
from pydantic import SecretStr
from starlette.routing import Route
from starlette.types import ASGIApp

from bot import __version__
from bot.audit import HeadKeeper, append_head, last_head, record_start
from bot.domain.errors import Code, CouldNotVerify, SlackError, SlackUnavailable, StoreError, StoreUnavailable
from bot.domain.people import Audience, AudienceKind
from bot.domain.policy import Rules
from bot.domain.values import ChannelId, Secret, UserId
from bot.entra.authority import Authority, Credential
from bot.entra.client import EntraClient
from bot.entra.links import EntraLinks
from bot.entra.sign_ins import EntraSignIns
from bot.entra.vault import Vault
from bot.graph.devices import Intune, graph_client
from bot.log import Counts, flush_log, log_step
from bot.settings import CannotStart, Finding, Settings, without_secrets
from bot.slack.blocks import without_markup
from bot.slack.client import ORGANIZATION, SlackClient, bot_user, slack_client, slack_session
from bot.slack.directory import ApproverChannel, SlackDirectory
from bot.slack.errors import SCOPE, is_busy
from bot.slack.handlers import Background, Handlers
from bot.slack.notifier import SlackNotifier
from bot.slack.receiver import Socket, Sockets, bolt_app, http_receiver
from bot.slack.wording import ENGLISH
from bot.store.audit_log import AuditLog
from bot.store.database import Database, write_nothing
from bot.store.engine import DEFAULT, parse_url, passing_disk
from bot.store.migrations import migrate
from bot.store.requests import backlog, end_leases
from bot.timing import Timing
from bot.use_cases.deps import Deps
from bot.web.app import listen, serving, web_app
from bot.web.health import OK, Metrics, probe_routes
from bot.web.sign_in import SignInPages
from bot.worker import AUDIT_HEAD, Worker

SCRAPE: Final = timedelta(seconds=1)
"""How long shutdown waits for an answer of /metrics."""
DATABASE_PAUSE: Final = 2.0
"""Seconds between looks at a server that does not answer yet, or a file that another process has."""
NO_EVENTS: Final = Counts()

T = TypeVar("T")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """One running bot."""

    asgi: ASGIApp
    metrics: ASGIApp | None
    """What METRICS_PORT shows, where it has a listener of its own."""
    deps: Deps
    background: Background
    sockets: Sockets | None
    shutting_down: asyncio.Event


async def serve(settings: Settings, events: Counts = NO_EVENTS, timing: Timing = DEFAULT) -> None:
    """Run until SIGTERM or SIGINT; finish what is in flight within a bounded time.

    Raises CannotStart, and StoreError where the database stops answering during the start.
    `events`: how often what was logged, for /metrics.
    """
    stopping, started = asyncio.Event(), asyncio.Event()
    _on_signals(stopping, started, timing)
    listener(settings.host, 0).close()  # says what is wrong before anything is opened
    if settings.metrics_port is not None:
        listener(settings.metrics_host, 0, "METRICS_").close()
    async with unlatch(settings, events, timing) as app, AsyncExitStack() as stack:
        started.set()
        if app.metrics is not None:
            scraped = listener(settings.metrics_host, settings.metrics_port or 0, "METRICS_")
            await stack.enter_async_context(serving(app.metrics, scraped, grace=SCRAPE))
            log.info("serving_metrics", port=scraped.getsockname()[1])
        sock = listener(settings.host, settings.port)
        host, port = sock.getsockname()[:2]
        await stack.enter_async_context(serving(app.asgi, sock, grace=timing.answers))
        log.info("serving", version=__version__, host=host, port=port, socket_mode=bool(app.sockets))
        await stopping.wait()
        log.info("stopping")
        app.shutting_down.set()
        await asyncio.sleep(timing.unready.total_seconds())  # a load balancer sees it at /readyz
    log.info("stopped")
    flush_log()


def _on_signals(stopping: asyncio.Event, started: asyncio.Event, timing: Timing) -> None:
    """Let SIGTERM and SIGINT end a start at once and stop the bot in time, and SIGHUP do nothing."""

    def stop() -> None:
        if not started.is_set():
            _end("stopped")
        if not stopping.is_set():
            stopping.set()
            late = threading.Timer(timing.stop.total_seconds(), _end, ["stop_timed_out"])
            late.daemon = True
            late.start()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, partial(log.warning, "signal_ignored", signal="SIGHUP"))


def _end(event: str) -> None:
    """End the process whatever hangs, such as a thread in a resolver; it leaves what a crash leaves."""
    log.warning(event)
    flush_log()
    os._exit(0)


@asynccontextmanager
async def unlatch(
    settings: Settings, events: Counts = NO_EVENTS, timing: Timing = DEFAULT
) -> AsyncIterator[App]:
    """Build everything and run the worker; then take it down: deliveries, work, connections."""
    timing = replace(
        timing,
        lifetime=settings.request_lifetime,
        reveal_for=settings.reveal_for,
        sign_in_max_age=settings.sign_in_max_age,
    )
    async with AsyncExitStack() as stack:
        entra = stack.enter_context(closing(entra_client(settings, timing)))
        database = await _database(settings, timing, stack)
        heads = HeadKeeper(database, settings.audit_heads)
        session = await stack.enter_async_context(slack_session(timing))
        client = slack_client(_secret(settings.slack_bot_token), settings.slack_api_url, session)
        us = await _patiently(lambda: bot_user(client, timing), "token_refused", timing)
        channel = ApproverChannel(
            client, ChannelId(settings.approver_channel), rota=settings.rota, timing=timing, now=now
        )
        directory = SlackDirectory(client, us, timing=timing)
        await _find_approvers(channel, directory, settings)
        graph = await stack.enter_async_context(graph_client(timing))

        vault = Vault(settings.keys.vault)
        deps = Deps(
            database=database,
            directory=directory,
            intune=Intune(graph, settings.graph, timing=timing, now=now),
            links=EntraLinks(entra, vault, database, public_url=settings.public_url, timing=timing, now=now),
            sign_ins=EntraSignIns(entra, vault, database, timing=timing, now=now),
            rules=rules(settings, timing),
            timing=timing,
            now=now,
            wake_worker=lambda: worker.wake(),
            keep_head=lambda: worker.keep_head(),
            channel_problem=lambda: channel.problem,
            write_head=heads.keep,
        )
        on_call = [part.id for part in settings.approvers if part.kind is AudienceKind.USERGROUP]
        slack = SlackClient(client, timing)
        notifier = SlackNotifier(slack, ENGLISH, channel, on_call=on_call, timing=timing, now=now)
        periodic = {"sweep": deps.sign_ins.sweep, "channel": channel.look, AUDIT_HEAD: heads.keep}
        worker = Worker(deps, notifier, periodic)
        background = Background()
        handlers = Handlers(deps, slack, background, ENGLISH)
        bolt = bolt_app(client, us, handlers, lambda seconds: metrics.acknowledged(seconds))
        sockets = None
        if settings.slack_app_token is not None:
            app_token = _secret(settings.slack_app_token)
            sockets = Sockets(lambda: Socket(bolt, app_token, client, timing), timing)

        https, shutting_down = settings.public_url.startswith("https://"), asyncio.Event()

        async def check() -> Mapping[str, str]:
            stalled = ", ".join(queue.value for queue in worker.stalled())
            return {
                "database": await database.problem() or OK,
                "audit_log": database.audit_log.broken or OK,
                "worker": f"stalled: {stalled}" if stalled else OK,
                "slack": client.problem or (await sockets.problem() if sockets else "") or OK,
                "approver_channel": ENGLISH.text(f"code.{channel.problem}") if channel.problem else OK,
                "process": "shutting down" if shutting_down.is_set() else OK,
            }

        metrics = Metrics(events, check, lambda: database.read(lambda c: backlog(c, now=now())))
        pages = SignInPages(
            deps,
            lambda *back: background.start(handlers.resume(*back), name="after_sign_in"),
            lambda error: without_markup(ENGLISH.error(error)),
            secure=https,
        )
        routes = [*pages.routes(), *probe_routes(check)]
        if sockets is None:  # in Socket Mode nothing of Slack's is taken over HTTP
            receiver = http_receiver(bolt, _secret(settings.slack_signing_secret), time.time)
            routes.append(Route("/slack/events", receiver, methods=["POST"]))
        if settings.metrics_port == settings.port:
            routes.append(metrics.route())
        beside = settings.metrics_port not in (None, settings.port)
        app = App(
            asgi=web_app(routes, https=https),
            metrics=web_app([metrics.route()], https=False) if beside else None,
            deps=deps,
            background=background,
            sockets=sockets,
            shutting_down=shutting_down,
        )

        if database.is_sqlite:  # whose only process this is
            expired = partial(end_leases, now=now(), published_by=timing.slack_timeout)
            await database.run(expired)
        await record_start(database, now=now(), version=__version__, settings=without_secrets(settings))
        try:
            if sockets is not None:
                await _patiently(sockets.open, "app_token_refused", timing)
            worker.start()
            yield app
        finally:
            if sockets is not None:
                await sockets.close()
            await asyncio.gather(background.drain(grace=timing.grace), worker.stop())
            with suppress(StoreError):  # the first head after the next start vouches for these rows too
                await heads.keep()


def now() -> datetime:
    """Return the machine's time, aware, UTC."""
    return datetime.now(UTC)


def rules(settings: Settings, timing: Timing) -> Rules:
    """Return who may do what; unless set, the approver channel's members may ask."""
    channel = ChannelId(settings.approver_channel)
    return Rules(
        approver_channel=channel,
        requesters=settings.requesters or (Audience.channel(channel),),
        approvers=settings.approvers,
        allow_owner_approval=settings.allow_owner_approval,
        requester_sign_in=settings.requester_sign_in,
        fresh_within=timing.fresh_within if settings.fresh_sign_in else None,
        requests_per_hour=settings.asks_per_hour,
    )


def entra_client(settings: Settings, timing: Timing) -> EntraClient:
    """Return the client for Microsoft Entra; the caller closes it. Raises Finding."""
    try:
        if settings.entra_client_certificate is not None:
            credential = Credential.certificate(settings.entra_client_certificate.read_text(errors="replace"))
        elif settings.entra_client_assertion_file is not None:
            credential = Credential.assertion(settings.entra_client_assertion_file)
        else:
            credential = Credential(_secret(settings.entra_client_secret).reveal())
        return EntraClient(
            Authority.parse(settings.authority),
            tenant=settings.entra_tenant_id,
            client_id=settings.entra_client_id,
            credential=credential,
            scopes=settings.scopes,
            timing=timing,
            fresh_within=timing.fresh_within if settings.fresh_sign_in else None,
        )
    except (ValueError, OSError) as error:
        file = error.filename if isinstance(error, OSError) else None
        raise Finding("entra_unusable", why=f"{file} cannot be read" if file else error) from None


async def _database(settings: Settings, timing: Timing, stack: AsyncExitStack) -> Database:
    """Open the database, up to date. A server that does not answer yet is waited for; a file is not."""
    url, audit_log = settings.database_url, AuditLog(settings.keys, settings.audit_log_name)
    if settings.audit_heads is not None:
        _read_heads(settings.audit_heads, audit_log)
    embedded = url.startswith("sqlite")
    try:
        if embedded:
            await _be_the_only_process(Path(parse_url(url).database or ""), timing, stack)
            await asyncio.to_thread(migrate, url, audit_log)
        if (doubt := passing_disk(url, settings.platform)) is not None:
            log.warning("database_may_be_lost", reason=doubt, place=settings.database_place)
        database = Database(url, audit_log, timing, settings.database_connections)
        database.committed = log_step
        stack.push_async_callback(database.close)
        while True:
            try:
                await database.read(lambda _: None)
                break
            except StoreUnavailable as away:
                if embedded or away.lasts:
                    raise
                log.warning("database_unavailable_at_start", reason=away.reason, again_in=DATABASE_PAUSE)
            await asyncio.sleep(DATABASE_PAUSE)
        if (problem := await database.problem()) is not None:
            raise StoreUnavailable(problem)
        await database.run(write_nothing)
    except StoreUnavailable as away:
        raise CannotStart(f"The database {away.reason}. {settings.database_place}") from None
    except (OSError, ValueError) as error:
        raise CannotStart(f"The database cannot be opened ({error}). {settings.database_place}") from None
    return database


async def _be_the_only_process(database: Path, timing: Timing, stack: AsyncExitStack) -> None:
    """Lock this file of SQLite's until the stack or the process ends. Raises StoreUnavailable, OSError.

    The lock is one of a file beside it: closing any descriptor of its own would end SQLite's locks.
    """
    lock = stack.enter_context(open(f"{database.resolve()}.lock", "a"))  # noqa: ASYNC230, ASYNC240, PTH123, SIM115  a local disk
    until = now() + timing.handover
    while now() < until:
        with suppress(BlockingIOError):
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        log.warning("database_in_use_at_start", again_in=DATABASE_PAUSE)
        await asyncio.sleep(DATABASE_PAUSE)
    raise StoreUnavailable("is served by another process, and SQLite allows one: stop that one first")


def _read_heads(path: Path, audit_log: AuditLog) -> None:
    """Let the audit log know what was kept last."""
    try:
        audit_log.seen = last_head(path, audit_log)
        append_head(path, None)
    except OSError as error:
        raise Finding("heads_unreadable", path=path, why=error.strerror) from None
    if audit_log.seen is None:
        log.warning("audit_heads_empty")  # at a first start; else an old copy would not be told


async def _find_approvers(channel: ApproverChannel, directory: SlackDirectory, settings: Settings) -> None:
    """Say which user group Slack does not show the bot; without those of APPROVERS nobody could decide."""
    await channel.look()
    if (problem := channel.problem) is not None:
        refused = slack_finding(channel.refused, "channel_refused", id=channel.id)
        raise refused if problem is Code.CHANNEL_UNKNOWN else Finding(str(problem))
    for part in dict.fromkeys((*settings.approvers, *settings.requesters)):
        try:
            if part.kind is AudienceKind.USERGROUP:
                await directory.is_in(UserId(""), part)
        except CouldNotVerify as failed:
            code = failed.facts.get("code")  # there is none where Slack is only busy
            if part in settings.approvers and code in {"no_such_subteam", *SCOPE}:
                known = "audience_refused" if code == "no_such_subteam" else "missing_scope"
                whose = f"{part}, of APPROVERS"
                raise Finding(known, said=code, id=whose, needed="usergroups:read") from None
            log.warning("user_group_not_shown", audience=str(part), code=code)


def slack_finding(error: SlackError, refused: str = "", **facts: str) -> Finding:
    """Return what is wrong as Slack says it; `refused`: the code where it refuses, and lacks no scope."""
    if isinstance(error, SlackUnavailable):
        return Finding("slack_busy" if is_busy(error) else "no_slack", said=error.code)
    needed = getattr(error, "needed", "")
    return Finding("missing_scope" if needed else refused, said=error.code, needed=needed, **facts)


async def _patiently(attempt: Callable[[], Awaitable[T]], refused: str, timing: Timing) -> T:
    """Return what comes of it once Slack has time; else raise Finding, with the code `refused` or our own."""
    until = now() + timing.start_for
    while True:
        try:
            return await attempt()
        except SlackError as error:
            pause = error.retry_after or timing.socket_retry
            busy = isinstance(error, SlackUnavailable) and is_busy(error)
            if not busy or now() + pause > until:
                raise slack_finding(error, ORGANIZATION if error.code == ORGANIZATION else refused) from None
            log.warning("slack_busy_at_start", code=error.code, again_in=pause.total_seconds())
        await asyncio.sleep(pause.total_seconds())


def listener(host: str, port: int, named: str = "") -> socket.socket:
    """Return a listener; raises Finding about `named` HOST and PORT."""
    try:
        return listen(host, port)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "no name of an address"
        if f"{named}HOST" in os.environ:
            why += f"; {named}HOST is set in the environment"
        in_use = getattr(error, "errno", None) == errno.EADDRINUSE
        facts = {"at": f"{host}:{port}" if port else host, "names": f"{named}HOST and {named}PORT"}
        raise Finding("port_in_use" if in_use else "port", **facts, why=why) from None


def _secret(setting: SecretStr | None) -> Secret:
    return Secret(setting.get_secret_value() if setting is not None else "")
