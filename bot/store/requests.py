"""Requests: moves are one compare-and-set on `version`, with the audit row in the same transaction."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, case, func, insert, null, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from bot.domain.errors import LostRace, UnknownRequest
from bot.domain.identifiers import RequestId, UserId
from bot.domain.record import Entry
from bot.domain.request import ResetRequest, Status
from bot.ports import Claimed, Lane, Shown
from bot.store.engine import transaction
from bot.store.record import append
from bot.store.rows import read_request, read_shown, request_values, shown_values
from bot.store.schema import requests

_DUE = {Lane.DRIVE: requests.c.next_at, Lane.SHOW: requests.c.show_at}
_LEASE = {Lane.DRIVE: requests.c.drive_leased_until, Lane.SHOW: requests.c.show_leased_until}


class SqlRequests:
    """Fulfils the port `Requests`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, request: ResetRequest, entry: Entry) -> ResetRequest:
        """Insert, or return the row that a first delivery made."""
        values = request_values(request) | shown_values(Shown()) | {"show_at": request.changed_at}
        try:
            async with transaction(self._engine) as connection:
                await connection.execute(insert(requests).values(values))
                await append(connection, entry)
        except IntegrityError:
            return read_request(await self._one(requests.c.delivery == request.delivery))
        return request

    async def get(self, request_id: RequestId) -> ResetRequest:
        """One row."""
        return read_request(await self._one(requests.c.id == request_id))

    async def replace(self, old: ResetRequest, new: ResetRequest, entry: Entry | None = None) -> None:
        """Move, if the row is still at `old`. A lease stays: whoever holds it is not doubled."""
        values = request_values(new) | {"show_at": new.changed_at}
        at_old = and_(requests.c.id == old.id, requests.c.version == old.version)
        async with transaction(self._engine) as connection:
            moved = await connection.execute(update(requests).where(at_old).values(values))
            if moved.rowcount != 1:
                raise LostRace
            if entry is not None:
                await append(connection, entry)

    async def recent(self, user: UserId, *, limit: int) -> Sequence[ResetRequest]:
        """Newest first."""
        mine = select(requests).where(requests.c.asked_by == user)
        return await self._many(mine.order_by(requests.c.asked_at.desc()).limit(limit))

    async def waiting(self, *, limit: int) -> Sequence[ResetRequest]:
        """Oldest first."""
        pending = select(requests).where(requests.c.status == Status.PENDING)
        return await self._many(pending.order_by(requests.c.asked_at).limit(limit))

    async def claim(self, lane: Lane, *, now: datetime, lease: timedelta, limit: int) -> Sequence[Claimed]:
        """Lease what is due; on PostgreSQL rows that another replica is claiming are passed over."""
        due, leased = _DUE[lane], _LEASE[lane]
        free = or_(leased.is_(None), leased <= now)
        chosen = select(requests.c.id).where(due <= now, free).order_by(due).limit(limit)
        taken = (
            update(requests)
            .where(requests.c.id.in_(chosen.with_for_update(skip_locked=True)))
            .values({leased: now + lease})
            .returning(requests)
        )
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(taken)).mappings().all()
        rows = sorted(rows, key=lambda row: row[due.name])
        return [Claimed(read_request(row), read_shown(row)) for row in rows]

    async def release(self, lane: Lane, request: ResetRequest, *, again_at: datetime | None) -> None:
        """End the lease. The lane's next time is kept where a move has set a newer one meanwhile."""
        due = _DUE[lane]
        values: dict[ColumnElement[Any], Any] = {_LEASE[lane]: null()}
        if lane is Lane.SHOW or again_at is not None:
            values[due] = case((requests.c.version == request.version, again_at), else_=due)
        async with transaction(self._engine) as connection:
            await connection.execute(update(requests).where(requests.c.id == request.id).values(values))

    async def save_shown(self, request_id: RequestId, shown: Shown) -> None:
        """Remember what Slack shows."""
        values = shown_values(shown)
        async with transaction(self._engine) as connection:
            await connection.execute(update(requests).where(requests.c.id == request_id).values(values))

    async def next_due(self, lane: Lane) -> datetime | None:
        """The earliest time at which a row is both due and free."""
        due, leased = _DUE[lane], _LEASE[lane]
        free_at = case((and_(leased.is_not(None), leased > due), leased), else_=due)
        async with transaction(self._engine) as connection:
            earliest: datetime | None = await connection.scalar(select(func.min(free_at, type_=due.type)))
        return earliest

    async def _one(self, where: ColumnElement[bool]) -> RowMapping:
        async with transaction(self._engine) as connection:
            row = (await connection.execute(select(requests).where(where))).mappings().one_or_none()
        if row is None:
            raise UnknownRequest
        return row

    async def _many(self, query: Any) -> Sequence[ResetRequest]:
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [read_request(row) for row in rows]
