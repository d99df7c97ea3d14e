"""A record as a running Unlatch writes and signs it, and a hand that changes the database behind its back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from bot.audit.verify import verify
from bot.domain.chain import StoredRow, Tip, linked
from bot.domain.record import Entry, Event
from bot.entra import new_key
from bot.notary import Notary, Witness
from bot.resets.seal import Sealing, seal
from bot.shipping import Shipping
from bot.store import Store, open_store
from bot.store.engine import database_url, is_sqlite
from kept import KEN
from sqlalchemy import Connection, create_engine, text
from tests.fakes.clock import HandClock

MINUTE = timedelta(minutes=1)
VAULT_KEY = new_key()


@dataclass
class Written:
    """One database, and the file to which its heads were shipped."""

    url: str
    store: Store
    shipped: Path
    clock: HandClock = field(default_factory=HandClock)
    notary: Notary = field(default_factory=lambda: Notary([VAULT_KEY]))

    async def note(self, rows: int) -> None:
        """So many rows, a second apart."""
        for _ in range(rows):
            self.clock.pass_(timedelta(seconds=1))
            facts = {"reason": "locked out"}
            await self.store.record.note(
                Entry(event=Event.ASKED, at=self.clock.now(), actor=KEN, facts=facts)
            )

    async def seal(self) -> None:
        """A minute passes, and the head is signed, stored and shipped."""
        self.clock.pass_(MINUTE)
        sealing = Sealing(
            chain=self.store.chain, notary=self.notary, ship=Shipping(self.shipped).ship, clock=self.clock
        )
        await seal(sealing)

    async def day(self) -> None:
        """Twelve rows, signed at 4, at 8 and at 12."""
        for _ in range(3):
            await self.note(4)
            await self.seal()

    async def change(self, *statements: str, remake: bool = False) -> None:
        """What a table's owner can do: triggers off, and then anything. `remake`: a whole new chain."""
        await asyncio.to_thread(self._change, statements, remake)

    def _change(self, statements: Sequence[str], remake: bool) -> None:
        url = database_url(self.url)
        sqlite = is_sqlite(url)
        engine = create_engine(url.set(drivername="sqlite" if sqlite else url.drivername))
        with engine.begin() as connection:
            _without_triggers(connection, sqlite=sqlite)
            for statement in statements:
                connection.execute(text(statement))
            if remake:
                _remake(connection)
        engine.dispose()


@dataclass
class Verdict:
    """What `unlatch audit verify` says."""

    status: int
    said: list[str]


Ask = Callable[..., Awaitable[Verdict]]


def asking(capsys: pytest.CaptureFixture[str]) -> Ask:
    """A way to ask for a verdict: without heads, with the shipped ones, or with those of another file."""

    async def ask(
        written: Written,
        *,
        shipped: bool = False,
        file: Path | None = None,
        keys: Sequence[str] | None = None,
    ) -> Verdict:
        heads = file or (written.shipped if shipped else None)
        capsys.readouterr()
        witness = Witness(keys or written.notary.public_keys)
        status = await asyncio.to_thread(verify, written.url, witness, heads)
        told = capsys.readouterr()
        return Verdict(status, (told.out + told.err).splitlines())

    return ask


@asynccontextmanager
async def writing(url: str, folder: Path) -> AsyncIterator[Written]:
    """A record to write."""
    store = open_store(url)
    try:
        yield Written(url, store, folder / "heads.jsonl")
    finally:
        await store.close()


def _without_triggers(connection: Connection, *, sqlite: bool) -> None:
    """None refuses any more. That which moves the tip stays: without it no row is taken in at all."""
    on_sqlite = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'"
    on_postgresql = "SELECT tgname, tgrelid::regclass FROM pg_trigger WHERE NOT tgisinternal"
    found = text(on_sqlite if sqlite else on_postgresql)
    for name, table in connection.execute(found).all():
        if name != "audit_tip_follows":
            connection.execute(text(f"DROP TRIGGER {name}" + ("" if sqlite else f" ON {table}")))


def _remake(connection: Connection) -> None:
    """A chain over the rows as they stand now, as everybody can make one: it needs no secret."""
    query = text("SELECT id, at, event, actor, request_id, facts FROM audit ORDER BY id")
    rows = [StoredRow(**row._mapping) for row in connection.execute(query)]
    links = list(linked(Tip(), rows))
    connection.execute(text("DELETE FROM audit_chain"))
    values = [{"seq": link.seq, "row": link.row, "hash": link.hash} for link in links]
    connection.execute(text("INSERT INTO audit_chain VALUES (:seq, :row, :hash)"), values)
    tip = {"seq": links[-1].seq, "hash": links[-1].hash}
    connection.execute(text("UPDATE audit_tip SET seq = :seq, hash = :hash"), tip)
