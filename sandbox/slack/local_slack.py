"""The local Slack as one object: what people do, what they see, and what changes around them."""

from collections.abc import Collection, Coroutine, Mapping
from typing import Any, Final, Literal, TypeVar

import httpx
from starlette.routing import BaseRoute, Route, WebSocketRoute

from sandbox.cast import APP_ID, SIGNING_SECRET, Cast
from sandbox.clock import Clock, SystemClock
from sandbox.journal import Journal
from sandbox.slack.answers import Answers
from sandbox.slack.changes import Changes
from sandbox.slack.clicks import Clicks
from sandbox.slack.commands import Commands
from sandbox.slack.delivery import Ack, Envelope, SignedHttp
from sandbox.slack.elements import Entry
from sandbox.slack.modals import Modals, View
from sandbox.slack.outcome import Outcome
from sandbox.slack.platform import Platform
from sandbox.slack.refusals import NotPossible
from sandbox.slack.shapes import JsonObject
from sandbox.slack.sockets import Sockets
from sandbox.slack.submissions import Submissions
from sandbox.slack.suggestions import Suggestions
from sandbox.slack.surroundings import Surroundings
from sandbox.slack.tickets import ResponseUrls, Triggers
from sandbox.slack.workspace import Message, Workspace

T = TypeVar("T")

SCOPES: Final = (
    "commands",
    "chat:write",
    "users:read",
    "users:read.email",
    "groups:read",
    "channels:read",
    "im:write",
    "groups:history",
    "channels:history",
    "im:history",
    "usergroups:read",
)
COMMANDS: Final = ("/reset-passcode",)


class Slack(Surroundings):
    """A strict local Slack.

    People are named by their Slack ids. What a person does either raises NotPossible at once (Slack's
    client would not offer it) or is delivered to the app and returns an Outcome when the app has
    acknowledged. What the app does afterwards shows up in `messages`, `modal`, `ephemerals`; wait for it
    with `until`.

    Args:
        bot_url: where the app's HTTP server is (`POST {bot_url}/slack/events`); not needed when the app
            uses Socket Mode. While any socket is open nothing goes over HTTP.
        transport: how `bot_url` is reached, for an app in the same process (httpx.ASGITransport).
        scopes: what the app was granted; a call that needs more is answered `missing_scope`.
        signing_clock: the clock of the request signatures. The real one unless told otherwise, because
            the app's own check usually goes by the real time.
    """

    def __init__(
        self,
        cast: Cast,
        clock: Clock,
        journal: Journal,
        *,
        base_url: str,
        bot_url: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        scopes: Collection[str] = SCOPES,
        commands: Collection[str] = COMMANDS,
        signing_clock: Clock | None = None,
    ) -> None:
        self.base_url = base_url
        changes = Changes()
        http = SignedHttp(
            bot_url, secret=SIGNING_SECRET, clock=signing_clock or SystemClock(), transport=transport
        )
        platform = Platform(
            cast=cast,
            clock=clock,
            journal=journal,
            changes=changes,
            workspace=Workspace(cast, clock, changes),
            modals=Modals(cast.team.id, changes),
            triggers=Triggers(clock),
            response_urls=ResponseUrls(clock),
            http=http,
            sockets=Sockets(changes),
            base_url=lambda: self.base_url,
            scopes=tuple(scopes),
            commands=tuple(commands),
        )
        super().__init__(platform)
        self.sockets = platform.sockets
        self._answers = Answers(platform)
        self._commands = Commands(platform)
        self._clicks = Clicks(platform)
        self._submissions = Submissions(platform)
        self._suggestions = Suggestions(platform)

    def routes(self) -> list[BaseRoute]:
        """The HTTP and WebSocket routes, with absolute paths."""
        return [
            Route("/slack/api/{method}", self._web_api.answer, methods=["GET", "POST"]),
            Route("/slack/response/{token}", self._answers.answer, methods=["POST"]),
            WebSocketRoute("/slack/socket", self.sockets.accept),
        ]

    async def aclose(self) -> None:
        """Close all connections to the app."""
        await self.sockets.close()
        await self.platform.http.close()

    # -- what people do ---------------------------------------------------------------------------

    async def command(self, user: str, channel: str, text: str) -> Outcome:
        """Type a slash command, as a person would: `@mei`, plain addresses, `#support`."""
        return await self._commands.command(user, channel, text)

    def message(self, user: str, channel: str, text: str) -> Message:
        """Say something in a channel."""
        return self._commands.message(user, channel, text)

    async def click(
        self,
        user: str,
        action_id: str,
        *,
        channel: str = "",
        ts: str = "",
        view_id: str = "",
        block_id: str | None = None,
        value: Entry = None,
        seen: Message | None = None,
    ) -> Outcome:
        """Use a button or a menu.

        Where: in a message (`channel`, and `ts` or else the newest message with such an element), or in
        a modal (`view_id`, or else the one that is open). `value`: the value of the option to choose, or
        the user id, or what to type. `seen`: the message as the person saw it some time ago, to press a
        button that is gone by now.
        """
        return await self.prepare_click(
            user,
            action_id,
            channel=channel,
            ts=ts,
            view_id=view_id,
            block_id=block_id,
            value=value,
            seen=seen,
        )

    def prepare_click(
        self,
        user: str,
        action_id: str,
        *,
        channel: str = "",
        ts: str = "",
        view_id: str = "",
        block_id: str | None = None,
        value: Entry = None,
        seen: Message | None = None,
    ) -> Coroutine[Any, Any, Outcome]:
        """As `click`, in two steps: NotPossible is raised now, the returned coroutine delivers."""
        if seen is None and not channel:
            view = self.view(user, view_id)
            return self._clicks.in_view(user, view, action_id, block_id, value)
        message = seen or self._clicked(user, channel, ts, action_id, block_id)
        return self._clicks.in_message(user, message, action_id, block_id, value)

    def prepare_command(self, user: str, channel: str, text: str) -> Coroutine[Any, Any, Outcome]:
        """As `command`, in two steps: NotPossible is raised now, the returned coroutine delivers."""
        return self._commands.command(user, channel, text)

    async def submit(
        self, user: str, values: Mapping[str, object] | None = None, *, view_id: str = ""
    ) -> Outcome:
        """Fill in the open form and submit it.

        `values`: action id or block id to what is entered (text, the value of an option, an id), or the
        full `{block_id: {action_id: {"type", "value"|"selected_option"|…}}}`. What is left out stays as
        it is. Slack's own client refuses a required field left empty: see `Outcome.errors`.
        """
        return await self._submissions.submit(user, self.view(user, view_id), values or {})

    def fill(self, user: str, values: Mapping[str, object], *, view_id: str = "") -> View:
        """Type into the open form without submitting it."""
        return self._submissions.fill(self.view(user, view_id), values)

    async def close(self, user: str, *, view_id: str = "", all_of_them: bool = False) -> Outcome:
        """Press Cancel on the top modal, or (`all_of_them`) the cross, which closes the whole stack."""
        view = self.view(user, view_id)
        return await self._submissions.close(user, view, all_of_them=all_of_them)

    async def suggest(
        self, user: str, action_id: str, typed: str, *, view_id: str = "", seen: Message | None = None
    ) -> list[JsonObject]:
        """Type into an external select; returns the options that the app offers."""
        place = seen or self.view(user, view_id)
        return await self._suggestions.suggest(user, place, action_id, typed)

    async def event(self, event: JsonObject) -> Ack:
        """Tell the app of an event (`{"type": "app_home_opened", …}`), once: nothing is delivered again."""
        envelope = Envelope(kind="events_api", payload=self._event(event), takes_answer=False)
        return await self.platform.deliver(envelope)

    def dismiss(self, user: str, notice_or_ts: str) -> bool:
        """Take away a notice (by id) or an ephemeral message (by ts); False if it is not there."""
        return self.workspace.dismiss(user, notice_or_ts)

    async def redeliver_last(self) -> Ack:
        """Deliver the last command, click or form again, byte for byte; nobody sees the answer."""
        return await self.platform.carrier().repeat()

    def _event(self, event: JsonObject) -> JsonObject:
        team, stamp = self.workspace.team.id, self.workspace.timestamps.next()
        return {
            "token": "deprecated",
            "team_id": team,
            "api_app_id": APP_ID,
            "event": {"event_ts": stamp, **event},
            "type": "event_callback",
            "event_id": f"Ev{stamp.replace('.', '')}",
            "event_time": int(float(stamp)),
            "authorizations": [{"team_id": team, "user_id": self.workspace.bot.id, "is_bot": True}],
            "is_ext_shared_channel": False,
        }

    def _clicked(self, user: str, channel: str, ts: str, action_id: str, block_id: str | None) -> Message:
        if not ts:
            return self._clicks.newest(user, channel, action_id, block_id)
        message = self.workspace.message(channel, ts, seen_by=user)
        if message is None:
            raise NotPossible("there is no such message")
        return message

    # -- the app ----------------------------------------------------------------------------------

    @property
    def scopes_used(self) -> set[str]:
        """The scopes that calls really needed so far."""
        return self.platform.scopes_used

    @property
    def bot_url(self) -> str | None:
        """Where the app's HTTP server is."""
        return self.platform.http.bot_url

    @bot_url.setter
    def bot_url(self, url: str | None) -> None:
        self.platform.http.bot_url = url

    @property
    def mode(self) -> Literal["http", "socket"]:
        """How the next delivery will travel."""
        return "socket" if self.sockets.connections else "http"
