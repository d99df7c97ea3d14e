"""The life of a request: a frozen value and a table of moves. A move returns a new value or says why not."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Self

from bot.domain.device import Device, Effect
from bot.domain.errors import (
    AlreadyDecided,
    BadInput,
    NoReason,
    NotTheRequester,
    NotWaiting,
    OwnRequest,
    ReasonTooLong,
    ReviewOutdated,
    TicketTooLong,
    TooLate,
)
from bot.domain.identifiers import DeviceId, RequestId, TeamId, UserId
from bot.domain.status import HOLDING, OPEN
from bot.domain.status import MOVES as MOVES
from bot.domain.status import Status as Status
from bot.domain.storable import storable
from bot.domain.target import Target, TargetKind
from bot.domain.why import Code, Why

REASON_LIMIT: Final = 1000
TICKET_LIMIT: Final = 100
SAME_MOMENT: Final = timedelta(seconds=1)
"""Intune may round the start of one and the same action differently from one read to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long things may take; every number of the life cycle is here."""

    lifetime: timedelta = timedelta(hours=1)
    remind_every: timedelta = timedelta(minutes=15)
    verify_for: timedelta = timedelta(minutes=5)
    """How long a lookup that fails is tried again before the ask is refused."""
    send_for: timedelta = timedelta(minutes=2)
    """How long an approved reset that could not leave is tried again before the approver must press again."""
    attempt: timedelta = timedelta(seconds=60)
    """Longer than any call to Graph may take: an attempt older than this has nobody waiting for it."""
    settle: timedelta = timedelta(minutes=15)
    """How long an uncertain attempt is looked for on the device before a human has to decide."""
    skew: timedelta = timedelta(minutes=2)
    """How far Intune's clock may be behind ours."""
    silent_after: timedelta = timedelta(hours=24)
    recently: timedelta = timedelta(minutes=15)
    """A device reset within this time is reset again only by somebody who says that they mean it."""
    reveal_for: timedelta = timedelta(hours=1)

    def poll_after(self, waited: timedelta) -> timedelta:
        """The pause before the next look at a device that has had the command for `waited`."""
        if waited < timedelta(minutes=1):
            return timedelta(seconds=5)
        return timedelta(seconds=30) if waited < timedelta(minutes=15) else timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The one POST of resetPasscode that an approval allows."""

    number: int
    started_at: datetime
    client_request_id: str
    """The GUID sent with the call, to find it in Microsoft's logs."""
    seen_at: datetime | None = None
    """Intune's own time of this reset, once the device has shown it: no earlier one is taken for it then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Who approved, as whom, what."""

    by: UserId
    oid: str
    """The Entra account whose token carries the reset out."""
    username: str
    at: datetime
    device: Device
    effect: Effect
    previous_reset_at: datetime | None = None
    """Intune's own time of the newest reset that the device had before: ours is a later one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetRequest:
    """One ask, one card, one outcome."""

    id: RequestId
    delivery: str
    """What Slack calls this ask (a trigger id, a view id): a second delivery finds the first one's row."""
    team: TeamId
    asked_by: UserId
    asked_by_team: TeamId | None
    asked_at: datetime
    target: Target
    reason: str
    ticket: str | None = None
    status: Status = Status.RECEIVED
    version: int = 1
    changed_at: datetime
    next_at: datetime | None
    """When somebody has to look at this row again; None: nobody."""
    expires_at: datetime | None = None
    reminders: int = 0
    decided_by: UserId | None = None
    decided_at: datetime | None = None
    denial: str | None = None
    approval: Approval | None = None
    attempt: Attempt | None = None
    attempts: int = 0
    why: Why | None = None
    """Why it ended, or why it waits again."""
    holds: DeviceId | None = None
    """The device on which no other request may start: its reset could be taken for this one's."""

    @property
    def ref(self) -> str:
        """Six characters to say aloud."""
        return self.id[:6].upper()

    @property
    def round(self) -> int:
        """Another number after every change but a reminder: what was reviewed is decided on in its round."""
        return self.version - self.reminders

    @property
    def open_target(self) -> str | None:
        """What no second request may wait for meanwhile. An app names many devices, so it holds none up."""
        if self.status not in OPEN or self.target.kind is TargetKind.APP:
            return None
        return f"{self.target.kind}:{self.target.value.casefold()}"

    @property
    def is_over(self) -> bool:
        """Whether no move is left."""
        return not MOVES[self.status]

    @property
    def has_passcode(self) -> bool:
        """Whether this reset made a temporary passcode."""
        effect = self.approval.effect if self.approval else None
        return self.status is Status.DONE and effect is not None and effect.makes_passcode

    @property
    def needs_a_human(self) -> bool:
        """Whether an attempt was looked for on the device in vain, so that only a person can go on."""
        return self.status is Status.UNCERTAIN and self.next_at is None

    # What checks decide

    def accept(self, *, target: Target, now: datetime, timing: Timing) -> Self:
        """The checks passed: wait for an approver. `target` has every mention resolved to an address."""
        expires_at = now + timing.lifetime
        next_at = min(expires_at, now + timing.remind_every)
        return self._to(Status.PENDING, now, target=target, expires_at=expires_at, next_at=next_at)

    def refuse(self, why: Why, *, now: datetime) -> Self:
        """The checks failed, or no device that was found can be reset."""
        return self._to(Status.REFUSED, now, why=why)

    def verify_later(self, *, now: datetime, pause: timedelta) -> Self:
        """A lookup failed: look again after `pause`."""
        return self._changed(now, next_at=now + pause)

    # What people decide

    def approve(self, approval: Approval, *, reviewed: int) -> Self:
        """Approve, or knowingly try an uncertain one again; a refusal names who was first."""
        self.check_approvable(by=approval.by, now=approval.at)
        self.check_reviewed(reviewed)
        return self._to(
            Status.APPROVED,
            approval.at,
            approval=approval,
            decided_by=approval.by,
            decided_at=approval.at,
            next_at=approval.at,
            attempt=None,
            why=None,
            holds=approval.device.id,
        )

    def check_approvable(self, *, by: UserId, now: datetime) -> None:
        """Say why `by` may not approve this now; an uncertain request opens when looking for it is over."""
        self._open_to(by, now)
        if self.status is not Status.PENDING and not self.needs_a_human:
            raise NotWaiting(self.status)

    def check_reviewed(self, reviewed: int) -> None:
        """Say that the request has moved on since `reviewed`, its round at the review."""
        if self.round != reviewed:
            raise ReviewOutdated

    def deny(self, reason: str, *, by: UserId, now: datetime) -> Self:
        """Deny with a reason that the requester reads."""
        self._open_to(by, now)
        return self._to(
            Status.DENIED, now, decided_by=by, decided_at=now, denial=checked_reason(reason), next_at=None
        )

    def withdraw(self, *, by: UserId, now: datetime) -> Self:
        """Take the ask back; only who asked may."""
        if by != self.asked_by:
            raise NotTheRequester
        self._still_open(now)
        return self._to(Status.WITHDRAWN, now, decided_by=by, decided_at=now)

    def close(self, *, by: UserId, now: datetime) -> Self:
        """Give up an uncertain one: nobody will try it again."""
        self._open_to(by, now)
        if not self.needs_a_human:
            raise NotWaiting(self.status)
        return self.fail(Why(Code.CLOSED, {"person": by}), now=now)

    def _open_to(self, by: UserId, now: datetime) -> None:
        if by == self.asked_by:
            raise OwnRequest
        self._still_open(now)

    def _still_open(self, now: datetime) -> None:
        """Say who decided and when, where somebody did."""
        if self.status is Status.PENDING and self.expires_at is not None and now >= self.expires_at:
            raise TooLate
        if self.status in (Status.RECEIVED, Status.PENDING, Status.UNCERTAIN):
            return
        raise AlreadyDecided(self.status, self.decided_by, self.decided_at or self.changed_at)

    # What the clock decides

    def remind(self, *, now: datetime, timing: Timing) -> Self:
        """Nobody has decided yet: say so on the card."""
        next_at = min(self.expires_at or now, now + timing.remind_every)
        return self._changed(now, reminders=self.reminders + 1, next_at=next_at)

    def expire(self, *, now: datetime) -> Self:
        """Nobody decided in time."""
        return self._to(Status.EXPIRED, now)

    # What Microsoft decides

    def attempt_starts(self, *, client_request_id: str, now: datetime, timing: Timing) -> Self:
        """Write down that the POST leaves now. Committed before it does, so that it leaves at most once."""
        if self.status is not Status.APPROVED or self.attempt is not None:
            raise NotWaiting(self.status)
        number = self.attempts + 1
        attempt = Attempt(number=number, started_at=now, client_request_id=client_request_id)
        return self._changed(now, attempt=attempt, attempts=number, next_at=now + timing.attempt)

    def never_left(self, *, now: datetime, pause: timedelta, timing: Timing) -> Self:
        """The POST did not leave, or Graph did nothing: try again after `pause`, but not for ever."""
        if self.decided_at is not None and now + pause < self.decided_at + timing.send_for:
            return self._changed(now, attempt=None, next_at=now + pause)
        return self.wait_again(Why(Code.NEVER_LEFT), now=now, timing=timing)

    def wait_again(self, why: Why, *, now: datetime, timing: Timing) -> Self:
        """The approver could not carry it out: it waits for an approver again, and the card says why."""
        expires_at = max(self.expires_at or now, now + timing.lifetime / 2)
        return self._to(
            Status.PENDING,
            now,
            why=why,
            approval=None,
            attempt=None,
            decided_by=None,
            decided_at=None,
            expires_at=expires_at,
            next_at=min(expires_at, now + timing.remind_every),
        )

    def sent(self, *, now: datetime, timing: Timing) -> Self:
        """Intune has queued the command (204)."""
        return self._to(Status.SENT, now, next_at=now + timing.poll_after(timedelta(0)), why=None)

    def found(self, seen_at: datetime, *, now: datetime, timing: Timing) -> Self:
        """The device shows that it has the command, though the answer was lost."""
        return self._seen(seen_at).sent(now=now, timing=timing)

    def arrived(self, seen_at: datetime, *, now: datetime, timing: Timing) -> Self:
        """An attempt that was looked for in vain shows on the device after all."""
        if not self.needs_a_human:
            raise NotWaiting(self.status)
        return self.found(seen_at, now=now, timing=timing)

    def _seen(self, seen_at: datetime) -> Self:
        """It is known which of the device's resets is ours, so the device is free for another request."""
        attempt = replace(self.attempt, seen_at=seen_at) if self.attempt else None
        return replace(self, attempt=attempt, holds=None)

    def waited(self, now: datetime) -> timedelta:
        """How long ago the attempt started."""
        return now - (self.attempt.started_at if self.attempt else self.changed_at)

    def look_again(self, *, now: datetime, timing: Timing, seen_at: datetime | None = None) -> Self:
        """The device is not done: ask again later. One that nobody could look at is not held for ever."""
        waited = self.waited(now)
        looked = self if seen_at is None else self._seen(seen_at)
        if self.status is Status.SENT and waited >= timing.settle:
            looked = replace(looked, holds=None)
        return looked._changed(now, next_at=now + timing.poll_after(waited))

    def lost_sight(self, *, now: datetime, timing: Timing) -> Self:
        """No answer, or the process died: it may have happened, so nothing is sent again by itself."""
        next_at = now + timing.poll_after(timedelta(0))
        return self._to(Status.UNCERTAIN, now, next_at=next_at, why=Why(Code.NO_ANSWER))

    def is_ours(self, started_at: datetime, *, timing: Timing) -> bool:
        """Whether a reset that Intune says started at `started_at` is this request's attempt.

        Intune's own earlier reset is the sharp bound; our clock, less the skew allowed, is the coarse one.
        """
        since = self.ours_since(timing=timing)
        return since is not None and started_at >= since

    def ours_since(self, *, timing: Timing) -> datetime | None:
        """The earliest start that Intune can show for this request's attempt; None where none was made."""
        if self.attempt is None or self.approval is None:
            return None
        seen_at = self.attempt.seen_at
        earliest = self.attempt.started_at - timing.skew if seen_at is None else seen_at - SAME_MOMENT
        before = self.approval.previous_reset_at
        return earliest if before is None else max(earliest, before + timedelta.resolution)

    def give_up_looking(self, *, now: datetime) -> Self:
        """The device shows nothing: a human has to decide."""
        return self._changed(now, next_at=None)

    def done(self, seen_at: datetime, *, now: datetime) -> Self:
        """The device did it, in the reset that Intune says started at `seen_at`."""
        return self._seen(seen_at)._to(Status.DONE, now, why=None)

    def fail(self, why: Why, *, now: datetime) -> Self:
        """It did not happen, or not in time."""
        return self._to(Status.FAILED, now, why=why)

    def check_revealable(self, *, by: UserId, now: datetime, timing: Timing) -> None:
        """Only who asked, only after a reset that made a passcode, only for a while."""
        if by != self.asked_by:
            raise NotTheRequester
        if not self.has_passcode:
            raise NotWaiting(self.status)
        if now >= self.changed_at + timing.reveal_for:
            raise TooLate

    def _to(self, status: Status, now: datetime, **changes: object) -> Self:
        if status not in MOVES[self.status]:
            raise NotWaiting(self.status)
        changes.setdefault("next_at", None)
        changes.setdefault("holds", self.holds if status in HOLDING else None)
        return self._changed(now, status=status, **changes)

    def _changed(self, now: datetime, **changes: object) -> Self:
        return replace(self, version=self.version + 1, changed_at=now, **changes)  # type: ignore[arg-type]  # names and types are this module's own


def checked_reason(text: str) -> str:
    """The reason without surrounding blanks, or NoReason, or ReasonTooLong."""
    return _checked(text, REASON_LIMIT, NoReason(), ReasonTooLong(REASON_LIMIT))


def checked_ticket(text: str | None) -> str | None:
    """The ticket reference, None for a blank one, or TicketTooLong."""
    if text is None or not text.strip():
        return None
    return _checked(text, TICKET_LIMIT, NoReason(), TicketTooLong(TICKET_LIMIT))


def _checked(text: str, limit: int, empty: BadInput, too_long: BadInput) -> str:
    text = storable(text).strip()
    if not text:
        raise empty
    if len(text) > limit:
        raise too_long
    return text
