"""The sign-in room in front of the sandbox's Entra, in this process: a line that can fail, rows in memory."""

import asyncio
import hashlib
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Final
from urllib.parse import parse_qs

import httpx
from bot.domain.clouds import ENDPOINTS, Cloud
from bot.domain.errors import LostRace, TooOften
from bot.domain.identifiers import TeamId, UserId
from bot.domain.limits import Quota
from bot.domain.people import Account
from bot.domain.record import Entry
from bot.domain.secret import Secret
from bot.domain.sign_in import TICKET_LIFE, Ticket
from bot.entra import (
    Authority,
    Credential,
    EntraClient,
    EntraCodes,
    EntraLinks,
    EntraSignIns,
    Vault,
    new_key,
)
from bot.ports import Arrival, LinkRow, SignInRow
from sandbox.cast import CLIENT_ID, CLIENT_SECRET, DEFAULT_CAST, TENANT_ID
from sandbox.clock import HandClock
from sandbox.entra import Entra, SigningKey
from sandbox.journal import Journal
from starlette.applications import Starlette

from sandbox import cast

BASE: Final = "http://127.0.0.1:8080"
PUBLIC: Final = "https://unlatch.contoso.com"
CALLBACK: Final = f"{PUBLIC}/sign-in/callback"
KEN: Final = UserId(cast.KEN.id)
AIKO: Final = UserId(cast.AIKO.id)
OIDS: Final = {account.upn: account.oid for account in DEFAULT_CAST.accounts}
KEN_OID: Final = OIDS["ken@contoso.com"]
AIKO_OID: Final = OIDS["aiko@contoso.com"]
STEP_UP: Final = '{"access_token": {"acrs": {"essential": true, "value": "c1"}}}'
ANOTHER_KEY: Final = SigningKey.fresh("sandbox-1")
"""Of the same name as the sandbox's, but another one."""
KEY: Final = new_key()

PLENTY = Quota(key="anybody", limit=1_000_000)


class Line(httpx.BaseTransport):
    """The wire to the sandbox: counts, may be cut, may answer something else."""

    def __init__(self, app: Starlette) -> None:
        self._transport = httpx.ASGITransport(app)
        self.sent: list[httpx.Request] = []
        self.instead: Callable[[httpx.Request], httpx.Response | None] = lambda _request: None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert threading.current_thread() is not threading.main_thread(), "this would block the event loop"
        request.read()
        self.sent.append(request)
        other = self.instead(request)
        return other if other is not None else asyncio.run(self._answer(request))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        answer = await self._transport.handle_async_request(request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())

    def cut(self) -> None:
        def down(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("no route", request=request)

        self.instead = down

    def mend(self) -> None:
        self.instead = lambda _request: None

    def answer(self, status: int, text: str) -> None:
        self.instead = lambda _request: httpx.Response(status, text=text)

    def forms(self, grant: str) -> list[dict[str, str]]:
        """What was posted to the token endpoint for this grant."""
        posted = [parse_qs(request.content.decode()) for request in self.sent if request.method == "POST"]
        forms = [{name: values[0] for name, values in form.items()} for form in posted]
        return [form for form in forms if form.get("grant_type") == grant]


class TicketRowsInMemory:
    def __init__(self) -> None:
        self.tickets: dict[str, Ticket] = {}
        self.flows: dict[str, tuple[Ticket, bytes, datetime]] = {}

    async def add(self, ticket: Ticket, _quota: Quota) -> None:
        await asyncio.sleep(0)
        self.tickets[ticket.digest] = ticket

    async def find(self, digest: str, *, now: datetime) -> LinkRow | None:
        await asyncio.sleep(0)
        for state, (begun, flow, until) in self.flows.items():
            if begun.digest == digest and now < until:
                return LinkRow(begun, state, flow)
        ticket = self.tickets.get(digest)
        return LinkRow(ticket) if ticket and now < ticket.expires_at else None

    async def begin(self, digest: str, *, state_digest: str, flow: bytes, now: datetime) -> bool:
        if await self.find(digest, now=now) is None or digest not in self.tickets:
            return False
        self.flows[state_digest] = (self.tickets.pop(digest), flow, now + TICKET_LIFE)
        return True

    async def hold(self, ticket: Ticket, *, key: str, arrival: bytes, now: datetime) -> None:
        await asyncio.sleep(0)
        self.flows[key] = (replace(ticket, digest=key), arrival, now + TICKET_LIFE)

    async def take(self, state_digest: str, *, now: datetime) -> tuple[Ticket, bytes] | None:
        await asyncio.sleep(0)
        ticket, flow, until = self.flows.pop(state_digest, (None, b"", now))
        return (ticket, flow) if ticket and now < until else None

    async def sealed(self) -> Sequence[bytes]:
        await asyncio.sleep(0)
        return [flow for _, flow, _ in self.flows.values()]

    async def sweep(self, *, now: datetime) -> int:
        await asyncio.sleep(0)
        old = [key for key, (_, _, until) in self.flows.items() if until <= now]
        for key in old:
            del self.flows[key]
        return len(old)


@dataclass
class Code:
    ticket: Ticket
    flow: bytes
    poll_at: datetime


class CodeRowsInMemory:
    def __init__(self) -> None:
        self.codes: dict[str, Code] = {}

    async def spend(self, quota: Quota, *, now: datetime) -> None:
        await asyncio.sleep(0)
        if quota.limit <= 0:
            raise TooOften(limit=quota.limit, until=quota.until(now), first=True)

    async def add_code(self, ticket: Ticket, *, flow: bytes, poll_at: datetime) -> None:
        await asyncio.sleep(0)
        self.codes[ticket.digest] = Code(ticket, flow, poll_at)

    async def due_codes(self, *, now: datetime, lease: timedelta, limit: int) -> Sequence[LinkRow]:
        await asyncio.sleep(0)
        due = [code for code in self.codes.values() if code.poll_at <= now][:limit]
        for code in due:
            code.poll_at = now + lease
        return [LinkRow(code.ticket, flow=code.flow) for code in due]

    async def poll_again(self, digest: str, *, poll_at: datetime, flow: bytes) -> None:
        await asyncio.sleep(0)
        if digest in self.codes:
            self.codes[digest] = replace(self.codes[digest], poll_at=poll_at, flow=flow)

    async def end_code(self, digest: str) -> bool:
        await asyncio.sleep(0)
        return self.codes.pop(digest, None) is not None

    async def next_code(self) -> datetime | None:
        await asyncio.sleep(0)
        return min((code.poll_at for code in self.codes.values()), default=None)


class SignInRowsInMemory:
    def __init__(self) -> None:
        self.rows: dict[UserId, SignInRow] = {}
        self.entries: list[Entry] = []
        """What the record says."""
        self.before_update: Callable[[], None] = lambda: None

    async def get(self, user: UserId) -> SignInRow | None:
        await asyncio.sleep(0)
        return self.rows.get(user)

    async def after(self, user: UserId | None, *, limit: int) -> Sequence[SignInRow]:
        await asyncio.sleep(0)
        return [self.rows[key] for key in sorted(self.rows) if user is None or key > user][:limit]

    async def older(self, than: datetime, *, limit: int) -> Sequence[SignInRow]:
        await asyncio.sleep(0)
        return [row for row in self.rows.values() if row.signed_in_at <= than][:limit]

    async def unseen(self, *, since: datetime, now: datetime, limit: int) -> Sequence[UserId]:
        raise NotImplementedError(since, now, limit)

    async def tied_to(self, tenant: str, oid: str) -> UserId | None:
        await asyncio.sleep(0)
        return next((row.user for row in self.rows.values() if (row.tenant, row.oid) == (tenant, oid)), None)

    async def put(self, row: SignInRow) -> None:
        if await self.tied_to(row.tenant, row.oid) not in (None, row.user):
            raise LostRace
        before = self.rows.get(row.user)
        self.rows[row.user] = replace(row, version=before.version + 1 if before else 1)

    async def update_cache(self, user: UserId, *, version: int, key_id: str, sealed: bytes) -> bool:
        await asyncio.sleep(0)
        self.before_update()
        row = self.rows.get(user)
        if row is None or row.version != version:
            return False
        self.rows[user] = replace(row, version=version + 1, key_id=key_id, sealed=sealed)
        return True

    async def delete(self, user: UserId, entry: Entry, *, version: int | None = None) -> bool:
        await asyncio.sleep(0)
        row = self.rows.get(user)
        if row is None or version not in (None, row.version):
            return False
        del self.rows[user]
        self.entries.append(entry)
        return True


@dataclass
class Replica:
    """One process: its links, its device codes, and the sign-ins that it sees."""

    links: EntraLinks
    codes: EntraCodes
    sign_ins: EntraSignIns


class EntraDesk:
    """Everything that a test touches."""

    def __init__(self, credential: Credential | None = None) -> None:
        self.clock = HandClock(datetime.now(UTC))
        self.entra = Entra(DEFAULT_CAST, self.clock, Journal(self.clock), BASE, redirect_uris=[CALLBACK])
        self.app = Starlette(routes=self.entra.routes())
        self.line = Line(self.app)
        self.browser = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=BASE)
        self.tickets = TicketRowsInMemory()
        self.rows = SignInRowsInMemory()
        self.credential = credential or Credential.secret(CLIENT_SECRET)
        self.code_rows = CodeRowsInMemory()
        here = self.process()
        self.links, self.codes, self.sign_ins = here.links, here.codes, here.sign_ins
        self._links = 0

    def replica(self, *keys: str, **changes: str) -> EntraSignIns:
        """The sign-ins as another process sees them."""
        return self.process(*keys, **changes).sign_ins

    def process(
        self,
        *keys: str,
        credential: Credential | None = None,
        public: bool = False,
        fresh_within: timedelta | None = None,
        **changes: str,
    ) -> Replica:
        """A process of its own over the same rows. `public`: it has no secret, as for device codes."""
        options = {"authority": f"{BASE}/entra/{TENANT_ID}/v2.0", "tenant": TENANT_ID, "client_id": CLIENT_ID}
        options |= changes
        client = EntraClient(
            Authority.parse(options["authority"]),
            tenant=options["tenant"],
            client_id=options["client_id"],
            credential=None if public else credential or self.credential,
            scopes=ENDPOINTS[Cloud.GLOBAL].scopes,
            fresh_within=fresh_within,
            transport=self.line,
        )
        vault = Vault(keys or (KEY,))
        return Replica(
            EntraLinks(client, vault, self.tickets, self.clock, public_url=PUBLIC),
            EntraCodes(client, vault, self.code_rows, self.clock),
            EntraSignIns(client, vault, self.tickets, self.rows, self.clock),
        )

    def a_ticket(self, secret: Secret, user: UserId = KEN, claims: str | None = None) -> Ticket:
        """A ticket of this user."""
        return Ticket(
            digest=hashlib.sha256(secret.reveal().encode()).hexdigest(),
            team=TeamId(cast.CONTOSO.id),
            user=user,
            expires_at=self.clock.now() + TICKET_LIFE,
            claims=claims,
        )

    async def link(self, user: UserId = KEN, claims: str | None = None) -> Secret:
        """A ticket of this user, stored; returns its text."""
        self._links += 1
        secret = Secret(f"link-{self._links}")
        await self.links.invite(self.a_ticket(secret, user, claims), secret, PLENTY)
        return secret

    async def come_back(self, url: str, oid: str = KEN_OID) -> dict[str, str]:
        """Open Microsoft's page, pick an account, and return what the browser posts to Unlatch."""
        page = await self.browser.get(url)
        assert page.status_code == 200, page.text
        [flow] = re.findall(r'name="flow" value="([^"]+)"', page.text)
        [action] = re.findall(r'<form method="post" action="([^"]+)"', page.text)
        answer = await self.browser.post(action, data={"flow": unescape(flow), "account": oid})
        fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', answer.text)
        return {name: unescape(value) for name, value in fields}

    async def returned(
        self, user: UserId = KEN, oid: str = KEN_OID, claims: str | None = None
    ) -> dict[str, str]:
        """What the browser carries back from a whole sign-in, not yet redeemed."""
        url = await self.links.begin(await self.link(user, claims), login_hint=None)
        return await self.come_back(url, oid)

    async def arrive(self, user: UserId = KEN, oid: str = KEN_OID, claims: str | None = None) -> Arrival:
        return await self.links.finish(await self.returned(user, oid, claims))

    async def sign_in(self, user: UserId = KEN, oid: str = KEN_OID, claims: str | None = None) -> Account:
        arrival = await self.arrive(user, oid, claims)
        await self.sign_ins.keep(user, arrival)
        return arrival.account
