"""The command line: what it offers, what it answers, and how it ends."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bot import __version__
from bot.cli import main
from bot.domain.values import UserId
from bot.entra.sign_ins import Rotated
from bot.entra.vault import Vault
from bot.keys import Keys, new_key
from tests.support.environment import COMPLETE

ROOT = Path(__file__).parents[3]
NO_DATABASE = {"DATABASE_URL": "sqlite:///no/such/folder/rows.sqlite3"}
OTHERS = {
    "SSLKEYLOGFILE": "/none/keys.log",
    "NO_PROXY": "localhost,fd07:b51a:cc66:f0::/64,[::1]",
    "ALL_PROXY": "socks5://127.0.0.1:9",
    "METRICS_PORT": "tcp://10.96.12.7:9090",
    "PYTHONIOENCODING": "ascii",
    "LC_ALL": "en_US.ISO-8859-1",
}
"""What other programs left in the environment."""
NO_VENDORS = dict.fromkeys(("SLACK_API_URL", "GRAPH_URL", "ENTRA_AUTHORITY"), "http://127.0.0.1:9/t/")


@pytest.fixture
def run(environment: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """`unlatch …` in this process, in an empty folder, set up by `settings` alone."""
    monkeypatch.setattr("bot.log.set_up_log", lambda _level: None)  # it would be this whole process's

    def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environment(settings)
        capsys.readouterr()
        try:
            status = main(arguments)
        except SystemExit as ended:
            status = ended.code
        return subprocess.CompletedProcess(arguments, status, *capsys.readouterr())

    return run


CALLS = {
    "version": (["--version"], 0, f"unlatch {__version__}\n"),
    "nothing": ([], 2, "audit     verify and export the audit log"),
    "no such command": (["nonsense"], 2, "usage: unlatch"),
    "no such option": (["serve", "--port", "1"], 2, "usage: unlatch"),
    "no user": (["doctor", "--post-to", "@mei"], 2, "usage: unlatch"),
    "no moment": (["audit", "export", "--since", "yesterday"], 2, "usage: unlatch"),
    "no database of ours": (["audit", "verify", "--database", "mysql://db/rows"], 2, "usage: unlatch"),
}


@pytest.mark.parametrize(("arguments", "status", "said"), CALLS.values(), ids=CALLS)
def test_a_wrong_call_ends_with_2_and_its_usage_and_only_the_version_with_0(arguments, status, said, run):
    ended = run(*arguments)
    assert (ended.returncode, said in (ended.stderr if status else ended.stdout)) == (status, True)


DEPLOYMENT = {"VAULT_KEYS", "APPROVER_CHANNEL", "ENTRA_TENANT_ID", "ENTRA_CLIENT_ID"}
DEPLOYMENTS = ("migrate", "vault rotate", "audit verify", "audit resume", "requests list")
NEEDED = {"serve": set(COMPLETE), **dict.fromkeys(DEPLOYMENTS, DEPLOYMENT)}
NEEDED |= {name: {"VAULT_KEYS"} for name in ("audit key", "backup copy.sqlite3")}


@pytest.mark.parametrize(("command", "needed"), NEEDED.items(), ids=NEEDED)
def test_without_settings_a_command_names_all_that_it_uses_and_ends_with_2(command, needed, run):
    ended = run(*command.split())
    assert ended.returncode == 2
    assert set(re.findall(r"^  ([A-Z_]+): missing\.", ended.stderr, re.MULTILINE)) == needed


NOT_THERE = r"cannot be opened; `unlatch migrate` makes it.* sqlite:////.*/unlatch\.sqlite3\.$"
FAILURES = {
    "migrate": (["migrate"], NO_DATABASE, 1, "no/such/folder"),
    "o31 rotate": (["vault", "rotate"], {}, 1, NOT_THERE),
    "o31 verify": (["audit", "verify"], {}, 2, NOT_THERE),
    "o31 export": (["audit", "export", "--since", "2026-01-01"], {}, 1, NOT_THERE),
    "o31 resume": (["audit", "resume", "--heads", os.devnull], {}, 1, NOT_THERE),
    "no address": (["migrate"], {"DATABASE_URL": "sqlite://rows"}, 1, "three slashes"),
    "resume without heads": (["audit", "resume"], {}, 2, "AUDIT_HEADS"),
    "list": (["requests", "list"], NO_DATABASE, 1, "The database cannot be opened"),
    "verify with no key": (["audit", "verify", "--public-key", "x"], {}, 2, "public key"),
}


@pytest.mark.parametrize(("arguments", "settings", "status", "words"), FAILURES.values(), ids=FAILURES)
def test_a_failure_is_a_sentence_and_makes_no_file(arguments, settings, status, words, run, tmp_path):
    ended = run(*arguments, **COMPLETE | settings)
    assert (ended.returncode, bool(re.search(words, ended.stderr))) == (status, True), ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("command", "shown"), [("serve", "database"), ("doctor", "not checked")])
def test_o19_o20_o21_o27_o28_o32_where_nothing_answers_a_command_ends_with_1_and_a_sentence(
    command, shown, tmp_path
):
    """As a process of its own, without HOME: what sets up the log changes a whole process."""
    environment = (
        {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | COMPLETE | NO_VENDORS | NO_DATABASE | OTHERS
    )
    ended = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-m", "bot", command], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    said = ended.stdout + ended.stderr
    assert (ended.returncode, shown in said, "Traceback" in said) == (1, True, False), said
    assert [name for name in ("SSLKEYLOGFILE", "ALL_PROXY", "METRICS_PORT") if f"{name} is" not in said] == []


@pytest.mark.parametrize(("reader", "said"), [("full", b"Failed: No space left on device.\n"), ("gone", b"")])
def test_output_that_nobody_takes_ends_with_1_and_no_complaint_of_the_interpreter(reader, said):
    if reader == "gone":
        read, write = os.pipe()
        os.close(read)
    else:
        write = os.open("/dev/full", os.O_WRONLY)
    command = [sys.executable, "-m", "bot", "vault", "new-key"]
    ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, cwd=ROOT)  # noqa: S603  ours
    assert (ended.returncode, ended.stderr) == (1, said)


def test_what_nobody_foresaw_ends_with_a_sentence_that_names_its_place_and_no_secret(run, monkeypatch):
    def broken(*_: str) -> None:
        raise RuntimeError(COMPLETE["VAULT_KEYS"])

    monkeypatch.setattr("bot.cli.read_settings", broken)
    ended = run("migrate")
    assert ended.returncode == 1
    assert re.search(r"RuntimeError at .*test_cli.py:\d+", ended.stderr)
    assert COMPLETE["VAULT_KEYS"] not in ended.stderr


def test_the_public_keys_of_every_vault_key_are_printed_and_nothing_secret(run):
    keys = ",".join([run("vault", "new-key").stdout.strip(), new_key()])
    ended = run("audit", "key", **COMPLETE | {"VAULT_KEYS": keys})
    assert (ended.stdout.splitlines(), ended.stderr) == (list(Keys.parse(keys).public_keys), "")


LOST = {UserId("U0MEI"): "k0"}
NOTHING = {"resealed": 0, "current": 0, "unreadable": {}, "unused": [], "under_way": []}
VAULT_KEYS = f"{new_key()},{new_key()}"
NEW, OLD = Vault(Keys.parse(VAULT_KEYS).vault).key_ids
SIGNED_LAST = (
    "the newest row of the audit log is signed with it.\n"
    "Start a bot that has the newest key first, then run this again."
)
SEVERAL = {"resealed": 2, "current": 3}
ROTATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "done": (SEVERAL, f"Re-encrypted 2 sign-ins with {NEW}; 3 up to date."),
    "unused": ({"unused": [OLD]}, f": key 2 ({OLD}). Take it out of VAULT_KEYS, or put a new one first."),
    "signed": ({"unused": [OLD]}, f"Keep key 2 ({OLD}): {SIGNED_LAST}"),
    "under way": ({"under_way": [OLD]}, f"under way, run this again tomorrow: key 2 ({OLD})."),
    "lost": ({"unreadable": LOST}, "delete these with --forget-unreadable."),
    "forgotten": ({"unreadable": LOST}, "of U0MEI (encrypted with k0): it was deleted."),
}


@pytest.mark.parametrize("case", ROTATIONS)
def test_rotating_says_what_it_did_and_which_keys_can_go(monkeypatch, run, case):
    """tests/unit/entra has what a rotation does; tests/docs runs this command on a database."""
    (found, said), forget = ROTATIONS[case], case == "forgotten"

    async def rotate(*_: object, forget_unreadable: bool, **__: object) -> Rotated:
        assert forget_unreadable == forget
        return Rotated(**NOTHING | found)

    async def signing_key(_database: object) -> int:
        return int(case == "signed")

    monkeypatch.setattr("bot.entra.sign_ins.rotate", rotate)
    monkeypatch.setattr("bot.audit.signing_key", signing_key)
    given = ["--forget-unreadable"] if forget else []
    ended = run("vault", "rotate", *given, **COMPLETE | {"VAULT_KEYS": VAULT_KEYS})

    assert (ended.returncode, ended.stdout.rstrip()[-len(said) :]) == (case == "lost", said), ended.stderr


LOOK = """
import ctypes, resource, sys
from bot import cli
def look():
    print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
    raise cli.CannotStart("seen")
cli.read_settings = look
cli.main(sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2), PR_GET_DUMPABLE")
def test_the_server_can_be_neither_dumped_nor_debugged_before_it_reads_a_key():
    command = [sys.executable, "-c", LOOK, "serve"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)  # noqa: S603  ours
    assert ended.stdout == "(0, 0) 0\n"
