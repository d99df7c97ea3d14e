"""A sign-in: the single-use link that starts it, what a browser brings back, and why a sign-in ends."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.domain.people import Account
from bot.domain.values import RequestId, Secret, TeamId, UserId


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
    team: TeamId
    user: UserId
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
