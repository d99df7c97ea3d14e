"""The start, and the doctor: what is missing is named, one by one, before a colleague meets it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bot import doctor, wiring
from bot.slack import socket
from bot.store import migrate
from sandbox.app import Sandbox, serve
from sandbox.cast import BOT_USER
from tests.whole.installed import ON_CALL, given

CHECKS = 5


@dataclass
class Ward:
    """A sandbox, and settings for it."""

    sandbox: Sandbox
    folder: Path

    def settings(self, **changes: Any) -> Any:
        return given(self.sandbox, 3000, self.folder, **({"socket_mode": False} | changes))

    async def start(self, **changes: Any) -> str:
        """What the installer is told instead of a start."""
        with pytest.raises(wiring.CannotStart) as told:
            async with wiring.unlatch(self.settings(**changes)):
                pass
        return str(told.value)


@pytest.fixture
async def ward(tmp_path: Path) -> AsyncIterator[Ward]:
    sandbox = Sandbox(bot_url="http://127.0.0.1:3000")
    async with serve(sandbox):
        yield Ward(sandbox, tmp_path)


async def examined(ward: Ward, capsys: pytest.CaptureFixture[str], **changes: Any) -> list[str]:
    """The lines that say MISSING; every other check is ok."""
    settings = ward.settings(**changes)
    if "database_url" not in changes:
        await asyncio.to_thread(migrate, settings.database_url)
    status = await doctor.run(settings)
    lines = capsys.readouterr().out.splitlines()
    missing = [line for line in lines if line.startswith("MISSING")]
    assert len(lines) >= CHECKS
    assert all(line.startswith(("ok ", "MISSING ")) for line in lines)
    assert status == (1 if missing else 0)
    return missing


async def test_where_nothing_is_missing_all_is_ok(ward, capsys):
    assert await examined(ward, capsys) == []


async def test_a_wrong_bot_token_is_named(ward, capsys):
    missing = await examined(ward, capsys, slack_bot_token="xoxb-wrong")
    assert "SLACK_BOT_TOKEN" in missing[0]
    assert "xoxb-wrong" not in " ".join(missing)


async def test_a_missing_scope_is_named(tmp_path, capsys):
    sandbox = Sandbox(bot_url="http://127.0.0.1:3000", scopes=("commands", "users:read", "groups:read"))
    async with serve(sandbox):
        [line] = await examined(Ward(sandbox, tmp_path), capsys)
    assert "chat:write" in line
    assert "users:read.email" in line


async def test_a_bot_that_was_not_invited_is_named(ward, capsys):
    ward.sandbox.slack.leave(ON_CALL, BOT_USER)
    [line] = await examined(ward, capsys)
    assert "invite" in line.lower()


async def test_a_shared_approver_channel_is_named(ward, capsys):
    ward.sandbox.slack.share(ON_CALL)
    [line] = await examined(ward, capsys)
    assert "shared with another organisation" in line


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"approver_channel": "C0NOWHERE"}, "APPROVER_CHANNEL"),
        ({"entra_authority": "http://127.0.0.1:9/tenant/v2.0"}, "ENTRA_AUTHORITY"),
        ({"graph_url": "http://127.0.0.1:9/v1.0"}, "http://127.0.0.1:9/v1.0"),
        ({"database_url": "sqlite:///no/such/folder/rows.sqlite3"}, "unlatch migrate"),
        ({"entra_client_certificate": "no-such.pem"}, "Entra"),
    ],
)
async def test_each_thing_that_is_missing_is_named_alone(ward, capsys, changes, named):
    [line] = await examined(ward, capsys, **changes)
    assert named in line


async def test_a_slack_that_is_something_else_is_named(ward, capsys):
    ward.sandbox.slack.break_next("auth.test", 502)
    ward.sandbox.slack.break_next("conversations.info", 502)
    missing = await examined(ward, capsys)
    assert all("SLACK_API_URL" in line for line in missing)
    assert len(missing) == 2


# The start


async def test_a_refused_token_stops_the_start_with_a_sentence(ward):
    assert "Slack refuses SLACK_BOT_TOKEN (invalid_auth)" in await ward.start(slack_bot_token="xoxb-wrong")


async def test_something_else_in_slacks_place_stops_the_start_with_a_sentence(ward):
    ward.sandbox.slack.break_next("auth.test", 502)
    assert "SLACK_API_URL is not Slack" in await ward.start()


async def test_a_refused_socket_stops_the_start_with_a_sentence(ward, monkeypatch):
    monkeypatch.setattr(socket, "CONNECT", timedelta(seconds=0.3))
    told = await ward.start(socket_mode=True, slack_app_token="xapp-wrong")
    assert "SLACK_APP_TOKEN" in told
    assert "xapp-wrong" not in told


async def test_a_database_that_cannot_be_opened_stops_the_start_with_a_sentence(ward):
    told = await ward.start(database_url="sqlite:///no/such/folder/rows.sqlite3")
    assert "DATABASE_URL" in told


async def test_a_file_for_heads_that_cannot_be_written_stops_the_start_with_a_sentence(ward):
    assert "AUDIT_HEADS" in await ward.start(audit_heads="/no/such/folder/heads.jsonl")


async def test_a_certificate_that_is_not_there_stops_the_start_with_a_sentence(ward):
    assert "Entra" in await ward.start(entra_client_certificate="no-such.pem")
