"""The four tables. Times are UTC text to the microsecond (`values.utc_text`), which sorts as the times do."""

from typing import Any, Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text, text

from bot.domain.request import OPEN, RESETTING, Status

UNDECIDED: Final = frozenset({Status.RECEIVED, *OPEN})
REVISION: Final = "0001"
"""The newest migration; a test holds it against Alembic's own head."""


def stands_in(statuses: frozenset[Status]) -> Any:
    """Return the condition as the indexes below have it: SQLite does not use them with parameters."""
    return text(f"status IN {tuple(map(str, sorted(statuses)))}")


def _while(name: str, column: str, statuses: frozenset[Status], *, unique: bool = True) -> Index:
    where = stands_in(statuses)
    return Index(name, column, unique=unique, sqlite_where=where, postgresql_where=where)


metadata: Final = MetaData()

requests: Final = Table(
    "requests",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("delivery", String(320), nullable=False, unique=True),
    Column("asked_by", String(32), nullable=False),
    Column("asked_by_team", String(32)),
    Column("asked_as", String(80)),  # the tenant and the id of an Entra account
    Column("asked_at", String(27), nullable=False),
    Column("target_kind", String(16), nullable=False),
    Column("target", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("ticket", Text),
    Column("status", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("changed_at", String(27), nullable=False),
    Column("expires_at", String(27)),
    Column("reminders", Integer, nullable=False),
    Column("notes", Integer, nullable=False),
    Column("decided_by", String(32)),
    Column("decided_at", String(27)),
    Column("denial", Text),
    # what happened, as JSON
    Column("approval", Text, nullable=False),
    Column("attempt", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    # what no second request may have meanwhile; the unique indexes below say while what
    Column("open_target", String(300)),
    Column("held_device", String(64)),
    # the queues: when the row is due in each, and until when a replica holds it
    Column("next_at", String(27)),
    Column("advance_leased_until", String(27)),
    Column("publish_at", String(27)),
    Column("publish_leased_until", String(27)),
    # what Slack shows, as JSON
    Column("messages", Text, nullable=False),
    Column("publish_failures", Integer, nullable=False),
    # the MAC of all that decides or is shown, and where the audit log ended when it was made, as JSON
    Column("seal", Text, nullable=False),
    Index("requests_by_next_at", "next_at"),
    Index("requests_by_publish_at", "publish_at"),
    Index("requests_by_requester", "asked_by", "asked_at"),
    Index("requests_by_status", "status", "asked_at"),
    _while("requests_undecided", "asked_by", UNDECIDED, unique=False),
    _while("requests_one_open_target", "open_target", OPEN),
    _while("requests_one_held_device", "held_device", RESETTING),
)

audit: Final = Table(
    "audit",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at", String(27), nullable=False),
    Column("event", String(32), nullable=False),
    Column("actor", String(32)),
    Column("request_id", String(32)),  # no foreign key: a forged id is in the log too
    Column("version", Integer),
    Column("facts", Text, nullable=False),  # JSON
    Column("hash", String(64), nullable=False),
    Column("key_id", String(16), nullable=False),
    Column("signature", String(88), nullable=False),
    Index("audit_by_request", "request_id", "version", unique=True),
)

sign_in_links: Final = Table(  # lives through link, flow and result, then for the quota's hour
    "sign_in_links",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("team", String(32)),
    Column("user", String(32), nullable=False),
    Column("created_at", String(27), nullable=False),
    Column("expires_at", String(27), nullable=False),
    Column("request_id", String(32)),
    Column("view_id", String(64)),
    Column("claims", Text),
    Column("state_digest", String(64), unique=True),  # of what takes `sealed` out, once
    Column("sealed", LargeBinary),
    Column("used_at", String(27)),
    Column("seal", Text, nullable=False),  # the MAC of whose it is, and where it leads
    Index("sign_in_links_by_user", "user", "created_at"),
    Index("sign_in_links_by_created_at", "created_at"),
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
    Column("signed_in_at", String(27), nullable=False),
    Column("authenticated_at", String(27)),
    Column("sealed", LargeBinary, nullable=False),
    Column("version", Integer, nullable=False),
    # where the audit log ended before the sign-in; authenticated with `sealed`, like all but `version`
    Column("log_seq", BigInteger, nullable=False),
    Column("log_hash", String(64), nullable=False),
    Index("sign_ins_by_signed_in_at", "signed_in_at"),
    Index("sign_ins_by_account", "tenant", "oid", unique=True),
)
