"""The terminal: what it offers, what it answers, and how it ends."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bot.cli import main
from bot.entra import new_key
from bot.notary import Notary
from tests.settings.complete import COMPLETE

ROOT = Path(__file__).parents[2]


def run(*arguments: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """`unlatch …` as a process that is set up by `settings` alone."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-m", "bot", *arguments],
        env=kept | {"PYTHONPATH": str(ROOT)} | settings,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    told = capsys.readouterr().out
    assert ended.value.code == 0
    for command in ("serve", "demo", "doctor", "migrate", "vault", "audit"):
        assert re.search(rf"^ +{command} +\w", told, re.MULTILINE), told


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["serve", "--port", "1"]])
def test_a_wrong_call_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: unlatch" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "doctor", "migrate"])
def test_without_settings_every_command_tells_all_of_them_and_ends_with_2(command, tmp_path):
    ended = run(command, folder=tmp_path)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    for name in COMPLETE:
        assert f"  {name}: missing." in ended.stderr


def test_migrate_makes_the_database_and_may_run_twice(tmp_path):
    for _ in range(2):
        ended = run("migrate", folder=tmp_path, **COMPLETE)
        assert (ended.returncode, ended.stdout) == (0, "The database is up to date.\n"), ended.stderr
    assert (tmp_path / "unlatch.sqlite3").is_file()


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_a_database_that_cannot_be_opened_is_a_sentence(command, tmp_path):
    ended = run(command, folder=tmp_path, **COMPLETE, DATABASE_URL="sqlite:///no/such/folder/rows.sqlite3")
    assert ended.returncode == 1
    assert "The database does not answer. Check DATABASE_URL" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_slack_that_does_not_answer_is_a_sentence(tmp_path):
    ended = run("serve", folder=tmp_path, **COMPLETE, SLACK_API_URL="http://127.0.0.1:9/")
    assert ended.returncode == 1
    assert "Slack does not answer at SLACK_API_URL" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_new_key_can_be_used(capsys):
    from bot.entra import Vault

    assert main(["vault", "new-key"]) == 0
    key = capsys.readouterr().out.strip()
    sealed = Vault([key]).seal(b"tokens", bound_to=("a",))
    assert Vault([key]).open(sealed, bound_to=("a",)) == b"tokens"


def test_the_public_keys_of_every_vault_key_are_printed_and_nothing_secret(tmp_path):
    keys = [new_key(), new_key()]
    ended = run("audit", "key", folder=tmp_path, **COMPLETE | {"VAULT_KEYS": ",".join(keys)})
    assert ended.stdout.splitlines() == list(Notary(keys).public_keys)
    assert not any(key in ended.stdout + ended.stderr for key in keys)


@pytest.mark.parametrize("arguments", [["verify"], ["export", "--since", "2026-01-01"]])
def test_a_record_that_was_not_migrated_is_a_sentence(arguments, tmp_path):
    (tmp_path / "unlatch.sqlite3").touch()
    ended = run("audit", *arguments, folder=tmp_path, **COMPLETE)
    assert ended.returncode == (2 if arguments == ["verify"] else 1)
    assert "The record cannot be read" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("arguments", [["verify", "--public-key", "x"], ["export", "--since", "2026-01-01"]])
def test_what_cannot_be_used_is_a_sentence_and_ends_with_2(arguments, tmp_path):
    ended = run("audit", *arguments, "--database", "mysql://db/rows", folder=tmp_path)
    assert ended.returncode == 2
    assert "public key" in ended.stderr or "sqlite or postgresql" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_procfile_starts_the_web_and_migrates_before():
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    assert "bot serve" in lines["web"]
    assert "HOST=0.0.0.0" in lines["web"]
    assert "bot migrate" in lines["release"]
