"""Everything that can go wrong, as one drawn tree.

UnlatchError
├── Refusal                 somebody may not have what they asked for; becomes a private sentence
│   ├── BadInput            what was typed cannot be used
│   │   ├── BadTarget, NoReason, ReasonTooLong, TicketTooLong
│   ├── NotAllowed          the person may not do this
│   │   ├── NotAMember, NotARequester, NotAnApprover, OwnRequest, OwnAccount, OwnDevice, NotTheRequester
│   ├── NotNow              the request does not wait for this
│   │   ├── UnknownRequest, AlreadyDecided, NotWaiting, TooLate, AlreadyAsked, DeviceBusy, ReviewOutdated
│   ├── NoSuchDevice, DeviceChanged, CannotReset, NoPasscode, ApproverSignedOut
│   ├── RecentlyReset       has to be confirmed knowingly
│   ├── TooOften            a limit on one person is reached
│   ├── SignInNeeded, TicketUnusable, SignInRefused
│   └── CouldNotVerify      a lookup failed; refuses, never falls back
├── LostRace                the row changed since it was read
├── StoreAway               the database did not answer
├── GraphError              sorted by one question: may it have happened?
│   ├── NeverLeft           nothing was sent, or nothing was done; safe to try again
│   ├── ApproverRefused     401 or 403: this account may not
│   ├── DeviceRefused       400 or 404: not on this device
│   └── Unknown             no answer, or a 5xx: it may have happened
└── SlackError              a message that could not be shown
    ├── SlackAway           later
    └── CannotShow          not without a human
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.domain.identifiers import UserId
from bot.domain.sign_in import Ticket
from bot.domain.status import Status
from bot.domain.why import Why


class UnlatchError(Exception):
    """The root of the tree."""


class Refusal(UnlatchError):
    """Somebody may not have what they asked for; the Slack face turns it into a private sentence."""


class BadInput(Refusal):
    """What was typed cannot be used; nothing was stored."""


@dataclass(eq=False)
class BadTarget(BadInput):
    """The target names neither a person nor a device nor an app."""

    typed: str


class NoReason(BadInput):
    """A request or a denial needs a reason: the other side reads it."""


@dataclass(eq=False)
class ReasonTooLong(BadInput):
    """A reason may have `limit` characters."""

    limit: int


@dataclass(eq=False)
class TicketTooLong(BadInput):
    """A ticket reference may have `limit` characters."""

    limit: int


class NotAllowed(Refusal):
    """The person may not do this, whatever the state of the request."""


@dataclass(eq=False)
class NotAMember(NotAllowed):
    """No full member of this workspace; `kind` is the `Kind` of person found."""

    kind: str


class NotARequester(NotAllowed):
    """A full member, but outside the audience that may ask."""


class NotAnApprover(NotAllowed):
    """A full member, but not in the approver channel or not on call now."""


class OwnRequest(NotAllowed):
    """Nobody decides on their own request."""


class OwnAccount(NotAllowed):
    """The Entra account that would act is the requester's, under another Slack user."""


class OwnDevice(NotAllowed):
    """The device that would be reset belongs to who approves."""


class NotTheRequester(NotAllowed):
    """Only who asked may withdraw the request or see the new passcode."""


class NotNow(Refusal):
    """The request does not wait for this."""


class UnknownRequest(NotNow):
    """No request has this id."""


@dataclass(eq=False)
class AlreadyDecided(NotNow):
    """Somebody was first: `by` is None where the clock or a check decided."""

    status: Status
    by: UserId | None
    at: datetime


@dataclass(eq=False)
class NotWaiting(NotNow):
    """The request is in `status`, which has no such move."""

    status: Status


class ReviewOutdated(NotNow):
    """The request waits, but something has happened to it since this approver reviewed it."""


class TooLate(NotNow):
    """The request expired, or the time to look at a new passcode is over."""


@dataclass(eq=False)
class AlreadyAsked(NotNow):
    """The same target waits already, asked for by `by`; `ref` says which request that is."""

    ref: str
    by: UserId


@dataclass(eq=False)
class DeviceBusy(NotNow):
    """The reset of request `ref` may still be under way on this device: a second could not be told apart."""

    ref: str


class NoSuchDevice(Refusal):
    """Intune shows this approver no device for the target."""


class DeviceChanged(Refusal):
    """The device that was chosen is no longer among those that the target names."""


@dataclass(eq=False)
class CannotReset(Refusal):
    """Intune cannot reset the passcode of this device; `why` says the reason."""

    why: Why


@dataclass(eq=False)
class RecentlyReset(Refusal):
    """The device was reset at `at`, by Intune's clock: a second reset has to be meant."""

    at: datetime


@dataclass(eq=False)
class TooOften(Refusal):
    """One person did this `limit` times within the window that ends at `until`."""

    limit: int
    until: datetime
    first: bool
    """Whether it is the first one too many: the record notes that one and is not flooded by the others."""


class NoPasscode(Refusal):
    """Intune holds no new passcode for this reset (any more)."""


@dataclass(eq=False)
class ApproverSignedOut(Refusal):
    """The passcode is read with the sign-in of `approver`, and that has ended."""

    approver: UserId


@dataclass(eq=False)
class SignInNeeded(Refusal):
    """The person has no usable sign-in.

    `claims` is what Microsoft asks for in addition, as JSON text. `stale`: there is one, but every approval
    asks for a fresh one.
    """

    claims: str | None = None
    stale: bool = False


class TicketUnusable(Refusal):
    """A sign-in link or a sign-in's return is unknown, used or expired."""


@dataclass(eq=False)
class SignInRefused(Refusal):
    """Microsoft or Unlatch refused the account that came back; `ticket` says who tried, where it is known."""

    why: Why
    ticket: Ticket | None = None


@dataclass(eq=False)
class CouldNotVerify(Refusal):
    """A lookup failed or timed out, so nobody is let through on it."""

    what: str


class LostRace(UnlatchError):
    """The row changed since it was read; read it again."""


class StoreAway(UnlatchError):
    """The database did not answer; nothing was stored."""


@dataclass(eq=False)
class GraphError(UnlatchError):
    """Microsoft Graph did not do what it was asked; ids and sentence as Graph gave them, without URLs."""

    status: int | None = None
    code: str = ""
    message: str = ""
    request_id: str = ""
    activity_id: str = ""


@dataclass(eq=False)
class NeverLeft(GraphError):
    """The request never left, or Graph says that it did nothing (429): safe to try again."""

    retry_after: timedelta | None = None


@dataclass(eq=False)
class ApproverRefused(GraphError):
    """401 or 403: this account may not. `claims` is set where a fresh sign-in with them would help."""

    claims: str | None = None


@dataclass(eq=False)
class DeviceRefused(GraphError):
    """400, 404 and their like: Graph refuses this on this device."""


@dataclass(eq=False)
class Unknown(GraphError):
    """No answer, a broken answer or a 5xx: it may have happened."""


@dataclass(eq=False)
class SlackError(UnlatchError):
    """A message could not be shown; `code` is Slack's own word for it."""

    code: str = ""


@dataclass(eq=False)
class SlackAway(SlackError):
    """Slack is slow, busy or unreachable: show it later."""

    retry_after: timedelta | None = field(default=None)


class CannotShow(SlackError):
    """Not without a human: the bot is not in the channel, a scope is missing, the blocks are wrong."""
