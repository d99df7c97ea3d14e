"""The audit record: rows are added, never changed; triggers refuse anything else."""

import json
from collections.abc import Mapping

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot.domain.chain import stored
from bot.domain.record import Entry, Event
from bot.store.chain import TIP, put_links, read_tip
from bot.store.engine import transaction
from bot.store.rows import entry_values
from bot.store.schema import audit


class SqlRecord:
    """Fulfils the port `Record`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def note(self, entry: Entry) -> None:
        """Append one row."""
        async with transaction(self._engine) as connection:
            await append(connection, entry)

    async def newest(self, event: Event) -> Mapping[str, str] | None:
        """The facts of the newest row of this event. Reads back from the end until there is one."""
        query = select(audit.c.facts).where(audit.c.event == event).order_by(audit.c.id.desc()).limit(1)
        async with transaction(self._engine) as connection:
            facts: str | None = await connection.scalar(query)
        return None if facts is None else json.loads(facts)


async def append(connection: AsyncConnection, entry: Entry) -> None:
    """Append a row and its link, the last thing in somebody's transaction: from here on others wait."""
    put = insert(audit).values(entry_values(entry)).returning(audit.c.id, TIP)
    id_, tip = (await connection.execute(put)).one()
    await put_links(connection, read_tip(tip), [stored(id_, entry)])
