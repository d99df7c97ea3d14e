"""`unlatch doctor`: ask Slack, Entra, Graph and the database what is missing, before a colleague does."""

import asyncio
import os
from collections.abc import Awaitable
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.app import ONE_WORKSPACE, ROTATING, entra_client, graph_url
from bot.audit import last_head
from bot.domain.errors import (
    ApproverRefused,
    CouldNotVerify,
    GraphError,
    SlackRefused,
    SlackUnavailable,
    StoreError,
)
from bot.domain.people import AudienceKind
from bot.domain.values import DeviceId, Secret
from bot.graph.devices import Intune, graph_client
from bot.settings import CannotStart, Settings
from bot.slack.channel import problem_of
from bot.slack.client import call, is_rotating, slack_client, slack_session
from bot.slack.errors import is_busy
from bot.slack.wording import ENGLISH
from bot.store.audit_log import HASH_AT, AuditLog, Head
from bot.store.database import Database
from bot.timing import Timing

NEEDED_SCOPES: Final = frozenset(
    {"commands", "chat:write", "users:read", "users:read.email", "im:write", "im:history"}
)
GROUP_SCOPE: Final = "usergroups:read"
TIMING: Final = replace(Timing(), graph_timeout=timedelta(seconds=10), entra_timeout=timedelta(seconds=10))


class Missing(Exception):
    """One thing to put right, as a sentence."""


class Doubtful(Exception):
    """What may be as it is meant, as a sentence."""


async def run(settings: Settings) -> int:
    """Print one line a check; return 0 where nothing is missing, else 1."""
    token = Secret(settings.slack_bot_token.get_secret_value())
    failed, database = 0, Database(settings.database_url, AuditLog(settings.keys, settings.audit_log_name))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        session = await stack.enter_async_context(slack_session(TIMING))
        slack = slack_client(token, settings.slack_api_url, session)
        for name, check in (
            ("Slack: bot token", _token(slack, settings)),
            ("Slack: approver channel", _channel(slack, settings)),
            ("Microsoft Entra: tenant", _entra(settings)),
            ("Microsoft Graph", _graph(settings)),
            ("Database", _database(database, settings)),
            ("Kept heads", _heads(database, settings.audit_heads)),
        ):
            try:
                print(f"ok       {name}: {await check}")
            except Doubtful as doubt:
                print(f"WARNING  {name}: {doubt}")
            except (Missing, CannotStart) as missing:
                print(f"MISSING  {name}: {missing}")
                failed += 1
    return 1 if failed else 0


async def _token(slack: AsyncWebClient, settings: Settings) -> str:
    if is_rotating(slack.token):
        raise Missing(f"it {ROTATING}")
    answer = await _ask(slack.auth_test(), "Copy SLACK_BOT_TOKEN again.")
    if answer.get("is_enterprise_install"):
        raise Missing(ONE_WORKSPACE)
    granted = set(str(answer.headers.get("x-oauth-scopes", "")).replace(" ", "").split(","))
    audiences = (*settings.requesters, *settings.approvers)
    groups = {GROUP_SCOPE} if any(one.kind is AudienceKind.USERGROUP for one in audiences) else set()
    if lacking := sorted((NEEDED_SCOPES | groups) - granted):
        raise Missing(f"scopes {', '.join(lacking)}. Add them on the app's page and install it again.")
    return f"{answer.get('user')} in {answer.get('team')}"


async def _channel(slack: AsyncWebClient, settings: Settings) -> str:
    asking = slack.conversations_info(channel=settings.approver_channel)
    found = (await _ask(asking, "Check APPROVER_CHANNEL and invite the bot to it.")).get("channel") or {}
    if not found.get("is_member"):
        raise Missing(f"the bot is not in #{found.get('name')}. Invite it: /invite @unlatch")
    if (problem := problem_of(found, rota=settings.rota)) is not None:
        raise Missing(ENGLISH.text(f"code.{problem}"))
    return f"#{found.get('name')}"


async def _ask(asking: Awaitable[AsyncSlackResponse], then: str) -> AsyncSlackResponse:
    """Return Slack's answer with its headers, or raise Missing; `then`: what helps where Slack refuses."""
    asked = asyncio.ensure_future(asking)
    try:
        await call(asked, within=TIMING.slack_timeout)
    except SlackRefused as refused:
        cure = f"Add the scope {refused.needed} and install the app again." if refused.needed else then
        raise Missing(f"Slack says {refused.code}. {cure}") from None
    except SlackUnavailable as unavailable:
        if is_busy(unavailable):
            raise Doubtful(f"Slack is busy ({unavailable.code}). Ask again in a minute.") from None
        raise Missing(f"Slack does not answer at SLACK_API_URL ({unavailable.code}).") from None
    return asked.result()


async def _entra(settings: Settings) -> str:
    with closing(entra_client(settings, TIMING)) as client:
        try:
            await asyncio.to_thread(client.warm_up)
        except CouldNotVerify:
            raise Missing(
                "it does not answer, or does not know the tenant. "
                "Check ENTRA_TENANT_ID, CLOUD and ENTRA_AUTHORITY."
            ) from None
    return settings.entra_tenant_id


async def _graph(settings: Settings) -> str:
    """Ask without a token that is worth anything: 401 says that Graph is there."""
    url = graph_url(settings)
    async with graph_client(TIMING) as http:
        intune = Intune(http, url, timing=TIMING, now=lambda: datetime.now(UTC))
        try:
            await intune.actions(DeviceId("00000000-0000-0000-0000-000000000000"), Secret("none"))
        except ApproverRefused:
            return url
        except GraphError as error:
            what = f"answers {error.status}, which Graph would not" if error.status else "does not answer"
            raise Missing(f"{url} {what}. Check GRAPH_URL.") from None
    raise Missing(f"{url} answers without a token, which Graph would not. Check GRAPH_URL.")


async def _database(database: Database, settings: Settings) -> str:
    if (problem := await database.problem()) is not None:
        raise Missing(f"it {problem}. {settings.database_place}")
    return "up to date"


async def _heads(database: Database, path: Path | None) -> str:
    if path is None:
        raise Doubtful("AUDIT_HEADS is not set: an old copy of the database would pass for the current one.")
    try:
        last = _last_kept(path, database.audit_log)
        seq = 0 if last is None else last.seq
        there = await database.read(lambda connection: connection.scalar(HASH_AT, {"seq": seq}))
    except OSError as error:
        raise Missing(f"AUDIT_HEADS cannot be read ({error.strerror}).") from None
    except StoreError:
        raise Doubtful("the database cannot be read.") from None
    if last is not None and there != last.hash:
        raise Missing(f"row {last.seq}, which was kept, is not in the database: see “After a restore”.")
    return f"up to row {last.seq}" if last else "none yet"


def _last_kept(path: Path, audit_log: AuditLog) -> Head | None:
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise Missing("AUDIT_HEADS names a file that cannot be written.")
    last = last_head(path, audit_log)
    if last is None and path.exists() and path.stat().st_size:
        raise Missing(f"no head in {path} is signed with a key of VAULT_KEYS.")
    return last
