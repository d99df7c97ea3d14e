"""Connections: what the process opens at its start, and what the installer is told where that cannot be."""

import asyncio
from contextlib import AsyncExitStack, closing
from datetime import timedelta
from typing import Final

import aiohttp
import structlog
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.clouds import ENDPOINTS
from bot.domain.errors import StoreAway
from bot.entrance import CannotStart, entra_client
from bot.graph.devices import GraphDevices
from bot.graph.http import graph_client
from bot.ports import Clock
from bot.settings import Settings
from bot.slack.socket import Sockets
from bot.store import Store, is_current, migrate, open_store

STORE_PAUSE: Final = timedelta(seconds=2)
SLACK_IDLE: Final = timedelta(seconds=15)
SLACK_TIMEOUT: Final = aiohttp.ClientTimeout(total=10, connect=3)

log = structlog.get_logger()


async def opened_store(settings: Settings, stack: AsyncExitStack) -> Store:
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


def slack_session() -> aiohttp.ClientSession:
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


async def bot_user(slack: AsyncWebClient) -> AuthorizeResult:
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


async def open_sockets(sockets: Sockets) -> None:
    """Open them, or say what the installer has to put right."""
    try:
        await sockets.open()
    except TimeoutError:
        raise CannotStart(
            "Slack opens no socket. Check SLACK_APP_TOKEN, its scope connections:write, and that Socket Mode "
            "is switched on for the app."
        ) from None


async def graph_devices(settings: Settings, stack: AsyncExitStack, clock: Clock) -> GraphDevices:
    """Graph, over a client that is closed with `stack`."""
    http = await stack.enter_async_context(graph_client())
    return GraphDevices(http, settings.graph_url or ENDPOINTS[settings.cloud].graph_url, clock)


async def warm_entra(settings: Settings) -> None:
    """Fetch Entra's configuration; raises CannotStart or CouldNotVerify."""
    client = entra_client(settings)
    with closing(client):
        await asyncio.to_thread(client.warm)
