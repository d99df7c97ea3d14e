"""Slack's Web API: the session, a client that knows whether its token is good, modals, private sentences."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from typing import Any, Final

import aiohttp
import structlog
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse
from yarl import URL

from bot.domain.errors import SlackRefused, SlackUnavailable
from bot.domain.values import Secret, UserId, dig, text_at
from bot.network import proxy_for, tls_context
from bot.slack.blocks import Message, View
from bot.slack.errors import PASSING, SCOPE, TOKEN, meaning
from bot.timing import Timing

SHOW_RETRIES: Final = (timedelta(0), timedelta(seconds=1), timedelta(seconds=3))
"""The pause before each try. To show a view or a sentence twice does no harm; a modal left loading does."""
MAX_SHOW_PAUSE: Final = timedelta(seconds=30)
KEEP_ALIVE: Final = timedelta(seconds=15)
"""Give up an idle connection before Slack cuts it under a call."""
HOOKS: Final = frozenset(URL(f"https://hooks.{host}") for host in ("slack.com", "slack-gov.com"))
"""Where a response_url leads (docs.slack.dev, "Handling user interaction"; GovSlack)."""
_BROKEN: Final = frozenset({"ClientOSError", "ServerDisconnectedError", "ConnectionResetError"})
"""The connection broke: most often an idle one that was cut as it was used."""
_DISPENSABLE: Final = frozenset({"apps.connections.open", "conversations.history", "conversations.replies"})
"""Called with another token; or what only finds messages again after a crash."""
ORGANIZATION: Final = "org_wide_installation"
"""Our word for a token that is not of one workspace."""
ANSWERS: Final = 1000
"""How many response_urls are kept."""

log = structlog.get_logger()


class WatchedClient(AsyncWebClient):
    """Knows from every answer whether Slack still takes the token."""

    problem = ""
    """Slack's word for why it refuses the token, with the scope that it lacks; empty where it is good."""
    _refused = ""
    """The method that was refused."""

    async def api_call(self, api_method: str, **arguments: Any) -> AsyncSlackResponse:
        try:
            answer = await super().api_call(api_method, **arguments)
        except SlackApiError as error:
            code, needed = (text_at(error.response.data, name) for name in ("error", "needed"))
            if code and code not in PASSING:
                self._note(api_method, code, needed)
            raise
        if dig(answer.data, "ok") is True:  # what stands on the way may answer 200 as well
            self._note(api_method)
        return answer

    def _note(self, method: str, code: str = "", needed: str = "") -> None:
        """An answer of Slack's shows whether the token is good, and its scope for this method."""
        if method in _DISPENSABLE:
            return
        if code in TOKEN | SCOPE:
            word = f"{code}: {needed}" if needed else code
            if word != self.problem:
                log.error("slack_token_refused", method=method, code=code, needed=needed)
            self.problem, self._refused = word, method
        elif self.problem in TOKEN or method == self._refused:
            self.problem = ""


def slack_session(timing: Timing) -> aiohttp.ClientSession:
    """Return the one session for every call: without it each call opens a connection of its own."""
    connector = aiohttp.TCPConnector(ssl=tls_context(), keepalive_timeout=KEEP_ALIVE.total_seconds())
    timeout = aiohttp.ClientTimeout(total=timing.slack_timeout.total_seconds(), connect=3)
    return aiohttp.ClientSession(timeout=timeout, connector=connector)


def slack_client(token: Secret, base_url: str, session: aiohttp.ClientSession) -> WatchedClient:
    """Return a client that never retries: the SDK's handlers would repeat a chat.postMessage that arrived."""
    client = WatchedClient(token=token.reveal(), base_url=base_url, session=session, retry_handlers=[])
    client.proxy = proxy_for(base_url)
    return client


async def bot_user(client: AsyncWebClient, timing: Timing) -> AuthorizeResult:
    """Return who the bot is, by `auth.test`, asked once at start.

    Raises SlackRefused where Slack refuses the token, SlackUnavailable where what answers is not Slack.
    """
    data = await call(client.auth_test(), within=timing.slack_timeout)
    team_id = text_at(data, "team_id")
    if data.get("is_enterprise_install") is True:
        raise SlackRefused(ORGANIZATION)
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
        raise meaning(error.response) from error
    except TimeoutError as error:
        raise SlackUnavailable("timeout") from error
    except (aiohttp.ClientError, SlackClientError, OSError, ValueError, RecursionError) as error:
        raise SlackUnavailable(type(error).__name__) from error
    except AttributeError as error:  # the SDK stumbles over a body that is no JSON object
        raise SlackUnavailable("no_object") from error
    if not isinstance(response.data, dict):
        raise SlackUnavailable("no_object")
    return response.data


class Answers(dict[str, Secret]):
    """The newest response_urls, in memory alone, by request or by the form that may become one.

    Each answers its person for thirty minutes, five times.
    """

    def keep(self, key: str, url: Secret | None) -> None:
        if url is not None:
            self[key] = url
        while len(self) > ANSWERS:
            del self[next(iter(self))]


@dataclass(repr=False, eq=False)
class SlackClient:
    """Modals, private sentences and direct messages; raises the SlackError tree.

    Views are never logged: one shows a passcode.
    """

    client: WatchedClient
    timing: Timing
    _: KW_ONLY
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    answers: Answers = field(default_factory=Answers)
    """For requesters to whom Slack lets the app send no direct message."""

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

    async def respond(self, response_url: Secret, said: Message | str) -> None:
        """Post a sentence or a message for one person alone. A response_url is good for thirty minutes.

        Whoever has the URL can speak in the bot's name, so no error carries it. It leads to Slack, or to
        where the Web API is; else nothing is sent.
        """
        shown = {"text": said} if isinstance(said, str) else {"text": said.text, "blocks": list(said.blocks)}
        await self._retried(lambda: self._respond(response_url, shown))

    async def _respond(self, response_url: Secret, shown: Mapping[str, object]) -> None:
        session = self.client.session
        if session is None or not self._is_slacks(response_url):
            raise SlackRefused("not_slacks_url")
        url, body = response_url.reveal(), {**shown, "response_type": "ephemeral", "replace_original": False}
        try:
            async with (
                asyncio.timeout(self.timing.slack_timeout.total_seconds()),
                session.post(url, json=body, allow_redirects=False, proxy=proxy_for(url)) as response,
            ):
                status = response.status
        except (aiohttp.ClientError, OSError, ValueError) as error:  # a TimeoutError is an OSError
            raise SlackUnavailable(type(error).__name__) from None
        if status != 200:
            failure = SlackUnavailable if status == 429 or status >= 500 else SlackRefused
            raise failure(f"http_{status}")

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
