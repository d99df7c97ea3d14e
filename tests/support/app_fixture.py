"""A bot in this process, wired by `bot.app`, over loopback beside a served sandbox, and what tests see."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import httpx
from bot.app import App, unlatch
from bot.domain.audit import Event
from bot.domain.request import ResetRequest, Status
from bot.domain.values import RequestId, UserId
from bot.settings import Settings
from bot.store import requests, tables
from bot.timing import Timing
from bot.web.app import listen, serving
from sandbox.app import Sandbox, serve
from sandbox.cast import DEFAULT_CAST, SIGNING_SECRET, TENANT_ID
from sandbox.demo import settings as demo_settings
from sandbox.intune.fleet import Role, Traps
from sqlalchemy import delete, func, select
from starlette.types import ASGIApp
from tests.support.signature import signed
from tests.support.user_actions import KEN, LOOPBACK_TLS, MEI, PATIENCE, Json, People

ADA = "ada@contoso.com locked out before her flight"
"""Whose only device is the iPhone."""
TOMAS = "serial:59040DLJH001 locked out in the field"
"""Names the Pixel."""
SOON = timedelta(milliseconds=60)


class FastTiming(Timing):
    """The same life with short pauses; a device is asked again soon, and may be reset often."""

    def poll_after(self, waited: timedelta) -> timedelta:
        return min(SOON, Timing.poll_after(self, waited))


FAST = FastTiming(
    **dict.fromkeys(("verify_retry", "send_retry", "retry", "unready"), SOON),
    **dict.fromkeys(("settle", "socket_ping"), timedelta(seconds=2)),
    **dict.fromkeys(("acknowledgement_drawn", "entra_away"), timedelta(milliseconds=1)),
    recently=timedelta(microseconds=1),
    idle=timedelta(seconds=1),
)


class Deliveries(httpx.AsyncHTTPTransport):
    """Slack's way to the bot's HTTP server: keeps what goes over it, and forges it as asked."""

    def __init__(self) -> None:
        super().__init__(verify=LOOPBACK_TLS)
        self.bodies: list[bytes] = []
        """What Slack delivered, and what the bot answered."""
        self._forge: Callable[[Json], Json] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        if self._forge is not None:
            payload = self._forge(json.loads(parse_qs(body.decode())["payload"][0]))
            body = urlencode({"payload": json.dumps(payload)}).encode()
            headers = signed(body, at=datetime.now(UTC), secret=SIGNING_SECRET)
            request = httpx.Request("POST", request.url, headers=headers, content=body)
        self.bodies.append(body)
        answer = await super().handle_async_request(request)
        self.bodies.append(await answer.aread())
        return answer

    @contextmanager
    def forging(self, forge: Callable[[Json], Json]) -> Iterator[None]:
        """Change every interaction on its way, and sign it again: what only a holder of the secret can."""
        self._forge = forge
        try:
            yield
        finally:
            self._forge = None


@dataclass
class Scene:
    """A sandbox, the people at it, and both ways to the bot that is to listen at `url`."""

    url: str
    sandbox: Sandbox
    people: People
    deliveries: Deliveries
    http: httpx.AsyncClient

    async def pending(self, text: str = ADA, *, by: str = MEI) -> RequestId:
        """Ask, and wait for the card."""
        known = set(self.people.offered("approve"))
        await self.people.command(by, text)
        found = await self.people.until(lambda: set(self.people.offered("approve")) - known)
        return RequestId(found.pop())


@asynccontextmanager
async def scene_of(
    port: int, wrap: Callable[[ASGIApp], ASGIApp] = lambda app: app, *, grid: bool = False
) -> AsyncIterator[Scene]:
    """Serve a sandbox for a bot at this port; `wrap` goes around it."""
    url, deliveries = f"http://127.0.0.1:{port}", Deliveries()
    sandbox = Sandbox(bot_url=url, action_seconds=0.03, transport=deliveries)
    sandbox.asgi = wrap(sandbox.asgi)
    if grid:
        sandbox.slack.workspace.become_grid(KEN)
    async with (
        serve(sandbox),
        aclosing(People(sandbox)) as people,
        httpx.AsyncClient(base_url=url, trust_env=False, verify=LOOPBACK_TLS) as http,
    ):
        yield Scene(url, sandbox, people, deliveries, http)


@dataclass
class Bot(Scene):
    app: App
    _audit_seen: int = 0

    async def review(self, user: str = KEN) -> str:
        """Press Approve on the newest card; the title of the modal that comes of it."""
        return await self.people.open(user, "approve")

    async def pending_for_ken(self, text: str = ADA) -> RequestId:
        """Ask, wait for the card, and sign Ken in."""
        request_id = await self.pending(text)
        await self.people.sign_in()
        return request_id

    async def done(self, text: str = TOMAS) -> RequestId:
        """Ask, approve, and wait until the device is reset."""
        request_id = await self.pending(text)
        await self.people.approve()
        await self.reaches(request_id, Status.DONE)
        return request_id

    async def reaches(self, request_id: RequestId, status: Status) -> ResetRequest:
        """Wait until Slack shows something new and the row has this status."""
        async with asyncio.timeout(PATIENCE):
            while True:
                changed = self.sandbox.next_change()
                if (row := await self.row(request_id)).status is status:
                    return row
                await changed.wait()

    async def row(self, request_id: RequestId) -> ResetRequest:
        return await self.app.deps.get_request(request_id)

    async def rows(self, user: str = MEI) -> list[ResetRequest]:
        read, log = self.app.deps.database.read, self.app.deps.database.audit_log
        return list(await read(lambda c: requests.recent_requests(c, [UserId(user)], log, limit=50)))

    async def execute(self, statement: Any) -> None:
        """Change rows behind the bot's back."""
        await self.app.deps.database.run(lambda tx: tx.execute(statement) and None)

    async def audit_rows(self, request_id: str = "") -> list[tuple[str | None, str, dict[str, str]]]:
        """Actor, event and facts of every audit row of this test, or of one request, oldest first."""
        log = tables.audit.c
        wanted = select(log.actor, log.event, log.facts).where(log.seq > self._audit_seen).order_by(log.seq)
        if request_id:
            wanted = wanted.where(log.request_id == request_id)
        rows = await self.app.deps.database.read(lambda c: c.execute(wanted).all())
        return [(actor, event, json.loads(facts)) for actor, event, facts in rows]

    async def refused(self, event: Event = Event.ACCESS_REFUSED) -> list[tuple[str | None, str]]:
        """Whom the audit log says was refused, and why, once nothing is under way any more."""
        await self.app.background.drain(grace=FAST.grace)
        rows = await self.audit_rows()
        return [(who, facts.get("refusal") or facts["cause"]) for who, what, facts in rows if what == event]

    async def redeliver(self) -> None:
        assert (await self.sandbox.slack.redeliver_last()).outcome == "ok"

    async def post(self, body: bytes, *, secret: str = SIGNING_SECRET) -> httpx.Response:
        """Deliver an interaction that nobody made in Slack."""
        headers = signed(body, at=datetime.now(UTC), secret=secret)
        return await self.http.post("/slack/events", content=body, headers=headers)

    async def clear(self) -> None:
        """Forget requests and sign-ins, close modals, and put people, channels and roles as they were."""
        await self.people.clear_faults()
        await self.app.background.drain(grace=FAST.grace)
        for user in self.people.state["modals"]:
            await self.people.close(user)
        for table in (tables.requests, tables.sign_in_links, tables.sign_ins):
            await self.execute(delete(table))
        newest = select(func.max(tables.audit.c.seq))
        self._audit_seen = await self.app.deps.database.read(lambda c: c.execute(newest).scalar_one())
        workspace = self.sandbox.slack.workspace
        workspace.people.update({person.id: person for person in DEFAULT_CAST.people})
        for channel in DEFAULT_CAST.channels:
            workspace.conversations[channel.id].members[:] = channel.members
        for account in DEFAULT_CAST.accounts:
            if account.tenant_id == TENANT_ID:
                self.sandbox.intune.set_role(account.oid, Role(reset_passcode=account.reset_passcode))
                self.sandbox.intune.demand_claims(account.oid, "")
        self.sandbox.intune.set_traps(Traps())
        self.sandbox.entra.multitenant, self.sandbox.entra.tamper = False, {}


def with_value(payload: Json, value: str, action: str = "") -> Json:
    """The press with another value behind the button, and on another button where one is named."""
    [pressed] = payload["actions"]
    return payload | {"actions": [pressed | {"value": value, "action_id": action or pressed["action_id"]}]}


def by_user(payload: Json, user: str, team: str) -> Json:
    return payload | {"user": {"id": user, "team_id": team}}


@asynccontextmanager
async def running_bot(
    folder: Path, *, socket_mode: bool = False, timing: Timing = FAST, grid: bool = False, **settings: Any
) -> AsyncIterator[Bot]:
    """A bot that is ready; `settings` replace the demo's. `grid`: Slack has two ids for each person."""
    listener = listen("127.0.0.1", 0)
    port = int(listener.getsockname()[1])
    async with scene_of(port, grid=grid) as scene:
        demo = demo_settings(scene.sandbox, port, folder, socket_mode=socket_mode)
        given = {name.lower(): value for name, value in demo.items()} | {"asks_per_hour": 1000} | settings
        chosen = Settings(**given)
        async with (
            unlatch(chosen, timing=timing) as app,
            serving(app.asgi, listener, grace=timedelta(seconds=1)),
        ):
            rules = replace(app.deps.rules, open_requests=1000, presses_per_minute=1000)
            object.__setattr__(app.deps, "rules", rules)  # tests are faster than people
            yield Bot(**vars(scene), app=app)
