"""Requests: moves are one compare-and-set on `version`, with the audit row in the same transaction."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import ColumnElement, RowMapping, and_, case, func, insert, literal, null, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from bot.domain.errors import AlreadyAsked, DeviceBusy, LostRace, UnknownRequest
from bot.domain.identifiers import RequestId, UserId
from bot.domain.limits import Quota
from bot.domain.record import Entry
from bot.domain.request import ResetRequest, Status
from bot.domain.status import HOLDING, OPEN
from bot.ports import Claimed, Lane, Shown
from bot.store.engine import transaction
from bot.store.quotas import within
from bot.store.record import append
from bot.store.rows import read_request, read_shown, request_values, shown_values
from bot.store.schema import ONE_DEVICE, ONE_TARGET, requests

log = structlog.get_logger()

_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_DUE = {Lane.DRIVE: requests.c.next_at, Lane.SHOW: requests.c.show_at}
_LEASE = {Lane.DRIVE: requests.c.drive_leased_until, Lane.SHOW: requests.c.show_leased_until}


class SqlRequests:
    """Fulfils the port `Requests`.

    A lease ends at a time that no other lease of its row and lane ends at, so that time says whose it is.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._held: dict[tuple[Lane, str], datetime] = {}
        """The ends of the leases that were given out here and not released yet."""

    async def add(self, request: ResetRequest, entry: Entry, quota: Quota) -> ResetRequest:
        """Insert, or return the row that a first delivery made, which costs nothing of the quota."""
        values = request_values(request) | shown_values(Shown()) | {"show_at": request.changed_at}
        try:
            async with within(self._engine, quota, now=request.asked_at) as connection:
                await connection.execute(insert(requests).values(values))
                await append(connection, entry)
        except IntegrityError as conflict:
            try:
                return read_request(await self._one(requests.c.delivery == request.delivery))
            except UnknownRequest:
                raise conflict from None  # it was not about the delivery
        return request

    async def get(self, request_id: RequestId) -> ResetRequest:
        """One row."""
        return read_request(await self._one(requests.c.id == request_id))

    async def replace(self, old: ResetRequest, new: ResetRequest, entry: Entry | None = None) -> None:
        """Move, if the row is still at `old`. A lease stays: whoever holds it is not doubled."""
        values = request_values(new) | {"show_at": new.changed_at}
        at_old = and_(requests.c.id == old.id, requests.c.version == old.version)
        try:
            async with transaction(self._engine) as connection:
                moved = await connection.execute(update(requests).where(at_old).values(values))
                if moved.rowcount != 1:
                    raise LostRace
                if entry is not None:
                    await append(connection, entry)
        except IntegrityError as conflict:
            if not _is_about_another(conflict):
                raise
            await self._say_who_is_in_the_way(new)
            raise LostRace from None  # whoever was has ended meanwhile

    async def recent(self, user: UserId, *, limit: int) -> Sequence[ResetRequest]:
        """Newest first."""
        mine = select(requests).where(requests.c.asked_by == user)
        return await self._many(mine.order_by(requests.c.asked_at.desc()).limit(limit))

    async def waiting(self, *, limit: int) -> Sequence[ResetRequest]:
        """Oldest first."""
        pending = select(requests).where(requests.c.status == Status.PENDING)
        return await self._many(pending.order_by(requests.c.asked_at).limit(limit))

    async def claim(self, lane: Lane, *, now: datetime, lease: timedelta, limit: int) -> Sequence[Claimed]:
        """Lease what is due; on PostgreSQL rows that another replica is claiming are passed over.

        A row that this version cannot read is leased all the same, so that it stands in nobody's way.
        """
        due, leased, until = _DUE[lane], _LEASE[lane], now + lease
        free = or_(leased.is_(None), leased <= now)
        first = select(requests.c.id).where(due <= now, free).order_by(due, requests.c.id).limit(limit)
        # A CTE, because PostgreSQL may run a subquery more than once and then lease more than `limit`.
        chosen = first.with_for_update(skip_locked=True).cte("chosen")
        taken = (
            update(requests)
            .where(requests.c.id.in_(select(chosen.c.id)))
            .values({leased: until})
            .returning(requests)
        )
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(taken)).mappings().all()
        rows = sorted(rows, key=lambda row: (row[due.name], row["id"]))
        claimed = [Claimed(request, read_shown(row)) for row, request in _readable(rows)]
        self._held.update({(lane, row.request.id): until for row in claimed})
        return claimed

    async def release(self, lane: Lane, request: ResetRequest, *, again_at: datetime | None) -> None:
        """End the lease, unless it ran out and somebody took the row over.

        The lane's next time is kept where a move has set a newer one meanwhile.
        """
        due, until = _DUE[lane], self._held.get((lane, request.id))
        if until is None:
            return
        values: dict[ColumnElement[Any], Any] = {_LEASE[lane]: null()}
        if lane is Lane.SHOW or again_at is not None:
            # With its type: a time that `case` binds by itself is written in another form and sorts wrongly.
            again = literal(again_at, due.type)
            values[due] = case((requests.c.version == request.version, again), else_=due)
        ours = and_(requests.c.id == request.id, _LEASE[lane] == until)
        async with transaction(self._engine) as connection:
            await connection.execute(update(requests).where(ours).values(values))
        self._held.pop((lane, request.id), None)

    async def save_shown(self, request_id: RequestId, shown: Shown) -> None:
        """Remember what Slack shows."""
        values = shown_values(shown)
        async with transaction(self._engine) as connection:
            await connection.execute(update(requests).where(requests.c.id == request_id).values(values))

    async def next_due(self, lane: Lane) -> datetime | None:
        """The earliest time at which a row is both due and free. Reads no row that waits for nothing."""
        due, leased = _DUE[lane], _LEASE[lane]
        free_at = case((and_(leased.is_not(None), leased > due), leased), else_=due)
        # An index finds what is greater than something, but not what IS NOT NULL.
        query = select(func.min(free_at, type_=due.type)).where(due > _LONG_AGO)
        async with transaction(self._engine) as connection:
            earliest: datetime | None = await connection.scalar(query)
        return earliest

    async def _say_who_is_in_the_way(self, request: ResetRequest) -> None:
        """Raise DeviceBusy or AlreadyAsked with the other request, while there is one."""
        others = select(requests).where(requests.c.id != request.id)
        holder = and_(requests.c.held_device == request.holds, requests.c.status.in_(HOLDING))
        for other in await self._many(others.where(holder)) if request.holds else ():
            raise DeviceBusy(other.ref)
        first = and_(requests.c.open_target == request.open_target, requests.c.status.in_(OPEN))
        for other in await self._many(others.where(first)) if request.open_target else ():
            raise AlreadyAsked(other.ref, other.asked_by)

    async def _one(self, where: ColumnElement[bool]) -> RowMapping:
        async with transaction(self._engine) as connection:
            row = (await connection.execute(select(requests).where(where))).mappings().one_or_none()
        if row is None:
            raise UnknownRequest
        return row

    async def _many(self, query: Any) -> Sequence[ResetRequest]:
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [request for _, request in _readable(rows)]


def _is_about_another(conflict: IntegrityError) -> bool:
    """SQLite names the column, PostgreSQL the index."""
    said = str(conflict.orig)
    return any(name in said for name in ("open_target", "held_device", ONE_TARGET, ONE_DEVICE))


def _readable(rows: Sequence[RowMapping]) -> Iterator[tuple[RowMapping, ResetRequest]]:
    """The rows that this version can read: one that it cannot must not hide the others."""
    for row in rows:
        try:
            request = read_request(row)
        except (ValueError, KeyError, TypeError) as error:
            log.error("row_unreadable", request=row["id"], error=type(error).__name__)
        else:
            yield row, request
