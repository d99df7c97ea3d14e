"""The real `unlatch serve` as a process with short pauses: ended, killed, started again on its database."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from sandbox.app import Sandbox, serve
from sandbox.demo import settings as demo_settings
from starlette.types import ASGIApp
from tests.support.app_fixture import PHONE_SECONDS, Deliveries
from tests.support.postgres import free_port
from tests.support.user_actions import MEI, ON_CALL, People

ROOT = Path(__file__).parents[2]


@dataclass
class ServedBot:
    """A bot process beside a sandbox in this process."""

    people: People
    http: httpx.AsyncClient
    deliveries: Deliveries
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

    async def pending(self, text: str) -> None:
        """Ask, and wait for the card."""
        await self.people.command(MEI, text)
        await self.people.until(lambda: self.people.messages(ON_CALL))

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
    port, deliveries = int(changes.get("PORT", free_port())), Deliveries()
    url = f"http://127.0.0.1:{port}"
    sandbox = Sandbox(bot_url=url, action_seconds=PHONE_SECONDS, transport=deliveries)
    sandbox.asgi = wrap(sandbox.asgi)  # type: ignore[assignment]  # a Starlette, as far as anyone asks
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serve(sandbox))
        people = People(sandbox)
        stack.push_async_callback(people.aclose)
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=url, trust_env=False))
        settings = demo_settings(sandbox, port, folder, socket_mode=socket_mode) | changes
        bot = ServedBot(people, http, deliveries, settings, folder, arguments)
        await bot.start()
        try:
            yield bot
        finally:
            await bot.end()
