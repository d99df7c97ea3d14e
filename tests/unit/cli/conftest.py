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
from sandbox.setup import Setup
from tests.support.environment import COMPLETE

from sandbox import demo


@dataclass
class Installation:
    sandbox: Sandbox
    folder: Path

    async def migrate(self, **changes: Any) -> AuditLog:
        settings = self.settings(**changes)
        log = AuditLog(settings.keys, settings.audit_log_name)
        await asyncio.to_thread(migrate, settings.database_url, log)
        return log

    def settings(self, **changes: Any) -> Settings:
        """Return the settings with `changes`, which name fields of `Setup` too: the sandbox is set up so."""
        setup = {name: changes.pop(name) for name in Setup.model_fields.keys() & changes}
        Setup.model_validate(setup).apply(self.sandbox)
        url = self.sandbox.base_url
        facts = {"folder": self.folder, "sandbox": url, "tls": url.replace("http", "https"), "port": url[-5:]}
        given = demo.settings(self.sandbox, 3000, self.folder, socket_mode=False)
        given |= {"VAULT_KEYS": COMPLETE["VAULT_KEYS"]}
        if changes.keys() & {"entra_client_certificate", "entra_client_assertion_file"}:
            del given["ENTRA_CLIENT_SECRET"]
        given |= {name: str(value).format_map(facts) for name, value in changes.items()}
        return Settings(**{name.lower(): text for name, text in given.items()})


@pytest.fixture
async def installation(tmp_path: Path) -> AsyncIterator[Installation]:
    sandbox = Sandbox(bot_url="http://127.0.0.1:3000")
    async with serve(sandbox):
        yield Installation(sandbox, tmp_path)
