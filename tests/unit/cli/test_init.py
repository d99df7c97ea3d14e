"""`unlatch init`: what is written is what the bot reads, and nothing is written unasked."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from bot.cli import main
from bot.init import EXAMPLE, TEMPLATE
from bot.settings import PERMISSIONS, read_settings
from tests.support.environment import COMPLETE, SECRETS

URL = COMPLETE["PUBLIC_URL"]
ASKED = ("PUBLIC_URL", "SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET", "APPROVER_CHANNEL", "ENTRA_TENANT_ID")
ANSWERS = ("n", *(COMPLETE[name] for name in (*ASKED, "ENTRA_CLIENT_ID", "ENTRA_CLIENT_SECRET")), "")

pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture
def init(monkeypatch):
    """`unlatch init` in a new folder; an answer that is an exception is raised, and too few end the input."""

    def run(*answers: str | type[BaseException], terminal: bool = True) -> int:
        given, run.hidden = iter(answers), []

        def ask(_prompt: str) -> str:
            answer = next(given, EOFError)
            if isinstance(answer, str):
                return answer
            raise answer

        monkeypatch.setattr("builtins.input", ask)
        monkeypatch.setattr("bot.init.getpass", lambda _: run.hidden.append(ask(_)) or run.hidden[-1])
        monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: terminal))
        return main(["init"])

    return run


def test_the_answers_are_what_the_bot_reads_and_what_comes_next_is_printed(init, tmp_path, capsys):
    assert init(*ANSWERS) == 0
    settings, said = read_settings(), capsys.readouterr().out
    assert (settings.public_url, len(settings.keys.vault)) == (URL, 1)
    assert init.hidden == [COMPLETE[name] for name in SECRETS if name != "VAULT_KEYS"]
    for words in (f"{URL}/sign-in/callback", *PERMISSIONS, "unlatch doctor, unlatch migrate, unlatch serve"):
        assert words in said
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {".env": 0o600, "manifest.yml": 0o600}
    assert f"url: {URL}/slack/events" in (tmp_path / "manifest.yml").read_text()


def test_what_is_wrong_is_asked_again_and_what_is_empty_is_left_for_later(init, tmp_path, capsys):
    assert init("y", "http://unlatch.contoso.com", URL, "", "xapp-1", *[""] * 6) == 0
    assert "PUBLIC_URL: plain http is allowed on this machine alone" in capsys.readouterr().out
    written = (tmp_path / ".env").read_text()
    assert written.startswith(f"PUBLIC_URL={URL}\nSLACK_APP_TOKEN=xapp-1\nVAULT_KEYS=")
    assert "\n# APPROVER_CHANNEL=\n" in written
    assert "socket_mode_enabled: true" in (tmp_path / "manifest.yml").read_text()


NOTHING = {
    "the input ends": (ANSWERS[:-1], True, 1),
    "ctrl-c": ((*ANSWERS[:-1], KeyboardInterrupt), True, 130),
    "wrong, and nobody to ask again": (("n", "unlatch.contoso.com", *ANSWERS[1:]), False, 1),
    "what .env would change": ((*ANSWERS[:2], "xoxb-'1", *ANSWERS[3:]), True, 1),
}


@pytest.mark.parametrize(("answers", "terminal", "status"), NOTHING.values(), ids=NOTHING)
def test_where_it_breaks_off_nothing_is_written(init, tmp_path, answers, terminal, status):
    assert init(*answers, terminal=terminal) == status
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [".env", "manifest.yml"])
@pytest.mark.parametrize("answers", [("", *ANSWERS), ("y", *ANSWERS)], ids=["no answer", "no terminal"])
def test_what_exists_stays_without_a_yes(init, tmp_path, capsys, name, answers):
    (tmp_path / name).write_text("")
    assert init(*answers, terminal=answers[0] == "") == 1
    assert f"{name} exists, so nothing was written" in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "")]


def test_a_second_run_keeps_the_vault_key_and_all_that_is_not_answered(init, tmp_path, monkeypatch):
    init(*ANSWERS)
    with (tmp_path / ".env").open("a") as file:
        file.write("APPROVERS=usergroup:S0ONCALL\n")
    before = read_settings()
    changed = ("y", "y", "n", *[""] * 3, "C0OTHER", *[""] * 4)
    with monkeypatch.context() as full:
        full.setattr(Path, "write_text", lambda *_: os.fsync(-1))  # an OSError, as of a full disk
        assert init(*changed) == 1
    assert read_settings() == before
    assert init(*changed) == 0
    assert read_settings() == before.model_copy(update={"approver_channel": "C0OTHER"})


def test_in_a_clone_the_repositorys_manifest_stays_as_it_is(init, tmp_path):
    (tmp_path / "manifest.yml").symlink_to(TEMPLATE)
    assert init(*ANSWERS) == 0
    assert EXAMPLE in TEMPLATE.read_text()
    assert URL in (tmp_path / "manifest.filled.yml").read_text()
