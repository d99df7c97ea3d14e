"""`make demo` as people type it."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest
from playwright.async_api import Browser
from tests.browser.page import SandboxPage

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("end", ["ctrl-c", "terminated"])
async def test_the_demo_says_where_it_is_and_ends_cleanly(chromium: Browser, tmp_path: Path, end: str):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "sandbox", "--port", "0", "--no-browser"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(30):
            context = await chromium.new_context()
            await SandboxPage(await context.new_page()).open(await address(process))
            if end == "ctrl-c":  # a terminal sends it to the whole group: the bot gets it too
                os.killpg(process.pid, signal.SIGINT)
            else:
                process.terminate()
            assert await process.wait() == 0
            await context.close()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()
    assert await asyncio.to_thread(os.listdir, tmp_path) == []


async def address(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async for line in process.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+/", line.decode()):
            return found.group()
    pytest.fail("The demo ended before it said where it is.")
