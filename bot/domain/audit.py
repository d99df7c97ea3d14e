"""One entry of the audit log: who did or tried what, when, to which request."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Self

from bot.domain.request import ResetRequest
from bot.domain.values import Facts, RequestId, UserId


class Event(StrEnum):
    """Everything that leaves a row. The value is stored."""

    REQUESTED = "requested"
    VERIFIED = "verified"
    REFUSED = "refused"
    REVIEWED = "reviewed"
    APPROVED = "approved"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    ATTEMPT_STARTED = "attempt_started"
    ATTEMPT_ANSWERED = "attempt_answered"
    REOPENED = "reopened"
    LOOKED = "looked"
    DONE = "done"
    FAILED = "failed"
    CLOSED = "closed"
    ACCESS_REFUSED = "access_refused"
    PASSCODE_VIEWED = "passcode_viewed"
    SIGN_IN_STARTED = "sign_in_started"
    SIGNED_IN = "signed_in"
    SIGN_IN_REFUSED = "sign_in_refused"
    SIGNED_OUT = "signed_out"
    STARTED = "started"
    LOG_CREATED = "log_created"
    """Row 1, written by `unlatch migrate`."""
    KEY_ADDED = "key_added"
    """A new signing key's public half, signed by the old key."""
    RESUMED = "resumed"
    """An operator went on after an honest restore; names the head that was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`actor` is None where the clock or Microsoft acted."""

    event: Event
    at: datetime
    actor: UserId | None = None
    request_id: RequestId | None = None
    version: int | None = None
    """The version that a request moved to; None where nothing moved. `(request_id, version)` is unique."""
    facts: Facts = field(default_factory=dict)

    @classmethod
    def of_move(cls, event: Event, new: ResetRequest, facts: Facts, *, actor: UserId | None = None) -> Self:
        return cls(
            event=event, at=new.changed_at, actor=actor, request_id=new.id, version=new.version, facts=facts
        )
