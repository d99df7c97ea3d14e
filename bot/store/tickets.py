"""Sign-in links and the flows begun from them. Every step is a compare-and-set, so it succeeds once."""

from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from bot.domain.errors import TooOften
from bot.domain.identifiers import TeamId, UserId
from bot.domain.limits import Quota
from bot.domain.sign_in import TICKET_LIFE, Ticket
from bot.store.engine import transaction
from bot.store.quotas import overspent, spend
from bot.store.schema import tickets


class SqlTickets:
    """Fulfils the port `TicketRows`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, ticket: Ticket, quota: Quota) -> None:
        """Store a new ticket, within the quota."""
        now = ticket.expires_at - TICKET_LIFE
        names = ("digest", "team", "user", "expires_at", "request_id", "view_id", "claims")
        values = {name: getattr(ticket, name) for name in names}
        try:
            async with transaction(self._engine) as connection:
                await spend(connection, quota, now=now)
                await connection.execute(insert(tickets).values(values))
        except TooOften:
            await overspent(self._engine, quota, now=now)
            raise

    async def find(self, digest: str, *, now: datetime) -> Ticket | None:
        """The ticket, while unused and in time."""
        unused = select(tickets).where(
            tickets.c.digest == digest, tickets.c.used_at.is_(None), tickets.c.expires_at > now
        )
        async with transaction(self._engine) as connection:
            row = (await connection.execute(unused)).mappings().one_or_none()
        return _ticket(row) if row is not None else None

    async def begin(self, digest: str, *, state_digest: str, flow: bytes, now: datetime) -> bool:
        """Use the ticket once."""
        use = (
            update(tickets)
            .where(tickets.c.digest == digest, tickets.c.used_at.is_(None), tickets.c.expires_at > now)
            .values(used_at=now, state_digest=state_digest, flow=flow, expires_at=now + TICKET_LIFE)
        )
        async with transaction(self._engine) as connection:
            return bool((await connection.execute(use)).rowcount)

    async def take(self, state_digest: str, *, now: datetime) -> tuple[Ticket, bytes] | None:
        """Take the ticket and its flow out, once."""
        taken = (
            delete(tickets)
            .where(tickets.c.state_digest == state_digest, tickets.c.expires_at > now)
            .returning(tickets)
        )
        async with transaction(self._engine) as connection:
            row = (await connection.execute(taken)).mappings().one_or_none()
        return (_ticket(row), bytes(row["flow"])) if row is not None else None

    async def sweep(self, *, now: datetime) -> int:
        """Remove what is past its time."""
        async with transaction(self._engine) as connection:
            removed = await connection.execute(delete(tickets).where(tickets.c.expires_at <= now))
        return int(removed.rowcount)


def _ticket(row: RowMapping) -> Ticket:
    values: dict[str, Any] = dict(row)
    return Ticket(
        digest=values["digest"],
        team=TeamId(values["team"]),
        user=UserId(values["user"]),
        expires_at=values["expires_at"],
        request_id=values["request_id"],
        view_id=values["view_id"],
        claims=values["claims"],
    )
