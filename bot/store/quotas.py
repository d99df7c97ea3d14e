"""Quotas: one row a person and kind, counted up in somebody's transaction, so that replicas share them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy import case
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot.domain.errors import TooOften
from bot.domain.limits import Quota
from bot.store.engine import transaction
from bot.store.schema import quotas


@asynccontextmanager
async def within(engine: AsyncEngine, quota: Quota, *, now: datetime) -> AsyncIterator[AsyncConnection]:
    """A transaction that uses one of the quota. TooOften takes it back, but for the count of the try.

    The count comes last, so that what is in the way of the rest costs nothing of the quota.
    """
    try:
        async with transaction(engine) as connection:
            yield connection
            used = await _counted(connection, quota, now=now)
            if used > quota.limit:
                raise TooOften(limit=quota.limit, until=quota.until(now), first=used == quota.limit + 1)
    except TooOften:
        async with transaction(engine) as connection:
            await _counted(connection, quota, now=now)
        raise


async def _counted(connection: AsyncConnection, quota: Quota, *, now: datetime) -> int:
    """How many this one makes in the window: one statement, so that two at once count as two."""
    insert = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
    first = insert(quotas).values(key=quota.key, window=quota.window(now), used=1)
    again = first.on_conflict_do_update(
        index_elements=[quotas.c.key],
        set_={
            "used": case((quotas.c.window == first.excluded.window, quotas.c.used + 1), else_=1),
            "window": first.excluded.window,
        },
    )
    used: int | None = await connection.scalar(again.returning(quotas.c.used))
    return used or 0
