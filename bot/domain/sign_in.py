"""The link that ties one browser visit to one Slack user, and what comes back from it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bot.domain.identifiers import RequestId, TeamId, UserId

TICKET_LIFE: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A single-use sign-in link. Only the SHA-256 of its 256 random bits is stored."""

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
