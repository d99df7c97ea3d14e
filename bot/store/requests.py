"""Requests: a move is one compare-and-set on `version`, in one transaction with its audit row."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final, NamedTuple

import structlog
from pydantic import TypeAdapter
from sqlalchemy import Column, Connection, Row, and_, bindparam, case, func, insert, or_, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from bot.domain.audit import Entry
from bot.domain.errors import AuditBroken, Cause, Code, LostRace, Refusal
from bot.domain.request import MOVES, OPEN, RESETTING, Approval, Attempt, MessageState, ResetRequest, Status
from bot.domain.target import Target, TargetKind
from bot.domain.values import UserId, utc_text
from bot.store.audit_log import LAST, AuditLog, Head
from bot.store.database import Transaction
from bot.store.tables import UNDECIDED, requests, sign_ins, stands_in

HOUR: Final = timedelta(hours=1)
UNREADABLE_PAUSE: Final = timedelta(minutes=10)
"""How long a row that cannot be read is left alone."""

Ids = Collection[UserId]
Reader = Transaction | Connection

log = structlog.get_logger()

# Statements are made once: built anew for each call they cost four times as much as running them.
INSERT: Final = insert(requests)
BY_ID: Final = select(requests).where(requests.c.id == bindparam("request_id"))
# Locked: a move between the reads of a row and of its audit rows would look like tampering.
LOCKED: Final = BY_ID.with_for_update()
BY_PERSON: Final = requests.c.asked_by.in_(bindparam("users", expanding=True))
BY_DELIVERY: Final = select(text("'same'"), requests.c.id).where(requests.c.delivery == bindparam("delivery"))
ASKED_SINCE: Final = select(text("'since'"), requests.c.asked_at).where(
    BY_PERSON, requests.c.asked_at > bindparam("since")
)
UNDECIDED_OF: Final = select(text("'open'"), requests.c.id).where(BY_PERSON, stands_in(UNDECIDED))
BEFORE: Final = BY_DELIVERY.union_all(ASKED_SINCE, UNDECIDED_OF)
"""In one statement what a new request depends on: its own delivery's row, the hour's, those that wait."""
RECENT: Final = select(requests).where(BY_PERSON).order_by(requests.c.asked_at.desc()).limit(bindparam("max"))
WAKE: Final = update(requests).where(requests.c.status == "received").values(next_at=bindparam("now"))
"""What is not verified yet is due."""
COUNT_OF: Final = select(func.count()).where(BY_PERSON)
OTHER: Final = select(requests.c.id, requests.c.asked_by).where(requests.c.id != bindparam("request_id"))
HOLDER: Final = OTHER.where(requests.c.held_device == bindparam("device"), stands_in(RESETTING))
FIRST: Final = OTHER.where(requests.c.open_target == bindparam("target"), stands_in(OPEN))
PERSON_LOCK: Final = text("SELECT pg_advisory_xact_lock(1970170997, hashtext(:user))")


class Queue(Enum):
    """What a row can be due for. Each has a lease of its own, so a slow Slack never delays a reset."""

    ADVANCE = "advance"
    PUBLISH = "publish"

    @property
    def due(self) -> Column[str]:
        return requests.c.next_at if self is Queue.ADVANCE else requests.c.publish_at

    @property
    def lease(self) -> Column[str]:
        """Until when a replica holds it."""
        return requests.c.advance_leased_until if self is Queue.ADVANCE else requests.c.publish_leased_until


def _claim(queue: Queue) -> Any:
    free = or_(queue.lease.is_(None), queue.lease <= bindparam("at"))
    due = select(requests.c.id).where(queue.due <= bindparam("at"), free).order_by(queue.due, requests.c.id)
    # A CTE, because PostgreSQL may run a subquery more than once and then lease more than `most`.
    chosen = due.limit(bindparam("most")).with_for_update(skip_locked=True).cte("chosen")
    leased = update(requests).where(requests.c.id.in_(select(chosen.c.id)))
    return leased.values({queue.lease: bindparam("until")}).returning(requests)


def _release(queue: Queue) -> Any:
    later = case(
        (requests.c.version == bindparam("seen"), bindparam("later", type_=queue.due.type)), else_=queue.due
    )
    return HELD[queue].values({queue.lease: None, queue.due: later})


CLAIM: Final = {queue: _claim(queue) for queue in Queue}
HELD: Final = {
    queue: update(requests).where(requests.c.id == bindparam("held"), queue.lease == bindparam("until"))
    for queue in Queue
}
RELEASE: Final = {queue: _release(queue) for queue in Queue}
MOVE: Final = update(requests).where(requests.c.id == bindparam("moved"))
"""What these set is given with their parameters."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row leased to this process: `until` names the lease, and `release` ends that one only."""

    request: ResetRequest
    messages: MessageState
    queue: Queue
    until: str


def add_request(
    tx: Transaction, request: ResetRequest, entry: Entry, users: Ids, *, limit: int, open_limit: int
) -> ResetRequest:
    """Insert the request, or return the row of the same delivery. `users`: the ids of the requester.

    Raises Refusal(QUOTA_EXCEEDED) for the requester's `limit` + 1st within an hour, Refusal(TOO_MANY_OPEN)
    while `open_limit` of theirs wait for somebody.
    """
    if tx.is_postgresql:
        tx.execute(PERSON_LOCK, {"user": min(users)})
    since = utc_text(request.asked_at - HOUR)
    before = tx.execute(BEFORE, {"delivery": request.delivery, "users": sorted(users), "since": since}).all()
    if same := [value for kind, value in before if kind == "same"]:
        return get_request(tx, same[0], tx.audit_log)
    check_quota([value for kind, value in before if kind == "since"], limit)
    if [kind for kind, _ in before].count("open") >= open_limit:
        raise Refusal(Code.TOO_MANY_OPEN, limit=str(open_limit))
    values = request_columns(request) | message_columns(tx.audit_log, request.id, MessageState())
    values["seal"] = new_seal(tx, values, None)
    tx.execute(INSERT, values | {"publish_at": utc_text(request.changed_at)})
    tx.entries.append(entry)
    return request


def check_quota(within: Collection[str], limit: int) -> None:
    """Refuse where `limit` of these times lie within the last hour."""
    if len(within) >= limit:
        free_at = datetime.fromisoformat(sorted(within)[-limit]) + HOUR
        raise Refusal(Code.QUOTA_EXCEEDED, limit=str(limit), until=utc_text(free_at))


def get_request(tx: Reader, request_id: str, audit_log: AuditLog, *, in_log: bool = True) -> ResetRequest:
    """Return the request, or raise Refusal(UNKNOWN_REQUEST), or what `check_seal` raises."""
    statement = LOCKED if isinstance(tx, Transaction) else BY_ID
    row = tx.execute(statement, {"request_id": request_id}).first()
    if row is None:
        raise Refusal(Code.UNKNOWN_REQUEST)
    check_seal(tx, row, audit_log, in_log=in_log)
    return read_request(row)


def recent_requests(
    connection: Connection, users: Ids, audit_log: AuditLog, *, limit: int
) -> Sequence[ResetRequest]:
    """Return what one person asked for, newest first, without rows that the bot did not write."""
    rows = connection.execute(RECENT, {"users": sorted(users), "max": limit}).all()
    # a key may be gone that sealed what is long over
    kept = [row for row in rows if seal_fits(row, audit_log)]
    return [request for row in kept if (request := _genuine(connection, row, audit_log, in_log=False))]


def count_requests(connection: Connection, users: Ids) -> int:
    return connection.scalar(COUNT_OF, {"users": sorted(users)}) or 0


def move(tx: Transaction, old: ResetRequest, new: ResetRequest, entry: Entry | None) -> None:
    """Replace `old` by `new`, or raise LostRace. A lease stays with its holder.

    Raises Refusal(ALREADY_REQUESTED) or Refusal(DEVICE_BUSY) where another request has `new.open_target` or
    `new.held_device`, and what `check_seal` raises.
    """
    row = tx.execute(LOCKED, {"request_id": old.id}).first()
    if row is None or row.version != old.version:
        raise LostRace
    seal = check_seal(tx, row, tx.audit_log)
    _check_free(tx, old, new)
    values = request_columns(new)
    values["seal"] = new_seal(tx, values, seal if entry is None else None)
    values["publish_at"] = utc_text(new.changed_at)
    try:
        tx.execute(MOVE, {"moved": old.id, **values})
    except IntegrityError:  # another replica was first with the target or the device: read again
        raise LostRace from None
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
            about = {"ref": first.id[:6].upper(), "by": first.asked_by, "first": first.id}
            raise Refusal(Code.ALREADY_REQUESTED, **about)


def claim(tx: Transaction, queue: Queue, *, now: datetime, lease: timedelta, limit: int) -> Sequence[Claimed]:
    """Lease what is due, oldest first; rows that another replica is claiming are passed over.

    A row that cannot be read is set aside for UNREADABLE_PAUSE: due when its lease ends, as no other row is.
    """
    at, until = utc_text(now), utc_text(now + lease)
    rows = tx.execute(CLAIM[queue], {"at": at, "most": limit, "until": until}).all()
    claimed = []
    for row in sorted(rows, key=lambda row: (str(row._mapping[queue.due.name]), str(row.id))):
        # messages are shown although the audit log is broken
        if request := _genuine(tx, row, tx.audit_log, in_log=queue is Queue.ADVANCE):
            claimed.append(Claimed(request, _messages(tx, row), queue, until))
        else:
            later = utc_text(now + UNREADABLE_PAUSE)
            aside = {queue.lease: later, queue.due: later}
            tx.execute(update(requests).where(requests.c.id == row.id).values(aside))
    return claimed


def end_leases(tx: Transaction, *, now: datetime, published_by: timedelta) -> None:
    """End what a dead process leased or set aside; only where none but the caller's can be alive.

    What it was posting may still arrive at Slack within `published_by`; later it can be looked for there.
    """
    for queue, until in ((Queue.ADVANCE, utc_text(now)), (Queue.PUBLISH, utc_text(now + published_by))):
        due = case((queue.due == queue.lease, utc_text(now)), else_=queue.due)
        tx.execute(update(requests).where(queue.lease > until).values({queue.lease: until, queue.due: due}))


def release(
    tx: Transaction, claimed: Claimed, *, due_at: datetime | None, messages: MessageState | None = None
) -> None:
    """End this lease, if it has not run out, and remember what Slack shows.

    `due_at` yields to a move made meanwhile; where it is None, the advance queue keeps what a move has said.
    """
    queue, request = claimed.queue, claimed.request
    keep = due_at is None and queue is Queue.ADVANCE
    values = {"held": request.id, "until": claimed.until, "seen": -1 if keep else request.version}
    if messages is not None:
        values |= message_columns(tx.audit_log, request.id, messages)
    tx.execute(RELEASE[queue], values | {"later": None if due_at is None else utc_text(due_at)})


def save_messages(tx: Transaction, claimed: Claimed, messages: MessageState) -> None:
    """Remember what Slack shows, or raise LostRace where the lease is no longer ours."""
    values = message_columns(tx.audit_log, claimed.request.id, messages)
    values |= {"held": claimed.request.id, "until": claimed.until}
    if tx.execute(HELD[claimed.queue], values).rowcount != 1:
        raise LostRace


def next_due(connection: Connection, queue: Queue) -> datetime | None:
    """Return the earliest time at which a row is both due and free."""
    first = select(queue.due, queue.lease).where(queue.due > "").order_by(queue.due).limit(100)
    free_at = (max(map(str, filter(None, row))) for row in connection.execute(first))
    return moment(min(free_at, default=None))  # what is leased was due: it is among the first


# For operators


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How many of each wait or are stuck, and since when; of the database, so all replicas say the same."""

    open_requests: Mapping[Status, int]
    overdue: Mapping[Queue, timedelta]
    """How long the oldest due row has waited for a worker; zero where none does."""
    not_published: int
    """Requests whose last delivery to Slack failed."""
    set_aside: int
    """Requests that are not over and that nobody works on: changed behind the bot's back, or unreadable."""
    sign_ins: int


def backlog(connection: Connection, *, now: datetime) -> Backlog:
    living = [status for status in Status if MOVES[status]]
    by_status = select(requests.c.status, func.count()).where(requests.c.status.in_(living))
    counts = {str(row[0]): int(row[1]) for row in connection.execute(by_status.group_by(requests.c.status))}
    failed = select(func.count()).where(requests.c.publish_at > "", requests.c.publish_failures > 0)
    return Backlog(
        open_requests={status: counts.get(status.value, 0) for status in living},
        overdue={queue: _overdue(connection, queue, now) for queue in Queue},
        not_published=connection.scalar(failed) or 0,
        set_aside=connection.scalar(select(func.count()).where(_set_aside(now))) or 0,
        sign_ins=connection.scalar(select(func.count()).select_from(sign_ins)) or 0,
    )


def _set_aside(now: datetime) -> Any:
    """What `claim` set aside, or will never look at: the bot itself plans no look for later than an hour."""
    unreadable = [and_(queue.due == queue.lease, queue.due > utc_text(now)) for queue in Queue]
    planned = [status for status in Status if MOVES[status] and status is not Status.UNCERTAIN]
    never = or_(requests.c.next_at.is_(None), requests.c.next_at > utc_text(now + HOUR))
    return or_(*unreadable, and_(requests.c.status.in_(planned), never))


def _overdue(connection: Connection, queue: Queue, now: datetime) -> timedelta:
    at = utc_text(now)
    free = or_(queue.lease.is_(None), queue.lease <= at)
    oldest = connection.scalar(select(func.min(queue.due)).where(queue.due > "", queue.due <= at, free))
    due = moment(oldest)
    return timedelta(0) if due is None else now - due


# Rows

SAME: Final = (
    *("id", "delivery", "asked_by", "asked_by_team", "asked_as", "reason", "ticket", "status"),
    *("version", "reminders", "notes", "decided_by", "denial", "attempts", "held_device"),
)
"""Fields of a request that its columns hold as they are."""
TIMES: Final = ("asked_at", "changed_at", "next_at", "expires_at", "decided_at")
# Fields that their columns hold as JSON: unknown keys are dropped, missing ones have defaults.
APPROVAL, ATTEMPT = TypeAdapter(Approval | None), TypeAdapter(Attempt | None)
CAUSE, MESSAGES = TypeAdapter(Cause | None), TypeAdapter(MessageState)


def request_columns(request: ResetRequest) -> dict[str, Any]:
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


def message_columns(audit_log: AuditLog, request_id: str, state: MessageState) -> dict[str, Any]:
    """Return the columns of what Slack shows; with a seal before it, for messages go where it says."""
    text_ = MESSAGES.dump_json(state).decode()
    sealed = f"{audit_log.sealer.seal(request_id, text_)} {text_}"
    return {"messages": sealed, "publish_failures": state.failures}


def read_messages(row: Row[Any], audit_log: AuditLog) -> MessageState:
    """Return what Slack shows of a request; raises ValueError."""
    seal, _, text_ = str(row.messages).partition(" ")
    if not audit_log.sealer.fits(seal, row.id, text_):
        raise ValueError("the seal of the messages does not fit")
    return MESSAGES.validate_json(text_)


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


def _genuine(connection: Reader, row: Row[Any], audit_log: AuditLog, *, in_log: bool) -> ResetRequest | None:
    """Return what a row holds, if the bot wrote it."""
    try:
        check_seal(connection, row, audit_log, in_log=in_log)
        return read_request(row)
    except DBAPIError:  # it says nothing about the row
        raise
    except AuditBroken as broken:
        log.critical("audit_broken", request=row.id, reason=str(broken))
    except Refusal:
        pass
    except Exception as error:  # a row that another program wrote may hold anything
        log.critical("row_unreadable", request=row.id, error=type(error).__name__)
    return None


def _messages(tx: Transaction, row: Row[Any]) -> MessageState:
    try:
        return read_messages(row, tx.audit_log)
    except Exception as error:  # as above; the messages are looked for in Slack
        log.critical("messages_unreadable", request=row.id, error=type(error).__name__)
        return MessageState(posting=True)


# Seals


class Seal(NamedTuple):
    """A MAC of a row, and a row of the audit log from which the log has to be read to use it."""

    seq: int
    hash: str
    version: int
    """Of the one move of the request that the log holds from there on; 0: it holds none."""
    mac: str = ""


SEALED: Final = (
    *(*SAME, *(name for name in TIMES if name != "next_at")),
    *("target_kind", "target", "open_target", "approval", "attempt", "cause"),
)
"""All columns but when a row is due, who holds it, and `messages`, which has a seal of its own.

That a row is due at no time is sealed: a human has to decide then.
"""


def new_seal(tx: Transaction, values: Mapping[str, Any], seal: Seal | None) -> str:
    """Return the seal of these columns. `seal`: where a move without an audit row has read the log from."""
    if seal is None:
        head = tx.audit_log.seen or Head(*tx.execute(LAST).one())
        seal = Seal(head.seq, head.hash, values["version"])
    return json.dumps(seal._replace(mac=tx.audit_log.sealer.seal(*seal[:3], *_sealed(values))))


def check_seal(connection: Reader, row: Row[Any], audit_log: AuditLog, *, in_log: bool = True) -> Seal:
    """Raise Refusal(TAMPERED) unless the bot wrote this row, and moved it nowhere since.

    What the row says was stored by the holder of the keys: its MAC. That no other state came after it: the
    audit log, from the row that the seal names to its signed end, unbroken. Returns a seal that names the end
    of what was read, so that the next one reads on from there. Raises AuditBroken too.
    """
    seal = _parse_seal(row.seal)
    if not seal_fits(row, audit_log):
        raise _tampered(row, "the seal does not fit the row, or its key is not in VAULT_KEYS")
    if not in_log:
        return seal
    entries = audit_log.since(connection, Head(seal.seq, seal.hash))
    stored = [one.version for one in entries if one.request_id == row.id and one.version is not None]
    begun = [*connection.before, *connection.entries] if isinstance(connection, Transaction) else []
    moves = stored + [one.version for one in begun if one.request_id == row.id and one.version is not None]
    if moves[-1:] != ([seal.version] if seal.version else []):
        raise _tampered(row, "it was moved since, as the audit log says")
    if not entries or stored != moves:
        return seal
    return Seal(entries[-1].seq, entries[-1].hash, 0)


def seal_keys(connection: Connection, since: datetime) -> set[str]:
    """Return the names of the keys that seal a request under way, or one that changed since."""
    living = [status for status in Status if MOVES[status]]
    needed = or_(requests.c.status.in_(living), requests.c.changed_at > utc_text(since))
    seals = connection.scalars(select(requests.c.seal).where(needed))
    return {_parse_seal(seal).mac.partition(":")[0] for seal in seals}


def _tampered(row: Row[Any], reason: str) -> Refusal:
    log.critical("row_tampered", request=row.id, reason=reason)
    return Refusal(Code.TAMPERED, reason=reason)


def seal_fits(row: Row[Any], audit_log: AuditLog) -> bool:
    """Whether the bot wrote this row; `check_seal` says whether another state came after it."""
    seal = _parse_seal(row.seal)
    return audit_log.sealer.fits(seal.mac, *seal[:3], *_sealed(row._mapping))


def _sealed(values: Any) -> Sequence[object]:
    return [*(values[name] for name in SEALED), values["next_at"] is None]


def _parse_seal(stored: object) -> Seal:
    """Return a stored seal; of anything else, one that fits nothing."""
    try:
        seq, hash_, version, mac = json.loads(str(stored))
        return Seal(int(seq), str(hash_), int(version), str(mac))
    except (ValueError, TypeError, RecursionError, OverflowError):
        return Seal(0, "", 0)


def _time(stored: str | None) -> datetime | None:
    return None if stored is None else datetime.fromisoformat(stored).astimezone(UTC)


def moment(stored: str | None) -> datetime | None:
    """Return the time; None for one that is none."""
    try:
        return _time(stored)
    except (ValueError, OverflowError, TypeError):
        return None
