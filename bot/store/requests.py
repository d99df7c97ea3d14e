"""Requests: a move is one compare-and-set on `version`, in one transaction with its audit row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final

import structlog
from pydantic import TypeAdapter
from sqlalchemy import (
    Column,
    Connection,
    Row,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError

from bot.domain.audit import Entry
from bot.domain.errors import Cause, Code, LostRace, Refusal
from bot.domain.request import (
    MOVES,
    OPEN,
    RESETTING,
    Approval,
    Attempt,
    MessageState,
    ResetRequest,
    Status,
)
from bot.domain.target import Target, TargetKind
from bot.domain.values import UserId, utc_text
from bot.store.database import Transaction
from bot.store.tables import requests, sign_ins

HOUR: Final = timedelta(hours=1)
UNREADABLE_PAUSE: Final = timedelta(minutes=10)
"""How long a row that cannot be read is left alone."""

log = structlog.get_logger()

# Statements are made once: built anew for each call they cost four times as much as running them.
INSERT: Final = insert(requests)
BY_ID: Final = select(requests).where(requests.c.id == bindparam("request_id"))
BY_DELIVERY: Final = select(requests).where(requests.c.delivery == bindparam("delivery"))
ASKED_SINCE: Final = (
    select(requests.c.asked_at)
    .where(requests.c.asked_by == bindparam("user"), requests.c.asked_at > bindparam("since"))
    .order_by(requests.c.asked_at)
)
RECENT: Final = (
    select(requests)
    .where(requests.c.asked_by == bindparam("user"))
    .order_by(requests.c.asked_at.desc())
    .limit(bindparam("count"))
)
HOLDER: Final = select(requests.c.id).where(
    requests.c.held_device == bindparam("device"),
    requests.c.status.in_(sorted(RESETTING)),
    requests.c.id != bindparam("request_id"),
)
FIRST: Final = select(requests.c.id, requests.c.asked_by).where(
    requests.c.open_target == bindparam("target"),
    requests.c.status.in_(sorted(OPEN)),
    requests.c.id != bindparam("request_id"),
)
PERSON_LOCK: Final = text("SELECT pg_advisory_xact_lock(1970170997, hashtext(:user))")


class Queue(Enum):
    """What a row can be due for. Each has a lease of its own, so a slow Slack never delays a reset."""

    ADVANCE = "advance"
    PUBLISH = "publish"

    @property
    def due(self) -> Column[str]:
        """When the row is due."""
        return requests.c.next_at if self is Queue.ADVANCE else requests.c.publish_at

    @property
    def lease(self) -> Column[str]:
        """Until when a replica holds it."""
        return requests.c.advance_leased_until if self is Queue.ADVANCE else requests.c.publish_leased_until


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row leased to this process: `until` names the lease, and `release` ends that one only."""

    request: ResetRequest
    messages: MessageState
    queue: Queue
    until: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits, for operators."""

    open_requests: Mapping[Status, int]
    overdue: Mapping[Queue, timedelta]
    """How long the oldest due row has waited for a worker; zero where none does."""
    not_published: int
    """Requests whose last delivery to Slack failed."""
    sign_ins: int


def add_request(tx: Transaction, request: ResetRequest, entry: Entry, *, limit: int) -> ResetRequest:
    """Insert the request, or return the row of the same delivery.

    Raises Refusal(QUOTA_EXCEEDED) for the requester's `limit` + 1st within an hour.
    """
    if tx.is_postgresql:
        tx.execute(PERSON_LOCK, {"user": request.asked_by})
    if found := tx.execute(BY_DELIVERY, {"delivery": request.delivery}).first():
        return read_request(found)
    check_quota(tx, ASKED_SINCE, request.asked_by, request.asked_at, limit)
    values = request_columns(request) | message_columns(MessageState())
    tx.execute(INSERT, values | {"publish_at": utc_text(request.changed_at)})
    tx.entries.append(entry)
    return request


def check_quota(tx: Transaction, statement: Any, user: str, now: datetime, limit: int) -> None:
    """Refuse where `statement` finds `limit` rows of `user` within the hour before `now`."""
    within = [row[0] for row in tx.execute(statement, {"user": user, "since": utc_text(now - HOUR)})]
    if len(within) >= limit:
        free_at = datetime.fromisoformat(within[len(within) - limit]) + HOUR
        raise Refusal(Code.QUOTA_EXCEEDED, limit=str(limit), until=utc_text(free_at))


def get_request(tx: Transaction | Connection, request_id: str) -> ResetRequest:
    """Return the request, or raise Refusal(UNKNOWN_REQUEST)."""
    row = tx.execute(BY_ID, {"request_id": request_id}).first()
    if row is None:
        raise Refusal(Code.UNKNOWN_REQUEST)
    return read_request(row)


def recent_requests(connection: Connection, user: UserId, *, limit: int) -> Sequence[ResetRequest]:
    """Return what `user` asked for, newest first."""
    rows = connection.execute(RECENT, {"user": user, "count": limit}).all()
    return [read[0] for row in rows if (read := _readable(row)) is not None]


def move(tx: Transaction, old: ResetRequest, new: ResetRequest, entry: Entry | None) -> None:
    """Replace `old` by `new`, or raise LostRace. A lease stays with its holder.

    Raises Refusal(ALREADY_REQUESTED) or Refusal(DEVICE_BUSY) where another request has `new.open_target` or
    `new.held_device`.
    """
    _check_free(tx, old, new)
    at_old = and_(requests.c.id == old.id, requests.c.version == old.version)
    values = request_columns(new) | {"publish_at": utc_text(new.changed_at)}
    try:
        changed = tx.execute(update(requests).where(at_old).values(values)).rowcount
    except IntegrityError:  # another replica was first with the target or the device: read again
        raise LostRace from None
    if changed != 1:
        raise LostRace
    if entry is not None:
        tx.entries.append(entry)


def _check_free(tx: Transaction, old: ResetRequest, new: ResetRequest) -> None:
    if new.held_device is not None and new.held_device != old.held_device:
        holder = tx.execute(HOLDER, {"device": new.held_device, "request_id": new.id}).first()
        if holder is not None:
            raise Refusal(Code.DEVICE_BUSY, ref=holder.id[:6].upper())
    if new.open_target is not None and new.open_target != old.open_target:
        first = tx.execute(FIRST, {"target": new.open_target, "request_id": new.id}).first()
        if first is not None:
            raise Refusal(Code.ALREADY_REQUESTED, ref=first.id[:6].upper(), by=first.asked_by)


def claim(tx: Transaction, queue: Queue, *, now: datetime, lease: timedelta, limit: int) -> Sequence[Claimed]:
    """Lease what is due, oldest first; rows that another replica is claiming are passed over.

    A row that cannot be read is leased for UNREADABLE_PAUSE, so that it stands in no other row's way.
    """
    at, until = utc_text(now), utc_text(now + lease)
    free = or_(queue.lease.is_(None), queue.lease <= at)
    due = select(requests.c.id).where(queue.due <= at, free).order_by(queue.due, requests.c.id).limit(limit)
    # A CTE, because PostgreSQL may run a subquery more than once and then lease more than `limit`.
    chosen = due.with_for_update(skip_locked=True).cte("chosen")
    leased = update(requests).where(requests.c.id.in_(select(chosen.c.id))).values({queue.lease: until})
    rows = tx.execute(leased.returning(requests)).all()
    claimed = []
    for row in sorted(rows, key=lambda row: (str(row._mapping[queue.due.name]), str(row.id))):
        if read := _readable(row):
            claimed.append(Claimed(*read, queue, until))
        else:
            later = utc_text(now + UNREADABLE_PAUSE)
            tx.execute(update(requests).where(requests.c.id == row.id).values({queue.lease: later}))
    return claimed


def release(tx: Transaction, claimed: Claimed, *, due_at: datetime | None) -> None:
    """End this lease, if it has not run out. `due_at` yields to a move made meanwhile."""
    queue = claimed.queue
    values: dict[Any, Any] = {queue.lease: null()}
    if queue is Queue.PUBLISH or due_at is not None:
        due = literal(None if due_at is None else utc_text(due_at), queue.due.type)
        values[queue.due] = case((requests.c.version == claimed.request.version, due), else_=queue.due)
    tx.execute(update(requests).where(_held(claimed)).values(values))


def save_messages(tx: Transaction, claimed: Claimed, messages: MessageState) -> None:
    """Remember what Slack shows, or raise LostRace where the lease is no longer ours."""
    changed = tx.execute(update(requests).where(_held(claimed)).values(message_columns(messages)))
    if changed.rowcount != 1:
        raise LostRace


def _held(claimed: Claimed) -> Any:
    return and_(requests.c.id == claimed.request.id, claimed.queue.lease == claimed.until)


def next_due(connection: Connection, queue: Queue) -> datetime | None:
    """Return the earliest time at which a row is both due and free."""
    free_at = case((and_(queue.lease.is_not(None), queue.lease > queue.due), queue.lease), else_=queue.due)
    # An index finds what is greater than something, but not what IS NOT NULL.
    earliest = connection.scalar(select(func.min(free_at)).where(queue.due > ""))
    return _moment(earliest)


def backlog(connection: Connection, *, now: datetime) -> Backlog:
    """Count what waits."""
    living = [status for status in Status if MOVES[status]]
    by_status = select(requests.c.status, func.count()).where(requests.c.status.in_(living))
    counts = {str(row[0]): int(row[1]) for row in connection.execute(by_status.group_by(requests.c.status))}
    return Backlog(
        open_requests={status: counts.get(status.value, 0) for status in living},
        overdue={queue: _overdue(connection, queue, now) for queue in Queue},
        not_published=connection.scalar(
            select(func.count()).where(requests.c.publish_at > "", requests.c.publish_failures > 0)
        )
        or 0,
        sign_ins=connection.scalar(select(func.count()).select_from(sign_ins)) or 0,
    )


def _overdue(connection: Connection, queue: Queue, now: datetime) -> timedelta:
    at = utc_text(now)
    free = or_(queue.lease.is_(None), queue.lease <= at)
    oldest = connection.scalar(select(func.min(queue.due)).where(queue.due > "", queue.due <= at, free))
    due = _moment(oldest)
    return timedelta(0) if due is None else now - due


# Rows

SAME: Final = (
    *("id", "delivery", "team", "asked_by", "asked_by_team", "reason", "ticket", "status", "version"),
    *("reminders", "decided_by", "denial", "attempts", "held_device"),
)
"""Fields of a request that its columns hold as they are."""
TIMES: Final = ("asked_at", "changed_at", "next_at", "expires_at", "decided_at")
# Fields that their columns hold as JSON: unknown keys are dropped, missing ones have defaults.
APPROVAL: Final = TypeAdapter(Approval | None)
ATTEMPT: Final = TypeAdapter(Attempt | None)
CAUSE: Final = TypeAdapter(Cause | None)
MESSAGES: Final = TypeAdapter(MessageState)


def request_columns(request: ResetRequest) -> dict[str, Any]:
    """Return the columns of a request."""
    return {
        **{name: getattr(request, name) for name in SAME},
        **{name: None if (at := getattr(request, name)) is None else utc_text(at) for name in TIMES},
        "target_kind": request.target.kind,
        "target": request.target.value,
        "approval": APPROVAL.dump_json(request.approval).decode(),
        "attempt": ATTEMPT.dump_json(request.attempt).decode(),
        "cause": CAUSE.dump_json(request.cause).decode(),
        "open_target": request.open_target,
    }


def message_columns(state: MessageState) -> dict[str, Any]:
    """Return the columns of what Slack shows."""
    return {"messages": MESSAGES.dump_json(state).decode(), "publish_failures": state.failures}


def read_request(row: Row[Any]) -> ResetRequest:
    """Return the request of a row; raises ValueError and others for a row that another program wrote."""
    values: dict[str, Any] = {name: row._mapping[name] for name in SAME}
    values |= {name: _time(row._mapping[name]) for name in TIMES}
    return ResetRequest(
        **values | {"status": Status(row.status)},
        target=Target(TargetKind(row.target_kind), row.target),
        approval=APPROVAL.validate_json(row.approval),
        attempt=ATTEMPT.validate_json(row.attempt),
        cause=CAUSE.validate_json(row.cause),
    )


def _readable(row: Row[Any]) -> tuple[ResetRequest, MessageState] | None:
    try:
        return read_request(row), MESSAGES.validate_json(row.messages)
    except Exception as error:  # a row that another program wrote may hold anything
        log.error("row_unreadable", request=row.id, error=type(error).__name__)
        return None


def _time(stored: str | None) -> datetime | None:
    return None if stored is None else datetime.fromisoformat(stored).astimezone(UTC)


def _moment(stored: str | None) -> datetime | None:
    """Return the time; None for one that is none, which `claim` logs with its row."""
    try:
        return _time(stored)
    except (ValueError, OverflowError):
        return None
