"""Open the store: every kind of row on one engine."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from bot.domain.errors import StoreAway
from bot.ports import Backlog
from bot.store.backlog import backlog
from bot.store.chain import SqlChain
from bot.store.codes import SqlCodes
from bot.store.engine import database_url, is_current, make_engine
from bot.store.record import SqlRecord
from bot.store.requests import SqlRequests
from bot.store.sign_ins import SqlSignIns
from bot.store.tickets import SqlTickets


@dataclass(frozen=True, slots=True)
class Store:
    """Everything that is kept, on one engine."""

    engine: AsyncEngine
    requests: SqlRequests
    record: SqlRecord
    chain: SqlChain
    tickets: SqlTickets
    codes: SqlCodes
    sign_ins: SqlSignIns

    async def alive(self) -> bool:
        """Whether the database answers and is up to date."""
        try:
            return await is_current(self.engine)
        except StoreAway:
            return False

    async def backlog(self, *, now: datetime) -> Backlog:
        """What waits; raises StoreAway."""
        return await backlog(self.engine, now=now)

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def open_store(url: str) -> Store:
    """Open the store of `DATABASE_URL`; connects at the first use. Raises ValueError."""
    engine = make_engine(database_url(url))
    return Store(
        engine=engine,
        requests=SqlRequests(engine),
        record=SqlRecord(engine),
        chain=SqlChain(engine),
        tickets=SqlTickets(engine),
        codes=SqlCodes(engine),
        sign_ins=SqlSignIns(engine),
    )
