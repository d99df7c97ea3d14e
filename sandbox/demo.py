"""The sandbox in this process and the unchanged bot as a process of its own, as `make demo` runs them."""

import asyncio
import base64
import os
import secrets
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from sandbox import cast
from sandbox.app import Sandbox, serve

HOST: Final = "127.0.0.1"
START: Final = timedelta(seconds=30)
STOP: Final = timedelta(seconds=30)
KEPT_LINES: Final = 40
SERVING: Final = '"serving"'


class BotEnded(Exception):
    """The bot ended by itself; the text is the end of its log."""


@asynccontextmanager
async def sandbox_and_bot(
    *, port: int = 0, socket_mode: bool = False, action_seconds: float = 6, grid: bool = False
) -> AsyncIterator[tuple[Sandbox, "Bot"]]:
    """A served sandbox and a bot that is ready, both stopped at the end of the block.

    OSError if the port is taken, BotEnded if the bot does not start.
    """
    bot_port = _free_port()
    with TemporaryDirectory(prefix="unlatch-demo-") as folder:
        sandbox = Sandbox(bot_url=f"http://{HOST}:{bot_port}", action_seconds=action_seconds)
        if grid:
            sandbox.slack.workspace.become_grid(cast.KEN.id)
        async with serve(sandbox, HOST, port):
            bot = Bot(settings(sandbox, bot_port, Path(folder), socket_mode=socket_mode), Path(folder))
            await bot.start()
            try:
                yield sandbox, bot
            finally:
                await bot.stop()


def settings(sandbox: Sandbox, bot_port: int, folder: Path, *, socket_mode: bool) -> dict[str, str]:
    """The bot's environment. Nothing but addresses and keys tells it from a real installation."""
    by_mode = (
        {"SLACK_APP_TOKEN": cast.APP_TOKEN} if socket_mode else {"SLACK_SIGNING_SECRET": cast.SIGNING_SECRET}
    )
    return by_mode | {
        "SLACK_BOT_TOKEN": cast.BOT_TOKEN,
        "SLACK_API_URL": f"{sandbox.base_url}/slack/api/",
        "APPROVER_CHANNEL": "C0ONCALL",
        "REQUESTERS": "channel:C0SUPPORT",
        "ENTRA_TENANT_ID": cast.TENANT_ID,
        "ENTRA_CLIENT_ID": cast.CLIENT_ID,
        "ENTRA_CLIENT_SECRET": cast.CLIENT_SECRET,
        "ENTRA_AUTHORITY": f"{sandbox.base_url}/entra/{cast.TENANT_ID}/v2.0",
        "GRAPH_URL": f"{sandbox.base_url}/graph/v1.0",
        "PUBLIC_URL": f"http://{HOST}:{bot_port}",
        "HOST": HOST,
        "PORT": str(bot_port),
        "DATABASE_URL": f"sqlite:///{folder}/unlatch.sqlite3",
        "VAULT_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("="),
    }


@dataclass
class Bot:
    """`unlatch serve` as a process, with exactly these settings."""

    settings: Mapping[str, str]
    folder: Path
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    """The end of its log."""
    process: asyncio.subprocess.Process | None = None
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    _reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when it serves; BotEnded if it does not come to that."""
        kept = {
            name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT", "LANG") if name in os.environ
        }
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "bot", "serve"),
            env=kept | {"PYTHONUNBUFFERED": "1"} | dict(self.settings),
            cwd=self.folder,  # so that no .env of the user's is read
            stderr=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.create_task(self._read(self.process))
        try:
            async with asyncio.timeout(START.total_seconds()):
                await first(self._ready.wait(), self.ended())
        except TimeoutError:
            await self.stop()
            raise BotEnded("\n".join(self.lines)) from None

    async def ended(self) -> None:
        """Raise BotEnded when the process ends."""
        if self.process is not None and self._reading is not None:
            await asyncio.shield(self._reading)
            await self.process.wait()
        raise BotEnded("\n".join(self.lines))

    async def stop(self) -> int | None:
        """SIGTERM, wait, and SIGKILL where that was not enough; returns the exit status."""
        process = self.process
        if process is None:
            return None
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(STOP.total_seconds()):
                    await process.wait()
            except TimeoutError:
                process.kill()
        if self._reading is not None:
            await self._reading
        return await process.wait()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        if process.stderr is None:
            return
        async for line in process.stderr:
            text = line.decode(errors="replace").rstrip()
            self.lines.append(text)
            if SERVING in text:
                self._ready.set()


async def first(*waits: Coroutine[None, None, object]) -> None:
    """Wait until one of them ends, cancel the others, and raise what it raised."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])
