"""`unlatch doctor`: ask Slack, Entra, Graph and the database what is missing, before a colleague does."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import aiohttp
import httpx
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot import connections
from bot.domain.clouds import ENDPOINTS
from bot.domain.errors import CouldNotVerify, StoreAway
from bot.entrance import CannotStart
from bot.settings import Settings
from bot.store import is_current, open_store

NEEDED_SCOPES: Final = frozenset(
    {"commands", "chat:write", "users:read", "users:read.email", "im:write", "im:history"}
)


class Missing(Exception):
    """One thing to put right, as a sentence."""


@dataclass(frozen=True, slots=True)
class Check:
    """A name for the list, and a question that answers with a fact or raises Missing."""

    name: str
    ask: Callable[[], Awaitable[str]]


async def run(settings: Settings) -> int:
    """Print one line a check; returns 0 where nothing is missing, else 1."""
    async with aiohttp.ClientSession(timeout=connections.SLACK_TIMEOUT) as session:
        slack = connections.slack_client(settings, session)
        checks = [
            Check("Slack: bot token", lambda: _token(slack)),
            Check("Slack: approver channel", lambda: _channel(slack, settings.approver_channel)),
            Check("Microsoft Entra: tenant", lambda: _entra(settings)),
            Check("Microsoft Graph", lambda: _graph(settings)),
            Check("Database", lambda: _database(settings)),
        ]
        found = [await _told(check) for check in checks]
    return 0 if all(found) else 1


async def _told(check: Check) -> bool:
    try:
        print(f"ok       {check.name}: {await check.ask()}")
    except Missing as missing:
        print(f"MISSING  {check.name}: {missing}")
        return False
    return True


async def _token(slack: AsyncWebClient) -> str:
    try:
        answer = await slack.auth_test()
    except SlackApiError as error:
        raise _slack_says(error, "Copy SLACK_BOT_TOKEN anew.") from None
    except (aiohttp.ClientError, TimeoutError):
        raise Missing("SLACK_API_URL does not answer.") from None
    granted = set(str(answer.headers.get("x-oauth-scopes", "")).replace(" ", "").split(","))
    if lacking := sorted(NEEDED_SCOPES - granted):
        raise Missing(f"scopes {', '.join(lacking)}. Add them on the app's page and install it again.")
    return f"{answer.get('user')} in {answer.get('team')}"


def _slack_says(error: SlackApiError, then: str) -> Missing:
    word = connections.slacks_word(error)
    return Missing(f"Slack says {word}. {then}" if word else "what answers at SLACK_API_URL is not Slack.")


async def _channel(slack: AsyncWebClient, channel: str) -> str:
    try:
        found = (await slack.conversations_info(channel=channel)).get("channel") or {}
    except SlackApiError as error:
        raise _slack_says(error, "Check APPROVER_CHANNEL and invite the bot to it.") from None
    except (aiohttp.ClientError, TimeoutError):
        raise Missing("SLACK_API_URL does not answer.") from None
    if not found.get("is_member"):
        raise Missing(f"the bot is not in #{found.get('name')}. Invite it: /invite @unlatch")
    if found.get("is_ext_shared") or found.get("is_pending_ext_shared"):
        raise Missing(f"#{found.get('name')} is shared with another organisation. Choose one that is not.")
    return f"#{found.get('name')}"


async def _entra(settings: Settings) -> str:
    try:
        await connections.warm_entra(settings)
    except CannotStart as reason:
        raise Missing(str(reason)) from None
    except CouldNotVerify:
        raise Missing("the tenant is not found. Check ENTRA_TENANT_ID, CLOUD and ENTRA_AUTHORITY.") from None
    return settings.entra_tenant_id


async def _graph(settings: Settings) -> str:
    """Without a token Graph answers 401: reachable, and the right address."""
    url = settings.graph_url or ENDPOINTS[settings.cloud].graph_url
    try:
        async with httpx.AsyncClient(timeout=10) as http:
            answer = await http.get(f"{url}/me")
    except httpx.HTTPError:
        raise Missing(f"{url} does not answer.") from None
    if answer.status_code != httpx.codes.UNAUTHORIZED:
        raise Missing(f"{url} answers {answer.status_code}, which Graph would not. Check GRAPH_URL.")
    return url


async def _database(settings: Settings) -> str:
    store = open_store(settings.database_url)
    try:
        current = await is_current(store.engine)
    except StoreAway:
        current = False
    finally:
        await store.close()
    if not current:
        raise Missing("it does not answer or is not up to date. Run: unlatch migrate")
    return "up to date"
