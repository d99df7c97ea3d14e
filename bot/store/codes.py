"""Device codes that wait for their owner: rows of the tickets' table, each due at a time, with a lease."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from bot.domain.limits import Quota
from bot.domain.sign_in import Ticket
from bot.ports import LinkRow
from bot.store.engine import transaction
from bot.store.quotas import within
from bot.store.schema import tickets
from bot.store.tickets import link_row, ticket_values


class SqlCodes:
    """Fulfils the port `CodeRows`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def spend(self, quota: Quota, *, now: datetime) -> None:
        """Count it in a transaction of its own: what comes next takes time and may fail."""
        async with within(self._engine, quota, now=now):
            pass

    async def add_code(self, ticket: Ticket, *, flow: bytes, poll_at: datetime) -> None:
        """Store a device code. Its ticket is used: no link begins another flow."""
        values = ticket_values(ticket) | {"flow": flow, "poll_at": poll_at, "used_at": poll_at}
        async with transaction(self._engine) as connection:
            await connection.execute(insert(tickets).values(values))

    async def due_codes(self, *, now: datetime, lease: timedelta, limit: int) -> Sequence[LinkRow]:
        """The lease is the time of the next poll; whoever waited for our commit finds it moved."""
        due = tickets.c.poll_at <= now
        oldest = select(tickets.c.digest).where(due).order_by(tickets.c.poll_at).limit(limit)
        leased = update(tickets).where(tickets.c.digest.in_(oldest), due).values(poll_at=now + lease)
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(leased.returning(tickets))).mappings().all()
        return [link_row(row) for row in rows]

    async def poll_again(self, digest: str, *, poll_at: datetime, flow: bytes) -> None:
        """Set the time of the next poll."""
        again = update(tickets).where(tickets.c.digest == digest).values(poll_at=poll_at, flow=flow)
        async with transaction(self._engine) as connection:
            await connection.execute(again)

    async def end_code(self, digest: str) -> bool:
        """Remove the code; True for exactly one caller."""
        code = delete(tickets).where(tickets.c.digest == digest, tickets.c.poll_at.is_not(None))
        async with transaction(self._engine) as connection:
            return bool((await connection.execute(code)).rowcount)

    async def next_code(self) -> datetime | None:
        """When the next one is due."""
        async with transaction(self._engine) as connection:
            first: datetime | None = await connection.scalar(select(func.min(tickets.c.poll_at)))
        return first
