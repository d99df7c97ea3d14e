"""The rows: requests, the audit record, sign-in links and sealed sign-ins, over SQLAlchemy Core."""

from bot.store.engine import is_current
from bot.store.opening import Store, open_store

__all__ = ["Store", "is_current", "migrate", "open_store"]


def migrate(database_url: str) -> None:
    """Bring the database up to date; safe to run twice. Alembic is loaded only here: it takes 0.7 s."""
    from bot.store.migrations import upgrade

    upgrade(database_url)
