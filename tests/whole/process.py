"""The real `python -m bot serve` beside a sandbox: ended, killed, and started again on the same database."""

import socket
import sqlite3
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from sandbox.app import Sandbox, serve
from sandbox.demo import Bot
from sandbox.demo import settings as demo_settings
from tests.whole.gate import Gate
from tests.whole.installed import Installed


@dataclass
class Served:
    """People and sandbox as in `Installed`, whose bot is a process."""

    there: Installed
    process: Bot
    folder: Path

    async def kill(self) -> None:
        """SIGKILL: nothing is finished, nothing is said."""
        running = self.process.process
        assert running is not None
        running.kill()
        await running.wait()
        await self.process.stop()

    async def start_after_all_leases_ran_out(self) -> None:
        """Start anew, as if more time had passed than any lease or pause lasts."""
        now = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
        with closing(sqlite3.connect(self.folder / "unlatch.sqlite3")) as rows, rows:
            rows.execute("UPDATE requests SET drive_leased_until = NULL, show_leased_until = NULL")
            rows.execute("UPDATE requests SET next_at = ? WHERE next_at IS NOT NULL", (now,))
            rows.execute("UPDATE requests SET show_at = ?", (now,))
        self.process = _bot(self.process.settings, self.folder)
        await self.process.start()

    def column(self, name: str) -> list[Any]:
        """One column of every request."""
        with closing(sqlite3.connect(self.folder / "unlatch.sqlite3")) as rows:
            return [value for (value,) in rows.execute(f"SELECT {name} FROM requests")]  # noqa: S608  ours


def _bot(settings: Any, folder: Path) -> Bot:
    return Bot(settings, folder, lines=deque(maxlen=None))


@asynccontextmanager
async def served(folder: Path, *, socket_mode: bool = False, **changes: str) -> AsyncIterator[Served]:
    """A bot process that is ready, in `folder`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    url = f"http://127.0.0.1:{port}"
    sandbox = Sandbox(bot_url=url, action_seconds=0.03)
    gate = Gate(sandbox.asgi)
    sandbox.asgi = gate  # type: ignore[assignment]
    async with serve(sandbox), httpx.AsyncClient(base_url=url) as http:
        settings = demo_settings(sandbox, port, folder, socket_mode=socket_mode) | changes
        it = Served(Installed(sandbox, None, gate, url, http), _bot(settings, folder), folder)  # type: ignore[arg-type]
        await it.process.start()
        try:
            yield it
        finally:
            gate.release()
            await it.there.browser.http.aclose()
            await it.process.stop()
