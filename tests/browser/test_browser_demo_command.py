"""`make demo` as people type it."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser
from tests.browser.seats import Seats

pytestmark = pytest.mark.asyncio(loop_scope="session")

AT_MOST_SECONDS = 30


def ctrl_c(pid: int) -> None:
    """A terminal sends SIGINT to the whole group: the bot under the demo gets it too."""
    os.killpg(pid, signal.SIGINT)


def stopped(pid: int) -> None:
    """As `kill` or a supervisor does it."""
    os.kill(pid, signal.SIGTERM)


@pytest.mark.parametrize("end", [ctrl_c, stopped])
async def test_the_demo_says_where_it_is_and_ends_cleanly(
    chromium: Browser, tmp_path: Path, end: Callable[[int], None]
) -> None:
    async with a_demo(tmp_path) as (process, url), asyncio.timeout(AT_MOST_SECONDS):
        context = await chromium.new_context()
        await Seats(await context.new_page()).take(url)

        end(process.pid)

        assert await process.wait() == 0
        await context.close()
    assert await asyncio.to_thread(os.listdir, tmp_path) == []


@asynccontextmanager
async def a_demo(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The command in a session of its own, and the address that it printed. TMPDIR is the folder."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "sandbox", "--port", "0", "--no-browser"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(folder)},
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(AT_MOST_SECONDS):
            yield process, await _address(process)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async for line in process.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+/", line.decode()):
            return found.group()
    pytest.fail("The demo ended before it said where it is.")
