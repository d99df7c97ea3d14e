"""Sign-in links, the flows begun from them, and arrivals. Every step is a compare-and-set: one succeeds."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import RowMapping, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from bot.domain.identifiers import TeamId, UserId
from bot.domain.limits import Quota
from bot.domain.sign_in import TICKET_LIFE, Ticket
from bot.ports import LinkRow
from bot.store.engine import transaction
from bot.store.quotas import within
from bot.store.schema import tickets

COLUMNS: Final = ("digest", "team", "user", "expires_at", "request_id", "view_id", "claims")
"""Of a ticket itself."""


class SqlTickets:
    """Fulfils the port `TicketRows`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, ticket: Ticket, quota: Quota) -> None:
        """Store a new ticket, within the quota."""
        async with within(self._engine, quota, now=ticket.expires_at - TICKET_LIFE) as connection:
            await connection.execute(insert(tickets).values(ticket_values(ticket)))

    async def find(self, digest: str, *, now: datetime) -> LinkRow | None:
        """The link, while in time."""
        link = select(tickets).where(tickets.c.digest == digest, tickets.c.expires_at > now)
        async with transaction(self._engine) as connection:
            row = (await connection.execute(link)).mappings().one_or_none()
        return link_row(row) if row is not None else None

    async def begin(self, digest: str, *, state_digest: str, flow: bytes, now: datetime) -> bool:
        """Keep the link's flow, if it has none."""
        use = (
            update(tickets)
            .where(tickets.c.digest == digest, tickets.c.used_at.is_(None), tickets.c.expires_at > now)
            .values(used_at=now, state_digest=state_digest, flow=flow, expires_at=now + TICKET_LIFE)
        )
        async with transaction(self._engine) as connection:
            return bool((await connection.execute(use)).rowcount)

    async def hold(self, ticket: Ticket, *, key: str, arrival: bytes, now: datetime) -> None:
        """Keep an arrival. No link leads to it: both its digests are of the two secrets."""
        held = {"digest": key, "state_digest": key, "flow": arrival, "used_at": now}
        values = ticket_values(ticket) | held | {"expires_at": now + TICKET_LIFE}
        async with transaction(self._engine) as connection:
            await connection.execute(insert(tickets).values(values))

    async def take(self, state_digest: str, *, now: datetime) -> tuple[Ticket, bytes] | None:
        """Take the ticket and what is sealed with it out, once."""
        taken = (
            delete(tickets)
            .where(tickets.c.state_digest == state_digest, tickets.c.expires_at > now)
            .returning(tickets)
        )
        async with transaction(self._engine) as connection:
            row = (await connection.execute(taken)).mappings().one_or_none()
        return (read_ticket(row), bytes(row["flow"])) if row is not None else None

    async def sealed(self) -> Sequence[bytes]:
        """Flows, arrivals and device codes."""
        kept = select(tickets.c.flow).where(tickets.c.flow.is_not(None))
        async with transaction(self._engine) as connection:
            return [bytes(flow) for flow in await connection.scalars(kept)]

    async def sweep(self, *, now: datetime) -> int:
        """Remove what is past its time; a device code goes when its owner has been told."""
        past = delete(tickets).where(
            tickets.c.expires_at <= now,
            or_(tickets.c.poll_at.is_(None), tickets.c.expires_at <= now - TICKET_LIFE),
        )
        async with transaction(self._engine) as connection:
            removed = await connection.execute(past)
        return int(removed.rowcount)


def ticket_values(ticket: Ticket) -> dict[str, Any]:
    """The columns of a ticket itself."""
    return {name: getattr(ticket, name) for name in COLUMNS}


def link_row(row: RowMapping) -> LinkRow:
    """A row with the flow in it."""
    return LinkRow(read_ticket(row), row["state_digest"] or "", bytes(row["flow"] or b""))


def read_ticket(row: RowMapping) -> Ticket:
    """The ticket of a row."""
    return Ticket(
        digest=row["digest"],
        team=TeamId(row["team"]),
        user=UserId(row["user"]),
        expires_at=row["expires_at"],
        request_id=row["request_id"],
        view_id=row["view_id"],
        claims=row["claims"],
    )
