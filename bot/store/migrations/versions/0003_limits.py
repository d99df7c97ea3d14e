"""One open request a target, one attempt a device, and quotas. Only adds: older replicas go on beside it."""

import sqlalchemy as sa
from alembic import op
from bot.store.schema import Moment

revision = "0003"
down_revision = "0002"

OPEN = sa.text("status IN ('approved', 'pending', 'uncertain')")
HOLDING = sa.text("status IN ('approved', 'sent', 'uncertain')")


def upgrade() -> None:
    """Rows that are there hold nothing: two of them may wait for the same target already."""
    op.add_column("requests", sa.Column("open_target", sa.String(length=300), nullable=True))
    op.add_column("requests", sa.Column("held_device", sa.String(length=64), nullable=True))
    op.add_column("requests", sa.Column("attempt_seen_at", Moment(), nullable=True))
    _one_at_a_time("requests_one_open_target", "open_target", OPEN)
    _one_at_a_time("requests_one_a_device", "held_device", HOLDING)
    op.create_table(
        "quotas",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("window", Moment(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )


def _one_at_a_time(name: str, column: str, where: sa.TextClause) -> None:
    op.create_index(name, "requests", [column], unique=True, sqlite_where=where, postgresql_where=where)
