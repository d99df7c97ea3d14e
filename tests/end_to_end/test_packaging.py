"""What is deployed: requirements.txt alone runs the Procfile, and the wheel runs in an empty environment."""

import asyncio
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

from sandbox.app import Sandbox, serve
from sandbox.demo import settings
from tests.support.postgres import free_port
from tests.support.user_actions import MEI, People

ROOT = Path(__file__).parents[2]
PROCFILE = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())


def run(*command: str | Path, env: Mapping[str, str] = os.environ, cwd: Path = ROOT) -> tuple[int, str]:
    """Run a command to its end; returns the exit status and what it printed."""
    ended = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=300)  # noqa: S603  our own
    return ended.returncode, ended.stdout + ended.stderr


UV = shutil.which("uv") or shutil.which("uv", path=ROOT / ".tools" / "bin")


def environment(folder: Path, *packages: str | Path) -> Path:
    """A virtual environment with requirements.txt and these, without more; returns its bin folder."""
    python = folder / "bin" / "python"
    make = [UV, "venv", "--quiet", "--python", sys.executable] if UV else [sys.executable, "-m", "venv"]
    install = (
        [UV, "pip", "install", "--quiet", "--python", python] if UV else [python, "-m", "pip", "install"]
    )
    requirements = [*install, "--require-hashes", "-r", ROOT / "requirements.txt"]
    for step in ([*make, folder], requirements, *([*install, "--no-deps", package] for package in packages)):
        status, said = run(*step)
        assert status == 0, said
    return folder / "bin"


NO_PASSWD = "import pwd\npwd.getpwuid = {}.__getitem__\n"
"""As for a numeric uid that /etc/passwd does not have; HOME is not set either."""


async def test_o27_requirements_alone_run_release_and_web_of_the_procfile_and_take_a_request(tmp_path: Path):
    """They write nothing beside the code, so its folder may be read-only."""
    requirements_alone = environment(tmp_path / "venv")
    shutil.copytree(ROOT / "bot", tmp_path / "app" / "bot", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "app" / "sitecustomize.py").write_text(NO_PASSWD)
    installed = sorted((tmp_path / "app").rglob("*"))
    port = free_port()
    sandbox = Sandbox(bot_url=f"http://127.0.0.1:{port}")
    async with serve(sandbox):
        env = settings(sandbox, port, tmp_path, socket_mode=False)
        env |= {"PATH": f"{requirements_alone}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
        env |= {"PYTHONPATH": str(tmp_path / "app")}
        del env["HOST"]  # as a platform sets only PORT
        release, web = (("bash", "-c", PROCFILE[name]) for name in ("release", "web"))
        assert run(*release, env=env, cwd=tmp_path / "app")[0] == 0
        bot = await asyncio.create_subprocess_exec(
            *web, env=env, cwd=tmp_path / "app", stderr=asyncio.subprocess.PIPE, start_new_session=True
        )
        people = People(sandbox)
        try:
            await asyncio.wait_for(bot.stderr.readuntil(b'"serving"'), timeout=60)
            await people.command(MEI, "ada@contoso.com locked out")
            await people.until(lambda: people.messages("C0ONCALL"))
        finally:
            bot.terminate()  # no shell stands before it
            await people.aclose()
        assert await bot.wait() == 0
    assert sorted((tmp_path / "app").rglob("*")) == installed


def test_the_wheel_holds_the_bot_alone_and_runs_without_its_sources(tmp_path: Path):
    status, said = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path)
    assert status == 0, said
    [wheel] = tmp_path.glob("*.whl")
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"bot"}
    assert zipfile.ZipFile(wheel).read("bot/manifest.yml") == (ROOT / "manifest.yml").read_bytes()

    bin_ = environment(tmp_path / "venv", wheel)
    empty = tmp_path / "empty"
    empty.mkdir()
    complete = settings(Sandbox(), 3000, empty, socket_mode=False)

    for arguments, env, status, words in (
        (["--help"], {}, 0, "usage: unlatch"),
        (["serve"], {}, 2, "SLACK_BOT_TOKEN"),
        (["migrate"], complete, 0, ""),
        (["audit", "verify"], complete, 2, "no bot has used"),
    ):
        ended, said = run(bin_ / "unlatch", *arguments, env=env, cwd=empty)
        assert (ended, words in said) == (status, True), said


FAKE_UV = """#!/bin/sh
echo "$1" >> calls
if [ "$1" = venv ]; then mkdir -p .venv/bin && ln -s "$4" .venv/bin/python; fi
"""


def test_o29_make_refuses_an_old_interpreter_and_installs_anew_where_the_one_before_is_gone(tmp_path: Path):
    for name in ("Makefile", "pyproject.toml", "requirements.txt", "requirements"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name, script in (("uv", FAKE_UV), ("old", "#!/bin/sh\nexit 1\n")):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    calls = tmp_path / "calls"

    def install(python: str) -> tuple[int, str]:
        calls.write_text("")
        status, said = run("make", "install", "UV=./uv", f"PYTHON={python}", cwd=tmp_path)
        return status, said if status else calls.read_text()

    for python in (tmp_path / "old", "no-such-python"):
        status, said = install(python)
        assert (status, "needs Python 3.11 or newer" in said, calls.read_text()) == (2, True, "")
    assert install(sys.executable) == (0, "venv\npip\npip\n")
    assert install(sys.executable) == (0, "")
    (tmp_path / ".venv/bin/python").unlink()
    (tmp_path / ".venv/bin/python").symlink_to("gone")
    assert install(sys.executable) == (0, "venv\npip\npip\n")
