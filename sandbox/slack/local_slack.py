"""The local Slack as one object: what people do, what they see, and what changes around them."""

from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, Literal, TypeVar

import httpx
from starlette.routing import BaseRoute, Route, WebSocketRoute

from sandbox.cast import APP_ID, SIGNING_SECRET, Cast, PersonKind
from sandbox.clock import Clock, SystemClock
from sandbox.journal import Bearer, Journal
from sandbox.slack.commands import Commands
from sandbox.slack.delivery import Ack, Envelope, SignedHttp
from sandbox.slack.elements import Entry
from sandbox.slack.interactions import Clicks, Submissions
from sandbox.slack.modals import Modals, View
from sandbox.slack.platform import Outcome, Platform
from sandbox.slack.refusals import NotPossible, Refused
from sandbox.slack.response_urls import ResponseUrlEndpoint
from sandbox.slack.shapes import JsonObject
from sandbox.slack.sockets import Sockets
from sandbox.slack.tickets import ResponseUrls, Triggers
from sandbox.slack.web_api import WebApi
from sandbox.slack.workspace import Changes, Message, Notice, Workspace

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


class Slack:
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
        self.platform = platform
        self.workspace = platform.workspace
        self.changed = platform.changes
        self.sockets = platform.sockets
        self._web_api = WebApi(platform)
        self._response_urls = ResponseUrlEndpoint(platform)
        self._commands = Commands(platform)
        self._clicks = Clicks(platform)
        self._submissions = Submissions(platform)

    def routes(self) -> list[BaseRoute]:
        """The HTTP and WebSocket routes, with absolute paths."""
        return [
            Route("/slack/api/{method}", self._web_api.answer, methods=["GET", "POST"]),
            Route("/slack/response/{token}", self._response_urls.answer, methods=["POST"]),
            WebSocketRoute("/slack/socket", self.sockets.accept),
        ]

    async def aclose(self) -> None:
        """Close all connections to the app."""
        await self.sockets.close()
        await self.platform.http.close()

    # What people do

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

    async def event(self, event: JsonObject) -> Ack:
        """Tell the app of an event (`{"type": "app_home_opened", …}`), once: nothing is delivered again."""
        envelope = Envelope(kind="events_api", payload=self._event(event), takes_answer=False)
        return await self.platform.deliver(envelope)

    def dismiss(self, user: str, notice_or_ts: str) -> bool:
        """Take away a notice (by id) or an ephemeral message (by ts); False if it is not there."""
        return self.workspace.dismiss(user, notice_or_ts)

    async def redeliver_last(self) -> Ack:
        """Deliver the last command, click or form again, byte for byte; its answer is dropped."""
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

    # What people see

    def messages(self, channel: str) -> list[Message]:
        """The messages of a channel, oldest first."""
        return list(self.workspace.conversations[channel].messages.values())

    def direct(self, user: str) -> list[Message]:
        """The direct messages of a person and the bot, oldest first."""
        return self.messages(self.workspace.people[user].direct)

    def ephemerals(self, user: str) -> list[Message]:
        """The messages that only this person sees, oldest first."""
        return list(self.workspace.ephemerals.get(user, []))

    def notices(self, user: str) -> list[Notice]:
        """What Slack itself told this person, oldest first."""
        return list(self.workspace.notices.get(user, []))

    def modal(self, user: str) -> View | None:
        """The modal in front of this person, or None."""
        return self.platform.modals.top(user)

    def view(self, user: str, view_id: str = "") -> View:
        """The open modal of this id, or the top one; NotPossible if there is none."""
        try:
            view = self.platform.modals.find(view_id=view_id) if view_id else self.modal(user)
        except Refused:
            view = None
        if view is None:
            raise NotPossible("that modal is not open")
        return view

    async def until(
        self,
        predicate: Callable[[], T],
        timeout: float = 5.0,  # noqa: ASYNC109 - see Changes.until
    ) -> T:
        """Wait for the first true value of `predicate`; TimeoutError after `timeout` real seconds."""
        return await self.changed.until(predicate, timeout)

    # What changes around the app

    def join(self, channel: str, user: str) -> None:
        """Add a person (or the bot) to a channel."""
        members = self.workspace.conversations[channel].members
        if user not in members:
            members.append(user)
        self.changed.tell()

    def leave(self, channel: str, user: str) -> None:
        """Take a person (or the bot) out of a channel."""
        self.workspace.conversations[channel].members.remove(user)
        self.changed.tell()

    def share(self, channel: str, *, shared: bool = True, pending: bool = False) -> None:
        """Share a channel with another organisation, or begin to (`pending`)."""
        conversation = self.workspace.conversations[channel]
        conversation.shared, conversation.pending_share = shared and not pending, pending
        self.changed.tell()

    def archive(self, channel: str) -> None:
        """Archive a channel."""
        self.workspace.conversations[channel].archived = True
        self.changed.tell()

    def set_usergroup(self, group: str, users: Collection[str]) -> None:
        """Set who is in a user group."""
        self.workspace.groups[group].users = list(users)
        self.changed.tell()

    def deactivate(self, user: str) -> None:
        """Deactivate an account: it leaves every channel and group."""
        self.change_person(user, kind="deactivated")
        for conversation in self.workspace.conversations.values():
            if conversation.direct_with is None and user in conversation.members:
                conversation.members.remove(user)
        for group in self.workspace.groups.values():
            group.users = [other for other in group.users if other != user]
        self.changed.tell()

    def change_person(
        self,
        user: str,
        *,
        kind: PersonKind | None = None,
        email: str | None = None,
        email_confirmed: bool | None = None,
    ) -> None:
        """Change a person's kind of membership, or their e-mail address."""
        person = self.workspace.people[user]
        self.workspace.people[user] = replace(person, kind=kind or person.kind, email=email or person.email)
        if email_confirmed is False:
            self.workspace.unconfirmed_emails.add(user)
        elif email_confirmed:
            self.workspace.unconfirmed_emails.discard(user)
        self.changed.tell()

    def bearer_of(self, authorization: str) -> Bearer:
        """Whom this Authorization header speaks for."""
        return self._web_api.bearer(authorization.removeprefix("Bearer ").strip())

    def be_patient(self, seconds: float) -> None:
        """Wait this long instead of three seconds, so that a busy machine is no failure of the app."""
        self.sockets.ack_seconds = self.platform.http.ack_seconds = seconds
        self.platform.triggers.life = timedelta(seconds=seconds)

    def fail_next(self, method: str, error: str) -> None:
        """Answer the next call of a method with an error of Slack's; nothing is done."""
        self._web_api.next_errors[method] = error

    def refuse(self, method: str, error: str) -> None:
        """Answer every call of a method, or of all for "", with an error of Slack's; no error: as before."""
        self._web_api.errors[method] = error

    # The app

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
