"""What any later release may do while this one serves: add, and take nothing away."""

import sqlalchemy as sa
from alembic import op
from bot.store.tables import REVISION

revision = "9999"
down_revision = REVISION


def upgrade() -> None:
    """Add a column and an index to every busy table, and a table. Audit first: the order must not matter."""
    op.add_column("audit", sa.Column("later", sa.String(length=64), nullable=True))
    op.add_column("requests", sa.Column("later", sa.Integer(), server_default="0", nullable=False))
    op.create_index("requests_by_later", "requests", ["later"])
    op.create_table("later", sa.Column("id", sa.Integer(), primary_key=True))
