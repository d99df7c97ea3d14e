"""The real `unlatch serve` as a process with short pauses: ended, killed, started again on its database.

`python -m tests.support.served_bot` is that process.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from datetime import timedelta
from io import StringIO
from pathlib import Path

from bot import log
from bot.app import serve
from bot.cli import main as unlatch
from bot.settings import read_settings
from sandbox.demo import settings as demo_settings
from starlette.types import ASGIApp
from tests.support.app_fixture import FAST, Scene, scene_of
from tests.support.postgres import free_port

ROOT = Path(__file__).parents[2]
SECONDS = {"lease": 4, "work_timeout": 3.8, "attempt": 3.6, "graph_timeout": 3.4}
SHORT_LEASES = replace(FAST, **{name: timedelta(seconds=each) for name, each in SECONDS.items()})
"""What a dead process held is taken over soon; a call that hangs is waited for shortly."""


@dataclass
class ServedBot(Scene):
    settings: dict[str, str]
    folder: Path
    arguments: Sequence[str]
    lines: list[str] = field(default_factory=list)
    """Both outputs of the process."""

    async def start(self) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "always", "-m", *self.arguments),
            env=kept | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)} | self.settings,
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._reading = asyncio.create_task(self._read(self.process))
        address = (self.settings["HOST"], int(self.settings["PORT"]))
        async with asyncio.timeout(60):
            with socket.socket() as probe:
                while probe.connect_ex(address):  # a log at level "error" does not say that it serves
                    assert not self._reading.done(), "\n".join(self.lines)
                    await asyncio.sleep(0.02)  # it is another process

    async def end(self, *, kill: bool = False) -> int:
        """SIGTERM or SIGKILL, and wait; returns the exit status."""
        if self.process.returncode is None:
            self.process.kill() if kill else self.process.terminate()
        await self._reading
        return await self.process.wait()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        async for line in process.stdout:
            self.lines.append(line.decode(errors="replace").rstrip())
            print(self.lines[-1])  # pytest shows it of a test that failed


@asynccontextmanager
async def served(
    folder: Path,
    *,
    socket_mode: bool = False,
    arguments: Sequence[str] = ("tests.support.served_bot",),
    wrap: Callable[[ASGIApp], ASGIApp] = lambda app: app,
    **changes: str,
) -> AsyncIterator[ServedBot]:
    """A bot process that is ready, in `folder`.

    `arguments`: a module and its own. `wrap` goes around the sandbox. `changes`: settings.
    """
    port = int(changes.get("PORT", free_port()))
    async with scene_of(port, wrap) as scene:
        settings = demo_settings(scene.sandbox, port, folder, socket_mode=socket_mode) | changes
        bot = ServedBot(**vars(scene), settings=settings, folder=folder, arguments=arguments)
        await bot.start()
        try:
            yield bot
        finally:
            await bot.end()


def migrate_and_serve() -> None:
    settings = read_settings()
    with redirect_stdout(StringIO()):
        unlatch(["migrate"])
    asyncio.run(serve(settings, log.set_up_log(settings.log_level), timing=SHORT_LEASES))


if __name__ == "__main__":
    migrate_and_serve()
