"""Slack's Web API: the session, one call and what its failures mean, modals, private sentences."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from typing import Final

import aiohttp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse
from yarl import URL

from bot.domain.errors import SlackRefused, SlackUnavailable
from bot.domain.values import Secret, UserId
from bot.slack.blocks import View
from bot.slack.payloads import text_at
from bot.timing import Timing

MAX_PAUSE: Final = timedelta(minutes=10)
"""How long `Retry-After` is believed."""
SHOW_RETRIES: Final = (timedelta(0), timedelta(seconds=1), timedelta(seconds=3))
"""The pause before each try. To show a view or a sentence twice does no harm; a modal left loading does."""
MAX_SHOW_PAUSE: Final = timedelta(seconds=30)
KEEP_ALIVE: Final = timedelta(seconds=15)
"""Give up an idle connection before Slack cuts it under a call."""
HOOKS: Final = frozenset(URL(f"https://hooks.{host}") for host in ("slack.com", "slack-gov.com"))
"""Where a response_url leads (docs.slack.dev, "Handling user interaction"; GovSlack)."""
# Slack's own words for "later". Source: the error tables of the Web API's method pages.
_LATER: Final = (
    *("fatal_error", "internal_error", "org_login_required", "rate_limited", "ratelimited"),
    *("request_timeout", "service_unavailable", "team_added_to_org"),
)
_BROKEN: Final = frozenset({"ClientOSError", "ServerDisconnectedError", "ConnectionResetError"})
"""The connection broke: most often an idle one that was cut as it was used."""


def slack_session(timing: Timing) -> aiohttp.ClientSession:
    """Return the one session for every call: without it each call opens a connection of its own."""
    connector = aiohttp.TCPConnector(keepalive_timeout=KEEP_ALIVE.total_seconds())
    timeout = aiohttp.ClientTimeout(total=timing.slack_timeout.total_seconds(), connect=3)
    return aiohttp.ClientSession(timeout=timeout, connector=connector)


def slack_client(token: Secret, base_url: str, session: aiohttp.ClientSession) -> AsyncWebClient:
    """Return a client that never retries: the SDK's handlers would repeat a chat.postMessage that arrived."""
    return AsyncWebClient(token=token.reveal(), base_url=base_url, session=session, retry_handlers=[])


async def bot_user(client: AsyncWebClient, timing: Timing) -> AuthorizeResult:
    """Return who the bot is, by `auth.test`, asked once at start.

    Raises SlackRefused where Slack refuses the token, SlackUnavailable where what answers is not Slack.
    """
    data = await call(client.auth_test(), within=timing.slack_timeout)
    team_id = text_at(data, "team_id")
    if not team_id:
        raise SlackUnavailable("no_team")
    return AuthorizeResult(
        enterprise_id=text_at(data, "enterprise_id") or None,
        team_id=team_id,
        bot_user_id=text_at(data, "user_id"),
        bot_id=text_at(data, "bot_id"),
        bot_token=client.token,
    )


async def call(call: Awaitable[AsyncSlackResponse], *, within: timedelta) -> Mapping[str, object]:
    """Return Slack's answer; SlackUnavailable where a later try may succeed, SlackRefused where it won't."""
    try:
        async with asyncio.timeout(within.total_seconds()):
            response = await call
    except SlackApiError as error:
        raise _meaning(error.response) from error
    except TimeoutError as error:
        raise SlackUnavailable("timeout") from error
    except (aiohttp.ClientError, SlackClientError, OSError, ValueError, RecursionError) as error:
        raise SlackUnavailable(type(error).__name__) from error
    except AttributeError as error:  # the SDK stumbles over a body that is no JSON object
        raise SlackUnavailable("no_object") from error
    if not isinstance(response.data, dict):
        raise SlackUnavailable("no_object")
    return response.data


def _meaning(response: object) -> SlackUnavailable | SlackRefused:
    """What has no error code of Slack's did not come from the Web API but from something on the way."""
    status = getattr(response, "status_code", getattr(response, "status", 0))
    code, needed = (text_at(getattr(response, "data", None), name) for name in ("error", "needed"))
    if not isinstance(status, int) or status == 429 or status >= 500 or not code or code in _LATER:
        return SlackUnavailable(code or f"http_{status}", _retry_after(response))
    return SlackRefused(code, needed=needed)


def _retry_after(response: object) -> timedelta | None:
    seconds = getattr(response, "headers", {}).get("Retry-After", "").strip()
    return min(timedelta(seconds=int(seconds[:6])), MAX_PAUSE) if seconds.isdecimal() else None


@dataclass(repr=False, eq=False)
class SlackClient:
    """Modals, private sentences and direct messages; raises the SlackError tree.

    Views are never logged: one shows a passcode.
    """

    client: AsyncWebClient
    timing: Timing
    _: KW_ONLY
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def open_modal(self, trigger_id: str, view: View) -> str:
        """Open a modal for the person who pressed; returns its id. A trigger expires after three seconds."""
        try:
            return await self._open(trigger_id, view)
        except SlackUnavailable as unavailable:
            if unavailable.code not in _BROKEN:
                raise
        return await self._open(trigger_id, view)  # at once: the trigger does not wait

    async def _open(self, trigger_id: str, view: View) -> str:
        opening = self.client.views_open(trigger_id=trigger_id, view=view)
        view_id = text_at(await call(opening, within=self.timing.trigger_timeout), "view", "id")
        if not view_id:
            raise SlackRefused("unexpected_answer")
        return view_id

    async def update_modal(self, view_id: str, view: View) -> None:
        """Show another view in an open modal; `not_found` where it was closed."""
        within = self.timing.slack_timeout
        await self._retried(lambda: call(self.client.views_update(view_id=view_id, view=view), within=within))

    async def respond(self, response_url: Secret, text: str) -> None:
        """Post a sentence for one person alone. A response_url is good for thirty minutes.

        Whoever has the URL can speak in the bot's name, so no error carries it. It leads to Slack, or to
        where the Web API is; else nothing is sent.
        """
        await self._retried(lambda: self._respond(response_url, text))

    async def _respond(self, response_url: Secret, text: str) -> None:
        session = self.client.session
        if session is None or not self._is_slacks(response_url):
            raise SlackRefused("not_slacks_url")
        body = {"text": text, "response_type": "ephemeral", "replace_original": False}
        try:
            async with (
                asyncio.timeout(self.timing.slack_timeout.total_seconds()),
                session.post(response_url.reveal(), json=body, allow_redirects=False) as response,
            ):
                status = response.status
        except (aiohttp.ClientError, OSError, ValueError) as error:  # a TimeoutError is an OSError
            raise SlackUnavailable(type(error).__name__) from None
        if status == 429 or status >= 500:
            raise SlackUnavailable(f"http_{status}")
        if status != 200:
            raise SlackRefused(f"http_{status}")

    def _is_slacks(self, response_url: Secret) -> bool:
        """Read the URL as the client does that would follow it."""
        try:
            origin = URL(response_url.reveal()).origin()
        except ValueError:
            return False
        return origin in HOOKS or origin == URL(self.client.base_url).origin()

    async def send_direct_message(self, user: UserId, text: str) -> None:
        """Send one of our own sentences; a user id opens the conversation."""
        posting = self.client.chat_postMessage(
            channel=user, text=text, parse="none", link_names=False, unfurl_links=False, unfurl_media=False
        )
        await call(posting, within=self.timing.slack_timeout)

    async def _retried(self, show: Callable[[], Awaitable[object]]) -> None:
        for pause in SHOW_RETRIES:
            await self.sleep(pause.total_seconds())
            try:
                await show()
            except SlackUnavailable as unavailable:
                last = unavailable
                asked = unavailable.retry_after or timedelta(0)
                await self.sleep(min(asked, MAX_SHOW_PAUSE).total_seconds())
            else:
                return
        raise last
