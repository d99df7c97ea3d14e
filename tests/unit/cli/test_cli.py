"""The command line: what it offers, what it answers, and how it ends."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bot import __version__
from bot.cli import main
from bot.domain.audit import Entry, Event
from bot.domain.values import UserId
from bot.entra.vault import Vault, for_cache, key_id
from bot.keys import Keys, new_key
from bot.settings import Settings
from bot.store.audit_log import AuditLog
from bot.store.database import Database
from bot.store.sign_ins import SignInRow, put_sign_in
from tests.support.environment import COMPLETE

ROOT = Path(__file__).parents[3]
NO_DATABASE = {"DATABASE_URL": "sqlite:///no/such/folder/rows.sqlite3"}
NO_VENDORS = {
    "SLACK_API_URL": "http://127.0.0.1:9/api/",
    "GRAPH_URL": "http://127.0.0.1:9/v1.0",
    "ENTRA_AUTHORITY": "http://127.0.0.1:9/tenant/v2.0",
}


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`unlatch …` in this process, in an empty folder, set up by `settings` alone."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)

    def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        for name, text in settings.items():
            monkeypatch.setenv(name, text)
        capsys.readouterr()
        status = main(arguments)
        return subprocess.CompletedProcess(arguments, status, *capsys.readouterr())

    return run


@pytest.fixture
def process(tmp_path: Path) -> Run:
    """The same as a process of its own: what sets up the log changes a whole process."""

    def process(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        ended = subprocess.run(  # noqa: S603  our own interpreter
            [sys.executable, "-m", "bot", *arguments],
            env=kept | {"PYTHONPATH": str(ROOT)} | settings,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in ended.stderr
        return ended

    return process


OFFERED = {
    "": ["serve", "doctor", "migrate", "vault", "audit"],
    "vault": ["new-key", "rotate"],
    "audit": ["verify", "export", "key", "resume"],
}


@pytest.mark.parametrize(("command", "offered"), OFFERED.items(), ids=OFFERED)
def test_help_lists_every_command(command, offered, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0
    found = re.findall(r"^ {4}([a-z-]+) +\w", capsys.readouterr().out, re.MULTILINE)
    assert sorted(found) == sorted(offered)


def test_the_version_needs_no_settings(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"unlatch {__version__}\n")


WRONG_CALLS = {
    "nothing": [],
    "no such command": ["nonsense"],
    "no such option": ["serve", "--port", "1"],
    "no moment": ["audit", "export", "--since", "yesterday"],
    "no database of ours": ["audit", "export", "--since", "2026-01-01", "--database", "mysql://db/rows"],
}


@pytest.mark.parametrize("arguments", WRONG_CALLS.values(), ids=WRONG_CALLS)
def test_a_wrong_call_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: unlatch" in capsys.readouterr().err


NEEDS_SETTINGS = ["serve", "doctor", "migrate", "vault rotate", "audit verify", "audit key", "audit resume"]


@pytest.mark.parametrize("command", NEEDS_SETTINGS)
def test_without_settings_a_command_names_all_of_them_and_ends_with_2(command, run):
    ended = run(*command.split())
    assert ended.returncode == 2
    assert set(re.findall(r"^  ([A-Z_]+): missing\.", ended.stderr, re.MULTILINE)) == set(COMPLETE)


# What the operator is told when something does not answer


FAILURES = {
    "migrate": (["migrate"], NO_DATABASE, 1, "no/such/folder"),
    "rotate": (["vault", "rotate"], NO_DATABASE, 1, "The database does not answer"),
    "verify": (["audit", "verify"], NO_DATABASE, 2, "annot"),
    "export": (["audit", "export", "--since", "2026-01-01"], NO_DATABASE, 1, "cannot be read"),
    "resume without heads": (["audit", "resume"], {}, 2, "AUDIT_HEADS"),
    "verify with no key": (["audit", "verify", "--public-key", "x"], {}, 2, "public key"),
}


@pytest.mark.parametrize(("arguments", "settings", "status", "words"), FAILURES.values(), ids=FAILURES)
def test_a_failure_is_a_sentence(arguments, settings, status, words, run):
    ended = run(*arguments, **COMPLETE | settings)
    assert (ended.returncode, words in ended.stderr) == (status, True), ended.stderr


def test_where_nothing_answers_serve_and_doctor_end_with_a_sentence(process):
    serve, doctor = (process(name, **COMPLETE | NO_VENDORS | NO_DATABASE) for name in ("serve", "doctor"))
    assert (serve.returncode, "database" in serve.stderr) == (1, True), serve.stderr
    assert (doctor.returncode, doctor.stdout.count("MISSING")) == (1, 5), doctor.stdout


# What works


def test_migrate_creates_the_database_and_may_run_twice(run):
    for _ in range(2):
        ended = run("migrate", **COMPLETE)
        assert (ended.returncode, ended.stdout) == (0, "The database is up to date.\n"), ended.stderr
    assert run("audit", "verify", **COMPLETE).returncode == 0


def test_a_new_key_can_be_used(capsys):
    assert main(["vault", "new-key"]) == 0
    assert len(Keys.parse(capsys.readouterr().out.strip()).vault) == 1


def test_the_public_keys_of_every_vault_key_are_printed_and_nothing_secret(run):
    keys = ",".join([new_key(), new_key()])
    ended = run("audit", "key", **COMPLETE | {"VAULT_KEYS": keys})
    assert ended.stdout.splitlines() == list(Keys.parse(keys).public_keys)
    assert not any(key in ended.stdout + ended.stderr for key in keys.split(","))


async def sign_in(folder: Path, user: str, key: str) -> None:
    """Keep a sign-in of this user, encrypted with this key, in the folder's database."""
    settings = Settings(**{name.lower(): text for name, text in COMPLETE.items()})
    audit_log = AuditLog(settings.keys.signing_seeds, settings.audit_log_name)
    database = Database(f"sqlite:///{folder}/unlatch.sqlite3", audit_log)
    now, raw = datetime.now(UTC), Keys.parse(key).vault
    row = SignInRow(
        user=UserId(user),
        tenant="tenant",
        oid=f"oid of {user}",
        username=user,
        name=user,
        emails=frozenset(),
        signed_in_at=now,
        authenticated_at=None,
        key_id=key_id(raw[0]),
        sealed=Vault(raw).seal(b"tokens", for_cache(UserId(user), "tenant", f"oid of {user}")),
    )
    entry = Entry(event=Event.SIGNED_IN, at=now, actor=row.user)
    await database.run(lambda tx: put_sign_in(tx, row, entry))
    await database.close()


async def test_rotating_says_what_it_did_which_keys_can_go_and_whose_sign_in_no_key_opens(tmp_path, run):
    new, old, lost = COMPLETE["VAULT_KEYS"], new_key(), new_key()
    keys = COMPLETE | {"VAULT_KEYS": f"{new},{old}"}
    await asyncio.to_thread(run, "migrate", **keys)
    for user, key in (("U0KEN", old), ("U0AIKO", old), ("U0MEI", lost)):
        await sign_in(tmp_path, user, key)
    names = {key: key_id(Keys.parse(key).vault[0]) for key in (old, lost)}

    first = await asyncio.to_thread(run, "vault", "rotate", **keys)
    again = await asyncio.to_thread(run, "vault", "rotate", "--forget-unreadable", **keys)
    clean = await asyncio.to_thread(run, "vault", "rotate", **COMPLETE)

    assert (first.returncode, again.returncode, clean.returncode) == (1, 0, 0), first.stderr
    assert "Re-encrypted 2 sign-ins" in first.stdout
    assert f"take out of VAULT_KEYS: key 2 ({names[old]})" in first.stdout
    assert f"opens the sign-in of U0MEI (encrypted with {names[lost]})" in first.stdout
    assert "--forget-unreadable" in first.stdout
    assert "Re-encrypted 0 sign-ins" in again.stdout
    assert "; 2 up to date" in again.stdout
    assert "it was deleted" in again.stdout
    assert "U0MEI" not in clean.stdout
    assert not any(key in first.stdout + first.stderr + again.stdout for key in (old, new, lost))
