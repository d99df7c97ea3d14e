"""The audit record: rows are added, never changed; triggers refuse anything else."""

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot.domain.record import Entry
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


async def append(connection: AsyncConnection, entry: Entry) -> None:
    """Append a row within somebody's transaction."""
    await connection.execute(insert(audit).values(entry_values(entry)))
