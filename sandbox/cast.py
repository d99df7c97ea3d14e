"""The people, channels, accounts and secrets of the sandbox; all invented, valid nowhere else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

PersonKind = Literal["member", "guest", "single-channel-guest", "external", "deactivated", "bot"]

BOT_TOKEN: Final = "xoxb-sandbox"  # noqa: S105 - opens nothing but the sandbox
APP_TOKEN: Final = "xapp-sandbox"  # noqa: S105 - opens nothing but the sandbox
SIGNING_SECRET: Final = "sandbox-signing-secret"  # noqa: S105 - signs nothing but the sandbox's requests
CLIENT_SECRET: Final = "sandbox-client-secret"  # noqa: S105 - opens nothing but the sandbox

TENANT_ID: Final = "11111111-2222-4333-8444-555555555555"
OTHER_TENANT_ID: Final = "99999999-8888-4777-8666-555555555555"
CLIENT_ID: Final = "c11e4700-0000-4000-8000-0000000000a1"

BOT_USER: Final = "U0UNLATCH"
BOT_ID: Final = "B0UNLATCH"
APP_ID: Final = "A0UNLATCH"


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """A Slack workspace and the organisation behind it."""

    id: str
    name: str
    domain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody on Slack. `tz` is an IANA name, `color` six hex digits."""

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
    """A channel and who is in it at the start. `shared`: with another organisation (Slack Connect)."""

    id: str
    name: str
    private: bool
    members: tuple[str, ...]
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
    """A Microsoft account. `upn` is also its e-mail address; `reset_passcode`: its Intune role allows it."""

    oid: str
    tenant_id: str
    upn: str
    name: str
    reset_passcode: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Everybody and everything the sandbox starts with."""

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


CONTOSO: Final = Team(id="T0CONTOSO", name="Contoso", domain="contoso")
FABRIKAM: Final = Team(id="T0FABRIKAM", name="Fabrikam", domain="fabrikam")

MEI: Final = Person(
    id="U0MEI",
    name="Mei Tanaka",
    handle="mei",
    title="Support engineer",
    email="mei@contoso.com",
    team_id=CONTOSO.id,
    kind="member",
    tz="Asia/Tokyo",
    color="2b6cb0",
)
KEN: Final = Person(
    id="U0KEN",
    name="Ken Ito",
    handle="ken",
    title="On-call lead",
    email="ken@contoso.com",
    team_id=CONTOSO.id,
    kind="member",
    tz="Asia/Tokyo",
    color="2f855a",
)
AIKO: Final = Person(
    id="U0AIKO",
    name="Aiko Mori",
    handle="aiko",
    title="On-call lead",
    email="aiko@contoso.com",
    team_id=CONTOSO.id,
    kind="member",
    tz="Europe/Berlin",
    color="b7791f",
)
GUS: Final = Person(
    id="U0GUS",
    name="Gus Weber",
    handle="gus",
    title="Guest, repair shop",
    email="gus@repairs.example",
    team_id=CONTOSO.id,
    kind="guest",
    tz="Europe/Berlin",
    color="6b46c1",
)
OLGA: Final = Person(
    id="U0OLGA",
    name="Olga Novak",
    handle="olga",
    title="Fabrikam, another organisation",
    email="olga@fabrikam.com",
    team_id=FABRIKAM.id,
    kind="external",
    tz="Europe/Prague",
    color="c53030",
)
UNLATCH: Final = Person(
    id=BOT_USER,
    name="Unlatch",
    handle="unlatch",
    title="App",
    email="",
    team_id=CONTOSO.id,
    kind="bot",
    tz="Etc/UTC",
    color="1d3557",
)

KEN_AT_FABRIKAM: Final = Account(
    oid="0f000000-0000-4000-8000-00000000000b",
    tenant_id=OTHER_TENANT_ID,
    upn="ken@fabrikam.com",
    name="Ken Ito (Fabrikam)",
    reset_passcode=True,
)
ACCOUNTS: Final = (
    Account(oid="0c000000-0000-4000-8000-000000000001", tenant_id=TENANT_ID, upn=MEI.email, name=MEI.name),
    Account(
        oid="0c000000-0000-4000-8000-000000000002",
        tenant_id=TENANT_ID,
        upn=KEN.email,
        name=KEN.name,
        reset_passcode=True,
    ),
    Account(
        oid="0c000000-0000-4000-8000-000000000003",
        tenant_id=TENANT_ID,
        upn=AIKO.email,
        name=AIKO.name,
        reset_passcode=True,
    ),
    Account(
        oid="0f000000-0000-4000-8000-00000000000a", tenant_id=OTHER_TENANT_ID, upn=OLGA.email, name=OLGA.name
    ),
    KEN_AT_FABRIKAM,
)


def _owner(number: int, name: str, upn: str) -> Account:
    return Account(oid=f"0e000000-0000-4000-8000-{number:012d}", tenant_id=TENANT_ID, upn=upn, name=name)


PHONE_OWNERS: Final = (
    _owner(1, "Ada Lindqvist", "ada@contoso.com"),
    _owner(2, "Tomás Vega", "tomas@contoso.com"),
    _owner(3, "Priya Nair", "priya@contoso.com"),
    _owner(4, "Jonas Berg", "jonas@contoso.com"),
    _owner(5, "Lea Dubois", "lea@contoso.com"),
)

ON_CALL: Final = "C0ONCALL"
SUPPORT: Final = "C0SUPPORT"

DEFAULT_CAST: Final = Cast(
    team=CONTOSO,
    other_team=FABRIKAM,
    bot=UNLATCH,
    people=(MEI, KEN, AIKO, GUS, OLGA),
    channels=(
        Channel(id=ON_CALL, name="on-call-leads", private=True, members=(KEN.id, AIKO.id, BOT_USER)),
        Channel(
            id=SUPPORT,
            name="support",
            private=False,
            members=(MEI.id, KEN.id, AIKO.id, GUS.id, OLGA.id),
            shared=True,
        ),
    ),
    usergroups=(UserGroup(id="S0ONCALL", handle="oncall", name="On-call leads", users=(KEN.id, AIKO.id)),),
    accounts=ACCOUNTS,
    phone_owners=PHONE_OWNERS,
)
