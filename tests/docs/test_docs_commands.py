"""Every command of the documents exists, and the cheap ones run as they are written, one after the other."""

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
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md"))]
UNLATCH = ".venv/bin/unlatch "
BIN = Path(sys.executable).parent


def commands_of(document: Path) -> list[str]:
    """The lines of its `console` blocks."""
    blocks = re.findall(r"```console\n(.*?)```", document.read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


COMMANDS = [command for document in DOCUMENTS for command in commands_of(document)]
MAKE = sorted({command for command in COMMANDS if command.startswith("make ")})


def test_the_documents_have_no_other_kind_of_command():
    assert [command for command in COMMANDS if not command.startswith(("make ", UNLATCH))] == []
    assert "make demo" in MAKE


@pytest.mark.parametrize("command", MAKE)
def test_make_has_the_target(command: str):
    """The demo is run by tests/browser; this is part of `make test` itself."""
    dry = subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, capture_output=True, text=True)  # noqa: S603  our own
    assert dry.returncode == 0, dry.stderr


async def test_an_operators_commands_work_in_the_order_of_the_documents(tmp_path: Path):
    documents = (ROOT / "docs" / name for name in ("install.md", "operate.md"))
    commands = [line for each in documents for line in commands_of(each) if line.startswith(UNLATCH)]
    sandbox = Sandbox(bot_url="http://127.0.0.1:9")
    async with serve(sandbox):
        environment = settings(sandbox, 0, tmp_path, socket_mode=False) | {"PATH": str(BIN)}
        for command in commands:
            match command.removeprefix(UNLATCH):
                case "vault new-key":
                    environment |= {"VAULT_KEYS": (await run(command, environment, tmp_path)).strip()}
                case "serve":
                    bot = Bot(environment, tmp_path)
                    await bot.start()
                    assert await bot.stop() == 0
                case "audit resume":  # only after a restore
                    await run(f"{command} --help", environment, tmp_path)
                case _:
                    await run(command, environment, tmp_path)


async def run(command: str, environment: dict[str, str], folder: Path) -> str:
    """Run it as it is written, and return what it printed; its exit status is 0."""
    pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.STDOUT}
    process = await asyncio.create_subprocess_exec(
        BIN / "unlatch", *shlex.split(command)[1:], env=environment, cwd=folder, **pipes
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, f"{command}\n{said.decode()}"
    return said.decode()
