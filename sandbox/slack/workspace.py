"""The state of one Slack workspace: people, channels, messages, user groups; and waiting for a change."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from typing import Final, TypeVar

from sandbox.cast import APP_ID, BOT_ID, Cast, Person
from sandbox.clock import Clock
from sandbox.slack.shapes import Block, JsonObject

ORGANIZATION: Final = "E0CONTOSO"
OTHER_WORKSPACE: Final = "T0CONTOSOJP"
"""Of the same organization; the bot is not installed there."""

T = TypeVar("T")


class Changes:
    """Tells listeners and waiters that something changed."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[], None]] = []
        self._next = asyncio.Event()

    def tell(self) -> None:
        """Something changed."""
        woken, self._next = self._next, asyncio.Event()
        woken.set()
        for listener in list(self.listeners):
            listener()

    async def until(
        self,
        predicate: Callable[[], T],
        timeout: float = 5.0,  # noqa: ASYNC109 - reads better in tests than asyncio.timeout
    ) -> T:
        """Return the first true value of `predicate`, asked after every change.

        TimeoutError after `timeout` real seconds.
        """
        async with asyncio.timeout(timeout):
            while not (found := predicate()):
                await self._next.wait()
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message as it stands now. `only_for`: the one person who sees it (an ephemeral message)."""

    channel: str
    ts: str
    at: datetime
    user: str
    text: str
    blocks: tuple[Block, ...] | None = None
    metadata: JsonObject | None = None
    thread_ts: str | None = None
    edited_at: datetime | None = None
    only_for: str | None = None
    by_app: bool = True


@dataclass(frozen=True, slots=True)
class Notice:
    """What Slack itself says to a person, such as that an app did not answer."""

    id: str
    text: str


@dataclass(slots=True, kw_only=True)
class Conversation:
    """A channel, or the direct messages of one person with the bot (`direct_with`)."""

    id: str
    name: str
    private: bool
    members: list[str]
    direct_with: str | None = None
    shared: bool = False
    pending_share: bool = False
    archived: bool = False
    messages: dict[str, Message] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Group:
    """A user group as it stands now."""

    id: str
    handle: str
    name: str
    users: list[str]
    enabled: bool = True


class Timestamps:
    """Message timestamps: the sandbox's time, each one used once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0

    def next(self) -> str:
        """Return a new `seconds.microseconds`, later than every one before."""
        now = int(self._clock.now().timestamp() * 1_000_000)
        self._last = max(now, self._last + 1)
        return f"{self._last // 1_000_000}.{self._last % 1_000_000:06d}"


class Workspace:
    """People, channels with their members and messages, user groups."""

    def __init__(self, cast: Cast, clock: Clock, changes: Changes) -> None:
        self.team = cast.team
        self.other_team = cast.other_team
        self.bot = cast.bot
        self.clock = clock
        self.changes = changes
        self.timestamps = Timestamps(clock)
        self.people: dict[str, Person] = {p.id: p for p in (*cast.people, cast.bot)}
        self.unconfirmed_emails: set[str] = set()
        self.conversations = {c.id: c for c in _conversations(cast)}
        self.organization = ""
        """The organization's id on Enterprise Grid; empty: the workspace is alone."""
        self.named_by_organization: set[str] = set()
        self.groups = {
            g.id: Group(id=g.id, handle=g.handle, name=g.name, users=list(g.users)) for g in cast.usergroups
        }
        self.ephemerals: dict[str, list[Message]] = {}
        self.notices: dict[str, list[Notice]] = {}
        self._notice_ids = count(1)

    def become_grid(self, *named_by_organization: str) -> None:
        """Be one of two workspaces of an organization: its people are in both, and have an id in it too.

        Payloads name some of them by that id, and every one by the other workspace. Call it before the bot
        starts, which asks once.
        """
        self.organization, self.named_by_organization = ORGANIZATION, set(named_by_organization)

    def find(self, user: str) -> Person | None:
        """Return the person with this id, of the workspace or the organization."""
        by_organization = {self.organization_id(one): one for one in self.people}
        return self.people.get(by_organization.get(user, user) if self.organization else user)

    def organization_id(self, user: str) -> str:
        """The id in the organization of the person with this id in the workspace."""
        return f"W{user[1:]}GRID"

    def named(self, user: str) -> tuple[str, str]:
        """Return by which id and workspace payloads name a person."""
        by_organization = self.organization and user in self.named_by_organization
        in_other = self.organization and not self.external(user)
        return (
            self.organization_id(user) if by_organization else user,
            OTHER_WORKSPACE if in_other else self.people[user].team_id,
        )

    def external(self, user: str) -> bool:
        """Whether this person belongs to another organisation."""
        return self.people[user].team_id != self.team.id

    def active(self, user: str) -> bool:
        """Whether there is such a person and their account still works."""
        return user in self.people and self.people[user].kind != "deactivated"

    def shares_a_channel(self, user: str) -> bool:
        """Whether the bot and this person are in a channel together."""
        return any(
            user in c.members and self.bot.id in c.members
            for c in self.conversations.values()
            if c.direct_with is None
        )

    def post(
        self,
        channel: str,
        *,
        user: str,
        text: str,
        blocks: Sequence[Block] | None = None,
        metadata: JsonObject | None = None,
        thread_ts: str | None = None,
    ) -> Message:
        """Add a message that the whole channel sees."""
        message = Message(
            channel=channel,
            ts=self.timestamps.next(),
            at=self.clock.now(),
            user=user,
            text=text,
            blocks=tuple(blocks) if blocks else None,
            metadata=metadata,
            thread_ts=thread_ts,
            by_app=user == self.bot.id,
        )
        self.conversations[channel].messages[message.ts] = message
        self.changes.tell()
        return message

    def show_only(
        self, user: str, channel: str, *, text: str, blocks: Sequence[Block] | None = None
    ) -> Message:
        """Show an ephemeral message of the bot to one person."""
        message = Message(
            channel=channel,
            ts=self.timestamps.next(),
            at=self.clock.now(),
            user=self.bot.id,
            text=text,
            blocks=tuple(blocks) if blocks else None,
            only_for=user,
        )
        self.ephemerals.setdefault(user, []).append(message)
        self.changes.tell()
        return message

    def edit(self, message: Message, *, text: str, blocks: Sequence[Block] | None) -> Message:
        """Replace what a message says; without blocks it is marked as edited, as Slack does."""
        edited = replace(
            message,
            text=text,
            blocks=tuple(blocks) if blocks else None,
            edited_at=message.edited_at if blocks else self.clock.now(),
        )
        self.put(edited)
        return edited

    def put(self, message: Message) -> None:
        """Store the new state of a message that exists."""
        if message.only_for is None:
            self.conversations[message.channel].messages[message.ts] = message
        else:
            seen = self.ephemerals[message.only_for]
            self.ephemerals[message.only_for] = [message if m.ts == message.ts else m for m in seen]
        self.changes.tell()

    def remove(self, message: Message) -> None:
        """Take a message away."""
        if message.only_for is None:
            self.conversations[message.channel].messages.pop(message.ts, None)
        else:
            left = [m for m in self.ephemerals.get(message.only_for, []) if m.ts != message.ts]
            self.ephemerals[message.only_for] = left
        self.changes.tell()

    def message(self, channel: str, ts: str, *, seen_by: str | None = None) -> Message | None:
        """Return a message, counting the ephemeral ones that `seen_by` sees."""
        conversation = self.conversations.get(channel)
        found = conversation.messages.get(ts) if conversation else None
        if found is None and seen_by is not None:
            own = self.ephemerals.get(seen_by, [])
            return next((m for m in own if (m.channel, m.ts) == (channel, ts)), None)
        return found

    def tell(self, user: str, text: str) -> Notice:
        """Show a person a notice of Slack's own."""
        notice = Notice(f"N{next(self._notice_ids)}", text)
        self.notices.setdefault(user, []).append(notice)
        self.changes.tell()
        return notice

    def dismiss(self, user: str, notice_or_ts: str) -> bool:
        """Take away a notice or an ephemeral message; False if this person has no such thing."""
        notices, ephemerals = self.notices.get(user, []), self.ephemerals.get(user, [])
        self.notices[user] = [n for n in notices if n.id != notice_or_ts]
        self.ephemerals[user] = [m for m in ephemerals if m.ts != notice_or_ts]
        gone = len(notices) + len(ephemerals) - len(self.notices[user]) - len(self.ephemerals[user])
        self.changes.tell()
        return gone > 0

    def message_json(self, message: Message, *, with_metadata: bool = False) -> JsonObject:
        """A message as the Web API and the payloads show it."""
        body: JsonObject = {
            "type": "message",
            "user": message.user,
            "ts": message.ts,
            "text": message.text,
            "team": self.people[message.user].team_id,
        }
        if message.by_app:
            body |= self._bot_fields()
        if message.blocks is not None:
            body["blocks"] = list(message.blocks)
        if message.thread_ts is not None:
            body["thread_ts"] = message.thread_ts
        if message.edited_at is not None:
            body["edited"] = {"user": message.user, "ts": f"{message.edited_at.timestamp():.6f}"}
        if with_metadata and message.metadata:
            body["metadata"] = message.metadata
        return body

    def _bot_fields(self) -> Mapping[str, object]:
        profile = {
            "id": BOT_ID,
            "app_id": APP_ID,
            "user_id": self.bot.id,
            "name": self.bot.name,
            "deleted": False,
            "updated": 1_767_225_600,
            "team_id": self.team.id,
        }
        return {"bot_id": BOT_ID, "app_id": APP_ID, "bot_profile": profile}


def _conversations(cast: Cast) -> Iterator[Conversation]:
    for channel in cast.channels:
        yield Conversation(
            id=channel.id,
            name=channel.name,
            private=channel.private,
            members=list(channel.members),
            shared=channel.shared,
        )
    for person in cast.people:
        yield Conversation(
            id=person.direct,
            name=person.handle,
            private=True,
            members=[person.id, cast.bot.id],
            direct_with=person.id,
        )
