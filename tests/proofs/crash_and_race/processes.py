"""One installation: a sandbox in this process, a database, and bots that are started, killed, started again.

Every bot is a fork of a server that has imported everything once, and a process of its own all the same: it
opens its own files and sockets, and SIGKILL ends it whole.
"""

import asyncio
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from bot.store.database import Database
from sandbox.app import Sandbox, serve
from sandbox.cast import DEFAULT_CAST, Cast
from sandbox.demo import settings
from tests.proofs.crash_and_race.checks import Fault, Kind, Stored, read
from tests.proofs.crash_and_race.launcher import Life, launch
from tests.support.database import audit_log
from tests.support.postgres import free_port, running

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[3]
START_SECONDS = 60.0
PATIENCE = 30.0
"""Seconds that the sandbox's Slack waits for the bot: a busy machine is no finding."""
QUIET_SECONDS = 90.0

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [f"tests.proofs.crash_and_race.{name}" for name in ("crash", "race", "__main__")]
)


class DidNotServe(Exception):
    """A bot ended by itself, or never listened."""


class BotProcess:
    """One life of the bot. `ended` is set when the process is gone; `status` is then -9 after a kill."""

    def __init__(self, environment: Mapping[str, str], log_file: Path, life: Life) -> None:
        self._process = FORKS.Process(target=launch, args=(environment, log_file, life), daemon=True)
        self._process.start()
        self.ended = asyncio.Event()
        self.status: int | None = None
        asyncio.get_running_loop().add_reader(self._process.sentinel, self._end)

    async def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal, and wait until it is gone."""
        if not self.ended.is_set():
            os.kill(self._process.pid or 0, number)
            await self.ended.wait()

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        self._process.join()
        self.status = self._process.exitcode
        self._process.close()
        self.ended.set()


@dataclass
class Installation:
    """A sandbox, a database, and one bot or several replicas."""

    sandbox: Sandbox
    database: Database
    """Read beside the bots."""
    environments: list[dict[str, str]]
    """Of each replica."""
    folder: Path
    bots: dict[int, BotProcess] = field(default_factory=dict)

    def log_file(self, replica: int) -> Path:
        return self.folder / f"bot-{replica}.log"

    async def start(self, life: Life, *, replica: int = 0, wait: bool = True) -> BotProcess:
        """Start a bot, and wait until it listens or is dead again."""
        bot = BotProcess(self.environments[replica], self.log_file(replica), life)
        self.bots[replica] = bot
        if wait:
            await self._listens(bot, replica)
        return bot

    async def _listens(self, bot: BotProcess, replica: int) -> None:
        port = int(self.environments[replica]["PORT"])
        async with asyncio.timeout(START_SECONDS):
            while not bot.ended.is_set():
                try:
                    _, writer = await asyncio.open_connection(HOST, port)
                except OSError:
                    await asyncio.sleep(0.02)  # it is another process
                else:
                    writer.close()
                    return
        if bot.status != -signal.SIGKILL:
            raise DidNotServe(self.log_file(replica).read_text(errors="replace")[-3000:])

    async def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send every bot a signal, and wait until all are gone."""
        await asyncio.gather(*(bot.end(number) for bot in self.bots.values()))

    async def quiet(self, seconds: float = QUIET_SECONDS) -> Stored:
        """Wait until nothing is left to do without a person, or until the time is over."""
        until = time.monotonic() + seconds
        while True:
            stored = await read(self.database)
            if all(row.rests for row in stored.rows.values()) or time.monotonic() > until:
                return stored
            await asyncio.sleep(0.2)  # the rows change in other processes

    async def unlatch(self, *arguments: str) -> str:
        """Run a command of the terminal with the bot's settings; returns its output where it failed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", *arguments),
            cwd=ROOT,
            env=self.environments[0],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return said.decode() if process.returncode else ""

    async def faults(self) -> list[Fault]:
        """Return how the processes and the audit log are not as they should be."""
        found = []
        for replica in self.bots:
            crashes = [line for line in self.lines(replica) if line.get("level") in ("error", "critical")]
            found += [(Kind.STUCK, f"replica {replica} logged {line}") for line in crashes]
            heads = str(self.log_file(replica))
            if said := await self.unlatch("audit", "verify", "--heads", heads):
                found.append((Kind.LOST, f"the audit log does not hold: {said}"))
        return found

    def lines(self, replica: int) -> Iterator[dict[str, Any]]:
        """The log of a replica; what is no JSON, such as a traceback, is an error."""
        for line in self.log_file(replica).read_text(errors="replace").splitlines():
            try:
                yield dict(json.loads(line))
            except ValueError:
                yield {"level": "error", "event": line}


@asynccontextmanager
async def installation(
    folder: Path,
    database_url: str,
    *,
    socket_mode: bool = False,
    replicas: int = 1,
    cast: Cast = DEFAULT_CAST,
    action_seconds: float = 0.5,
    transport: Callable[[list[str]], httpx.AsyncBaseTransport | None] = lambda _: None,
) -> AsyncIterator[Installation]:
    """A served sandbox and an empty database; no bot is started yet, and every bot is killed after the block.

    `transport`: how Slack reaches the bots, given the URL of each.
    """
    urls = [f"http://{HOST}:{free_port()}" for _ in range(replicas)]
    sandbox = Sandbox(cast=cast, bot_url=urls[0], action_seconds=action_seconds, transport=transport(urls))
    sandbox.slack.be_patient(PATIENCE)
    database = Database(database_url, audit_log())
    try:
        async with serve(sandbox):
            common = settings(sandbox, int(urls[0].rpartition(":")[2]), folder, socket_mode=socket_mode)
            common |= {"PYTHONUNBUFFERED": "1", "PATH": os.environ.get("PATH", ""), "ASKS_PER_HOUR": "100000"}
            common |= {"DATABASE_URL": database_url, "LOG_LEVEL": "info"}
            environments = [common | {"PORT": url.rpartition(":")[2]} for url in urls]
            found = Installation(sandbox, database, environments, folder)
            if said := await found.unlatch("migrate"):
                raise DidNotServe(said)
            try:
                yield found
            finally:
                await found.end()
    finally:
        await database.close()


@contextmanager
def databases(kind: str) -> Iterator[Callable[[Path], str]]:
    """How to make an empty database: its URL, given a folder. `kind`: sqlite or postgresql."""
    if kind == "sqlite":
        yield lambda folder: f"sqlite:///{folder}/unlatch.sqlite3"
        return
    with running(durable=False) as cluster:
        yield lambda _: cluster.url(cluster.create())
