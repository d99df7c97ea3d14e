"""`python -m sandbox`: a sandbox of its own, for programs that outlive or kill the bot."""

import asyncio
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest


@asynccontextmanager
async def a_process(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sandbox", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_where_it_listens_and_ends_on_a_signal(number: signal.Signals):
    async with a_process("--port", "0", "--bot-url", "http://127.0.0.1:9", "--action-seconds", "0.5") as it:
        assert it.stdout is not None
        line = (await it.stdout.readline()).decode()
        found = re.fullmatch(r"The sandbox listens on (http://127\.0\.0\.1:\d+)\n", line)
        assert found is not None, line
        async with httpx.AsyncClient(base_url=found[1]) as http:
            assert (await http.get("/sandbox/resets")).json() == []

        it.send_signal(number)
        out, err = await it.communicate()

    assert (it.returncode, out, err) == (0, b"", b"")


async def test_it_says_that_a_port_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        async with a_process("--port", port, "--without-bot") as it:
            _, err = await it.communicate()

    assert (it.returncode, err.decode()) == (1, f"Cannot listen on port {port}: Address already in use.\n")


@pytest.mark.parametrize("arguments", [("--port", "70000"), ("--action-seconds", "inf")])
async def test_it_refuses_numbers_that_make_no_sense(arguments: tuple[str, str]):
    async with a_process(*arguments) as it:
        _, err = await it.communicate()

    assert it.returncode == 2
    assert arguments[0] in err.decode()
