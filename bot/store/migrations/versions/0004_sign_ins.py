"""When people proved who they are and were last looked up; device codes that are due. Only adds."""

import sqlalchemy as sa
from alembic import op
from bot.store.schema import Moment

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Sign-ins that are there count as never proved and never looked up."""
    op.add_column("sign_ins", sa.Column("authenticated_at", Moment(), nullable=True))
    op.add_column("sign_ins", sa.Column("seen_at", Moment(), nullable=True))
    op.create_index("sign_ins_by_seen_at", "sign_ins", ["seen_at"], unique=False)
    op.add_column("tickets", sa.Column("poll_at", Moment(), nullable=True))
    op.create_index("tickets_by_poll_at", "tickets", ["poll_at"], unique=False)
