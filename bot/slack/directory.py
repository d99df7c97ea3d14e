"""Slack's directory, read at the moment of the act but for which ids are one's; the approver channel."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import Final

import structlog
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.domain.errors import Code, CouldNotVerify, SlackError, SlackRefused, SlackUnavailable
from bot.domain.people import Actor, Audience, AudienceKind, Kind, Person
from bot.domain.values import ChannelId, UserId, dig, text_at
from bot.slack.client import WatchedClient, call
from bot.slack.errors import HIDDEN
from bot.timing import Timing

PAGE, _MAX_PAGES = 200, 500
PROFILE: Final = "Slack’s profile of a person"
MEMBERS: Final = "Slack’s list of a channel’s members"
GROUP: Final = "Slack’s list of a user group’s members"
SHARED: Final = ("is_ext_shared", "is_pending_ext_shared")
"""With another organisation, or about to be. `is_org_shared` is our own organisation's."""

User = Mapping[str, object]

log = structlog.get_logger()


class SlackDirectory:
    """The Protocol `Directory` over the Web API. `us`: the bot, as `auth.test` named its team."""

    def __init__(self, client: AsyncWebClient, us: AuthorizeResult, *, timing: Timing) -> None:
        self._client = client
        self._team = us.team_id or ""
        self._enterprise = us.enterprise_id or ""
        """Our organization on Enterprise Grid, else empty."""
        self._timing = timing
        self._same: dict[UserId, frozenset[UserId]] = {}
        """By id: every id of that person that Slack has named."""

    async def person(self, actor: Actor) -> Person:
        """Return who this is now, by `users.info`."""
        data = await self._look_up(self._client.users_info(user=actor.user), PROFILE)
        user = data.get("user")
        if not isinstance(user, Mapping) or actor.user not in self._learn(user):
            raise _not_understood(PROFILE)
        # A display name is a nickname that its owner chooses, and often says less.
        names = [text_at(user, "profile", name) for name in ("real_name", "display_name")]
        names += [text_at(user, name) for name in ("real_name", "name", "id")]
        confirmed = user.get("is_email_confirmed") is not False
        return Person(
            id=min(self._same[actor.user]),
            kind=self._kind(user, actor),
            name=next(filter(None, names)),
            email=(text_at(user, "profile", "email") or None) if confirmed else None,
        )

    def same(self, user: UserId) -> frozenset[UserId]:
        alone = not (self._enterprise or user.startswith("W"))  # `W…` is an organization's
        return self._same.get(user, frozenset({user} if alone else ()))

    def _learn(self, user: User) -> frozenset[UserId]:
        """Return every id of this profile's person: on Enterprise Grid of the workspace and the organization.

        Source: docs.slack.dev, "User object": `id`, `enterprise_user.id`.
        """
        ids = {UserId(text_at(user, "id")), UserId(text_at(user, "enterprise_user", "id"))} - {""}
        same = frozenset(ids.union(*(self._same.get(one, ()) for one in ids)))
        self._same |= dict.fromkeys(same, same)
        return same

    async def is_in(self, user: UserId, audience: Audience) -> bool:
        match audience.kind:
            case AudienceKind.WORKSPACE:
                return True  # every person is checked to be a full member of it
            case AudienceKind.CHANNEL:
                return await self._is_in_channel(user, audience.id)
            case AudienceKind.USERGROUP:
                # Slack does not know a disabled group (`no_such_subteam`), so it lets nobody in.
                listing = self._client.usergroups_users_list(usergroup=audience.id, include_disabled=False)
                users = _ids((await self._look_up(listing, GROUP)).get("users"), GROUP)
                return not (self.same(user) | {user}).isdisjoint(users)

    async def _is_in_channel(self, user: UserId, channel: str) -> bool:
        """Read every page of members: a page may be short or empty, so only an empty cursor is the end."""
        cursor, seen = "", set[str]()
        while len(seen) < _MAX_PAGES:
            listing = self._client.conversations_members(channel=channel, cursor=cursor or None, limit=PAGE)
            data = await self._look_up(listing, MEMBERS)
            if not (self.same(user) | {user}).isdisjoint(_ids(data.get("members"), MEMBERS)):
                return True
            cursor = text_at(data, "response_metadata", "next_cursor")
            if not cursor:
                return False
            if cursor in seen:
                break
            seen.add(cursor)
        raise _not_understood(MEMBERS)

    async def _look_up(self, lookup: Awaitable[AsyncSlackResponse], what: str) -> Mapping[str, object]:
        try:
            return await call(lookup, within=self._timing.slack_timeout)
        except SlackError as error:
            log.warning("lookup_failed", what=what, error=type(error).__name__, **error.as_facts())
            why = error.as_facts() if isinstance(error, SlackRefused) else None
            raise CouldNotVerify(what, why, hidden=error.code in HIDDEN) from error

    def _kind(self, user: User, actor: Actor) -> Kind:
        """`is_app_user` is no sign of a bot: it says that the person has authorized this app."""
        if _flag(user, "deleted"):
            return Kind.DEACTIVATED
        if _flag(user, "is_bot") or actor.user == "USLACKBOT":
            return Kind.BOT
        if _flag(user, "is_stranger") or not self._is_ours(user, actor):
            return Kind.OUTSIDER
        if any(_flag(user, name) for name in ("is_restricted", "is_ultra_restricted")):
            return Kind.GUEST
        return Kind.DEACTIVATED if _flag(user, "is_invited_user") else Kind.MEMBER

    def _is_ours(self, user: User, actor: Actor) -> bool:
        """Of our workspace by the profile, and not of another organization by the payload.

        On Enterprise Grid a payload may name any workspace of the person or the organization, and so may
        `team_id`; `teams` names all of the person's workspaces.
        """
        organization = dig(user, "enterprise_user", "enterprise_id")
        ours = self._enterprise != "" and organization == self._enterprise
        if not ours and actor.team not in (None, self._team, self._enterprise):
            return False
        by_id = user.get("team_id") == self._team
        teams = dig(user, "enterprise_user", "teams")
        return by_id if teams is None else (ours or by_id) and self._team in _ids(teams, PROFILE)


def _flag(user: User, name: str) -> bool:
    """Slack leaves a flag out where it is false; a value that is no flag is not understood."""
    value = user.get(name, False)
    if not isinstance(value, bool):
        raise _not_understood(PROFILE)
    return value


def _ids(value: object, what: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _not_understood(what)
    return value


def _not_understood(what: str) -> CouldNotVerify:
    log.warning("lookup_failed", what=what, error="not understood")
    return CouldNotVerify(what)


# The approver channel


@dataclass(repr=False, eq=False)
class ApproverChannel:
    """Looked at when the bot starts, each hour, and each minute while something is wrong with it.

    `rota`: APPROVERS names user groups alone, so that to join the channel makes nobody an approver.
    """

    client: WatchedClient
    id: ChannelId
    _: KW_ONLY
    rota: bool
    timing: Timing
    now: Callable[[], datetime]
    problem: Code | None = field(init=False, default=Code.CHANNEL_UNKNOWN)
    """Why nothing is posted to it and decided in it; what nobody could look at for long is not believed."""
    refused: SlackError = field(init=False)
    """Why it could not be looked at, where it could not."""
    _looked_at: datetime | None = field(init=False, default=None)

    async def look(self) -> None:
        """Look, where it is time; where that fails, the next call looks again."""
        now, last = self.now(), self._looked_at
        good = self.problem is None and not self.client.problem
        if good and last is not None and now < last + self.timing.channel_looked_at:
            return
        asking = self.client.conversations_info(channel=self.id)
        try:
            channel = (await call(asking, within=self.timing.slack_timeout)).get("channel")
            self.refused = SlackUnavailable("unexpected_answer")
        except SlackError as error:
            channel, self.refused = None, error
        if not isinstance(channel, Mapping):
            log.warning("approver_channel_not_looked_at", code=self.refused.code)
            if last is None or now >= last + 2 * self.timing.channel_looked_at:
                self.problem = Code.CHANNEL_UNKNOWN
            return
        self._looked_at, self.problem = now, problem_of(channel, rota=self.rota)
        if self.problem is not None:
            log.error("approver_channel_refused", reason=str(self.problem))


def problem_of(channel: Mapping[str, object], *, rota: bool) -> Code | None:
    """Return why this is no channel for approvers, from what `conversations.info` says of it."""
    if any(channel.get(name) for name in SHARED):
        return Code.CHANNEL_SHARED
    return None if rota or channel.get("is_private") is True else Code.CHANNEL_PUBLIC
