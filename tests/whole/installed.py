"""An installed bot in this process, beside a served sandbox, over loopback; and the hands of its people."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from bot.domain.identifiers import RequestId
from bot.domain.record import Event
from bot.domain.request import ResetRequest, Status
from bot.settings import Settings
from bot.store.schema import audit
from bot.wiring import Unlatch, unlatch
from sandbox.app import Sandbox, serve
from sandbox.demo import settings as demo_settings
from sandbox.slack import Outcome
from sqlalchemy import select
from tests.web.guest_server import GuestServer
from tests.whole.browser import KEN_ACCOUNT, Browser
from tests.whole.gate import Gate

MEI, KEN, AIKO, GUS, OLGA = "U0MEI", "U0KEN", "U0AIKO", "U0GUS", "U0OLGA"
ON_CALL, SUPPORT = "C0ONCALL", "C0SUPPORT"
IPHONE, PIXEL = "5a000000-0000-4000-8000-0000000000a1", "5a000000-0000-4000-8000-0000000000b2"
ASK = "/reset-passcode ada@contoso.com locked out before her flight"


@dataclass
class Installed:
    """Everything a test touches."""

    sandbox: Sandbox
    bot: Unlatch
    gate: Gate
    url: str
    http: httpx.AsyncClient
    browser: Browser = field(default_factory=Browser)

    @property
    def slack(self) -> Any:
        return self.sandbox.slack

    async def until(self, seen: Callable[[], Any]) -> Any:
        """Wait until something shows in the sandbox's Slack."""
        return await self.slack.until(seen)

    # What people do

    async def ask(self, text: str = ASK, *, by: str = MEI) -> Outcome:
        return await self.slack.command(by, SUPPORT, text)

    async def pending(self, text: str = ASK, *, by: str = MEI) -> RequestId:
        """Ask, and wait for the card."""
        before = len(self.slack.messages(ON_CALL))
        assert (await self.ask(text, by=by)).delivered
        await self.until(lambda: len(self.slack.messages(ON_CALL)) > before)
        return self.id_on_card()

    async def signed_in(self, user: str = KEN, account: str = KEN_ACCOUNT) -> httpx.Response:
        """Sign in by the command, and close the window."""
        link = await self.link(user)
        page = await self.browser.sign_in(link, account)
        await self.until(lambda: self.title(user) not in ("Sign in", "One moment"))
        await self.slack.close(user)
        return page

    async def link(self, user: str = KEN) -> str:
        """A fresh sign-in link."""
        await self.slack.command(user, SUPPORT if user == MEI else ON_CALL, "/reset-passcode sign-in")
        await self.until(lambda: self.title(user) not in ("", "One moment"))
        return self.link_in_window(user)

    def link_in_window(self, user: str) -> str:
        [url] = re.findall(r"http://[^\s'\"]+/sign-in/[\w-]+", str(self.slack.view(user).content))
        return str(url)

    async def review(self, user: str = KEN) -> str:
        """Press Approve on the newest card; the title of the window that comes of it."""
        return await self.pressed(user, "approve")

    async def pressed(self, user: str, action: str, **where: Any) -> str:
        """Press a button in the approver channel, and wait for the window to say something."""
        if self.slack.modal(user):
            await self.slack.close(user)
        outcome = await self.slack.click(user, action, **({"channel": ON_CALL} | where))
        assert outcome.delivered, outcome
        await self.until(lambda: self.title(user) not in ("", "One moment"))
        return self.title(user)

    async def approved(self, user: str = KEN) -> None:
        """Press Approve, review, and reset."""
        assert await self.review(user) == "Review the reset", self.words(user)
        assert (await self.slack.submit(user)).delivered
        await self.until(lambda: self.title(user) not in ("Review the reset", "One moment"))
        assert self.title(user) == "Approved", self.words(user)

    # What they see

    def title(self, user: str) -> str:
        view = self.slack.modal(user)
        return view.title if view else ""

    def words(self, user: str) -> str:
        """Everything in the window in front of somebody."""
        return " ".join(texts(self.slack.view(user).content))

    def card(self) -> str:
        """All words of the newest card or reminder."""
        return self.slack.messages(ON_CALL)[-1].text

    def receipt(self, user: str = MEI) -> str:
        return self.slack.direct(user)[-1].text

    def id_on_card(self) -> RequestId:
        return RequestId(self.slack.messages(ON_CALL)[-1].metadata["event_payload"]["request_id"])

    # What is stored

    async def row(self, request_id: RequestId) -> ResetRequest:
        return await self.bot.desk.requests.get(request_id)

    async def rows(self, user: str = MEI) -> list[ResetRequest]:
        return list(await self.bot.desk.requests.recent(user, limit=50))  # type: ignore[arg-type]

    async def hurry(self, request_id: RequestId) -> None:
        """Bring the row's next look forward to now."""
        row = await self.row(request_id)
        await self.bot.desk.requests.replace(
            row, replace(row, version=row.version + 1, next_at=datetime.now(UTC))
        )
        self.bot.worker.wake()

    async def reaches(self, request_id: RequestId, status: Status) -> ResetRequest:
        """Wait until the card and the receipt have shown what the row has become."""
        while (row := await self.row(request_id)).status is not status:
            seen = self.slack.changed._next
            if row.next_at and row.status is Status.SENT and row.next_at > datetime.now(UTC):
                await self.hurry(request_id)
            async with asyncio.timeout(5):
                await seen.wait()
        return row

    async def record(self) -> list[tuple[str | None, str, str]]:
        """Who, what, and the facts, oldest first."""
        engine = self.bot.desk.requests._engine  # type: ignore[attr-defined]
        async with engine.connect() as connection:
            rows = (await connection.execute(select(audit).order_by(audit.c.id))).mappings().all()
        return [(row["actor"], row["event"], row["facts"]) for row in rows]

    async def life(self, request_id: RequestId) -> list[tuple[str, dict[str, str]]]:
        """What the record says of one request, oldest first: events and facts."""
        engine = self.bot.desk.requests._engine  # type: ignore[attr-defined]
        about = select(audit).where(audit.c.request_id == request_id).order_by(audit.c.id)
        async with engine.connect() as connection:
            rows = (await connection.execute(about)).mappings().all()
        return [(row["event"], json.loads(row["facts"])) for row in rows]

    async def until_recorded(self, event: Event, count: int) -> None:
        """Wait until so many rows of this event are on the record, and what led to them is over."""
        await self.bot.afterwork.drain(grace=timedelta(seconds=5))
        assert [what for _, what, _ in await self.record()].count(event) == count

    async def tries_refused(self) -> list[tuple[str | None, str]]:
        return [(who, facts) for who, what, facts in await self.record() if what == Event.TRY_REFUSED]


def texts(value: object) -> list[str]:
    """Every `text` in some blocks."""
    if isinstance(value, dict):
        own = [value["text"]] if isinstance(value.get("text"), str) else []
        return own + [found for part in value.values() for found in texts(part)]
    return [found for part in value for found in texts(part)] if isinstance(value, list) else []


def given(sandbox: Sandbox, port: int, folder: Path, *, socket_mode: bool, **changes: Any) -> Settings:
    """The demo's settings, changed; nothing of this machine's environment."""
    values = demo_settings(sandbox, port, folder, socket_mode=socket_mode)
    lower: dict[str, Any] = {name.lower(): value for name, value in values.items()}
    return Settings(_env_file=None, **(lower | changes))  # type: ignore[call-arg]


@asynccontextmanager
async def installed(
    folder: Path, *, socket_mode: bool = False, sandbox: Sandbox | None = None, **changes: Any
) -> AsyncIterator[Installed]:
    """A bot that is ready; `changes` are settings."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = int(listener.getsockname()[1])
    url = f"http://127.0.0.1:{port}"
    sandbox = sandbox or Sandbox(action_seconds=0.03)
    sandbox.bot_url = url
    gate = Gate(sandbox.asgi)
    sandbox.asgi = gate  # type: ignore[assignment]
    async with serve(sandbox):
        settings = given(sandbox, port, folder, socket_mode=socket_mode, **changes)
        async with unlatch(settings) as bot, _serving(bot, listener), httpx.AsyncClient(base_url=url) as http:
            there = Installed(sandbox, bot, gate, url, http)
            try:
                yield there
            finally:
                gate.release()
                await there.browser.http.aclose()


@asynccontextmanager
async def _serving(bot: Unlatch, listener: socket.socket) -> AsyncIterator[None]:
    config = uvicorn.Config(bot.asgi, log_config=None, access_log=False, lifespan="off", ws="none")
    config.timeout_graceful_shutdown = 2
    server = GuestServer(config)
    # `_serve` takes no signals: this process is the test's.
    serving = asyncio.create_task(server._serve([listener]))
    await server.listening.wait()
    try:
        yield
    finally:
        server.should_exit = server.force_exit = True
        await serving
