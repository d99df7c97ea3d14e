"""The real process beside a sandbox, and everything that passed between them, kept byte for byte."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote_plus

import httpx
import psycopg
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tests.support.postgres import free_port
from tests.support.served_bot import ServedBot, served
from tests.support.user_actions import People

from sandbox import cast


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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = [scope.get("query_string", b"")]
        head += [name + b": " + text for name, text in scope.get("headers", ()) if name != b"authorization"]
        kept = Exchange(scope.get("path", ""), b"\n".join(head))
        if not kept.path.startswith("/sandbox/"):
            self.exchanges.append(kept)

        def keep(message: Message) -> bytes:
            if message["type"] in ("websocket.send", "websocket.receive"):
                self.frames.append((message.get("text") or "").encode() + (message.get("bytes") or b""))
            return bytes(message.get("body", b""))

        async def receive_and_keep() -> Message:
            message = await receive()
            kept.sent += keep(message)
            return message

        async def send_and_keep(message: Message) -> None:
            kept.received += keep(message)
            await send(message)

        await self.app(scope, receive_and_keep, send_and_keep)

    def to(self, part: str) -> list[Exchange]:
        return [exchange for exchange in self.exchanges if part in exchange.path]


class Lines(list[str]):
    """The bot's log; `crashed` is set where a planted crash is in it."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__(lines)
        self.crashed = asyncio.Event()

    def append(self, line: str) -> None:
        super().append(line)
        if "PlantedIn" in line:
            self.crashed.set()


@dataclass
class Watched:
    bot: ServedBot
    people: People
    settings: dict[str, str]
    tap: Tap
    crashed: asyncio.Event
    pages: list[httpx.Response] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    passcodes: list[str] = field(default_factory=list)

    def secrets(self) -> dict[str, str]:
        """Every secret that there was, by what it is."""
        ours = ("SLACK_BOT_TOKEN", "ENTRA_CLIENT_SECRET", "VAULT_KEYS")
        named = {name: self.settings[name] for name in ours}
        named |= {"SLACK_APP_TOKEN": cast.APP_TOKEN, "SLACK_SIGNING_SECRET": cast.SIGNING_SECRET}
        named |= {f"link {n}": text for n, text in enumerate(self.links)}
        named |= {f"passcode {n}": text for n, text in enumerate(self.passcodes)}
        for n, page in enumerate(self.pages):
            if page.url.path == "/sign-in/callback":
                codes = parse_qs(page.request.content.decode()).get("code", [])
                named |= {f"code brought back {n}": code for code in codes}
        for n, call in enumerate(self.tap.to("/oauth2/v2.0/token")):
            form = parse_qs(call.sent.decode())
            for name in {"code", "code_verifier", "refresh_token"} & form.keys():
                named[f"{name} sent {n}"] = form[name][0]
            for name in ("access_token", "refresh_token", "id_token"):
                if found := re.search(rf'"{name}": ?"([^"]+)"', call.received.decode()):
                    named[f"{name} {n}"] = found[1]
        return named

    def secrets_of_slack(self) -> dict[str, str]:
        """Response URLs: who has one may speak in the bot's name for half an hour."""
        said = b"\n".join([*self.bot.deliveries.bodies, *self.tap.frames]).decode()
        urls = re.findall(r"/slack/response/([^\"&]+)", unquote_plus(said))
        return {f"response URL {number}": url for number, url in enumerate(urls[:5])}

    def places(self) -> dict[str, bytes]:
        """Everything that no secret may be in, by what it is."""
        found = {"the log": "\n".join(self.bot.lines).encode()}
        for n, page in enumerate(self.pages):
            heads = [f"{name}: {text}" for name, text in page.headers.items() if name != "location"]
            found[f"page {page.url.path} {n}"] = "\n".join(heads).encode() + page.content
        found |= {f"delivery {n}": body for n, body in enumerate(self.bot.deliveries.bodies)}
        found |= {f"frame {n}": frame for n, frame in enumerate(self.tap.frames)}
        for n, call in enumerate(self.tap.exchanges):
            found[f"head of {call.path} {n}"] = call.path.encode() + b"?" + call.head
            if call.path.startswith(("/slack/api/", "/graph/")):
                found[f"body of {call.path} {n}"] = call.sent
        return found | dict(self._database())

    def _database(self) -> Iterator[tuple[str, bytes]]:
        url = self.settings["DATABASE_URL"]
        if url.startswith("sqlite"):
            yield from ((f"file {path.name}", path.read_bytes()) for path in self.bot.folder.iterdir())
            with closing(sqlite3.connect(self.bot.folder / "unlatch.sqlite3")) as rows:
                yield "rows", "\n".join(rows.iterdump()).encode("utf-8", "replace")
            return
        with psycopg.connect(url) as rows:
            query = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
            for (name,) in rows.execute(query).fetchall():
                dumped = rows.execute(f'SELECT t::text FROM "{name}" t').fetchall()  # noqa: S608  the server's name
                yield f"table {name}", "\n".join(text for (text,) in dumped).encode()


@asynccontextmanager
async def watched(
    folder: Path, *arguments: str, socket_mode: bool = False, **changes: str
) -> AsyncIterator[Watched]:
    """A bot process that is ready, watched from every side. `arguments` are the launcher's."""
    taps: list[Tap] = []

    def tapped(app: ASGIApp) -> ASGIApp:
        taps.append(Tap(app))
        return taps[0]

    port = str(free_port())
    command = ("tests.proofs.leaks.launcher", *arguments)
    changes |= {"PORT": port, "METRICS_PORT": port, "PUBLIC_URL": f"http://127.0.0.1:{port}"}
    async with served(folder, socket_mode=socket_mode, arguments=command, wrap=tapped, **changes) as bot:
        bot.lines = lines = Lines(bot.lines)
        it = Watched(bot, bot.people, bot.settings, taps[0], lines.crashed)

        async def keep(page: httpx.Response) -> None:
            await page.aread()
            if str(page.url).startswith(it.settings["PUBLIC_URL"]):
                it.pages.append(page)

        bot.http.event_hooks = bot.people.browser.http.event_hooks = {"response": [keep]}
        yield it
