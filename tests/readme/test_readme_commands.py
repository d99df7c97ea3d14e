"""Every command of the README is run, in its order, as it is written there."""

import asyncio
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox.app import Sandbox, serve
from sandbox.demo import Bot, settings

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]
MAKE = [command for command in COMMANDS if command.startswith("make ")]
UNLATCH = [command for command in COMMANDS if command.startswith(".venv/bin/unlatch ")]


def test_the_readme_has_no_other_kind_of_command():
    assert COMMANDS
    assert sorted(MAKE + UNLATCH) == sorted(COMMANDS)


@pytest.mark.parametrize("command", MAKE)
def test_make_knows_what_to_do(command: str):
    """The targets themselves run here: this very test is of `make test`, the browser's tests run the demo."""
    dry = subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, capture_output=True, text=True)  # noqa: S603  our own
    assert dry.returncode == 0, dry.stderr


async def test_the_installers_commands_work_one_after_the_other(tmp_path: Path):
    sandbox = Sandbox(bot_url="http://127.0.0.1:9")
    async with serve(sandbox):
        environment = settings(sandbox, 0, tmp_path, socket_mode=False) | {
            "PATH": str(Path(sys.executable).parent)
        }
        serve_ = UNLATCH.index(".venv/bin/unlatch serve")
        for command in UNLATCH[:serve_]:
            status, said = await _run(command, environment, tmp_path)
            assert status == 0, said
            environment |= {"VAULT_KEYS": said.strip()} if "new-key" in command else {}
        bot = Bot(environment, tmp_path)
        await bot.start()
        assert await bot.stop() == 0
        for command in UNLATCH[serve_ + 1 :]:
            status, said = await _run(command, environment, tmp_path)
            assert status == 0, said


async def _run(command: str, environment: dict[str, str], folder: Path) -> tuple[int | None, str]:
    _, *arguments = shlex.split(command)
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).parent / "unlatch",
        *arguments,
        env=environment,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


def test_the_procfile_starts_what_the_readme_says():
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    assert lines["release"].endswith("bot migrate")
    assert lines["web"].endswith("bot serve")
