"""One row of the audit record: who did or tried what, when, to which request."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from bot.domain.identifiers import RequestId, UserId


class Event(StrEnum):
    """Everything that leaves a row. The value is stored."""

    ASKED = "asked"
    VERIFIED = "verified"
    REFUSED = "refused"
    REVIEWED = "reviewed"
    APPROVED = "approved"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    ATTEMPT_STARTED = "attempt_started"
    ATTEMPT_ANSWERED = "attempt_answered"
    WAITS_AGAIN = "waits_again"
    DONE = "done"
    FAILED = "failed"
    CLOSED = "closed"
    TRY_REFUSED = "try_refused"
    PASSCODE_SEEN = "passcode_seen"
    SIGN_IN_STARTED = "sign_in_started"
    SIGNED_IN = "signed_in"
    SIGN_IN_REFUSED = "sign_in_refused"
    SIGNED_OUT = "signed_out"
    STARTED = "started"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`actor` is None where the clock or Microsoft acted; `facts` are short, never a token or a passcode."""

    event: Event
    at: datetime
    actor: UserId | None = None
    request_id: RequestId | None = None
    facts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
