"""The people, channels, accounts and secrets of the sandbox, read from data/cast.toml."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sandbox.data import load

PersonKind = Literal["member", "guest", "single-channel-guest", "external", "deactivated", "bot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """A Slack workspace and the organisation behind it."""

    id: str
    name: str
    domain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A Slack user. `tz` is an IANA name, `color` six hex digits."""

    id: str
    name: str
    handle: str
    title: str
    email: str
    team_id: str
    kind: PersonKind
    tz: str
    color: str

    @property
    def direct(self) -> str:
        """The id of this person's direct message channel with the bot."""
        return f"D0{self.handle.upper()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A channel and its members at the start. `shared`: with another organisation (Slack Connect)."""

    id: str
    name: str
    members: tuple[str, ...]
    private: bool = False
    shared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UserGroup:
    """A user group (@oncall) and its users at the start."""

    id: str
    handle: str
    name: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A Microsoft account. `mail`: where it is not the `upn`. `reset_passcode`: its Intune role allows it."""

    oid: str
    tenant_id: str
    upn: str
    name: str
    mail: str = ""
    reset_passcode: bool = False

    @property
    def email(self) -> str:
        return self.mail or self.upn


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """All people, channels and accounts that the sandbox starts with."""

    team: Team
    other_team: Team
    bot: Person
    people: Sequence[Person]
    channels: Sequence[Channel]
    usergroups: Sequence[UserGroup]
    accounts: Sequence[Account]
    phone_owners: Sequence[Account]

    def person(self, user: str) -> Person:
        """Return the person (or the bot) of this Slack id; KeyError if there is none."""
        for person in (*self.people, self.bot):
            if person.id == user:
                return person
        raise KeyError(user)


def _cast(data: Mapping[str, Any]) -> Cast:
    return Cast(
        team=Team(**data["team"]),
        other_team=Team(**data["other_team"]),
        bot=Person(**data["bot"]),
        people=tuple(Person(**each) for each in data["people"]),
        channels=tuple(Channel(**each | {"members": tuple(each["members"])}) for each in data["channels"]),
        usergroups=tuple(UserGroup(**each | {"users": tuple(each["users"])}) for each in data["usergroups"]),
        accounts=tuple(Account(**each) for each in data["accounts"]),
        phone_owners=tuple(Account(**each) for each in data["phone_owners"]),
    )


_DATA: Final = load("cast.toml")

BOT_TOKEN: Final[str] = _DATA["secrets"]["bot_token"]
APP_TOKEN: Final[str] = _DATA["secrets"]["app_token"]
SIGNING_SECRET: Final[str] = _DATA["secrets"]["signing_secret"]
CLIENT_SECRET: Final[str] = _DATA["secrets"]["client_secret"]
TENANT_ID: Final[str] = _DATA["entra"]["tenant"]
OTHER_TENANT_ID: Final[str] = _DATA["entra"]["other_tenant"]
CLIENT_ID: Final[str] = _DATA["entra"]["client"]
APP_ID: Final[str] = _DATA["app"]["id"]
BOT_ID: Final[str] = _DATA["app"]["bot_id"]

DEFAULT_CAST: Final = _cast(_DATA)
CONTOSO: Final = DEFAULT_CAST.team
MEI, KEN, AIKO, GUS, OLGA = DEFAULT_CAST.people
BOT_USER: Final = DEFAULT_CAST.bot.id
KEN_AT_FABRIKAM: Final = DEFAULT_CAST.accounts[-1]
ON_CALL, SUPPORT = (channel.id for channel in DEFAULT_CAST.channels)
