"""Requests, record and chain in memory, as the real ones keep them; they pass the store's own tests."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bot.domain.chain import Head, Tip, linked, stored
from bot.domain.errors import AlreadyAsked, DeviceBusy, LostRace, StoreAway, TooOften, UnknownRequest
from bot.domain.identifiers import RequestId, UserId
from bot.domain.limits import Quota
from bot.domain.record import Entry, Event
from bot.domain.request import ResetRequest, Status
from bot.domain.status import HOLDING
from bot.ports import Claimed, Lane, Shown


@dataclass
class FakeRecord:
    """Set `away` to have every call fail as a database that does not answer."""

    entries: list[Entry] = field(default_factory=list)
    away: bool = False

    async def note(self, entry: Entry) -> None:
        await self.answer()
        self.entries.append(entry)

    async def newest(self, event: Event) -> Mapping[str, str] | None:
        await self.answer()
        return next((entry.facts for entry in reversed(self.entries) if entry.event is event), None)

    async def answer(self) -> None:
        """Yield once, so that races show; then answer, or not."""
        await asyncio.sleep(0)
        if self.away:
            raise StoreAway


@dataclass
class FakeChain:
    """The chain over a fake record, in which every row is linked as it is noted."""

    record: FakeRecord
    heads: dict[int, Head] = field(default_factory=dict)

    async def adopt(self) -> int:
        await self.record.answer()
        return 0

    async def tip(self) -> Tip:
        await self.record.answer()
        tip = Tip()
        for link in linked(tip, (stored(id_, each) for id_, each in enumerate(self.record.entries, start=1))):
            tip = Tip(link.seq, link.hash)
        return tip

    async def signed_to(self) -> int:
        await self.record.answer()
        return max(self.heads, default=0)

    async def keep(self, head: Head) -> bool:
        await self.record.answer()
        return self.heads.setdefault(head.seq, head) is head


@dataclass
class Row:
    """A request and what its lanes know of it."""

    request: ResetRequest
    show_at: datetime | None
    shown: Shown = field(default_factory=Shown)
    leases: dict[Lane, datetime] = field(default_factory=dict)

    def due_at(self, lane: Lane) -> datetime | None:
        return self.request.next_at if lane is Lane.DRIVE else self.show_at

    def free_at(self, lane: Lane) -> datetime | None:
        """When the row is both due and held by nobody."""
        due_at = self.due_at(lane)
        return None if due_at is None else max(due_at, self.leases.get(lane, due_at))


@dataclass
class FakeRequests:
    record: FakeRecord = field(default_factory=FakeRecord)
    rows: dict[RequestId, Row] = field(default_factory=dict)
    quotas: dict[tuple[str, datetime], int] = field(default_factory=dict)
    _held: dict[tuple[Lane, RequestId], datetime] = field(default_factory=dict)

    async def add(self, request: ResetRequest, entry: Entry, quota: Quota) -> ResetRequest:
        await self.record.answer()
        for row in self.rows.values():
            if row.request.delivery == request.delivery:
                return row.request
        self._spend(quota, request.asked_at)
        self.rows[request.id] = Row(request, show_at=request.changed_at)
        self.record.entries.append(entry)
        return request

    async def get(self, request_id: RequestId) -> ResetRequest:
        await self.record.answer()
        if request_id not in self.rows:
            raise UnknownRequest
        return self.rows[request_id].request

    async def replace(self, old: ResetRequest, new: ResetRequest, entry: Entry | None = None) -> None:
        await self.record.answer()
        row = self.rows.get(old.id)
        if row is None or row.request.version != old.version:
            raise LostRace
        self._check_free(new)
        row.request, row.show_at = new, new.changed_at
        if entry is not None:
            self.record.entries.append(entry)

    async def recent(self, user: UserId, *, limit: int) -> Sequence[ResetRequest]:
        await self.record.answer()
        theirs = [row.request for row in self.rows.values() if row.request.asked_by == user]
        return sorted(theirs, key=lambda request: request.asked_at, reverse=True)[:limit]

    async def waiting(self, *, limit: int) -> Sequence[ResetRequest]:
        await self.record.answer()
        pending = [row.request for row in self.rows.values() if row.request.status is Status.PENDING]
        return sorted(pending, key=lambda request: request.asked_at)[:limit]

    async def claim(self, lane: Lane, *, now: datetime, lease: timedelta, limit: int) -> Sequence[Claimed]:
        await self.record.answer()
        due = [(row.due_at(lane), row) for row in self.rows.values()]
        free = [
            (at, row) for at, row in due if at is not None and at <= now and (row.free_at(lane) or at) <= now
        ]
        claimed = [row for _, row in sorted(free, key=lambda pair: pair[0])[:limit]]
        for row in claimed:
            row.leases[lane] = self._held[lane, row.request.id] = now + lease
        return [Claimed(row.request, row.shown) for row in claimed]

    async def release(self, lane: Lane, request: ResetRequest, *, again_at: datetime | None) -> None:
        await self.record.answer()
        until = self._held.pop((lane, request.id), None)
        row = self.rows[request.id]
        if until is None or row.leases.get(lane) != until:
            return
        del row.leases[lane]
        if row.request.version == request.version:
            self._set_due(lane, row, again_at)

    async def save_shown(self, request_id: RequestId, shown: Shown) -> None:
        await self.record.answer()
        self.rows[request_id].shown = shown

    async def next_due(self, lane: Lane) -> datetime | None:
        await self.record.answer()
        times = [row.free_at(lane) for row in self.rows.values()]
        return min((at for at in times if at is not None), default=None)

    def as_another_process(self) -> "FakeRequests":
        """The same rows, seen by a process that holds no lease."""
        return FakeRequests(self.record, self.rows, self.quotas)

    def _check_free(self, new: ResetRequest) -> None:
        """What the unique indexes of the real ones refuse."""
        others = [row.request for row in self.rows.values() if row.request.id != new.id]
        for other in others:
            if new.holds is not None and other.holds == new.holds and other.status in HOLDING:
                raise DeviceBusy(other.ref)
        for other in others:
            if new.open_target is not None and other.open_target == new.open_target:
                raise AlreadyAsked(other.ref, other.asked_by)

    def _spend(self, quota: Quota, now: datetime) -> None:
        window = quota.key, quota.window(now)
        self.quotas[window] = used = self.quotas.get(window, 0) + 1
        if used > quota.limit:
            raise TooOften(limit=quota.limit, until=quota.until(now), first=used == quota.limit + 1)

    def _set_due(self, lane: Lane, row: Row, again_at: datetime | None) -> None:
        if lane is Lane.SHOW:
            row.show_at = again_at
        elif again_at is not None:
            row.request = replace(row.request, next_at=again_at)
