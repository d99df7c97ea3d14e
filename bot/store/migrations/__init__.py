"""Alembic, run from code: no ini file, no working directory, no second configuration.

Replicas serve meanwhile, so a migration gives way: it gives up what it cannot have at once, lets them work,
and comes again.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.exc import OperationalError

from bot.domain.audit import Entry, Event
from bot.domain.errors import StoreUnavailable
from bot.store.audit_log import AuditLog, of_another
from bot.store.engine import FAULTS, code_of, keep_private, milliseconds, temporary_engine
from bot.store.tables import REVISION, audit

HERE: Final = Path(__file__).parent
LOCK: Final = 0x756E6C61
""""unla": a PostgreSQL advisory lock, so that of several that migrate one does."""
LOCK_TIMEOUT: Final = timedelta(milliseconds=500)
"""Everybody else waits behind a migration that waits for a table, and Slack waits for three seconds only.
Shorter than PostgreSQL's deadlock_timeout (1 s), so that the migration gives way, never a move."""
IN_USE: Final = ("55P03", "SQLITE_BUSY")
"""PostgreSQL's lock_not_available, and SQLite's name for the same."""
TRIES, PAUSE = 60, timedelta(seconds=1)


def migrate(
    url: str, audit_log: AuditLog, *, sleep: Callable[[float], object] = time.sleep, tries: int = TRIES
) -> None:
    """Bring the database up to date, and write row 1 of a new audit log; safe to run twice.

    Where a table is in use it tries again, `tries` times. Raises StoreUnavailable, or ValueError for a URL
    that is none.
    """
    keep_private(url)
    with temporary_engine(url, bounded=False) as engine:
        for left in reversed(range(tries)):
            try:
                with engine.begin() as connection:
                    _upgrade(connection, audit_log)
            except OperationalError as busy:
                if not left or not code_of(busy).startswith(IN_USE):
                    raise
                sleep(PAUSE.total_seconds())
            else:
                return


def configuration() -> Any:
    from alembic.config import Config  # a start that migrates nothing does without

    made = Config()
    made.set_main_option("script_location", str(HERE))
    made.set_main_option("path_separator", "os")
    return made


def _upgrade(connection: Connection, audit_log: AuditLog) -> None:
    """All in one transaction, or nothing."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        connection.execute(text(f"SET LOCAL lock_timeout = {milliseconds(LOCK_TIMEOUT)}"))
    tables = inspect(connection).get_table_names()
    version = text("SELECT version_num FROM alembic_version")
    found = connection.scalar(version) if "alembic_version" in tables else None
    if found is not None and not (str(found).isdecimal() and "audit" in tables):
        raise StoreUnavailable(FAULTS["42P07"], lasts=True)
    if found is not None and (another := of_another(connection, audit_log.name)):
        raise StoreUnavailable(another, lasts=True)
    if found is None or found < REVISION:
        from alembic import command

        made = configuration()
        made.attributes["connection"] = connection
        command.upgrade(made, "head")
    if found is None and not connection.scalar(select(func.count()).select_from(audit)):
        entry = Entry(event=Event.LOG_CREATED, at=datetime.now(UTC), facts={"deployment": audit_log.name})
        audit_log.append(connection, [entry], first=True)
