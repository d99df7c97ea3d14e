"""Alembic, run from code: no ini file, no working directory, no second configuration.

Old replicas serve meanwhile, so a migration steps aside for them: it gives up what it cannot have at once,
lets them work, and comes again.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError

from bot.store.engine import (
    begin_immediate,
    database_url,
    is_sqlite,
    keep_private,
    prepare_sqlite,
    store_errors,
)
from bot.store.schema import HEAD

HERE: Final = Path(__file__).parent
LOCK: Final = 0x756E6C61
""""unla": whoever migrates PostgreSQL waits for others who do."""
STEP_ASIDE_AFTER: Final = timedelta(milliseconds=500)
"""Everybody else waits behind a migration that waits for a table, and Slack waits for three seconds only.
Shorter than PostgreSQL's own deadlock_timeout (1 s), so that the migration gives way, never a move."""
TRIES: Final = 60
PAUSE: Final = timedelta(seconds=1)
"""Between two tries."""

Sleep = Callable[[float], object]


def config() -> Config:
    """Alembic's configuration: where the scripts are."""
    made = Config()
    made.set_main_option("script_location", str(HERE))
    made.set_main_option("path_separator", "os")
    return made


def upgrade(url: str, *, sleep: Sleep = time.sleep) -> None:
    """Run every migration that has not run; raises ValueError for a bad address, StoreAway."""
    parsed = database_url(url)
    driver = "sqlite" if is_sqlite(parsed) else parsed.drivername
    engine = create_engine(parsed.set(drivername=driver), hide_parameters=True)
    if is_sqlite(parsed):
        keep_private(parsed)
        event.listen(engine, "connect", prepare_sqlite)
        event.listen(engine, "begin", begin_immediate)
    try:
        with store_errors():
            _patiently(engine, sleep)
    finally:
        engine.dispose()


def _patiently(engine: Engine, sleep: Sleep) -> None:
    """All in one transaction, or nothing, as often as somebody is in the way."""
    for left in reversed(range(TRIES)):
        try:
            with engine.begin() as connection:
                _upgrade(connection)
        except OperationalError as busy:
            if not (left and _is_in_the_way(busy)):
                raise
            sleep(PAUSE.total_seconds())
        else:
            return


def _is_in_the_way(error: OperationalError) -> bool:
    """PostgreSQL's lock_not_available."""
    return getattr(error.orig, "sqlstate", None) == "55P03"


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        wait = STEP_ASIDE_AFTER // timedelta(milliseconds=1)
        connection.execute(text(f"SET LOCAL lock_timeout = {wait}"))
    if _has_run(connection):
        return
    made = config()
    made.attributes["connection"] = connection
    command.upgrade(made, "head")


def _has_run(connection: Connection) -> bool:
    """Whether this release has nothing to add; a later one may have gone further."""
    found = MigrationContext.configure(connection).get_current_revision()
    return found is not None and found >= HEAD
