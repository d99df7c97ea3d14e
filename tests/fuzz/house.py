"""The whole bot as `bot/wiring.py` ties it together, over SQLite, with far sides in this process."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any, Final

import httpx
from bot import wiring
from bot.domain.clouds import ENDPOINTS, Cloud
from bot.domain.identifiers import DeviceId, RequestId, TeamId, UserId
from bot.domain.limits import Limits, asks_of
from bot.domain.people import Actor
from bot.domain.record import Entry, Event
from bot.domain.request import Approval, ResetRequest, Status
from bot.domain.target import Target, TargetKind
from bot.entra import Authority, Credential, EntraClient, new_key
from bot.graph.devices import GraphDevices
from bot.graph.http import graph_client
from bot.resets.sign_in import Continuation, offer
from bot.settings import Settings
from bot.slack import conversation
from bot.store import Store, migrate, open_store
from slack_bolt.authorization import AuthorizeResult
from tests.fuzz.far_sides import AUTHORITY, CLIENT_ID, TEAM, TENANT_ID, Microsoft, Session, no_graph
from tests.slack.slack_rows import in_every_status

SIGNING_SECRET: Final = "8f742231b10e8888abcd99yyyzzz85a5"
GRACE: Final = timedelta(seconds=20)
US: Final = AuthorizeResult(enterprise_id=None, team_id=TEAM, bot_user_id="U0UNLATCH", bot_token="xoxb-fuzz")
SETTLED: Final = frozenset(Status) - {Status.RECEIVED, Status.PENDING, Status.APPROVED, Status.SENT}
_MEMORY: Final = Path("/dev/shm")  # noqa: S108  a folder of its own in it; only faster than the disk


@dataclass
class House:
    """One bot, and what inputs may name in it: `$WORD` in an input becomes what `words` says."""

    bot: wiring.Unlatch
    store: Store
    slack: Session
    microsoft: Microsoft
    words: dict[str, str] = field(default_factory=dict)

    def named(self, text: str) -> str:
        """The text with this house's own ids in it."""
        for word, meant in self.words.items():
            text = text.replace(word, meant)
        return text

    async def settle(self) -> None:
        """What goes on after the acknowledgement, and what the worker makes of it."""
        await self.bot.afterwork.drain(grace=GRACE)
        for _ in range(5):
            woken = [lane for lane in self.bot.worker.lanes if lane._due.is_set()]
            for lane in woken:
                lane._due.clear()
                await lane._guarded_pass()
                await asyncio.gather(*lane.at_work)
            if not woken:
                return

    async def link(self) -> str:
        """The secret of a fresh sign-in link of Ken's."""
        ken = Actor(user=UserId("U0KEN"), team=TeamId(TEAM))
        invitation = await offer(self.bot.desk, ken, TeamId(TEAM), Continuation(view_id="V1"))
        return invitation.url.rpartition("/")[2]

    async def pending(self, request_id: str) -> ResetRequest:
        return await self.store.requests.get(RequestId(request_id))


@asynccontextmanager
async def house() -> AsyncIterator[House]:
    """A house with one request in every state; nobody in it is signed in."""
    async with AsyncExitStack() as stack:
        stack.enter_context(_without_waits_and_limits())
        folder = stack.enter_context(TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None))
        shutil.copy(_template(), f"{folder}/fuzz.sqlite3")
        settings = _settings(f"sqlite:///{folder}/fuzz.sqlite3")
        store = open_store(settings.database_url)
        stack.push_async_callback(store.close)
        slack, microsoft = Session(), Microsoft()
        http = await stack.enter_async_context(graph_client(httpx.MockTransport(no_graph)))
        devices = GraphDevices(http, "https://graph.example/v1.0", wiring.SystemClock())
        entra = entra_client(microsoft)
        stack.callback(entra.close)
        bot = wiring._assembled(settings, store, slack.client, US, devices, entra, {})
        made = House(bot, store, slack, microsoft)
        await _furnish(made)
        yield made


@contextmanager
def _without_waits_and_limits() -> Iterator[None]:
    """Nothing is drawn here, and one person sends everything."""
    drawn_after, limits = conversation.DRAWN_AFTER, wiring.Limits
    conversation.DRAWN_AFTER = timedelta(0)  # type: ignore[misc]  # put back below
    wiring.Limits = lambda **_: Limits(asks=10**9, links=10**9)  # type: ignore[misc, assignment]  # as above
    try:
        yield
    finally:
        conversation.DRAWN_AFTER, wiring.Limits = drawn_after, limits  # type: ignore[misc]  # as above


def entra_client(transport: httpx.BaseTransport, *, secret: str | None = "fuzz") -> EntraClient:
    """A client of the Entra behind `transport`; without a secret, as device codes have it."""
    return EntraClient(
        Authority.parse(AUTHORITY),
        tenant=TENANT_ID,
        client_id=CLIENT_ID,
        credential=None if secret is None else Credential.secret(secret),
        scopes=ENDPOINTS[Cloud.GLOBAL].scopes,
        transport=transport,
    )


@cache
def _template() -> Path:
    """An empty database, made once a process."""
    path = Path(mkdtemp(prefix="unlatch-fuzz-")) / "empty.sqlite3"
    migrate(f"sqlite:///{path}")
    return path


def _settings(database_url: str) -> Settings:
    values: Mapping[str, Any] = {
        "slack_bot_token": "xoxb-fuzz",
        "slack_signing_secret": SIGNING_SECRET,
        "approver_channel": "C0ONCALL",
        "requesters": "channel:C0SUPPORT",
        "approvers": "usergroup:S0ONCALL",
        "entra_tenant_id": TENANT_ID,
        "entra_client_id": CLIENT_ID,
        "entra_client_secret": "fuzz",
        "entra_authority": AUTHORITY,
        "public_url": "https://unlatch.example",
        "database_url": database_url,
        "vault_keys": new_key(),
    }
    return Settings(_env_file=None, **values)  # type: ignore[call-arg]  # pydantic's own argument


def _of_its_own(row: ResetRequest, number: int) -> Approval | None:
    """A device of its own for every row: one attempt holds a device."""
    if row.approval is None:
        return None
    return replace(row.approval, device=replace(row.approval.device, id=DeviceId(f"device-{number}")))


async def _furnish(made: House) -> None:
    now = datetime.now(UTC)
    for number, row in enumerate(in_every_status()):
        request_id = RequestId(f"{number:032x}")
        kept = replace(
            row,
            id=request_id,
            target=Target(TargetKind.PERSON, f"ada{number}@contoso.com"),
            approval=_of_its_own(row, number),
            holds=None if row.holds is None else DeviceId(f"device-{number}"),
            delivery=f"furniture-{number}",
            changed_at=now,
            expires_at=now + timedelta(hours=1),
            next_at=None,
        )
        entry = Entry(event=Event.ASKED, at=now, actor=row.asked_by, request_id=request_id)
        await made.store.requests.add(kept, entry, asks_of(row.asked_by, Limits(asks=10**9)))
        made.words.setdefault(f"${row.status.upper()}", request_id)
        if row.status is Status.PENDING:
            made.words.setdefault("$ROUND", str(kept.round))
    made.words["$REQUEST"] = made.words["$PENDING"]
    for lane in made.bot.worker.lanes:
        lane.wake()
    await made.settle()
