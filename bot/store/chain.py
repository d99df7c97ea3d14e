"""The chain over the audit record, and the heads that are signed of it.

The tip is one row. Whoever adds links holds its lock to the end of the transaction, so that links come one
after the other, on any number of replicas.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import String, cast, func, insert, select, type_coerce
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot.domain.chain import Head, StoredRow, Tip, linked
from bot.store.engine import transaction
from bot.store.schema import audit, audit_chain, audit_heads, audit_tip

AT_ONCE: Final = 500
"""How many rows are adopted in one transaction; others wait for it."""
LATE: Final = 10_000
"""How many younger rows may be there before an older one is committed. PostgreSQL gives ids out early."""

TIP: Final = (
    select(cast(audit_tip.c.seq, String) + ":" + audit_tip.c.hash).with_for_update().scalar_subquery()
)
"""Where the chain ends, held until the transaction does; one column, to come with the row that is put in.
SQLite has one writer, and so needs no lock."""

AS_STORED: Final = (
    audit.c.id,
    type_coerce(audit.c.at, String).label("at"),
    audit.c.event,
    audit.c.actor,
    audit.c.request_id,
    audit.c.facts,
)
"""The columns that are hashed, unread."""
UNLINKED: Final = (
    select(*AS_STORED)
    .outerjoin(audit_chain, audit_chain.c.audit_id == audit.c.id)
    .where(audit_chain.c.seq.is_(None))
    .order_by(audit.c.id)
)
"""Rows in no link: written by a replica of a version that knows no chain."""


class SqlChain:
    """Fulfils the port `Chain`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._linked_to = 0
        """Up to this id all rows have been looked at."""

    async def adopt(self) -> int:
        """Link the rows without a link. The first call looks at the whole record, later ones at its end."""
        adopted = 0
        newest = await self._newest()
        while ids := await self._unlinked():
            adopted += await self._adopt(ids)
        self._linked_to = max(self._linked_to, newest - LATE)
        return adopted

    async def tip(self) -> Tip:
        """Where the chain ends."""
        async with transaction(self._engine) as connection:
            seq, hash_ = (await connection.execute(select(audit_tip.c.seq, audit_tip.c.hash))).one()
        return Tip(seq, hash_)

    async def signed_to(self) -> int:
        """The newest link that a head signs; 0 where there is no head."""
        async with transaction(self._engine) as connection:
            newest: int | None = await connection.scalar(select(func.max(audit_heads.c.seq)))
        return newest or 0

    async def keep(self, head: Head) -> bool:
        """Store a head; False where another replica has signed this link already."""
        values = {"seq": head.seq, "hash": head.hash, "at": head.at, "key": head.key}
        try:
            async with transaction(self._engine) as connection:
                await connection.execute(insert(audit_heads).values(values | {"signature": head.signature}))
        except IntegrityError:
            return False
        return True

    async def _newest(self) -> int:
        async with transaction(self._engine) as connection:
            newest: int | None = await connection.scalar(select(func.max(audit.c.id)))
        return newest or 0

    async def _unlinked(self) -> Sequence[int]:
        """Looked for without the lock, for it may take a while."""
        query = UNLINKED.where(audit.c.id > self._linked_to).limit(AT_ONCE).with_only_columns(audit.c.id)
        async with transaction(self._engine) as connection:
            return (await connection.scalars(query)).all()

    async def _adopt(self, ids: Sequence[int]) -> int:
        """Link those of the rows that nobody has linked meanwhile."""
        async with transaction(self._engine) as connection:
            tip = read_tip(str(await connection.scalar(select(TIP))))
            found = (await connection.execute(UNLINKED.where(audit.c.id.in_(ids)))).all()
            rows = [StoredRow(**row._mapping) for row in found]
            if rows:
                await put_links(connection, tip, rows)
        return len(rows)


def read_tip(text: str) -> Tip:
    """What TIP says."""
    seq, _, hash_ = text.partition(":")
    return Tip(int(seq), hash_)


async def put_links(connection: AsyncConnection, tip: Tip, rows: Sequence[StoredRow]) -> None:
    """Go on from the tip, which is locked; a trigger moves it to the last of the links."""
    values = [{"seq": link.seq, "audit_id": link.row, "hash": link.hash} for link in linked(tip, rows)]
    await connection.execute(insert(audit_chain), values)
