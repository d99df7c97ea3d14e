"""Runs inside the tree that is measured: builds its bot from the environment and calls its ASGI app directly.

Nothing here is imported from the other scripts, so that it runs in any tree. It prints one line of JSON.
"""

import asyncio
import hashlib
import hmac
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlencode

import uvicorn

SECRET = os.environ.get("SLACK_SIGNING_SECRET", "")
sys.path.insert(0, os.getcwd())  # noqa: PTH109  the tree, which is the working directory


def command(text: str, user: str, trigger: str) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Return a signed slash command: body and headers."""
    fields = {"command": "/reset-passcode", "text": text, "user_id": user, "team_id": "T0CONTOSO"}
    fields |= {"trigger_id": trigger, "channel_id": "C0SUPPORT", "response_url": "https://hooks.slack.com/x"}
    body, stamp = urlencode(fields).encode(), str(int(time.time()))
    signature = hmac.new(SECRET.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return body, [
        (b"content-type", b"application/x-www-form-urlencoded"),
        (b"content-length", str(len(body)).encode()),
        (b"x-slack-request-timestamp", stamp.encode()),
        (b"x-slack-signature", f"v0={signature}".encode()),
    ]


async def post(app: Any, body: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    """Deliver it; returns the status."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/slack/events",
        "raw_path": b"/slack/events",
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 1),
    }
    status = 0

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]

    await app(scope, receive, send)
    return status


class Recorder:
    """The distinct functions of `bot/` that run in any thread while it is on; lambdas count."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, int, str]] = set()
        self._root = str(Path.cwd() / "bot") + os.sep

    @contextmanager
    def on(self) -> Iterator[set[tuple[str, int, str]]]:
        self.seen = set()
        sys.setprofile(self._call)
        try:
            yield self.seen
        finally:
            sys.setprofile(None)

    def everywhere(self) -> None:
        """From now on also in threads that start later; call it before the bot is built."""
        threading.setprofile(self._call)

    def _call(self, frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(self._root) and code.co_name != "<module>":
            self.seen.add((code.co_filename, code.co_firstlineno, code.co_name))


async def functions(app: Any, recorder: Recorder) -> dict[str, object]:
    """Count what runs until one command is acknowledged; the second one, when everything is warm."""
    await post(app, *command("ada@contoso.com locked out", "U0MEI", "warm"))
    await asyncio.sleep(1)  # the worker has claimed it and waits for Slack
    with recorder.on() as seen:
        status = await post(app, *command("tomas@contoso.com locked out", "U0MEI", "counted"))
    return {"status": status, "functions": len(seen), "files": len({file for file, *_ in seen})}


async def whole_job(app: Any, recorder: Recorder) -> dict[str, object]:
    """Serve on PORT, count until a line comes on standard input."""
    config = uvicorn.Config(app, port=int(os.environ["PORT"]), log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    with recorder.on() as seen:
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
            await asyncio.sleep(0.05)
        print("serving", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
    serving.cancel()
    return {"functions": len(seen), "files": len({file for file, *_ in seen})}


async def acknowledgements(app: Any, clients: int, each: int) -> dict[str, object]:
    """Deliver `clients` × `each` requests of different people."""
    waits: list[float] = []
    bad = 0

    async def client(number: int) -> None:
        nonlocal bad
        for turn in range(each):
            user, trigger = f"U{number}X{turn}", f"{number}.{turn}"
            delivery = command(f"p{number}x{turn}@contoso.com locked out", user, trigger)
            began = time.perf_counter()
            bad += await post(app, *delivery) != 200
            waits.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*map(client, range(clients)))
    took = time.perf_counter() - began
    ordered = sorted(waits)
    return {
        "per_second": round(len(waits) / took, 1),
        "p50_ms": round(statistics.median(ordered) * 1000, 2),
        "p99_ms": round(ordered[int(len(ordered) * 0.99) - 1] * 1000, 2),
        "not_200": bad,
    }


async def main() -> None:
    """Build the tree's bot and run what the arguments name."""
    what, *numbers = sys.argv[1:]
    recorder = Recorder()
    if what != "acknowledgements":
        recorder.everywhere()
    settings = import_module("bot.settings").read_settings()
    try:
        build = import_module("bot.app").unlatch
    except ModuleNotFoundError:
        build = import_module("bot.wiring").unlatch
        import_module("bot.store").migrate(settings.database_url)
    async with build(settings) as bot:
        app = bot.asgi
        if what == "functions":
            found = await functions(app, recorder)
        elif what == "whole-job":
            found = await whole_job(app, recorder)
        else:
            await acknowledgements(app, 8, 5)
            found = await acknowledgements(app, *map(int, numbers))
        print(json.dumps(found), flush=True)
        os._exit(0)  # what waits for the silent Slack is of no interest


if __name__ == "__main__":
    asyncio.run(main())
