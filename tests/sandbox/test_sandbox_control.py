"""The control API and the terminal: what they refuse and show, and that no other page drives the sandbox."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest
from sandbox.app import Sandbox
from sandbox.cast import BOT_TOKEN, SIGNING_SECRET
from tests.support.user_actions import KEN_ACCOUNT, MEI, ON_CALL, PIXEL, SUPPORT


@pytest.fixture
async def page() -> AsyncIterator[httpx.AsyncClient]:
    sandbox = Sandbox()
    transport = httpx.ASGITransport(sandbox.asgi)
    async with httpx.AsyncClient(transport=transport, base_url=sandbox.base_url) as http:
        yield http
    await sandbox.close()


REFUSED = [
    ("people/U0NOBODY/command", {"channel": SUPPORT, "text": "/x"}, 404),
    (f"people/{MEI}/dance", {}, 404),
    (f"people/{MEI}/command", {"channel": ON_CALL, "text": "/reset-passcode"}, 409),
    (f"people/{MEI}/command", {"channel": SUPPORT}, 400),
    (f"people/{MEI}/click", {"channel": SUPPORT, "block_id": "b", "action_id": "a"}, 409),
    (f"people/{MEI}/submit", {"view_id": "V1", "values": {}}, 409),
    (f"people/{MEI}/submit", {"view_id": "V1", "values": [1]}, 400),
    (f"people/{MEI}/dismiss", {"id": "N1"}, 404),
    *(("phones/none", {"behaviour": "fails"}, 404), (f"phones/{PIXEL}", {"behaviour": "explodes"}, 400)),
    *(("roles/none", {"reset_passcode": True}, 404), (f"roles/{KEN_ACCOUNT}", {"reset_passcode": 1}, 400)),
    *(("graph", {"unknown_paths": ["moon"]}, 400), ("setup", {"channel": "open"}, 400)),
    *(("sockets", {"reason": "boredom"}, 400), ("sockets", ["warning"], 400)),
]


@pytest.mark.parametrize(("path", "body", "status"), REFUSED)
async def test_what_cannot_be_done_is_refused_in_a_sentence(page, path, body, status):
    answer = await page.post(f"/sandbox/{path}", json=body)
    assert answer.status_code == status
    assert answer.json()["error"].endswith(".")


async def test_the_set_up_is_given_as_a_whole(page):
    for body, told in (({"tells_scopes": False, "clock_ahead": 3600}, False), ({}, True)):
        assert (await page.post("/sandbox/setup", json=body)).status_code == 202
        headers = (await page.get("/slack/api/auth.test")).headers
        ahead = parsedate_to_datetime(headers["date"]) - datetime.now(UTC)
        assert ("x-oauth-scopes" in headers, ahead < timedelta(minutes=30)) == (told, told)


async def test_the_page_is_never_framed_and_its_state_shows_no_secret(page):
    shown = (await page.get("/sandbox/state")).text
    assert not [secret for secret in (BOT_TOKEN, SIGNING_SECRET) if secret in shown]
    assert (await page.get("/")).headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("path", ["/sandbox/people/U0MEI/message", "/slack/api/chat.postMessage"])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999", None])
async def test_a_page_of_another_origin_or_under_another_host_is_refused(page, path, origin):
    headers = {"Origin": origin} if origin else {"Host": "evil.example:8080"}
    answer = await page.post(path, json={"channel": SUPPORT, "text": "x"}, headers=headers)
    assert answer.status_code == 403
    assert (await page.get("/sandbox/state")).json()["messages"][SUPPORT] == []


async def test_the_sandboxs_own_page_may_send_json_and_no_form(page):
    path, body = f"/sandbox/people/{MEI}/message", {"channel": SUPPORT, "text": "x"}
    origin = {"Origin": str(page.base_url)}
    as_json = await page.post(path, json=body, headers=origin)
    as_form = await page.post(path, content=json.dumps(body), headers=origin | {"Content-Type": "text/plain"})
    assert (as_json.status_code, as_form.status_code) == (202, 400)


async def start(*arguments: str, **options: Any) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "sandbox", *arguments)
    return await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, **options)


MODES = {
    "alone": (["--bot-url", "http://127.0.0.1:9", "--action-seconds", "0.5"], "The sandbox .* on (.*)\n"),
    "with the bot": (["--no-browser"], "Unlatch runs here, .*:\n\n    (.*)/\n"),
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("mode", "says"), MODES.values(), ids=MODES)
async def test_it_says_where_it_is_and_ends_cleanly_while_a_page_is_open(tmp_path, mode, says, number):
    options = {"env": os.environ | {"TMPDIR": str(tmp_path)}, "start_new_session": True}
    process = await start("--port", "0", *mode, **options)
    try:
        async with asyncio.timeout(30):
            said = [(await process.stdout.readline()).decode() for _ in range(says.count("\n"))]
            [url] = re.fullmatch(says, "".join(said)).groups()
            async with httpx.AsyncClient(base_url=url) as http, http.stream("GET", "/sandbox/events") as page:
                assert await anext(page.aiter_text())
                # a terminal sends Ctrl-C to the whole group: the bot gets it too
                (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
                _, err = await process.communicate()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert (process.returncode, err, [*tmp_path.iterdir()]) == (0, b"", [])


@pytest.mark.parametrize("mode", [["--without-bot"], ["--no-browser"]])
async def test_a_taken_port_is_one_sentence_that_says_what_to_do(mode):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = await start("--port", port, *mode)
        out, err = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    cure = "stop what uses it, or choose another port with --port (0 takes any free one)."
    assert err.decode() == f"Port {port} is taken: {cure}\n"
