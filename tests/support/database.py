"""Real databases for tests: a migrated SQLite file, copied from one that was migrated once a process."""

import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from bot.domain.audit import Entry, Event
from bot.keys import Keys
from bot.store.audit_log import AuditLog
from bot.store.database import Database
from bot.store.engine import POOL
from bot.store.migrations import migrate
from bot.timing import Timing
from sqlalchemy import Row
from tests.support.builders import TIMING

VAULT_KEYS = "Zm9yIHRlc3RzIG9ubHksIDMyIGJ5dGVzIGxvbmchISE"
DEPLOYMENT = "tests"
MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else None  # noqa: S108  faster than a disk


def audit_log() -> AuditLog:
    return AuditLog(Keys.parse(VAULT_KEYS), DEPLOYMENT)


def entry_of(row: Row[Any]) -> Entry:
    """Return what a row of the audit log was made from."""
    what = {"event": Event(row.event), "actor": row.actor, "facts": json.loads(row.facts)}
    which = {"request_id": row.request_id, "version": row.version}
    return Entry(at=datetime.fromisoformat(row.at), **what, **which)


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
async def opened(
    url: str, log: AuditLog | None = None, timing: Timing = TIMING, size: int = POOL
) -> AsyncIterator[Database]:
    database = Database(url, log or audit_log(), timing, size)
    try:
        yield database
    finally:
        await database.close()
