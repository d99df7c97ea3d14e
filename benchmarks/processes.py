"""Processes that are measured: the bot as it is deployed, and what stands beside it."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
from tests.support.postgres import free_port

from sandbox import demo

ROOT = Path(__file__).parents[1]
PRODUCTION = str(ROOT / ".tools" / "production" / "bin" / "python")
"""With the locked requirements alone."""
BOT = (PRODUCTION, "-m", "bot")


def kept() -> dict[str, str]:
    """Return what every process has of this one's environment."""
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


def environment(folder: Path, slack_port: int, database_url: str, **more: str) -> dict[str, str]:
    """Return the settings of a bot beside a Slack that answers at once; nobody asks Microsoft."""
    nowhere = SimpleNamespace(base_url="http://127.0.0.1:9")
    given = demo.settings(nowhere, free_port(), folder, socket_mode=False)  # type: ignore[arg-type]  # its address
    given |= {"SLACK_API_URL": f"http://127.0.0.1:{slack_port}/api/", "REQUESTERS": "workspace"}
    return given | {"DATABASE_URL": database_url, "LOG_LEVEL": "warning"} | more


@asynccontextmanager
async def running(
    *command: str, env: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a server until the end of the block; its first line says that it serves."""
    process = await asyncio.create_subprocess_exec(
        *command, env=kept() | dict(env or {}), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        if not await process.stdout.readline():  # type: ignore[union-attr]  # a pipe
            raise SystemExit(f"{command} did not start.")
        yield process
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def server(name: str) -> AsyncIterator[int]:
    """Run one of `benchmarks.servers`; yields its port."""
    port = free_port()
    async with running(sys.executable, "-m", "benchmarks.servers", name, str(port)):
        yield port


@asynccontextmanager
async def bot(settings: Mapping[str, str]) -> AsyncIterator[tuple[int, int, float]]:
    """Run `unlatch serve`; yields its port, its process id, and the seconds from exec to the first answer."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(*BOT, "serve", env=kept() | dict(settings), cwd=ROOT)
    try:
        port = int(settings["PORT"])
        await answering(port)
        yield port, process.pid, time.perf_counter() - began
    finally:
        process.terminate()
        await process.wait()


async def migrated(settings: Mapping[str, str]) -> None:
    """Make the database's tables."""
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *BOT, "migrate", env=kept() | dict(settings), cwd=ROOT, stdout=quiet
    )
    if await process.wait():
        raise SystemExit("The database could not be migrated.")


async def answering(port: int) -> None:
    """Wait until the port answers."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.005)
        else:
            writer.close()
            return


async def drained(slack_port: int) -> float:
    """Wait until the bot has posted nothing for a second; returns the seconds until then."""
    began = last = time.perf_counter()
    posts = ""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{slack_port}") as http:
        while time.perf_counter() < last + 1:
            found = (await http.get("/posts")).text
            if found != posts:
                posts, last = found, time.perf_counter()
            await asyncio.sleep(0.1)
    return last - began


def resident(pid: int) -> float:
    """Return how much memory a process has, in MB."""
    [line] = [
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")
    ]
    return int(line.split()[1]) / 1024


def cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
