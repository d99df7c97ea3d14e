"""A sandbox, and settings of the bot for it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bot.settings import Settings
from bot.store.audit_log import AuditLog
from bot.store.migrations import migrate
from sandbox.app import Sandbox, serve

from sandbox import demo


@dataclass
class Installation:
    sandbox: Sandbox
    folder: Path

    async def migrated(self, settings: Settings) -> AuditLog:
        log = AuditLog(settings.keys, settings.audit_log_name)
        await asyncio.to_thread(migrate, settings.database_url, log)
        return log

    def settings(self, **changes: Any) -> Settings:
        given = demo.settings(self.sandbox, 3000, self.folder, socket_mode=False)
        if changes.keys() & {"entra_client_certificate", "entra_client_assertion_file"}:
            del given["ENTRA_CLIENT_SECRET"]
        return Settings(**{name.lower(): text for name, text in given.items()} | changes)


@pytest.fixture
async def installation(tmp_path: Path) -> AsyncIterator[Installation]:
    sandbox = Sandbox(bot_url="http://127.0.0.1:3000")
    async with serve(sandbox):
        yield Installation(sandbox, tmp_path)
