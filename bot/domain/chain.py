"""The hash chain over the record: a link's hash stands for its row and for every row before it.

The format is a promise to whoever keeps an export or a head, so it never changes. It needs no secret: what
keeps a whole new chain from being made is the heads, which are signed and can be kept elsewhere.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from bot.domain.record import Entry

GENESIS: Final = "0" * 64
"""What comes before the first link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRow:
    """One row of the record, every column exactly as it is stored."""

    id: int
    at: str
    event: str
    actor: str | None
    request_id: str | None
    facts: str
    """JSON."""


@dataclass(frozen=True, slots=True)
class Link:
    """One link: its place in the chain (1, 2, 3, … without a gap), the id of its row, its hash."""

    seq: int
    row: int
    hash: str


@dataclass(frozen=True, slots=True)
class Tip:
    """Where a chain ends."""

    seq: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A tip that was signed, every field as it is stored and shipped."""

    seq: int
    hash: str
    at: str
    key: str
    """Which public key checks it."""
    signature: str

    @property
    def signed(self) -> bytes:
        """What the signature is over."""
        return f"unlatch audit head\n{self.seq}\n{self.hash}\n{self.at}\n{self.key}\n".encode()


def written(at: datetime) -> str:
    """A time as the record writes it, `2026-01-31T08:00:00.000000Z`; such texts sort as times do."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def stored(id_: int, entry: Entry) -> StoredRow:
    """The row that an entry becomes."""
    return StoredRow(
        id=id_,
        at=written(entry.at),
        event=entry.event.value,
        actor=entry.actor,
        request_id=entry.request_id,
        facts=facts_text(dict(entry.facts)),
    )


def facts_text(facts: object) -> str:
    """Facts as they are stored. Half a surrogate pair, which no database takes, becomes a question mark."""
    text = json.dumps(facts, ensure_ascii=False, sort_keys=True)
    return text.encode(errors="replace").decode()


def hash_after(previous: str, row: StoredRow) -> str:
    """The hash of a row's link: SHA-256, hexadecimal, over the hash before it and the row as JSON."""
    columns = [row.id, row.at, row.event, row.actor, row.request_id, row.facts]
    # A row that somebody edited may hold anything; it must still be found to be another one.
    text = json.dumps(columns, ensure_ascii=False, separators=(",", ":"), default=repr)
    return hashlib.sha256(f"{previous}\n{text}".encode(errors="surrogatepass")).hexdigest()


def linked(tip: Tip, rows: Iterable[StoredRow]) -> Iterator[Link]:
    """The links that go on from `tip`, one a row."""
    seq, last = tip.seq, tip.hash
    for row in rows:
        seq, last = seq + 1, hash_after(last, row)
        yield Link(seq, row.id, last)
