"""The ticket that ties one sign-in to one Slack user, how long things last, and why a sign-in ends."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from bot.domain.identifiers import RequestId, TeamId, UserId

TICKET_LIFE: Final = timedelta(minutes=10)
FRESH_FOR: Final = timedelta(minutes=10)
"""Where every approval asks for a fresh sign-in: how long ago the person may have proved who they are."""


class Ended(StrEnum):
    """Why a sign-in was forgotten. The value is on the record."""

    ASKED = "asked"
    TOO_OLD = "too_old"
    NOT_A_MEMBER = "not_a_member"
    UNREADABLE = "unreadable"
    """No key of the vault opens it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A single-use sign-in. Only the SHA-256 of its 256 random bits is stored."""

    digest: str
    team: TeamId
    user: UserId
    expires_at: datetime
    request_id: RequestId | None = None
    """The request whose review goes on after the sign-in."""
    view_id: str | None = None
    """The open Slack modal that goes on by itself."""
    claims: str | None = None
    """What Microsoft asked for in addition, as JSON text."""
