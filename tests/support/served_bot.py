"""The real `unlatch serve` as a process with short pauses: ended, killed, started again on its database."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from sandbox.demo import settings as demo_settings
from starlette.types import ASGIApp
from tests.support.app_fixture import Scene, scene_of
from tests.support.postgres import free_port

ROOT = Path(__file__).parents[2]


@dataclass
class ServedBot(Scene):
    """A bot process beside a sandbox in this process."""

    settings: dict[str, str]
    folder: Path
    arguments: Sequence[str]
    lines: list[str] = field(default_factory=list)
    """Both outputs of the process."""
    process: asyncio.subprocess.Process | None = None
    _reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it, and return when it serves."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "always", "-m", *self.arguments),
            env=kept | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)} | self.settings,
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._reading = asyncio.create_task(self._read(self.process))
        answering = asyncio.create_task(self._answer())
        await asyncio.wait([answering, self._reading], return_when=asyncio.FIRST_COMPLETED)
        answering.cancel()
        assert not self._reading.done(), "\n".join(self.lines)

    async def end(self, *, kill: bool = False) -> int:
        """SIGTERM or SIGKILL, and wait; returns the exit status."""
        assert self.process is not None
        assert self._reading is not None
        if self.process.returncode is None:
            self.process.kill() if kill else self.process.terminate()
        await self._reading
        return await self.process.wait()

    async def _answer(self) -> None:
        """Return when the bot answers; a log at level "error" does not say that it serves."""
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(retries=8), timeout=60) as http:
            await http.get(f"{self.settings['PUBLIC_URL']}/healthz")

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self.lines.append(line.decode(errors="replace").rstrip())
            print(self.lines[-1])  # pytest shows it of a test that failed

    async def approve(self) -> None:
        """Sign in, review and approve, as Ken."""
        await self.people.sign_in()
        await self.people.approve()


@asynccontextmanager
async def served(
    folder: Path,
    *,
    socket_mode: bool = False,
    arguments: Sequence[str] = ("tests.support.fast_bot",),
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
