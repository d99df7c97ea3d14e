"""The release before the first migration that followed: its tables, as they were, and what it does to them.

Frozen. A newer release may add to these tables; as long as replicas of this one serve, all of this works.
"""

from datetime import timedelta
from itertools import count

from bot.store.schema import Moment
from kept import LEASE, NOON
from sqlalchemy import (
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    and_,
    delete,
    insert,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

REVISION = "0001"
metadata = MetaData()
_numbers = count(1)

requests = Table(
    "requests",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("delivery", String(255), nullable=False, unique=True),
    Column("team", String(32), nullable=False),
    Column("asked_by", String(32), nullable=False),
    Column("asked_by_team", String(32)),
    Column("asked_at", Moment, nullable=False),
    Column("target_kind", String(16), nullable=False),
    Column("target", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("ticket", Text),
    Column("status", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("reminders", Integer, nullable=False),
    Column("decided_by", String(32)),
    Column("decided_at", Moment),
    Column("denial", Text),
    Column("approval", Text),
    Column("attempt_number", Integer),
    Column("attempt_started_at", Moment),
    Column("client_request_id", String(36)),
    Column("attempts", Integer, nullable=False),
    Column("why", Text),  # JSON
    # the lanes: when each is due, and until when somebody is at it
    Column("next_at", Moment),
    Column("drive_leased_until", Moment),
    Column("show_at", Moment),
    Column("show_leased_until", Moment),
    # what Slack shows
    Column("card_channel", String(32)),
    Column("card_ts", String(32)),
    Column("card_digest", String(64), nullable=False),
    Column("receipt_channel", String(32)),
    Column("receipt_ts", String(32)),
    Column("receipt_digest", String(64), nullable=False),
    Column("shown_reminders", Integer, nullable=False),
    Column("posting", Boolean, nullable=False),
    Column("show_failures", Integer, nullable=False),
    Index("requests_by_next_at", "next_at"),
    Index("requests_by_show_at", "show_at"),
    Index("requests_by_person", "asked_by", "asked_at"),
    Index("requests_by_status", "status", "asked_at"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Moment, nullable=False),
    Column("event", String(32), nullable=False),
    Column("actor", String(32)),
    Column("request_id", String(32)),  # no foreign key: a forged id is on the record too
    Column("facts", Text, nullable=False),  # JSON
    Index("audit_by_request", "request_id"),
    sqlite_autoincrement=True,
)

tickets = Table(
    "tickets",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("team", String(32), nullable=False),
    Column("user", String(32), nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("request_id", String(32)),
    Column("view_id", String(64)),
    Column("claims", Text),
    Column("state_digest", String(64), unique=True),
    Column("flow", LargeBinary),
    Column("used_at", Moment),
)

sign_ins = Table(
    "sign_ins",
    metadata,
    Column("user", String(32), primary_key=True),
    Column("tenant", String(36), nullable=False),
    Column("oid", String(36), nullable=False),
    Column("username", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("emails", Text, nullable=False),  # JSON
    Column("signed_in_at", Moment, nullable=False),
    Column("key_id", String(16), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("version", Integer, nullable=False),
    Index("sign_ins_by_account", "tenant", "oid", unique=True),
)


async def live(engine: AsyncEngine) -> str:
    """Everything that a request of that release does to the database, each step a transaction; its id."""
    number = next(_numbers)
    request_id = f"{number:032x}"
    steps = (_ask, _claim, _move, _show, _release, _read, _look_around)
    for step in steps:
        async with engine.begin() as connection:
            await step(connection, request_id)
    async with engine.begin() as connection:
        await _sign_in(connection, number)
    return request_id


async def _ask(connection: AsyncConnection, request_id: str) -> None:
    values = {
        "id": request_id,
        "delivery": f"trigger.{request_id}",
        "team": "T0",
        "asked_by": "U0MEI",
        "asked_by_team": None,
        "asked_at": NOON,
        "target_kind": "person",
        "target": "ada@contoso.com",
        "reason": "locked out",
        "ticket": None,
        "status": "received",
        "version": 1,
        "changed_at": NOON,
        "reminders": 0,
        "attempts": 0,
        "next_at": NOON,
        "show_at": NOON,
        "card_digest": "",
        "receipt_digest": "",
        "shown_reminders": 0,
        "posting": False,
        "show_failures": 0,
    }
    await connection.execute(insert(requests).values(values))
    await _note(connection, request_id, "asked")


async def _note(connection: AsyncConnection, request_id: str, event: str) -> None:
    values = {"at": NOON, "event": event, "actor": "U0MEI", "request_id": request_id, "facts": "{}"}
    await connection.execute(insert(audit).values(values))


async def _claim(connection: AsyncConnection, request_id: str) -> None:
    free = or_(requests.c.drive_leased_until.is_(None), requests.c.drive_leased_until <= NOON)
    due = select(requests.c.id).where(requests.c.next_at <= NOON, free).order_by(requests.c.next_at).limit(16)
    chosen = due.with_for_update(skip_locked=True).cte("chosen")
    taken = (
        update(requests)
        .where(requests.c.id.in_(select(chosen.c.id)))
        .values(drive_leased_until=NOON + LEASE)
        .returning(requests)
    )
    rows = (await connection.execute(taken)).mappings().all()
    assert request_id in {row["id"] for row in rows}


async def _move(connection: AsyncConnection, request_id: str) -> None:
    """The compare-and-set, with its audit row in the same transaction."""
    still = and_(requests.c.id == request_id, requests.c.version == 1)
    values = {"status": "pending", "version": 2, "next_at": NOON + timedelta(minutes=15)}
    moved = await connection.execute(update(requests).where(still).values(values))
    assert moved.rowcount == 1
    await _note(connection, request_id, "verified")


async def _show(connection: AsyncConnection, request_id: str) -> None:
    values = {"card_channel": "C0ONCALL", "card_ts": "1.2", "card_digest": "d" * 64, "posting": True}
    await connection.execute(update(requests).where(requests.c.id == request_id).values(values))


async def _release(connection: AsyncConnection, request_id: str) -> None:
    ours = and_(requests.c.id == request_id, requests.c.drive_leased_until == NOON + LEASE)
    await connection.execute(update(requests).where(ours).values(drive_leased_until=null()))


async def _read(connection: AsyncConnection, request_id: str) -> None:
    row = (await connection.execute(select(requests).where(requests.c.id == request_id))).mappings().one()
    assert (row["status"], row["version"], row["card_ts"]) == ("pending", 2, "1.2")
    theirs = select(audit.c.event).where(audit.c.request_id == request_id).order_by(audit.c.id)
    assert (await connection.scalars(theirs)).all() == ["asked", "verified"]


async def _look_around(connection: AsyncConnection, _request_id: str) -> None:
    mine = select(requests).where(requests.c.asked_by == "U0MEI").order_by(requests.c.asked_at.desc())
    await connection.execute(mine.limit(5))
    await connection.execute(select(requests).where(requests.c.status == "pending").limit(5))


async def _sign_in(connection: AsyncConnection, number: int) -> None:
    digest, user = f"{number:064x}", f"U{number}"
    ticket = {"digest": digest, "team": "T0", "user": user, "expires_at": NOON}
    await connection.execute(insert(tickets).values(ticket))
    begun = {"used_at": NOON, "state_digest": digest, "flow": b"sealed"}
    await connection.execute(update(tickets).where(tickets.c.digest == digest).values(begun))
    taken = delete(tickets).where(tickets.c.state_digest == digest).returning(tickets)
    assert (await connection.execute(taken)).mappings().one()["flow"] == b"sealed"
    row = {"user": user, "tenant": "t", "oid": user, "username": "ken@contoso.com", "name": "Ken"}
    sealed = {"emails": "[]", "signed_in_at": NOON, "key_id": "k", "sealed": b"sealed", "version": 1}
    await connection.execute(insert(sign_ins).values(row | sealed))
    await connection.execute(update(sign_ins).where(sign_ins.c.user == user).values(version=2))
    assert await connection.scalar(select(sign_ins.c.version).where(sign_ins.c.user == user)) == 2
