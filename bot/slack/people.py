"""Slack's directory. Nothing is remembered: who somebody is, is read at the moment of the act."""

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from datetime import timedelta
from typing import Final

from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.domain.errors import CouldNotVerify, SlackError
from bot.domain.identifiers import TeamId, UserId
from bot.domain.people import Actor, Audience, AudienceKind, Kind, Person
from bot.domain.storable import storable
from bot.slack.calling import answer

WITHIN: Final = timedelta(seconds=10)
PAGE: Final = 200
_MOST_PAGES: Final = 500
PROFILE: Final = "Slack’s profile of a person"
MEMBERS: Final = "Slack’s list of a channel’s members"
GROUP: Final = "Slack’s list of a user group’s members"

User = Mapping[str, object]


class SlackPeople:
    """The port `People` over the Web API. `enterprise` is our organisation on Enterprise Grid, else None."""

    def __init__(
        self,
        client: AsyncWebClient,
        *,
        team: TeamId,
        enterprise: str | None = None,
        within: timedelta = WITHIN,
    ) -> None:
        self._client = client
        self._team = team
        self._enterprise = enterprise or None
        self._within = within

    async def person(self, actor: Actor) -> Person:
        """Who this is now, by `users.info`."""
        call = self._client.users_info(user=actor.user, include_locale=True)
        data = await self._looked_up(call, PROFILE)
        user = data.get("user")
        if not isinstance(user, Mapping) or user.get("id") != actor.user:
            raise CouldNotVerify(PROFILE)
        return Person(
            id=actor.user,
            team_id=TeamId(_text(user, "team_id")),
            kind=self._kind(user, actor),
            name=_name(user),
            email=_email(user),
            locale=_text(user, "locale") or "en-US",
        )

    async def is_in(self, user: UserId, audiences: Sequence[Audience]) -> bool:
        """Whether the user is in any of the audiences, looked up one after the other."""
        for audience in audiences:
            if await self._is_in(user, audience):
                return True
        return False

    async def _is_in(self, user: UserId, audience: Audience) -> bool:
        match audience.kind:
            case AudienceKind.WORKSPACE:
                return True  # that the person is a full member of it is checked of everybody
            case AudienceKind.CHANNEL:
                return await self._in_channel(user, audience.id)
            case AudienceKind.USERGROUP:
                return await self._in_usergroup(user, audience.id)

    async def _in_channel(self, user: UserId, channel: str) -> bool:
        async for page in self._pages(channel):
            if user in page:
                return True
        return False

    async def _pages(self, channel: str) -> AsyncIterator[list[str]]:
        """Every page of members: a page may be short, so only an empty cursor is the end."""
        cursor, seen = "", set[str]()
        while len(seen) < _MOST_PAGES:
            call = self._client.conversations_members(channel=channel, cursor=cursor or None, limit=PAGE)
            data = await self._looked_up(call, MEMBERS)
            yield _texts(data.get("members"), MEMBERS)
            cursor = _cursor(data)
            if not cursor:
                return
            if cursor in seen:
                break
            seen.add(cursor)
        raise CouldNotVerify(MEMBERS)

    async def _in_usergroup(self, user: UserId, usergroup: str) -> bool:
        """Slack knows no disabled group (`no_such_subteam`), so nobody is let in by one."""
        call = self._client.usergroups_users_list(usergroup=usergroup, include_disabled=False)
        data = await self._looked_up(call, GROUP)
        return user in _texts(data.get("users"), GROUP)

    async def _looked_up(self, call: Awaitable[AsyncSlackResponse], what: str) -> Mapping[str, object]:
        try:
            return await answer(call, within=self._within)
        except SlackError as error:
            raise CouldNotVerify(what) from error

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
        """Of our workspace or organisation, both by what the payload claimed and by the profile."""
        home = {self._team, self._enterprise} - {None}
        if actor.team is not None and actor.team not in home:
            return False
        enterprise = user.get("enterprise_user")
        organisation = enterprise.get("enterprise_id") if isinstance(enterprise, Mapping) else None
        return _text(user, "team_id") == self._team or (
            self._enterprise is not None and organisation == self._enterprise
        )


def _text(user: User, name: str) -> str:
    value = user.get(name)
    return storable(value) if isinstance(value, str) else ""


def _flag(user: User, name: str) -> bool:
    """Slack leaves a flag out where it is false; anything else that is no flag is not understood."""
    value = user.get(name, False)
    if not isinstance(value, bool):
        raise CouldNotVerify(PROFILE)
    return value


def _name(user: User) -> str:
    """The full name: a display name is a nickname that its owner chooses, and often says less."""
    profile = user.get("profile")
    names = (
        [_text(profile, name) for name in ("real_name", "display_name")]
        if isinstance(profile, Mapping)
        else []
    )
    return next(filter(None, [*names, _text(user, "real_name"), _text(user, "name")]), _text(user, "id"))


def _email(user: User) -> str | None:
    """The address, unless Slack says that nobody confirmed it."""
    profile = user.get("profile")
    address = _text(profile, "email") if isinstance(profile, Mapping) else ""
    return address if address and user.get("is_email_confirmed") is not False else None


def _texts(value: object, what: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise CouldNotVerify(what)
    return value


def _cursor(data: Mapping[str, object]) -> str:
    metadata = data.get("response_metadata")
    return _text(metadata, "next_cursor") if isinstance(metadata, Mapping) else ""
