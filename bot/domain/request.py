"""The life of a request: a frozen value and a table of moves. A move returns a new value or refuses."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Self

from bot.domain.device import ActionResult, Device, Effect
from bot.domain.errors import Cause, Code, Refusal
from bot.domain.people import Actor
from bot.domain.target import Target, TargetKind
from bot.domain.values import ChannelId, DeviceId, RequestId, TeamId, UserId, storable, utc_text, visible
from bot.timing import Timing

MAX_REASON, MAX_TICKET = 1000, 100


class Status(StrEnum):
    """Where a request stands. The value is stored."""

    RECEIVED = "received"
    REFUSED = "refused"
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    SENT = "sent"
    DONE = "done"
    FAILED = "failed"
    UNCERTAIN = "uncertain"
    CLOSED = "closed"
    """A human ended an uncertain one: whether the device was reset stays unknown."""


MOVES: Final[Mapping[Status, AbstractSet[Status]]] = {
    Status.RECEIVED: {Status.PENDING, Status.REFUSED},
    Status.PENDING: {Status.APPROVED, Status.DENIED, Status.WITHDRAWN, Status.EXPIRED, Status.REFUSED},
    Status.APPROVED: {Status.SENT, Status.PENDING, Status.FAILED, Status.UNCERTAIN},
    Status.SENT: {Status.DONE, Status.FAILED},
    Status.UNCERTAIN: {Status.SENT, Status.CLOSED, Status.APPROVED},
    Status.REFUSED: set(),
    Status.DENIED: set(),
    Status.WITHDRAWN: set(),
    Status.EXPIRED: set(),
    Status.DONE: set(),
    Status.FAILED: set(),
    Status.CLOSED: set(),
}
RESETTING: Final = frozenset({Status.APPROVED, Status.SENT, Status.UNCERTAIN})
"""A request in one of these may have a reset under way."""
OPEN: Final = frozenset({Status.PENDING, Status.APPROVED, Status.UNCERTAIN})
"""A request in one of these waits for somebody, or may come to wait again."""
BLIND: Final = frozenset({Code.APPROVER_SIGNED_OUT, Code.APPROVER_LEFT, Code.CANNOT_READ, Code.DEVICE_GONE})
"""Why the device cannot be read with the sign-in that reads it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One POST of resetPasscode. Another one follows only where this one did nothing for certain."""

    started_at: datetime
    client_request_id: str
    """The GUID sent with the call, to find it in Microsoft's logs."""
    seen_at: datetime | None = None
    """Intune's own start of this reset, once the device has shown it: no earlier one is taken for it then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looker:
    """An approver who pressed *Look*: from then on the device is read with their sign-in."""

    by: UserId
    oid: str
    username: str


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
    """Intune's own start of the newest reset that the device had before: ours is a later one."""
    looker: Looker | None = None
    """Who looks at the device since, in the approver's place."""

    @property
    def reader(self) -> Looker:
        """Whose sign-in reads the device: who pressed *Look* last, else the approver."""
        return self.looker or Looker(by=self.by, oid=self.oid, username=self.username)

    def as_facts(self) -> dict[str, str]:
        """Return who approved, as whom, what, and who reads the device since, for an audit row."""
        facts = {"approver": self.by, "account": self.username, "oid": self.oid, "device": self.device.id}
        looker = self.looker
        return facts | ({"looker": looker.by, "looker_account": looker.username} if looker else {})


@dataclass(frozen=True, slots=True)
class MessageRef:
    """Where a Slack message is: a conversation and the timestamp that names it."""

    channel: ChannelId
    ts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageState:
    """What Slack shows of a request: where, and a digest of what was last rendered there."""

    card: MessageRef | None = None
    card_digest: str = ""
    receipt: MessageRef | None = None
    receipt_digest: str = ""
    told_approvers: int = 0
    """The version of the row of which the last line under the card speaks."""
    told_requester: int = 0
    """The same of the last line in the direct message."""
    posting: bool = False
    """A new message was begun and may have arrived, though no `MessageRef` says so: look before posting."""
    failures: int = 0
    """Deliveries in a row that failed; spaces the next try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetRequest:
    """One request, one card, one outcome."""

    id: RequestId
    delivery: str
    """Slack's name for it (a trigger id, a view id) and a digest of it: a second one finds this row."""
    asked_by: UserId
    asked_by_team: TeamId | None
    asked_at: datetime
    asked_as: str | None = None
    """`Account.key` of the requester, where they were signed in to Microsoft when it was verified."""
    target: Target
    reason: str
    ticket: str | None = None
    status: Status = Status.RECEIVED
    version: int = 1
    """Counts every write."""
    changed_at: datetime
    next_at: datetime | None
    """When the worker has to look at this row again; None: not by itself."""
    expires_at: datetime | None = None
    reminders: int = 0
    notes: int = 0
    """Writes that say who looked in vain."""
    decided_by: UserId | None = None
    decided_at: datetime | None = None
    denial: str | None = None
    approval: Approval | None = None
    attempt: Attempt | None = None
    attempts: int = 0
    cause: Cause | None = None
    """Why it ended, or why it waits again."""
    held_device: DeviceId | None = None
    """The device on which no other request may start: its reset could be taken for this one's."""

    @property
    def ref(self) -> str:
        """Six characters to say aloud."""
        return self.id[:6].upper()

    @property
    def requester(self) -> Actor:
        """Who asked, to be looked up."""
        return Actor(user=self.asked_by, team=self.asked_by_team)

    @property
    def revision(self) -> int:
        """What a reviewer saw: changes with every write but a reminder or a note. A decision names it."""
        return self.version - self.reminders - self.notes

    @property
    def open_target(self) -> str | None:
        """What no second request may wait for meanwhile. An app names many devices, so it blocks none."""
        if self.status not in OPEN or self.target.kind is TargetKind.APP:
            return None
        return self.target.key

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
    def waits_for_sign_in(self) -> bool:
        """Whether no approver sees it before the requester has signed in to Microsoft."""
        return self.status is Status.RECEIVED and self.cause is not None

    @property
    def needs_a_human(self) -> bool:
        """Whether the attempt was looked for on the device in vain, so that only a person can go on."""
        return self.status is Status.UNCERTAIN and self.next_at is None

    @property
    def can_be_looked_at(self) -> bool:
        """Whether the device cannot be read with the sign-in that reads it, and another one may do."""
        if self.cause is None or self.status not in (Status.SENT, Status.UNCERTAIN, Status.DONE):
            return False
        return self.cause.code in BLIND or (self.needs_a_human and "could_not_look" in self.cause.facts)

    def tells_approvers(self, shown: MessageState) -> bool:
        """Whether a line is missing under the card: there is something to do, or the reset ended."""
        waits = self.status is Status.PENDING and (self.reminders > 0 or self.cause is not None)
        tells = waits or self.needs_a_human or self.status in (Status.DONE, Status.FAILED)
        return tells and shown.card is not None and shown.told_approvers != self.version

    def tells_requester(self, shown: MessageState) -> bool:
        """Whether a line is missing in the direct message: it is over, or needs a decision."""
        tells = self.needs_a_human or (self.is_over and self.status is not Status.WITHDRAWN)
        return tells and shown.receipt is not None and shown.told_requester != self.version

    def reveal_ends(self, reveal_for: timedelta) -> datetime | None:
        """Return until when the requester can view the new passcode; None where there is none."""
        return self.changed_at + reveal_for if self.has_passcode else None

    # Verification

    def accept(self, *, target: Target, asked_as: str | None = None, now: datetime, timing: Timing) -> Self:
        """Wait for an approver. `target` has every mention resolved to an address."""
        expires_at = now + timing.lifetime
        next_at = min(expires_at, now + timing.remind_every)
        accepted = replace(self, target=target, asked_as=asked_as, cause=None)
        return accepted._moved(Status.PENDING, now, expires_at=expires_at, next_at=next_at)

    def refuse(self, cause: Cause, *, now: datetime) -> Self:
        """End: the requester may not ask, or no device that was found can be reset."""
        return self._moved(Status.REFUSED, now, cause=cause)

    def verify_later(self, cause: Cause | None = None, *, now: datetime, timing: Timing) -> Self:
        """Look again: a lookup failed, or the requester has to sign in first (`cause`), which wakes it."""
        pause = timing.remind_every if cause else timing.verify_retry
        next_at = max(now, min(self.asked_at + timing.lifetime, now + pause))
        return self._changed(now, next_at=next_at, cause=cause)

    # Decisions

    def approve(self, approval: Approval, *, reviewed: int) -> Self:
        """Approve, or knowingly try an uncertain one again. `reviewed` is the revision that was reviewed."""
        self.check_approvable(by=approval.by, now=approval.at)
        self.check_reviewed(reviewed)
        decided = {"decided_by": approval.by, "decided_at": approval.at, "next_at": approval.at}
        held = {"attempt": None, "held_device": approval.device.id}
        return self._moved(Status.APPROVED, approval.at, approval=approval, **decided, **held)

    def check_approvable(self, *, by: UserId, now: datetime) -> None:
        """Refuse where `by` may not approve this now; an uncertain one opens when looking for it is over."""
        self._check_open(by, now)
        if self.status is not Status.PENDING and not self.needs_a_human:
            raise Refusal(Code.NOT_WAITING, status=self.status)

    def check_reviewed(self, reviewed: int) -> None:
        """Refuse where something happened to the request since revision `reviewed`."""
        if self.revision != reviewed:
            raise Refusal(Code.REVIEW_OUTDATED)

    def deny(self, reason: str, *, by: UserId, now: datetime) -> Self:
        """Deny with a reason that the requester reads."""
        self._check_open(by, now)
        denial = checked_reason(reason)
        return self._moved(Status.DENIED, now, decided_by=by, decided_at=now, denial=denial)

    def withdraw(self, *, by: UserId, now: datetime) -> Self:
        """Withdraw; only the requester may."""
        if by != self.asked_by:
            raise Refusal(Code.NOT_THE_REQUESTER)
        self._check_undecided(now)
        return self._moved(Status.WITHDRAWN, now, decided_by=by, decided_at=now)

    def close(self, *, by: UserId, now: datetime) -> Self:
        """Close an uncertain one whose outcome nobody is going to find out."""
        self._check_open(by, now)
        if not self.needs_a_human:
            raise Refusal(Code.NOT_WAITING, status=self.status)
        return self._moved(Status.CLOSED, now, cause=Cause(Code.CLOSED, {"person": by}))

    def note(self, cause: Cause, *, now: datetime) -> Self:
        """Say who looked in vain, where it waits and nothing more important is said."""
        free = self.cause is None or (self.cause.code is cause.code and self.cause != cause)
        if self.status is not Status.PENDING or not free:
            return self
        return self._changed(now, notes=self.notes + 1, cause=cause)

    def _check_open(self, by: UserId, now: datetime) -> None:
        if by == self.asked_by:
            raise Refusal(Code.OWN_REQUEST)
        self._check_undecided(now)

    def _check_undecided(self, now: datetime) -> None:
        if self.status is Status.PENDING and self.expires_at is not None and now >= self.expires_at:
            raise Refusal(Code.REQUEST_EXPIRED)
        if self.status not in (Status.RECEIVED, Status.PENDING, Status.UNCERTAIN):
            decided_at = utc_text(self.decided_at or self.changed_at)
            raise Refusal(Code.ALREADY_DECIDED, status=self.status, by=self.decided_by or "", at=decided_at)

    # The clock

    def remind(self, *, now: datetime, timing: Timing) -> Self:
        next_at = min(self.expires_at or now, now + timing.remind_every)
        return self._changed(now, reminders=self.reminders + 1, next_at=next_at)

    def expire(self, *, now: datetime) -> Self:
        return self._moved(Status.EXPIRED, now)

    # The attempt

    def start_attempt(self, *, client_request_id: str, now: datetime, timing: Timing) -> Self:
        """Record that the POST leaves now. Committed before it does, so that it leaves at most once."""
        if self.status is not Status.APPROVED or self.attempt is not None:
            raise Refusal(Code.NOT_WAITING, status=self.status)
        attempt = Attempt(started_at=now, client_request_id=client_request_id)
        return self._changed(now, attempt=attempt, attempts=self.attempts + 1, next_at=now + timing.attempt)

    def send_later(
        self, cause: Code, *, now: datetime, timing: Timing, after: timedelta | None = None
    ) -> Self:
        """Nothing was executed: try again, or reopen for `cause` where `send_for` would be over by then."""
        pause = after or timing.send_retry
        if self.decided_at is not None and now + pause < self.decided_at + timing.send_for:
            return self._changed(now, attempt=None, next_at=now + pause)
        return self.reopen(Cause(cause), now=now, timing=timing)

    def send_again(self, *, now: datetime) -> Self:
        """Graph says that it did nothing, and what it lacked can be had: another attempt may start now."""
        return self._changed(now, attempt=None, next_at=now)

    def reopen(self, cause: Cause, *, now: datetime, timing: Timing) -> Self:
        """Wait for an approver again: this one could not carry it out."""
        expires_at = max(self.expires_at or now, now + timing.lifetime / 2)
        undecided = dict.fromkeys(("approval", "attempt", "decided_by", "decided_at"))
        next_at = min(expires_at, now + timing.remind_every)
        times = {"expires_at": expires_at, "next_at": next_at}
        return self._moved(Status.PENDING, now, cause=cause, **undecided, **times)

    def mark_sent(self, *, now: datetime, timing: Timing) -> Self:
        """Intune has queued the command (204)."""
        return self._moved(Status.SENT, now, next_at=now + timing.poll_after(timedelta(0)))

    def mark_uncertain(self, *, now: datetime, timing: Timing) -> Self:
        """No answer, or the process died: it may have happened, so nothing is sent again by itself."""
        next_at = now + timing.poll_after(timedelta(0))
        return self._moved(Status.UNCERTAIN, now, next_at=next_at, cause=Cause(Code.NO_ANSWER))

    def confirm_sent(self, seen_at: datetime, *, now: datetime, timing: Timing) -> Self:
        """The device shows the command, though its answer was lost."""
        return self._with_seen(seen_at).mark_sent(now=now, timing=timing)

    def confirm_sent_late(self, seen_at: datetime, *, now: datetime, timing: Timing) -> Self:
        """An attempt that was looked for in vain shows on the device after all."""
        if not self.needs_a_human:
            raise Refusal(Code.NOT_WAITING, status=self.status)
        return self.confirm_sent(seen_at, now=now, timing=timing)

    def poll_later(
        self, *, now: datetime, timing: Timing, seen_at: datetime | None = None, cause: Cause | None = None
    ) -> Self:
        """The device is not done: look again. A device that shows nothing for `settle` is held no longer.

        `cause`: what people are told meanwhile, where the device cannot be looked at without their help.
        """
        waited = self.waited(now)
        polled = self if seen_at is None else self._with_seen(seen_at)
        if self.status is Status.SENT and waited >= timing.settle:
            polled = replace(polled, held_device=None)
        return polled._changed(now, next_at=now + timing.poll_after(waited), cause=cause)

    def leave_to_human(self, cause: Cause, *, now: datetime) -> Self:
        """The device shows nothing, or could not be looked at: a human has to decide."""
        return self._changed(now, next_at=None, cause=cause)

    def mark_done(self, seen_at: datetime, *, now: datetime) -> Self:
        """The device did it, in the reset that Intune says started at `seen_at`."""
        return self._with_seen(seen_at)._moved(Status.DONE, now)

    def fail(self, cause: Cause, *, now: datetime) -> Self:
        """End: it did not happen, or not in time."""
        return self._moved(Status.FAILED, now, cause=cause)

    def waited(self, now: datetime) -> timedelta:
        """Return how long ago the attempt started."""
        return now - (self.attempt.started_at if self.attempt else self.changed_at)

    def is_ours(self, started_at: datetime, *, timing: Timing) -> bool:
        """Return whether a reset that Intune says started at `started_at` is this request's attempt."""
        since = self.ours_since(timing=timing)
        return since is not None and started_at >= since

    def own_action(self, actions: Sequence[ActionResult], *, timing: Timing) -> ActionResult | None:
        """Return the first of a device's resets that can be this request's; a later one is another's."""
        ours = [action for action in actions if self.is_ours(action.started_at, timing=timing)]
        return min(ours, key=lambda action: action.started_at, default=None)

    def ours_since(self, *, timing: Timing) -> datetime | None:
        """Return the earliest start that Intune can show for this request's attempt; None without one.

        Intune's own earlier reset is the sharp bound; our clock, less the skew allowed, is the coarse one.
        """
        if self.attempt is None or self.approval is None:
            return None
        seen_at = self.attempt.seen_at
        earliest = self.attempt.started_at - timing.skew if seen_at is None else seen_at - timing.same_reset
        before = self.approval.previous_reset_at
        return earliest if before is None else max(earliest, before + timedelta.resolution)

    def check_can_be_looked_at(self, *, by: UserId) -> None:
        """Refuse where `by` asked, or nobody has to look."""
        if by == self.asked_by:
            raise Refusal(Code.OWN_REQUEST)
        if not self.can_be_looked_at:
            raise Refusal(Code.NOT_WAITING, status=self.status)

    def cannot_be_read(self, cause: Cause) -> Self:
        """Say why the passcode of a finished reset cannot be read; until when it can be stays."""
        return self._changed(self.changed_at, cause=cause)

    def look(self, approval: Approval, *, now: datetime) -> Self:
        """Go on with the same approval and its `looker`; the worker looks at once, unless it is over."""
        cause = Cause(Code.NO_ANSWER) if self.status is Status.UNCERTAIN else None
        if self.is_over:
            return self._changed(self.changed_at, approval=approval, cause=cause)
        return self._changed(now, next_at=now, approval=approval, cause=cause)

    # The passcode

    def check_revealable(self, *, by: UserId, now: datetime, timing: Timing) -> None:
        """Refuse all but the requester, after a reset that made a passcode, within `reveal_for`."""
        if by != self.asked_by:
            raise Refusal(Code.NOT_THE_REQUESTER)
        if (ends := self.reveal_ends(timing.reveal_for)) is None:
            raise Refusal(Code.NOT_WAITING, status=self.status)
        if now >= ends:
            raise Refusal(Code.REVEAL_EXPIRED)

    def _with_seen(self, seen_at: datetime) -> Self:
        """It is known which of the device's resets is ours, so the device is free for another request."""
        attempt = replace(self.attempt, seen_at=seen_at) if self.attempt else None
        return replace(self, attempt=attempt, held_device=None)

    def _moved(self, status: Status, now: datetime, **changes: object) -> Self:
        if status not in MOVES[self.status]:
            raise Refusal(Code.NOT_WAITING, status=self.status)
        changes.setdefault("next_at", None)
        changes.setdefault("cause", None)
        changes.setdefault("held_device", self.held_device if status in RESETTING else None)
        return self._changed(now, status=status, **changes)

    def _changed(self, now: datetime, **changes: object) -> Self:
        return replace(self, version=self.version + 1, changed_at=now, **changes)  # type: ignore[arg-type]  # names and types are this module's own


def checked_reason(text: str) -> str:
    """Return the reason without surrounding blanks; Refusal(NO_REASON) or Refusal(REASON_TOO_LONG)."""
    text = storable(text).strip()
    if not visible(text):
        raise Refusal(Code.NO_REASON)
    if len(text) > MAX_REASON:
        raise Refusal(Code.REASON_TOO_LONG, limit=str(MAX_REASON))
    return text


def checked_ticket(text: str | None) -> str | None:
    """Return the ticket reference, None for a blank one; Refusal(TICKET_TOO_LONG)."""
    text = storable(text or "").strip()
    if len(text) > MAX_TICKET:
        raise Refusal(Code.TICKET_TOO_LONG, limit=str(MAX_TICKET))
    return text or None
