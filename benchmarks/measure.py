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
        with TemporaryDirectory(prefix="unlatch-benchmark-") as folder:
            kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
            made = settings(sandbox, 1, Path(folder), socket_mode=False)
            yield kept | made | {"SLACK_API_URL": slack_url, "ASKS_PER_HOUR": "1000", "LOG_LEVEL": "warning"}


async def measure(tree: Path, python: str, values: dict[str, str], *arguments: str) -> dict[str, float]:
    """Run it once, on an empty SQLite file; returns what it printed."""
    with TemporaryDirectory(prefix="unlatch-benchmark-") as folder:
        process = await asyncio.create_subprocess_exec(
            *(python, str(SCRIPT), *arguments),
            cwd=tree,
            env=values | {"DATABASE_URL": f"sqlite:///{folder}/unlatch.sqlite3"},
            stdout=asyncio.subprocess.PIPE,
            stderr=None if "-v" in sys.argv else asyncio.subprocess.DEVNULL,
        )
        out, _ = await process.communicate()
    if not out:
        raise SystemExit(f"The bot of {tree} did not run; -v shows its log.")
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found
