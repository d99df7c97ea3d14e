"""`python -m sandbox` as a process of its own. tests/browser starts it with the bot."""

import asyncio
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE

import httpx
import pytest


async def start(*arguments: str) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "sandbox", *arguments)
    return await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_where_it_listens_and_ends_with_0_on_a_signal(number):
    process = await start("--port", "0", "--bot-url", "http://127.0.0.1:9", "--action-seconds", "0.5")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            line = (await process.stdout.readline()).decode()
            found = re.fullmatch(r"The sandbox listens on (http://127\.0\.0\.1:\d+)\n", line)
            assert found is not None, line
            async with httpx.AsyncClient(base_url=found[1]) as http:
                assert (await http.get("/sandbox/resets")).json() == []
    finally:
        process.send_signal(number)
        out, err = await process.communicate()

    assert (process.returncode, out, err) == (0, b"", b"")


@pytest.mark.parametrize("mode", [["--without-bot"], ["--no-browser"]])
async def test_a_taken_port_is_one_sentence_that_says_what_to_do(mode):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = await start("--port", port, *mode)
        out, err = await process.communicate()

    assert (process.returncode, out) == (1, b"")
    assert err.decode() == (
        f"Port {port} is taken: stop what uses it, "
        "or choose another port with --port (0 takes any free one).\n"
    )
