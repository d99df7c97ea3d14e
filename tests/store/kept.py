"""What the store's tests keep: requests by the dozen, and the two kinds of place to keep them in."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from bot.domain.identifiers import RequestId, TeamId, UserId
from bot.domain.limits import Quota
from bot.domain.record import Entry, Event
from bot.domain.request import ResetRequest
from bot.domain.target import Target, TargetKind
from bot.ports import Chain, Record, Requests
from bot.store import Store, open_store
from sqlalchemy import text
from tests.fakes.store import FakeChain, FakeRequests

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LEASE = timedelta(seconds=90)
KEN, AIKO = UserId("U0KEN"), UserId("U0AIKO")
PLENTY = Quota(key="anybody", limit=1_000_000)
_numbers = count(1)


def a_request(*, after: timedelta = timedelta(0), asked_by: UserId = KEN) -> ResetRequest:
    """A new ask, due at once; `after` noon."""
    number = next(_numbers)
    return ResetRequest(
        id=RequestId(f"{number:032x}"),
        delivery=f"trigger.{number}",
        team=TeamId("T0"),
        asked_by=asked_by,
        asked_by_team=TeamId("T0"),
        asked_at=NOON + after,
        target=Target(TargetKind.PERSON, "mei@contoso.com"),
        reason="locked out",
        changed_at=NOON + after,
        next_at=NOON + after,
    )


def moved(request: ResetRequest, *, at: datetime = NOON, next_at: datetime | None = None) -> ResetRequest:
    """The request one move on."""
    return replace(request, version=request.version + 1, changed_at=at, next_at=next_at)


def an_entry(request: ResetRequest | None = None, event: Event = Event.ASKED) -> Entry:
    """A row for the record."""
    return Entry(event=event, at=NOON, actor=KEN, request_id=request.id if request else None)


@dataclass(frozen=True)
class Kept:
    """One place to keep rows in: this process's view of it, another's, and the words of its record."""

    requests: Requests
    elsewhere: Requests
    """The same rows, as another process sees them."""
    record: Record
    events: Callable[[], Awaitable[Sequence[str]]]
    chain: Chain
    chain_elsewhere: Chain


def in_memory() -> Kept:
    """The fake."""
    requests = FakeRequests()

    async def events() -> Sequence[str]:
        return [entry.event.value for entry in requests.record.entries]

    chain = FakeChain(requests.record)
    return Kept(requests, requests.as_another_process(), requests.record, events, chain, chain)


def in_sql(here: Store, elsewhere: Store) -> Kept:
    """The real one, opened twice."""

    async def events() -> Sequence[str]:
        async with here.engine.begin() as connection:
            return (await connection.scalars(text("SELECT event FROM audit ORDER BY id"))).all()

    return Kept(here.requests, elsewhere.requests, here.record, events, here.chain, elsewhere.chain)


def opened(path: Path) -> Store:
    """The store in the file."""
    return open_store(f"sqlite:///{path}")
