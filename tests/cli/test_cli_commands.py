"""The terminal: what it offers, what it answers, and how it ends."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bot.cli import main
from bot.domain.identifiers import UserId
from bot.entra import Vault, new_key
from bot.notary import Notary
from bot.ports import SignInRow
from bot.store import open_store
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


async def kept(folder: Path, user: str, key: str) -> None:
    """A sign-in of this user, sealed with this key, in the folder's database."""
    store = open_store(f"sqlite:///{folder}/unlatch.sqlite3")
    sealed = Vault([key]).seal(b"tokens", bound_to=("cache", "tenant", f"oid of {user}", user))
    row = SignInRow(
        user=UserId(user),
        tenant="tenant",
        oid=f"oid of {user}",
        username=user,
        name=user,
        emails=frozenset(),
        signed_in_at=datetime.now(UTC),
        key_id=Vault([key]).key_id,
        sealed=sealed,
    )
    await store.sign_ins.put(row)
    await store.close()


async def test_rotating_says_how_many_moved_which_keys_can_go_and_whose_row_no_key_opens(tmp_path):
    old, new, lost = new_key(), new_key(), new_key()
    keys = COMPLETE | {"VAULT_KEYS": f"{new},{old}"}
    run("migrate", folder=tmp_path, **keys)
    for user, key in (("U0KEN", old), ("U0AIKO", old), ("U0MEI", lost)):
        await kept(tmp_path, user, key)

    first = run("vault", "rotate", folder=tmp_path, **keys)
    again = run("vault", "rotate", "--forget-unreadable", folder=tmp_path, **keys)
    clean = run("vault", "rotate", folder=tmp_path, **keys | {"VAULT_KEYS": new})

    assert (first.returncode, again.returncode, clean.returncode) == (1, 0, 0), first.stderr
    assert "2 sign-ins are sealed anew" in first.stdout
    assert f"take out of VAULT_KEYS: key 2 ({Vault([old]).key_id})" in first.stdout
    assert f"opens the sign-in of U0MEI (sealed with {Vault([lost]).key_id})" in first.stdout
    assert "--forget-unreadable" in first.stdout
    assert "0 sign-ins are sealed anew" in again.stdout
    assert "2 were already" in again.stdout
    assert "U0MEI" in again.stdout
    assert "U0MEI" not in clean.stdout
    for secret in (old, new, lost):
        assert secret not in first.stdout + first.stderr + again.stdout


def test_rotating_without_a_database_is_a_sentence(tmp_path):
    url = {"DATABASE_URL": "sqlite:///no/such/folder/rows.sqlite3"}
    ended = run("vault", "rotate", folder=tmp_path, **COMPLETE | url)
    assert ended.returncode == 1
    assert "The database does not answer" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_doctor_says_in_a_sentence_that_the_database_is_missing(tmp_path):
    away = {"SLACK_API_URL": "http://127.0.0.1:9/api/", "GRAPH_URL": "http://127.0.0.1:9/v1.0"}
    url = {"DATABASE_URL": "sqlite:///no/such/folder/rows.sqlite3", "ENTRA_AUTHORITY": "http://127.0.0.1:9"}
    ended = run("doctor", folder=tmp_path, **COMPLETE | away | url)
    assert ended.returncode == 1
    assert "MISSING  Database: it does not answer or is not up to date" in ended.stdout
    assert ended.stderr == ""


@pytest.mark.parametrize("command", [["serve"], ["vault", "rotate"]])
def test_without_a_key_for_the_vault_nothing_starts(command, tmp_path):
    settings = {name: value for name, value in COMPLETE.items() if name != "VAULT_KEYS"}
    ended = run(*command, folder=tmp_path, **settings)
    assert ended.returncode == 2
    assert "VAULT_KEYS: missing." in ended.stderr


def test_the_procfile_starts_the_web_and_migrates_before():
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    assert "bot serve" in lines["web"]
    assert "HOST=0.0.0.0" in lines["web"]
    assert "bot migrate" in lines["release"]
