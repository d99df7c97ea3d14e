"""Real databases for tests: a migrated SQLite file, copied from one that was migrated once a process."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from bot.keys import Keys
from bot.store.audit_log import AuditLog
from bot.store.database import Database
from bot.store.migrations import migrate

VAULT_KEYS = "Zm9yIHRlc3RzIG9ubHksIDMyIGJ5dGVzIGxvbmchISE"
DEPLOYMENT = "tests"


def audit_log() -> AuditLog:
    return AuditLog(Keys.parse(VAULT_KEYS), DEPLOYMENT)


@cache
def sqlite_template() -> Path:
    """Return a migrated, empty file; nothing writes to it."""
    path = Path(tempfile.mkdtemp(prefix="unlatch-tests-")) / "template.sqlite3"
    migrate(f"sqlite:///{path}", audit_log())
    return path


def sqlite_url(folder: Path) -> str:
    """Return the URL of a migrated database in `folder`."""
    path = folder / "unlatch.sqlite3"
    shutil.copy(sqlite_template(), path)
    return f"sqlite:///{path}"


@asynccontextmanager
async def sqlite_database(folder: Path) -> AsyncIterator[Database]:
    database = Database(sqlite_url(folder), audit_log())
    try:
        yield database
    finally:
        await database.close()
