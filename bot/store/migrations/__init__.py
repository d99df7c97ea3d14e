"""Alembic, run from code: no ini file, no working directory, no second configuration."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, event

from bot.store.engine import (
    begin_immediate,
    database_url,
    is_sqlite,
    keep_private,
    prepare_sqlite,
    store_errors,
)

HERE: Final = Path(__file__).parent


def config() -> Config:
    """Alembic's configuration: where the scripts are."""
    made = Config()
    made.set_main_option("script_location", str(HERE))
    made.set_main_option("path_separator", "os")
    return made


def upgrade(url: str) -> None:
    """Run every migration that has not run; raises ValueError for a bad address, StoreAway."""
    parsed = database_url(url)
    driver = "sqlite" if is_sqlite(parsed) else parsed.drivername
    engine = create_engine(parsed.set(drivername=driver), hide_parameters=True)
    if is_sqlite(parsed):
        keep_private(parsed)
        event.listen(engine, "connect", prepare_sqlite)
        event.listen(engine, "begin", begin_immediate)
    try:
        with store_errors(), engine.begin() as connection:
            _upgrade(connection)
    finally:
        engine.dispose()


def _upgrade(connection: Connection) -> None:
    made = config()
    made.attributes["connection"] = connection
    command.upgrade(made, "head")
