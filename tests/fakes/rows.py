"""Rows and record in memory."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.domain.errors import LostRace, StoreAway, UnknownRequest
from bot.domain.identifiers import RequestId, UserId
from bot.domain.record import Entry
from bot.domain.request import ResetRequest, Status
from bot.ports import Claimed, Lane, Shown


@dataclass
class FakeRecord:
    entries: list[Entry] = field(default_factory=list)
    away: bool = False

    async def note(self, entry: Entry) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise StoreAway
        self.entries.append(entry)


@dataclass
class FakeRequests:
    """One compare-and-set a move, with its audit row; the lease of a claim is not kept."""

    record: FakeRecord
    rows: dict[RequestId, ResetRequest] = field(default_factory=dict)
    shown: dict[RequestId, Shown] = field(default_factory=dict)

    async def add(self, request: ResetRequest, entry: Entry) -> ResetRequest:
        await asyncio.sleep(0)
        for row in self.rows.values():
            if row.delivery == request.delivery:
                return row
        self.rows[request.id] = request
        self.record.entries.append(entry)
        return request

    async def get(self, request_id: RequestId) -> ResetRequest:
        await asyncio.sleep(0)
        if request_id not in self.rows:
            raise UnknownRequest
        return self.rows[request_id]

    async def replace(self, old: ResetRequest, new: ResetRequest, entry: Entry | None = None) -> None:
        await asyncio.sleep(0)
        if self.rows[old.id].version != old.version:
            raise LostRace
        self.rows[old.id] = new
        if entry is not None:
            self.record.entries.append(entry)

    async def recent(self, user: UserId, *, limit: int) -> Sequence[ResetRequest]:
        await asyncio.sleep(0)
        return [row for row in reversed(self.rows.values()) if row.asked_by == user][:limit]

    async def waiting(self, *, limit: int) -> Sequence[ResetRequest]:
        await asyncio.sleep(0)
        return [row for row in self.rows.values() if row.status is Status.PENDING][:limit]

    async def claim(self, lane: Lane, *, now: datetime, lease: timedelta, limit: int) -> Sequence[Claimed]:
        await asyncio.sleep(0)
        due = [row for row in self.rows.values() if row.next_at is not None and row.next_at <= now]
        return [Claimed(row, self.shown.get(row.id, Shown())) for row in due][:limit]

    async def release(self, lane: Lane, request: ResetRequest, *, again_at: datetime | None) -> None:
        await asyncio.sleep(0)

    async def save_shown(self, request_id: RequestId, shown: Shown) -> None:
        await asyncio.sleep(0)
        self.shown[request_id] = shown

    async def next_due(self, lane: Lane) -> datetime | None:
        await asyncio.sleep(0)
        return min((row.next_at for row in self.rows.values() if row.next_at), default=None)
