"""The hash chain over the audit record, its tip, and the heads that are signed of it.

A replica of the version before goes on beside this: it adds rows without a link, which the newer ones adopt.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from bot.domain.chain import StoredRow, Tip, linked

revision = "0002"
down_revision = "0001"

AT_ONCE = 1000


def _create_tables() -> None:
    op.create_table(
        "audit_chain",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("audit_id", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("audit_id"),
    )
    op.create_table(
        "audit_tip",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint("id = 1", name="audit_tip_is_one_row"),
    )
    op.create_table(
        "audit_heads",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("key", sa.String(length=16), nullable=False),
        sa.Column("signature", sa.String(length=88), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )


SQLITE_TRIGGERS = (
    "CREATE TRIGGER audit_chain_no_update BEFORE UPDATE ON audit_chain "
    "BEGIN SELECT RAISE(ABORT, 'the audit record is append-only'); END",
    "CREATE TRIGGER audit_chain_no_delete BEFORE DELETE ON audit_chain "
    "BEGIN SELECT RAISE(ABORT, 'the audit record is append-only'); END",
    # INSERT OR REPLACE deletes without firing the trigger above
    "CREATE TRIGGER audit_chain_no_replace BEFORE INSERT ON audit_chain "
    "WHEN EXISTS (SELECT 1 FROM audit_chain WHERE seq = NEW.seq OR audit_id = NEW.audit_id) "
    "BEGIN SELECT RAISE(ABORT, 'the audit record is append-only'); END",
    "CREATE TRIGGER audit_heads_no_update BEFORE UPDATE ON audit_heads "
    "BEGIN SELECT RAISE(ABORT, 'the audit record is append-only'); END",
    "CREATE TRIGGER audit_heads_no_delete BEFORE DELETE ON audit_heads "
    "BEGIN SELECT RAISE(ABORT, 'the audit record is append-only'); END",
    "CREATE TRIGGER audit_heads_no_replace BEFORE INSERT ON audit_heads "
    "WHEN EXISTS (SELECT 1 FROM audit_heads WHERE seq = NEW.seq) "
    "BEGIN SELECT RAISE(ABORT, 'the audit record is append-only'); END",
    "CREATE TRIGGER audit_tip_follows AFTER INSERT ON audit_chain "
    "BEGIN UPDATE audit_tip SET seq = NEW.seq, hash = NEW.hash; END",
    "CREATE TRIGGER audit_tip_forward BEFORE UPDATE ON audit_tip WHEN NEW.seq <= OLD.seq "
    "BEGIN SELECT RAISE(ABORT, 'the audit record is append-only'); END",
    "CREATE TRIGGER audit_tip_no_delete BEFORE DELETE ON audit_tip "
    "BEGIN SELECT RAISE(ABORT, 'the audit record is append-only'); END",
    "CREATE TRIGGER audit_tip_no_replace BEFORE INSERT ON audit_tip "
    "WHEN EXISTS (SELECT 1 FROM audit_tip) "
    "BEGIN SELECT RAISE(ABORT, 'the audit record is append-only'); END",
)
POSTGRESQL_TRIGGERS = (
    "CREATE TRIGGER audit_chain_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_chain "
    "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuses()",
    "CREATE TRIGGER audit_heads_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_heads "
    "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuses()",
    "CREATE FUNCTION audit_tip_follows() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN UPDATE audit_tip SET seq = NEW.seq, hash = NEW.hash; RETURN NULL; END $$",
    "CREATE TRIGGER audit_tip_follows AFTER INSERT ON audit_chain "
    "FOR EACH ROW EXECUTE FUNCTION audit_tip_follows()",
    "CREATE TRIGGER audit_tip_stays BEFORE DELETE OR TRUNCATE ON audit_tip "
    "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuses()",
    "CREATE TRIGGER audit_tip_forward BEFORE UPDATE ON audit_tip FOR EACH ROW "
    "WHEN (NEW.seq <= OLD.seq) EXECUTE FUNCTION audit_refuses()",
)


def _link_what_is_there() -> None:
    """In batches, so that memory stays the same however long the record is."""
    connection, tip, newest = op.get_bind(), Tip(), 0
    while rows := _rows_after(connection, newest):
        links = list(linked(tip, rows))
        values = [{"seq": link.seq, "audit_id": link.row, "hash": link.hash} for link in links]
        connection.execute(
            sa.text("INSERT INTO audit_chain (seq, audit_id, hash) VALUES (:seq, :audit_id, :hash)"), values
        )
        tip, newest = Tip(links[-1].seq, links[-1].hash), links[-1].row
    connection.execute(
        sa.text("INSERT INTO audit_tip (id, seq, hash) VALUES (1, :seq, :hash)"),
        {"seq": tip.seq, "hash": tip.hash},
    )


def _rows_after(connection: sa.Connection, id_: int) -> Sequence[StoredRow]:
    query = sa.text(
        "SELECT id, at, event, actor, request_id, facts FROM audit WHERE id > :id ORDER BY id LIMIT :limit"
    )
    found = connection.execute(query, {"id": id_, "limit": AT_ONCE})
    return [StoredRow(**row._mapping) for row in found]


def upgrade() -> None:
    """Create all, link the rows that are there, and make it append-only."""
    _create_tables()
    _link_what_is_there()
    triggers = SQLITE_TRIGGERS if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_TRIGGERS
    for trigger in triggers:
        op.execute(trigger)
