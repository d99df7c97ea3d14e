"""What any later release may do while this one serves: add, and take nothing away."""

import sqlalchemy as sa
from alembic import op
from bot.store.schema import HEAD

revision = "9999"
down_revision = HEAD


def upgrade() -> None:
    """A column and an index on every busy table, and a new table. Audit first: the order must not matter."""
    op.add_column("audit", sa.Column("to_come", sa.String(length=64), nullable=True))
    op.add_column("requests", sa.Column("to_come", sa.Integer(), server_default="0", nullable=False))
    op.create_index("requests_by_what_is_to_come", "requests", ["to_come"])
    op.create_table("to_come", sa.Column("id", sa.Integer(), primary_key=True))
