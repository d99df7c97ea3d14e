"""What can go wrong, as one tree: a class of its own only where code branches on it, else a `Code`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from bot.domain.values import Facts, utc_text

if TYPE_CHECKING:
    from bot.domain.people import Person, SignInLink


class Code(StrEnum):
    """Every reason for which something is refused, ends or waits again; each has one sentence in the catalog.

    The value is stored in rows and in the audit log: rename only with a migration.
    """

    # what was typed cannot be used
    BAD_TARGET = "bad_target"
    NO_REASON = "no_reason"
    REASON_TOO_LONG = "reason_too_long"
    TICKET_TOO_LONG = "ticket_too_long"
    # the person may not
    NOT_A_MEMBER = "not_a_member"
    NOT_A_REQUESTER = "not_a_requester"
    NOT_AN_APPROVER = "not_an_approver"
    NOT_THE_REQUESTER = "not_the_requester"
    OWN_REQUEST = "own_request"
    OWN_ACCOUNT = "own_account"
    OWN_DEVICE = "own_device"
    REQUESTER_LEFT = "requester_left"
    QUOTA_EXCEEDED = "quota_exceeded"
    TOO_MANY_OPEN = "too_many_open"
    TOO_MANY_PRESSES = "too_many_presses"
    COULD_NOT_VERIFY = "could_not_verify"
    CHANNEL_PUBLIC = "channel_public"
    CHANNEL_SHARED = "channel_shared"
    CHANNEL_UNKNOWN = "channel_unknown"
    # the request does not wait for this
    TAMPERED = "tampered"
    UNKNOWN_REQUEST = "unknown_request"
    ALREADY_DECIDED = "already_decided"
    NOT_WAITING = "not_waiting"
    REVIEW_OUTDATED = "review_outdated"
    REQUEST_EXPIRED = "request_expired"
    ALREADY_REQUESTED = "already_requested"
    DEVICE_BUSY = "device_busy"
    # the target or the device
    NO_EMAIL = "no_email"
    NO_DEVICE = "no_device"
    DEVICE_CHANGED = "device_changed"
    RECENTLY_RESET = "recently_reset"
    WRONG_PLATFORM = "wrong_platform"
    APPLE_USER_ENROLLMENT = "apple_user_enrollment"
    UNKNOWN_PLATFORM = "unknown_platform"
    MAIL_ONLY = "mail_only"
    NOTHING_TO_RESET = "nothing_to_reset"
    SEARCH_CUT = "search_cut"
    NOT_MANAGED = "not_managed"
    # the new passcode
    NO_PASSCODE = "no_passcode"
    PASSCODE_REPLACED = "passcode_replaced"
    REVEAL_EXPIRED = "reveal_expired"
    APPROVER_SIGNED_OUT = "approver_signed_out"
    APPROVER_LEFT = "approver_left"
    CANNOT_READ = "cannot_read"
    DEVICE_GONE = "device_gone"
    # the sign-in
    SIGN_IN_NEEDED = "sign_in_needed"
    LINK_UNUSABLE = "link_unusable"
    CONSENT_DENIED = "consent_denied"
    ENTRA_ERROR = "entra_error"
    WRONG_TENANT = "wrong_tenant"
    WRONG_ACCOUNT = "wrong_account"
    GUEST_ACCOUNT = "guest_account"
    ACCOUNT_TAKEN = "account_taken"
    DECLINED = "declined"
    NO_SIGN_IN_TIME = "no_sign_in_time"
    STALE_SIGN_IN = "stale_sign_in"
    BAD_TOKEN = "bad_token"  # noqa: S105  a reason's code, no secret
    # the request waits again
    SIGN_IN_ENDED = "sign_in_ended"
    MICROSOFT_REFUSED_APPROVER = "microsoft_refused_approver"
    NOT_EXECUTED = "not_executed"
    HEAD_NOT_KEPT = "head_not_kept"
    # the request failed
    MICROSOFT_REFUSED_DEVICE = "microsoft_refused_device"
    UNKNOWN_PATH = "unknown_path"
    DEVICE_FAILED = "device_failed"
    NOT_SUPPORTED = "not_supported"
    CANCELED = "canceled"
    SILENT = "silent"
    CLOSED = "closed"
    # the outcome is uncertain
    NO_ANSWER = "no_answer"


FORBIDDEN: Final = "Forbidden"
"""Intune's code for a role that lacks."""
NOT_FOUND: Final = "ResourceNotFound"
"""Intune's code for a device that it does not have, or not in this account's scope."""
NOT_GRAPH: Final = "NotGraph"
"""Our code for an answer that does not carry Graph's request-id: somebody's on the way, such as a proxy."""
BAD_INPUT: Final = frozenset({Code.BAD_TARGET, Code.NO_REASON, Code.REASON_TOO_LONG, Code.TICKET_TOO_LONG})
"""What was typed can be typed again: nothing was stored, nobody was refused."""
QUOTAS: Final = frozenset({Code.QUOTA_EXCEEDED, Code.TOO_MANY_OPEN, Code.TOO_MANY_PRESSES})
"""Too much of what is allowed: it leaves a log line, for an audit row each would let one person flood it."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a request ended, waits again or cannot be reset."""

    code: Code
    facts: Facts = field(default_factory=dict)

    def as_facts(self) -> dict[str, str]:
        """Return the code and its facts, for an audit row."""
        return {"cause": str(self.code), **self.facts}


class UnlatchError(Exception):
    """The root of the tree."""


class Refusal(UnlatchError):
    """Somebody may not have what they asked for; Slack shows it as a private sentence."""

    def __init__(self, code: Code, /, **facts: str) -> None:
        """`facts` are what the sentence names: user ids, times by `utc_text`, text as it was typed."""
        super().__init__(code)
        self.code = code
        self.facts = facts

    @property
    def cause(self) -> Cause:
        return Cause(self.code, self.facts)


class CouldNotVerify(Refusal):
    """A lookup failed or timed out, so nobody is let through on it."""

    def __init__(self, what: str, why: Facts | None = None, *, hidden: bool = False) -> None:
        """`what` was looked up, in words for people. `why`: only where waiting does not mend it.

        `hidden`: it is this one person whom the directory does not show.
        """
        super().__init__(Code.COULD_NOT_VERIFY, what=what, **(why or {}))
        self.lasts = bool(why)
        self.hidden = hidden


class SignInNeeded(Refusal):
    """The approver has no usable sign-in at Microsoft.

    `claims` is the claims challenge that Microsoft answered with, as JSON text. `stale`: there is a sign-in,
    but every approval asks for a fresh one. `rejected`: there is one, and Microsoft takes its tokens no more.
    `approver` was looked up and admitted a moment ago, where so.
    """

    def __init__(self, claims: str | None = None, *, stale: bool = False, rejected: bool = False) -> None:
        super().__init__(Code.SIGN_IN_NEEDED)
        self.claims = claims
        self.stale = stale
        self.rejected = rejected
        self.approver: Person | None = None


class RecentlyReset(Refusal):
    """The device was reset at `at`, by Intune's clock: a second reset has to be meant."""

    def __init__(self, at: datetime, **facts: str) -> None:
        super().__init__(Code.RECENTLY_RESET, at=utc_text(at), **facts)


class SignInRefused(Refusal):
    """Microsoft or Unlatch refused the account that came back; `link` says who tried, where it is known.

    `claims`: what Microsoft asks the next sign-in for, as JSON text.
    """

    def __init__(
        self, code: Code, /, *, link: SignInLink | None = None, claims: str | None = None, **facts: str
    ) -> None:
        super().__init__(code, **facts)
        self.link = link
        self.claims = claims


class LostRace(UnlatchError):
    """The row changed since it was read; read it again."""


class StoreError(UnlatchError):
    """The database did not do what it was asked."""


class BadAddress(ValueError):
    """No address of a database; the text has no part of it."""


class StoreUnavailable(StoreError):
    """Nothing was stored. `reason`: what is wrong, after "The database"; `lasts`: no waiting mends it."""

    def __init__(self, reason: str = "does not answer", *, lasts: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.lasts = lasts


class CommitUnknown(StoreError):
    """The COMMIT was sent and not answered: it may be stored. Read again before you say so."""


class AuditBroken(StoreError):
    """The audit log is not as it was left, so nothing that needs an audit row is stored."""


@dataclass(eq=False)
class GraphError(UnlatchError):
    """Microsoft Graph did not do what it was asked; ids and sentence as Graph gave them, without URLs."""

    status: int | None = None
    code: str = ""
    message: str = ""
    request_id: str = ""
    activity_id: str = ""
    retry_after: timedelta | None = None
    """How long Graph asks to wait (429, 503)."""

    def as_facts(self) -> dict[str, str]:
        """Return what Graph said and the ids by which Microsoft's support finds the call."""
        names = ("status", "code", "message", "request_id", "activity_id")
        return {name: str(getattr(self, name)) for name in names if getattr(self, name)}


class NotExecuted(GraphError):
    """The call never left, or Graph says that it did nothing (429): safe to try again."""


@dataclass(eq=False)
class ApproverRefused(GraphError):
    """401 or 403. `claims`: with a token that was asked for with them it would be let through."""

    claims: str | None = None

    @property
    def is_role(self) -> bool:
        """Whether the token is good, and Intune's role is what lacks; Intune says that with 401 too."""
        return self.claims is None and (self.status == 403 or self.code == FORBIDDEN)


class DeviceRefused(GraphError):
    """400, 404 and their like: Graph refuses this on this device."""

    @property
    def is_gone(self) -> bool:
        """Whether Intune has no such device, or none in this account's scope; it says that with 400 too."""
        return self.status == 404 or self.code == NOT_FOUND


class UnknownPath(GraphError):
    """Graph, or Intune behind it, knows no such address: nothing was done, and nothing said of the device."""


class OutcomeUnknown(GraphError):
    """No answer, a broken answer or a 5xx: the reset may have happened."""


@dataclass(eq=False)
class SlackError(UnlatchError):
    """Slack did not show something; `code` is Slack's own word for it."""

    code: str = ""
    retry_after: timedelta | None = None
    """How long Slack asks to wait."""
    is_undone: bool = False
    """Whether Slack says that it did nothing; else a message may have been posted."""
    needed: str = field(default="", kw_only=True)
    """The scope that is missing."""

    def as_facts(self) -> dict[str, str]:
        """Return Slack's words for it, and the scope that it names."""
        return {"code": self.code} | ({"needed": self.needed} if self.needed else {})


class SlackUnavailable(SlackError):
    """Slack is slow, busy or unreachable: show it later."""


class SlackRefused(SlackError):
    """Not without help: the bot is not in the channel, a scope is missing, the blocks are wrong."""
