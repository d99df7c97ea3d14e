"""The real process beside a sandbox, and everything that passed between them, kept byte for byte."""

import asyncio
import os
import re
import sqlite3
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import httpx
import psycopg
import pytest
from sandbox.app import Sandbox, serve
from sandbox.demo import Bot
from sandbox.demo import settings as demo_settings
from sandbox.intune import phones
from sandbox.slack.delivery import SignedHttp
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tests.whole.gate import Gate
from tests.whole.installed import Installed

from sandbox import cast

ROOT = Path(__file__).parents[2]
PASSCODE = "Kx7q-Canary93#Zw"
"""What every reset makes here: digits alone would be found by chance."""


@dataclass
class Exchange:
    """One call of the bot's, or one frame of a socket."""

    path: str
    authority: str
    """The Authorization header, where a token belongs."""
    sent: bytes
    status: int = 0
    back: bytes = b""
    head: bytes = b""
    """Every other header of the request, and the query."""


@dataclass
class Tap:
    """In front of the sandbox: passes everything on and keeps it."""

    app: ASGIApp
    exchanges: list[Exchange] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kept = Exchange(scope.get("path", ""), "", b"", head=scope.get("query_string", b""))
        for name, text in scope.get("headers", []):
            if name.lower() == b"authorization":
                kept.authority = text.decode()
            else:
                kept.head += b"\n" + name + b": " + text
        self.exchanges.append(kept)

        async def receiving() -> Message:
            message = await receive()
            kept.sent += message.get("body", b"")
            self._frame(message)
            return message

        async def sending(message: Message) -> None:
            kept.status = message.get("status", kept.status)
            kept.back += message.get("body", b"")
            self._frame(message)
            await send(message)

        await self.app(scope, receiving, sending)

    def _frame(self, message: Message) -> None:
        if message["type"] in ("websocket.send", "websocket.receive"):
            self.frames.append((message.get("text") or "").encode() + (message.get("bytes") or b""))

    def to(self, part: str) -> list[Exchange]:
        return [exchange for exchange in self.exchanges if part in exchange.path]


class Planted(Bot):
    """The bot by way of the launcher; both of its outputs are kept."""

    arguments: Sequence[str] = ()

    async def start(self) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-W", "always", "-m", "tests.canary.launcher", *self.arguments),
            env=kept | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)} | dict(self.settings),
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self.process.stderr = self.process.stdout
        self.planted = asyncio.Event()
        self._reading = asyncio.create_task(self._read(self.process))
        await self._serves()

    async def _serves(self) -> None:
        """At the level "error" the log does not say so."""
        async with asyncio.timeout(60), httpx.AsyncClient() as http:
            while not self._reading.done():
                with suppress(httpx.TransportError):
                    await http.get(f"{self.settings['PUBLIC_URL']}/healthz")
                    return
                await asyncio.sleep(0.05)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self.lines.append(line.decode(errors="replace").rstrip())
            if "Planted" in self.lines[-1]:
                self.planted.set()


@dataclass
class Watched:
    """What a test touches, and where it looks afterwards."""

    there: Installed
    bot: Planted
    tap: Tap
    folder: Path
    deliveries: list[bytes]
    pages: list[httpx.Response] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    def secrets(self) -> dict[str, str]:
        """Every secret that there was, by what it is."""
        settings = self.bot.settings
        named = {
            "bot token": settings["SLACK_BOT_TOKEN"],
            "client secret": settings["ENTRA_CLIENT_SECRET"],
            "vault key": settings["VAULT_KEYS"],
            "passcode": PASSCODE,
            "app token": cast.APP_TOKEN,
            "signing secret": cast.SIGNING_SECRET,
        }
        return named | dict(self._of_sign_ins()) | {f"ticket {n}": text for n, text in enumerate(self.links)}

    def _of_sign_ins(self) -> Iterator[tuple[str, str]]:
        for number, page in enumerate(self.pages):
            if page.url.path == "/sign-in/callback":
                form = parse_qs(page.request.content.decode())
                yield from ((f"code brought back {number}", code) for code in form.get("code", []))
        for number, exchange in enumerate(self.tap.to("/oauth2/v2.0/token")):
            form = parse_qs(exchange.sent.decode())
            for name in ("code", "code_verifier", "refresh_token"):
                if name in form:
                    yield f"{name} sent {number}", form[name][0]
            for name in ("access_token", "refresh_token", "id_token"):
                if found := re.search(rf'"{name}": ?"([^"]+)"', exchange.back.decode()):
                    yield f"{name} {number}", found[1]

    def secrets_of_slack(self) -> dict[str, str]:
        """Who has one of these may speak in the bot's name, for half an hour."""
        said = "\n".join(unquote_plus(body.decode()) for body in [*self.deliveries, *self.tap.frames])
        urls = re.findall(r"/slack/response/([^\"&]+)", said)
        return {f"response URL {number}": url for number, url in enumerate(urls[:5])}

    def places(self) -> dict[str, bytes]:
        """Everything that no secret may be in, by what it is."""
        found = {"the log": "\n".join(self.bot.lines).encode()}
        found |= {f"page {page.url.path} {n}": _page(page) for n, page in enumerate(self.pages)}
        found |= {f"delivery {n}": body for n, body in enumerate(self.deliveries)}
        found |= {f"frame {n}": frame for n, frame in enumerate(self.tap.frames)}
        for n, call in enumerate(self.tap.exchanges):
            found[f"head of {call.path} {n}"] = call.path.encode() + b"?" + call.head
        for n, call in enumerate(self.tap.to("/slack/api/")):
            found[f"{call.path} {n}"] = call.sent
        for n, call in enumerate(self.tap.to("/graph/")):
            found[f"body of {call.path} {n}"] = call.sent
        return found | self._database()

    def _database(self) -> dict[str, bytes]:
        url = self.bot.settings["DATABASE_URL"]
        if url.startswith("postgresql"):
            return {f"table {name}": content for name, content in _dumped(url)}
        files = {f"file {path.name}": path.read_bytes() for path in self.folder.iterdir() if path.is_file()}
        with closing(sqlite3.connect(self.folder / "unlatch.sqlite3")) as rows:
            return files | {"rows": "\n".join(rows.iterdump()).encode("utf-8", "replace")}


def _page(page: httpx.Response) -> bytes:
    """Where it is, its headers, and what it says."""
    heads = "\n".join(f"{name}: {text}" for name, text in page.headers.items() if name != "location")
    return heads.encode() + page.content


def _dumped(url: str) -> Iterator[tuple[str, bytes]]:
    with psycopg.connect(url) as rows:
        query = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        for (name,) in rows.execute(query).fetchall():
            dumped = rows.execute(f'SELECT t::text FROM "{name}" t').fetchall()  # type: ignore[arg-type]  # noqa: S608  a name that the server gave
            yield name, "\n".join(text for (text,) in dumped).encode()


@asynccontextmanager
async def watched(
    folder: Path,
    patching: pytest.MonkeyPatch,
    *,
    socket_mode: bool = False,
    arguments: Sequence[str] = (),
    **changes: str,
) -> AsyncIterator[Watched]:
    """A bot process that is ready, watched from every side."""
    patching.setattr(phones, "new_passcode", lambda: PASSCODE)
    deliveries: list[bytes] = []
    _keep_deliveries(patching, deliveries)
    port = _free_port()
    sandbox = Sandbox(bot_url=f"http://127.0.0.1:{port}", action_seconds=0.03)
    gate = Gate(sandbox.asgi)
    tap = Tap(gate)
    sandbox.asgi = tap  # type: ignore[assignment]  # as the gate in tests/whole
    url = f"http://127.0.0.1:{port}"
    async with serve(sandbox), httpx.AsyncClient(base_url=url) as http:
        settings: dict[str, Any] = demo_settings(sandbox, port, folder, socket_mode=socket_mode)
        settings |= {"METRICS_PORT": str(port)} | changes
        bot = Planted(settings, folder, lines=deque(maxlen=None))
        bot.arguments = arguments
        there = Installed(sandbox, None, gate, url, http)  # type: ignore[arg-type]  # the bot is a process
        it = Watched(there, bot, tap, folder, deliveries)
        http.event_hooks = there.browser.http.event_hooks = {"response": [_keeping(it)]}
        await bot.start()
        try:
            yield it
        finally:
            gate.release()
            await there.browser.http.aclose()
            await bot.stop()


def _keeping(it: Watched) -> Any:
    async def keep(page: httpx.Response) -> None:
        await page.aread()
        if str(page.url).startswith(it.there.url):
            it.pages.append(page)

    return keep


def _keep_deliveries(patching: pytest.MonkeyPatch, deliveries: list[bytes]) -> None:
    send = SignedHttp._send

    async def sending(self: Any, request: Any) -> Any:
        deliveries.append(request.body)
        ack = await send(self, request)
        deliveries.append(str(ack.body).encode())
        return ack

    patching.setattr(SignedHttp, "_send", sending)


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
