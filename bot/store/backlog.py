"""What waits and what is stuck, counted for operators. Every query reads an index of few rows."""

from datetime import datetime, timedelta

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot.domain.status import MOVES, Status
from bot.ports import Backlog, Lane
from bot.store.engine import transaction
from bot.store.schema import requests, sign_ins

_DUE = {
    Lane.DRIVE: (requests.c.next_at, requests.c.drive_leased_until),
    Lane.SHOW: (requests.c.show_at, requests.c.show_leased_until),
}
_LIVING = [status for status in Status if MOVES[status]]


async def backlog(engine: AsyncEngine, *, now: datetime) -> Backlog:
    """Count; raises StoreAway."""
    async with transaction(engine) as connection:
        return Backlog(
            open_requests=await _by_status(connection),
            overdue={lane: await _overdue(connection, lane, now) for lane in Lane},
            not_shown=await _not_shown(connection),
            sign_ins=await connection.scalar(select(func.count()).select_from(sign_ins)) or 0,
        )


async def _by_status(connection: AsyncConnection) -> dict[Status, int]:
    query = (
        select(requests.c.status, func.count())
        .where(requests.c.status.in_(_LIVING))
        .group_by(requests.c.status)
    )
    found = {Status(status): count for status, count in await connection.execute(query)}
    return {status: found.get(status, 0) for status in _LIVING}


async def _overdue(connection: AsyncConnection, lane: Lane, now: datetime) -> timedelta:
    """How long the oldest row has been due that nobody is at."""
    due, leased = _DUE[lane]
    free = or_(leased.is_(None), leased <= now)
    oldest: datetime | None = await connection.scalar(
        select(func.min(due, type_=due.type)).where(due <= now, free)
    )
    return timedelta(0) if oldest is None else now - oldest


async def _not_shown(connection: AsyncConnection) -> int:
    failing = select(func.count()).where(requests.c.show_at.is_not(None), requests.c.show_failures > 0)
    return await connection.scalar(failing) or 0
