"""Start `bot_process` in a tree, beside a silent Slack and the sandbox's Entra and Intune."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sandbox.app import Sandbox, serve
from sandbox.demo import settings

from benchmarks.slack_stub import slack_stub

ROOT = Path(__file__).parents[1]
SCRIPT = Path(__file__).with_name("bot_process.py")


@asynccontextmanager
async def environment() -> AsyncIterator[dict[str, str]]:
    """The settings of a bot, but for its database."""
    async with slack_stub() as slack_url, serve(Sandbox(bot_url=None)) as sandbox:
        yield settings_for(sandbox, 1) | {"SLACK_API_URL": slack_url, "ASKS_PER_HOUR": "1000"}


def settings_for(sandbox: Sandbox, port: int) -> dict[str, str]:
    """The environment of a bot on that port, but for its database."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | settings(sandbox, port, Path("/"), socket_mode=False) | {"LOG_LEVEL": "warning"}


@asynccontextmanager
async def bot_process(
    tree: Path, python: str, values: dict[str, str], *arguments: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`bot_process.py` in that tree, on an empty SQLite file."""
    with TemporaryDirectory(prefix="unlatch-benchmark-") as folder:
        process = await asyncio.create_subprocess_exec(
            *(python, str(SCRIPT), *arguments),
            cwd=tree,
            env=values | {"DATABASE_URL": f"sqlite:///{folder}/unlatch.sqlite3"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=None if "-v" in sys.argv else asyncio.subprocess.DEVNULL,
        )
        yield process


async def result(process: asyncio.subprocess.Process) -> dict[str, float]:
    """Let it end; returns what it printed last."""
    out, _ = await process.communicate(b"\n")
    if not out:
        raise SystemExit("The bot did not run; -v shows its log.")
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found


async def measure(tree: Path, python: str, values: dict[str, str], *arguments: str) -> dict[str, float]:
    """Run it once to its end."""
    async with bot_process(tree, python, values, *arguments) as process:
        return await result(process)
