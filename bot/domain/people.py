"""Who somebody is: a person in Slack, an account in Entra, how the two are linked, and who an audience is."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

from bot.domain.values import ChannelId, RequestId, Secret, TeamId, UserId


class Kind(StrEnum):
    """What kind of Slack user this is; only a full member of this workspace may ask or decide."""

    MEMBER = "member"
    GUEST = "guest"
    BOT = "bot"
    DEACTIVATED = "deactivated"
    OUTSIDER = "outsider"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A Slack user as `users.info` shows them now; `email` is None where Slack shows none or unconfirmed."""

    id: UserId
    """Of several ids that Slack has for one person, the same one always."""
    kind: Kind
    name: str
    email: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who a payload says pressed or typed: a claim, to be looked up before it counts."""

    user: UserId
    team: TeamId | None
    """The team of the *user* in the payload; a Slack Connect outsider carries another than ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An Entra account that signed in for a Slack user. The key is (tenant, oid); names may change."""

    tenant: str
    oid: str
    username: str
    """The sign-in name (UPN), where the id_token has one; never empty."""
    name: str
    emails: frozenset[str] = frozenset()
    """Every address that the id_token carries, lower-case: the sign-in name and `email`."""
    signed_in_at: datetime
    authenticated_at: datetime | None = None
    """When the person last signed in to Microsoft interactively (`auth_time`); None where it did not say."""

    @property
    def key(self) -> str:
        """What names the account for good; `ResetRequest.asked_as` keeps it."""
        return f"{self.tenant}/{self.oid}".casefold()

    def as_facts(self) -> dict[str, str]:
        """Return who this is at Microsoft, for an audit row."""
        return {"account": self.username, "oid": self.oid, "tenant": self.tenant}


class SignOutReason(StrEnum):
    """Why a sign-in was deleted. The value is in the audit log."""

    ASKED = "asked"
    TOO_OLD = "too_old"
    NOT_A_MEMBER = "not_a_member"
    UNREADABLE = "unreadable"
    """No key of the vault opens it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInLink:
    """A single-use sign-in link. Only the SHA-256 of its 256 random bits is stored."""

    digest: str
    """Hexadecimal."""
    user: UserId
    team: TeamId | None
    expires_at: datetime
    request_id: RequestId | None = None
    """The request whose review goes on after the sign-in."""
    view_id: str | None = None
    """The open Slack modal that goes on after the sign-in."""
    claims: str | None = None
    """The claims challenge that Microsoft answered with, as JSON text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInResult:
    """What a browser brought back from Microsoft: verified, and not yet linked to the Slack user."""

    link: SignInLink
    account: Account
    cache: Secret
    """MSAL's token cache of this account, serialized."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Two secrets that only the browser which came back from Microsoft has; it takes both to go on."""

    page: Secret
    """In the form that asks whether to go on."""
    cookie: Secret


class AudienceKind(StrEnum):
    """Where an audience is looked up."""

    CHANNEL = "channel"
    USERGROUP = "usergroup"
    WORKSPACE = "workspace"


@dataclass(frozen=True, slots=True)
class Audience:
    """One part of `REQUESTERS` or `APPROVERS`: `channel:C…`, `usergroup:S…` or `workspace`."""

    kind: AudienceKind
    id: str = ""

    def __str__(self) -> str:
        """As the setting has it."""
        return f"{self.kind}:{self.id}" if self.id else str(self.kind)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return one part of the setting; None where it is none."""
        kind, _, id_ = text.strip().partition(":")
        starts = {"channel": ("C", "G"), "usergroup": ("S",)}
        if kind == AudienceKind.WORKSPACE and not id_:
            return cls(AudienceKind.WORKSPACE)
        if kind in starts and id_.startswith(starts[kind]) and id_.isalnum():
            return cls(AudienceKind(kind), id_)
        return None

    @classmethod
    def channel(cls, channel: ChannelId) -> Self:
        return cls(AudienceKind.CHANNEL, channel)
