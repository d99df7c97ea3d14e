"""The tables. Times are text in UTC to the microsecond, `2026-01-31T08:00:00.000000Z`: they sort as text."""

from datetime import datetime
from typing import Final

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)

from bot.domain.chain import written
from bot.domain.status import HOLDING, OPEN, Status

HEAD: Final = "0004"
"""The newest migration; a test holds it against Alembic's own head. Numbers: a later one sorts later."""

ONE_TARGET: Final = "requests_one_open_target"
ONE_DEVICE: Final = "requests_one_a_device"


class Moment(TypeDecorator[datetime]):
    """An aware datetime; comes back in UTC, to the microsecond, on every database."""

    impl = String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:  # noqa: ARG002  sqlalchemy's
        """Write; a time without a zone is refused: it would be taken for this machine's own."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return written(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002  as above
        """Read."""
        return None if value is None else datetime.fromisoformat(value)


def _one_at_a_time(name: str, column: str, while_: frozenset[Status]) -> Index:
    """A unique index over the rows in these states alone.

    By state, because a replica of an older version ends a request without clearing the column.
    """
    states = ", ".join(f"'{state}'" for state in sorted(while_))
    where = text(f"status IN ({states})")
    return Index(name, column, unique=True, sqlite_where=where, postgresql_where=where)


metadata: Final = MetaData()

requests: Final = Table(
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
    Column("approval", Text),  # JSON
    Column("attempt_number", Integer),
    Column("attempt_started_at", Moment),
    Column("client_request_id", String(36)),
    Column("attempts", Integer, nullable=False),
    Column("why", Text),  # JSON
    # what no second request may have meanwhile; the indexes below say while what
    Column("open_target", String(300)),
    Column("held_device", String(64)),
    Column("attempt_seen_at", Moment),
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
    _one_at_a_time(ONE_TARGET, "open_target", OPEN),
    _one_at_a_time(ONE_DEVICE, "held_device", HOLDING),
)

quotas: Final = Table(
    "quotas",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("window", Moment, nullable=False),
    Column("used", Integer, nullable=False),
)

audit: Final = Table(
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

audit_chain: Final = Table(
    "audit_chain",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("audit_id", Integer, nullable=False, unique=True),
    Column("hash", String(64), nullable=False),
)

audit_tip: Final = Table(  # one row, locked by whoever adds a link
    "audit_tip",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", Integer, nullable=False),
    Column("hash", String(64), nullable=False),
    CheckConstraint("id = 1", name="audit_tip_is_one_row"),
)

audit_heads: Final = Table(
    "audit_heads",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("hash", String(64), nullable=False),
    Column("at", String(27), nullable=False),  # text, for it is signed as it is written
    Column("key", String(16), nullable=False),
    Column("signature", String(88), nullable=False),
)

tickets: Final = Table(
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
    Column("poll_at", Moment),  # a device code: when Microsoft may be asked about it
    Index("tickets_by_poll_at", "poll_at"),
)

sign_ins: Final = Table(
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
    Column("authenticated_at", Moment),
    Column("seen_at", Moment),  # when Slack was last asked whether the person still is a member
    Index("sign_ins_by_seen_at", "seen_at"),
    Index("sign_ins_by_account", "tenant", "oid", unique=True),
)
