"""The real process beside a sandbox, and everything that passed between them, kept byte for byte."""

import asyncio
import os
import re
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import httpx
import psycopg
from sandbox.app import Sandbox, serve
from sandbox.demo import settings as demo_settings
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tests.support.app_fixture import PHONE_SECONDS, Deliveries, free_port
from tests.support.user_actions import People

from sandbox import cast

ROOT = Path(__file__).parents[3]


@dataclass
class Exchange:
    """One call of the bot's. The Authorization header, where a token belongs, is left out."""

    path: str
    head: bytes
    """The query and every other header of the request."""
    sent: bytes = b""
    received: bytes = b""


@dataclass
class Tap:
    """In front of the sandbox: passes everything on and keeps it."""

    app: ASGIApp
    exchanges: list[Exchange] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)
    """Of sockets, both ways."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = [scope.get("query_string", b"")]
        head += [name + b": " + text for name, text in scope.get("headers", ()) if name != b"authorization"]
        kept = Exchange(scope.get("path", ""), b"\n".join(head))
        if not kept.path.startswith("/sandbox/"):
            self.exchanges.append(kept)

        async def receive_and_keep() -> Message:
            message = await receive()
            kept.sent += message.get("body", b"")
            self._keep_frame(message)
            return message

        async def send_and_keep(message: Message) -> None:
            kept.received += message.get("body", b"")
            self._keep_frame(message)
            await send(message)

        await self.app(scope, receive_and_keep, send_and_keep)

    def _keep_frame(self, message: Message) -> None:
        if message["type"] in ("websocket.send", "websocket.receive"):
            self.frames.append((message.get("text") or "").encode() + (message.get("bytes") or b""))

    def to(self, part: str) -> list[Exchange]:
        return [exchange for exchange in self.exchanges if part in exchange.path]


@dataclass
class Watched:
    """What a test touches, and where it looks afterwards."""

    people: People
    process: asyncio.subprocess.Process
    settings: dict[str, str]
    folder: Path
    tap: Tap
    deliveries: Deliveries
    http: httpx.AsyncClient
    pages: list[httpx.Response] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    passcodes: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """Both outputs of the process."""
    logged: asyncio.Event = field(default_factory=asyncio.Event)
    _reading: asyncio.Task[None] | None = None

    async def stop(self) -> int:
        """SIGTERM, and wait; returns the exit status."""
        with suppress(ProcessLookupError):
            self.process.terminate()
        assert self._reading is not None
        await self._reading
        return await self.process.wait()

    async def until_logged(self, words: str, seconds: float) -> None:
        """Wait until a line of the log has these words."""
        async with asyncio.timeout(seconds):
            while not any(words in line for line in self.lines):
                self.logged.clear()
                await self.logged.wait()

    def read(self) -> None:
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode(errors="replace").rstrip())
            self.logged.set()

    def secrets(self) -> dict[str, str]:
        """Every secret that there was, by what it is."""
        ours = ("SLACK_BOT_TOKEN", "ENTRA_CLIENT_SECRET", "VAULT_KEYS")
        named = {name: self.settings[name] for name in ours}
        named |= {"SLACK_APP_TOKEN": cast.APP_TOKEN, "SLACK_SIGNING_SECRET": cast.SIGNING_SECRET}
        named |= {f"link {n}": text for n, text in enumerate(self.links)}
        named |= {f"passcode {n}": text for n, text in enumerate(self.passcodes)}
        return named | dict(self._of_sign_ins())

    def _of_sign_ins(self) -> Iterator[tuple[str, str]]:
        for number, page in enumerate(self.pages):
            if page.url.path == "/sign-in/callback":
                codes = parse_qs(page.request.content.decode()).get("code", [])
                yield from ((f"code brought back {number}", code) for code in codes)
        for number, exchange in enumerate(self.tap.to("/oauth2/v2.0/token")):
            form = parse_qs(exchange.sent.decode())
            for name in ("code", "code_verifier", "refresh_token"):
                if name in form:
                    yield f"{name} sent {number}", form[name][0]
            for name in ("access_token", "refresh_token", "id_token"):
                if found := re.search(rf'"{name}": ?"([^"]+)"', exchange.received.decode()):
                    yield f"{name} {number}", found[1]

    def secrets_of_slack(self) -> dict[str, str]:
        """Response URLs: who has one may speak in the bot's name for half an hour."""
        said = "\n".join(unquote_plus(body.decode()) for body in [*self.deliveries.bodies, *self.tap.frames])
        urls = re.findall(r"/slack/response/([^\"&]+)", said)
        return {f"response URL {number}": url for number, url in enumerate(urls[:5])}

    def places(self) -> dict[str, bytes]:
        """Everything that no secret may be in, by what it is."""
        found = {"the log": "\n".join(self.lines).encode()}
        found |= {f"page {page.url.path} {n}": _page(page) for n, page in enumerate(self.pages)}
        found |= {f"delivery {n}": body for n, body in enumerate(self.deliveries.bodies)}
        found |= {f"frame {n}": frame for n, frame in enumerate(self.tap.frames)}
        for n, call in enumerate(self.tap.exchanges):
            found[f"head of {call.path} {n}"] = call.path.encode() + b"?" + call.head
            if call.path.startswith(("/slack/api/", "/graph/")):
                found[f"body of {call.path} {n}"] = call.sent
        return found | dict(self._database())

    def _database(self) -> Iterator[tuple[str, bytes]]:
        url = self.settings["DATABASE_URL"]
        if url.startswith("sqlite"):
            yield from ((f"file {path.name}", path.read_bytes()) for path in self.folder.iterdir())
            with closing(sqlite3.connect(self.folder / "unlatch.sqlite3")) as rows:
                yield "rows", "\n".join(rows.iterdump()).encode("utf-8", "replace")
            return
        with psycopg.connect(url) as rows:
            query = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
            for (name,) in rows.execute(query).fetchall():
                dumped = rows.execute(f'SELECT t::text FROM "{name}" t').fetchall()  # noqa: S608  the server's name
                yield f"table {name}", "\n".join(text for (text,) in dumped).encode()


def _page(page: httpx.Response) -> bytes:
    """Where it is, its headers, and what it says."""
    heads = "\n".join(f"{name}: {text}" for name, text in page.headers.items() if name != "location")
    return heads.encode() + page.content


@asynccontextmanager
async def watched(
    folder: Path, *, socket_mode: bool = False, arguments: Sequence[str] = (), **changes: str
) -> AsyncIterator[Watched]:
    """A bot process that is ready, watched from every side. `changes`: settings."""
    port, deliveries = free_port(), Deliveries()
    url = f"http://127.0.0.1:{port}"
    sandbox = Sandbox(bot_url=url, action_seconds=PHONE_SECONDS, transport=deliveries)
    tap = Tap(sandbox.asgi)
    sandbox.asgi = tap  # type: ignore[assignment]  # a Starlette, as far as anyone asks
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serve(sandbox))
        people = People(sandbox)
        stack.push_async_callback(people.aclose)
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=url, trust_env=False))
        settings = demo_settings(sandbox, port, folder, socket_mode=socket_mode)
        settings |= {"METRICS_PORT": str(port)} | changes
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-W", "always", "-m", "tests.proofs.leaks.launcher", *arguments),
            env=kept | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)} | settings,
            cwd=folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        it = Watched(people, process, settings, folder, tap, deliveries, http)

        async def keep(page: httpx.Response) -> None:
            await page.aread()
            if str(page.url).startswith(url):
                it.pages.append(page)

        hooks: Any = {"response": [keep]}
        http.event_hooks = people.browser.http.event_hooks = hooks
        it.read()
        try:
            await it.until_logged("the bot serves", 60)
            yield it
        finally:
            await it.stop()
