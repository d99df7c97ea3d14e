"""The whole record, for an auditor: as it is at one moment, row by row in constant memory, only read."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, Row, Select, String, create_engine, event, select, type_coerce
from sqlalchemy.engine import URL

from bot.domain.chain import GENESIS, Head, Link, StoredRow, Tip
from bot.domain.examination import Linked
from bot.store.chain import AS_STORED, UNLINKED
from bot.store.engine import database_url, is_sqlite, store_errors
from bot.store.schema import audit, audit_chain, audit_heads, audit_tip

AT_ONCE: Final = 1000
"""How many rows are fetched at once."""

_before = audit_chain.alias("before")
_at = type_coerce(audit.c.at, String)
_HEAD: Final = tuple(
    audit_heads.c[name].label(f"head_{name}") for name in ("seq", "hash", "at", "key", "signature")
)
_LINKS: Final = (
    select(audit_chain.c.seq, audit_chain.c.audit_id, audit_chain.c.hash, *AS_STORED, *_HEAD)
    .outerjoin(audit, audit.c.id == audit_chain.c.audit_id)
    .outerjoin(audit_heads, audit_heads.c.seq == audit_chain.c.seq)
    .order_by(audit_chain.c.seq)
)
_EXPORT: Final = (
    select(audit_chain.c.seq, audit_chain.c.hash, _before.c.hash.label("previous"), *AS_STORED)
    .join(audit, audit.c.id == audit_chain.c.audit_id)
    .outerjoin(_before, _before.c.seq == audit_chain.c.seq - 1)
    .order_by(audit_chain.c.seq)
)
_BEYOND: Final = (
    select(*_HEAD)
    .outerjoin(audit_chain, audit_chain.c.seq == audit_heads.c.seq)
    .where(audit_chain.c.seq.is_(None))
    .order_by(audit_heads.c.seq)
)


class RecordReader:
    """The record as it was when the reading began. Every column comes as it is stored, read by nobody."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def links(self) -> Iterator[Linked]:
        """The chain from its beginning, each link with its row and its head."""
        for row in self._stream(_LINKS):
            link = Link(row.seq, row.audit_id, str(row.hash))
            yield Linked(link=link, row=_stored(row), head=_head(row))

    def strays(self) -> Iterator[StoredRow]:
        """The rows that are in no link."""
        for row in self._stream(UNLINKED):
            if (stray := _stored(row)) is not None:
                yield stray

    def heads_beyond(self) -> Iterator[Head]:
        """The heads that sign links which are not there."""
        for row in self._stream(_BEYOND):
            if (head := _head(row)) is not None:
                yield head

    def hashes(self, seqs: Sequence[int]) -> Mapping[int, str]:
        """The hashes of these links, where they are there."""
        query = select(audit_chain.c.seq, audit_chain.c.hash).where(audit_chain.c.seq.in_(seqs))
        with store_errors():
            return {seq: str(hash_) for seq, hash_ in self._connection.execute(query)}

    def tip(self) -> Tip:
        """Where the database says that the chain ends."""
        with store_errors():
            row = self._connection.execute(select(audit_tip.c.seq, audit_tip.c.hash)).first()
        return Tip() if row is None else Tip(row.seq, str(row.hash))

    def exported(self, since: str, until: str | None) -> Iterator[Mapping[str, Any]]:
        """Rows from `since` to before `until`, both as the record writes times, in the order of the chain.

        Each with its hash and the one before it. Rows without a link come last, with neither.
        """
        for query in (_EXPORT, UNLINKED):
            within = query.where(_at >= since)
            for row in self._stream(within if until is None else within.where(_at < until)):
                yield _exported(row)

    def _stream(self, query: Select[Any]) -> Iterator[Row[Any]]:
        with store_errors():
            yield from self._connection.execute(query.execution_options(yield_per=AT_ONCE))


@contextmanager
def reading(url: str) -> Iterator[RecordReader]:
    """Open the record of `DATABASE_URL` without a way to write. Raises ValueError, StoreAway.

    Nobody who writes is held up: SQLite reads a snapshot, and so does PostgreSQL.
    """
    engine = _engine(database_url(url))
    try:
        with store_errors():
            connection = engine.connect()
        with connection:
            yield RecordReader(connection)
    finally:
        engine.dispose()


def _engine(url: URL) -> Engine:
    if is_sqlite(url):
        engine = create_engine("sqlite://", creator=lambda: _opened(url.database or ""), hide_parameters=True)
        event.listen(engine, "begin", _begin)
        return engine
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    return create_engine(url, execution_options=options, hide_parameters=True)


def _opened(path: str) -> sqlite3.Connection:
    """A file that is not there is not made, and bytes that are no text are read all the same."""
    if not Path(path).is_file():
        raise sqlite3.OperationalError("no such file")
    connection = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, isolation_level=None)
    connection.text_factory = lambda text: text.decode(errors="surrogateescape")
    return connection


def _begin(connection: Connection) -> None:
    """As a reader; what is read first holds for all."""
    connection.exec_driver_sql("BEGIN")


def _stored(row: Row[Any]) -> StoredRow | None:
    if row.id is None:
        return None
    return StoredRow(
        id=row.id,
        at=str(row.at),
        event=row.event,
        actor=row.actor,
        request_id=row.request_id,
        facts=row.facts,
    )


def _head(row: Row[Any]) -> Head | None:
    if row.head_seq is None:
        return None
    return Head(
        seq=row.head_seq,
        hash=str(row.head_hash),
        at=str(row.head_at),
        key=str(row.head_key),
        signature=str(row.head_signature),
    )


def _exported(row: Row[Any]) -> Mapping[str, Any]:
    """A row with its place in the chain; the first link follows on the genesis."""
    values = dict(row._mapping)
    place = {name: values.pop(name, None) for name in ("seq", "previous", "hash")}
    if place["seq"] == 1:
        place["previous"] = GENESIS
    return place | values
