"""Processes beside each other: the sandbox, and bots that are started, killed, and started again."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.app import Sandbox
from sandbox.demo import settings

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[3]
ACTION_SECONDS = 0.5
"""Longer than the first pause before a look at the device, so that there is a second look."""
START_SECONDS = 30.0


class DidNotServe(Exception):
    """A bot ended by itself, or never listened."""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass
class BotProcess:
    """One life of the bot. `ended` is set when the process is gone; `status` is then -9 after a kill."""

    pid: int
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    status: int | None = None


@dataclass
class ForkServer:
    """The process that forks bots."""

    process: asyncio.subprocess.Process
    _started: asyncio.Queue[BotProcess] = field(default_factory=asyncio.Queue)
    _alive: dict[int, BotProcess] = field(default_factory=dict)
    _ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(
        self, environment: Mapping[str, str], folder: Path, arguments: Sequence[str] = ()
    ) -> BotProcess:
        """Start a bot; it does not serve yet."""
        order = {
            "do": "start",
            "environment": dict(environment),
            "folder": str(folder),
            "log": str(folder / "bot.log"),
            "arguments": list(arguments),
        }
        self._say(order)
        return await self._started.get()

    async def kill(self, bot: BotProcess) -> None:
        """SIGKILL, and wait until it is gone."""
        self._say({"do": "kill", "pid": bot.pid})
        await bot.ended.wait()

    def _say(self, order: Mapping[str, object]) -> None:
        if self.process.stdin is not None:
            self.process.stdin.write(json.dumps(order).encode() + b"\n")

    async def listen(self) -> None:
        """Take the news, until the forks is gone."""
        while self.process.stdout is not None and (line := await self.process.stdout.readline()):
            match json.loads(line):
                case {"ready": True}:
                    self._ready.set()
                case {"started": int(pid)}:
                    bot = self._alive[pid] = BotProcess(pid)
                    self._started.put_nowait(bot)
                case {"ended": int(pid), "status": int(status)}:
                    bot = self._alive.pop(pid)
                    bot.status = status
                    bot.ended.set()

    async def ready(self) -> None:
        """Wait until it takes orders."""
        async with asyncio.timeout(START_SECONDS):
            await self._ready.wait()


@asynccontextmanager
async def fork_server() -> AsyncIterator[ForkServer]:
    """A forks; whatever it bore is dead at the end of the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.proofs.crash_and_race.fork_server"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    forks = ForkServer(process)
    listening = asyncio.create_task(forks.listen())
    try:
        await forks.ready()
        yield forks
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()
        await listening


@dataclass
class Installation:
    """One sandbox, one database and one bot at a time."""

    forks: ForkServer
    sandbox_url: str
    environment: Mapping[str, str]
    folder: Path
    bot: BotProcess | None = None

    @property
    def bot_port(self) -> int:
        return int(self.environment["PORT"])

    async def start(self, *arguments: str, wait: bool = True) -> BotProcess:
        """Start the bot, and wait until it listens or is dead again."""
        self.bot = await self.forks.start(self.environment, self.folder, arguments)
        if wait:
            await self.listens(self.bot)
        return self.bot

    async def listens(self, bot: BotProcess) -> None:
        """Wait until it takes connections; DidNotServe where it ended by itself, or does neither."""
        async with asyncio.timeout(START_SECONDS):
            while not bot.ended.is_set():
                try:
                    _, writer = await asyncio.open_connection(HOST, self.bot_port)
                except OSError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    return
        if bot.status != -signal.SIGKILL:
            raise DidNotServe(self.end_of_log())

    async def kill(self) -> None:
        """SIGKILL the bot that runs."""
        if self.bot is not None:
            await self.forks.kill(self.bot)

    async def audited(self) -> str:
        """What `unlatch audit verify` finds wrong, by the heads that every life left in the log."""
        status, said = await self.unlatch("audit", "verify", "--heads", str(self.folder / "bot.log"))
        return said if status else ""

    async def unlatch(self, *arguments: str) -> tuple[int | None, str]:
        """Run a command of the terminal with the bot's settings; returns its exit status and output."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", *arguments),
            cwd=ROOT,
            env=dict(self.environment),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return process.returncode, said.decode()

    def end_of_log(self) -> str:
        """The last lines of the bot."""
        return "\n".join((self.folder / "bot.log").read_text(errors="replace").splitlines()[-30:])


@asynccontextmanager
async def installation(
    forks: ForkServer, folder: Path, database_url: str, *, socket_mode: bool
) -> AsyncIterator[Installation]:
    """A sandbox in its own process, with a bot that is not started yet."""
    bot_port, port = free_port(), free_port()
    base = f"http://{HOST}:{port}"
    sandbox = await _sandbox(port, bot_port, folder)
    try:
        environment = settings(Sandbox(base_url=base), bot_port, folder, socket_mode=socket_mode)
        kept = {"PYTHONUNBUFFERED": "1", "PATH": os.environ.get("PATH", ""), "LOG_LEVEL": "info"}
        kept |= {"ASKS_PER_HOUR": "100000"}
        bots = Installation(forks, base, environment | kept | {"DATABASE_URL": database_url}, folder)
        await bots.unlatch("migrate")
        try:
            yield bots
        finally:
            await bots.kill()
    finally:
        sandbox.terminate()
        await sandbox.wait()


async def _sandbox(port: int, bot_port: int, folder: Path) -> asyncio.subprocess.Process:
    command: list[Any] = [sys.executable, "-m", "sandbox", "--port", str(port)]
    command += ["--bot-url", f"http://{HOST}:{bot_port}", "--action-seconds", str(ACTION_SECONDS)]
    with (folder / "sandbox.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=log
        )
    if process.stdout is None or not await process.stdout.readline():
        raise DidNotServe((folder / "sandbox.log").read_text())
    return process
