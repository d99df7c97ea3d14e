"""One installation: a sandbox in this process, a database, and bots that are started, killed, started again.

Every bot is the ordinary `unlatch serve` in a fork of a server that has imported everything once, and a
process of its own all the same: it opens its own files and sockets, and SIGKILL ends it whole. Kill points
are planted in it, and every duration is shortened: a dead process's lease runs out after 3 seconds, not 90.
What the durations are to each other stays: `Timing` refuses any other order. How far Intune's clock may be
off is not shortened: it is no wait.
"""

import asyncio
import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from bot import app, log
from bot.keys import Keys
from bot.settings import read_settings
from bot.store.audit_log import AuditLog
from bot.store.database import Database
from bot.store.tables import requests
from bot.timing import Timing
from sandbox.app import Sandbox, serve
from sandbox.demo import settings
from sqlalchemy import delete
from tests.proofs.crash_and_race.checks import Fault, Findings, Stored, read
from tests.proofs.crash_and_race.kill_points import NEVER, Death, KillPoints
from tests.support.app_fixture import FastTiming
from tests.support.postgres import free_port, running

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[3]
PATIENCE = 30.0
"""Seconds that the sandbox's Slack waits for the bot: a busy machine is no finding."""
KEPT = Path(gettempdir()) / "unlatch-crash-kept"
MANY = 100_000
"""Sign-in links an hour: in a campaign people sign in as often as in a month."""
SHORTENED = (
    *("lease", "work_timeout", "attempt", "graph_timeout"),
    *("send_for", "send_retry", "verify_retry", "retry", "idle", "periodic"),
)

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.proofs.crash_and_race.__main__"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """How one process of the bot lives. Times in seconds."""

    death: Death = NEVER
    lifetime: float = 3600
    remind: float = 900
    faster: int = 30


def shortened(life: Life) -> Timing:
    """The real durations, shortened; views are opened late, as the sandbox's Slack allows."""
    shorter = {name: getattr(Timing(), name) / life.faster for name in SHORTENED}
    return FastTiming(
        **shorter,
        settle=timedelta(seconds=150) / life.faster,  # longer than a lease: a lost attempt is looked for
        silent_after=timedelta(seconds=180) / life.faster,
        remind_every=timedelta(seconds=life.remind),
        trigger_timeout=timedelta(seconds=20),
    )


def launch(environment: Mapping[str, str], log_file: Path, life: Life) -> None:
    """Run the bot in this process until SIGTERM, or until it dies; its last line says what it committed."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    output = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(log_file.parent)
    points = KillPoints(life.death)
    points.plant()
    settings = read_settings()
    settings = settings.model_copy(update={"request_lifetime": timedelta(seconds=life.lifetime)})
    rules = app.rules
    quotas = dict.fromkeys(("links_per_hour", "open_requests", "presses_per_minute"), MANY)
    app.rules = lambda *given: replace(rules(*given), **quotas)
    asyncio.run(app.serve(settings, log.set_up_log(settings.log_level), timing=shortened(life)))
    os.write(1, json.dumps({"committed": points.committed}).encode() + b"\n")


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)


class BotProcess:
    """One life of the bot. `ended` is set when the process is gone; `status` is then -9 after a kill."""

    def __init__(self, environment: Mapping[str, str], log_file: Path, life: Life) -> None:
        self._process = FORKS.Process(target=launch, args=(environment, log_file, life), daemon=True)
        self._process.start()
        self.ended = asyncio.Event()
        self.status: int | None = None
        asyncio.get_running_loop().add_reader(self._process.sentinel, self._end)

    async def end(self, number: signal.Signals = signal.SIGKILL) -> None:
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
    sandbox: Sandbox
    database: Database
    """Read beside the bots."""
    environments: list[dict[str, str]]
    folder: Path
    bots: dict[int, BotProcess] = field(default_factory=dict)
    forged: set[str] = field(default_factory=set)
    """Requests that somebody else put into the database."""

    def log_file(self, replica: int) -> Path:
        return self.folder / f"bot-{replica}.log"

    async def start(self, life: Life, *, replica: int = 0, wait: bool = True) -> BotProcess:
        """Start a bot, and wait until it listens or is dead again."""
        port = int(self.environments[replica]["PORT"])
        bot = self.bots[replica] = BotProcess(self.environments[replica], self.log_file(replica), life)
        async with asyncio.timeout(60):
            with socket.socket() as probe:
                while wait and not bot.ended.is_set() and probe.connect_ex((HOST, port)):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)  # it is another process
        said = self.log_file(replica).read_text(errors="replace") if bot.ended.is_set() else ""
        assert bot.status in (None, -signal.SIGKILL), said[-3000:]
        return bot

    async def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        await asyncio.gather(*(bot.end(number) for bot in self.bots.values()))

    async def quiet(self, seconds: float = 90) -> Stored:
        """Wait until nothing is left to do without a person, or until the time is over."""
        until = time.monotonic() + seconds
        while True:
            stored = await read(self.database, but=self.forged)
            if not (stored.busy() or stored.unclaimed) or time.monotonic() > until:
                return stored
            await asyncio.sleep(0.2)  # the rows change in other processes

    async def unlatch(self, *arguments: str) -> str:
        """Run a command of the terminal with the bot's settings; returns its output where it failed."""
        command = [sys.executable, "-m", "bot", *arguments]
        options = {"cwd": ROOT, "env": self.environments[0], "capture_output": True, "text": True}
        ended = await asyncio.to_thread(subprocess.run, command, check=False, **options)
        return ended.stdout + ended.stderr if ended.returncode else ""

    async def faults(self) -> list[Fault]:
        """Return how the processes and the audit log are not as they should be."""
        found, named = [], set[str]()
        for replica in self.bots:
            for line in self.lines(replica):
                if line.get("request") in self.forged:
                    named.add(line["request"])
                elif line.get("level") in ("error", "critical"):
                    found.append(("stuck", f"replica {replica} logged {line}"))
        found += [("lost", f"no log names the forged {each}") for each in self.forged - named]
        if self.forged:
            said = await self.unlatch("audit", "verify")
            if f"TAMPERED: {len(self.forged)} found" not in said:
                found.append(("lost", f"of {len(self.forged)} forged requests the audit log finds: {said}"))
            forged = delete(requests).where(requests.c.id.in_(self.forged))
            await self.database.run(lambda tx: tx.execute(forged) and None)
        for replica, environment in enumerate(self.environments):
            for heads in (self.log_file(replica), environment["AUDIT_HEADS"]):
                if said := await self.unlatch("audit", "verify", "--heads", str(heads)):
                    found.append(("lost", f"the audit log does not hold: {said}"))
        return found

    def keep_logs(self, findings: Findings) -> None:
        """Where there are faults, leave logs, and the rows of SQLite, in KEPT; print how each log ends."""
        if not findings.faults:
            return
        kept = KEPT / self.folder.name
        shutil.copytree(self.folder, kept, dirs_exist_ok=True)
        for replica in self.bots:
            log_file = kept / self.log_file(replica).name
            print(f"{log_file} ends:", *log_file.read_text(errors="replace").splitlines()[-30:], sep="\n")

    def lines(self, replica: int) -> Iterator[dict[str, Any]]:
        """The log of a replica; what is no JSON, such as a traceback, is an error."""
        for line in self.log_file(replica).read_text(errors="replace").splitlines():
            try:
                yield dict(json.loads(line))
            except ValueError:
                yield {"level": "error", "event": line}


@asynccontextmanager
async def installation(
    folder: Path, database_url: str, *, socket_mode: bool = False, replicas: int = 1, **of_sandbox: Any
) -> AsyncIterator[Installation]:
    """A served sandbox and an empty database, without a bot; every bot is killed after the block."""
    urls = [f"http://{HOST}:{free_port()}" for _ in range(replicas)]
    sandbox = Sandbox(bot_url=urls[0], **({"action_seconds": 0.5} | of_sandbox))
    sandbox.slack.be_patient(PATIENCE)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serve(sandbox))
        common = settings(sandbox, int(urls[0].rpartition(":")[2]), folder, socket_mode=socket_mode)
        common |= {"DATABASE_URL": database_url, "LOG_LEVEL": "info", "ASKS_PER_HOUR": "100000"}
        name = "/".join(common[name] for name in ("ENTRA_TENANT_ID", "ENTRA_CLIENT_ID", "APPROVER_CHANNEL"))
        audit_log = AuditLog(Keys.parse(common["VAULT_KEYS"]), name.lower())
        database = Database(database_url, audit_log)
        stack.push_async_callback(database.close)
        environments = [
            common | {"PORT": url.rpartition(":")[2], "AUDIT_HEADS": f"{folder}/heads-{replica}"}
            for replica, url in enumerate(urls)
        ]
        found = Installation(sandbox, database, environments, folder)
        assert not (said := await found.unlatch("migrate")), said
        stack.push_async_callback(found.end)
        yield found


@contextmanager
def databases(kind: str) -> Iterator[Callable[[Path], str]]:
    """How to make an empty database: its URL, given a folder. `kind`: sqlite or postgresql."""
    if kind == "sqlite":
        yield lambda folder: f"sqlite:///{folder}/unlatch.sqlite3"
        return
    with running() as cluster:
        yield lambda _: cluster.url(cluster.create())
