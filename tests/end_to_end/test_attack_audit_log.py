"""The audit log of a real life: it verifies; what the database's owner changes in it is found and named."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from bot.cli import main
from tests.support.app_fixture import TOMAS
from tests.support.served_bot import served

pytestmark = pytest.mark.asyncio(loop_scope="module")
Captured = pytest.CaptureFixture[str]


@dataclass
class Life:
    """What a process that was killed once and ended once left behind."""

    folder: Path
    settings: dict[str, str]
    killed: Path
    """The database as the kill left it."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    folder = tmp_path_factory.mktemp("life")
    async with served(folder, AUDIT_HEADS=str(folder / "heads.jsonl")) as it:
        await it.pending(TOMAS)
        await it.approve()
        await it.end(kill=True)
        killed = copied(folder, folder / "killed")
        await it.start()
        assert await it.end() == 0
    (folder / "log").write_text("\n".join(it.lines))
    return Life(folder, it.settings, killed)


def copied(folder: Path, to: Path) -> Path:
    """Copy the database with its journal; returns the copy."""
    to.mkdir(parents=True)
    for file in folder.glob("unlatch.sqlite3*"):
        shutil.copy(file, to)
    return to / "unlatch.sqlite3"


@pytest.fixture
def public_key(life: Life, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> str:
    for name, value in life.settings.items():
        monkeypatch.setenv(name, value)
    assert main(["audit", "key"]) == 0
    return capsys.readouterr().out.split()[0]


def verify(database: Path, key: str, *more: str) -> int:
    return main(["audit", "verify", "--database", f"sqlite:///{database}", "--public-key", key, *more])


async def test_a_life_verifies_with_the_heads_of_its_file_and_of_its_log_also_after_a_kill(
    life: Life, public_key: str
):
    database = life.folder / "unlatch.sqlite3"
    assert verify(life.killed, public_key) == 0
    assert verify(database, public_key, "--heads", str(life.folder / "heads.jsonl"), "--full") == 0
    assert verify(database, public_key, "--heads", str(life.folder / "log")) == 0


async def test_every_start_is_in_the_log_with_its_settings_and_without_secrets(life: Life):
    with closing(sqlite3.connect(life.folder / "unlatch.sqlite3")) as rows:
        starts = [facts for (facts,) in rows.execute("SELECT facts FROM audit WHERE event = 'started'")]
    assert len(starts) == 2
    assert "APPROVER_CHANNEL" in starts[0]
    for name in ("SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET", "ENTRA_CLIENT_SECRET", "VAULT_KEYS"):
        assert life.settings[name] not in str(starts)


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE audit SET actor = 'U0MALLORY' WHERE event = 'approved'", "row {approved} was changed"),
        ("DELETE FROM audit WHERE event = 'approved'", "row {next} follows row"),
        ("DELETE FROM audit WHERE seq > 3", "the log ends at row 3, but a kept head names row {last}"),
        ("UPDATE audit SET facts = '{}' WHERE seq = (SELECT max(seq) FROM audit)", "row {last}"),
    ],
    ids=["edited row", "removed row", "cut tail", "edited last row"],
)
async def test_attack_on_the_record(
    life: Life, public_key: str, tmp_path: Path, capsys: Captured, statement: str, named: str
):
    database = copied(life.folder, tmp_path / "tampered")
    with closing(sqlite3.connect(database)) as rows, rows:
        [approved] = rows.execute("SELECT seq FROM audit WHERE event = 'approved'").fetchone()
        [last] = rows.execute("SELECT max(seq) FROM audit").fetchone()
        for (name,) in rows.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            rows.execute(f"DROP TRIGGER {name}")
        rows.execute(statement)

    assert verify(database, public_key, "--heads", str(life.folder / "heads.jsonl")) == 1
    assert named.format(approved=approved, next=approved + 1, last=last) in capsys.readouterr().out
