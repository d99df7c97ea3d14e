"""The audit log: a public SHA-256 chain, and on each row an Ed25519 signature over `(log, seq, hash)`.

The newest signature vouches for every row. A cut end shows nowhere in a database: for that each process
remembers the newest row that it knows to be committed, and heads are kept outside."""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, bindparam, insert, select, text

from bot.domain.audit import Entry
from bot.domain.errors import AuditBroken
from bot.domain.values import utc_text
from bot.store.tables import audit


class Head(NamedTuple):
    seq: int
    hash: str
    key_id: str = ""
    signature: str = ""


COLUMNS = ("seq", "at", "event", "actor", "request_id", "version", "facts")  # hashed in this order, for ever
LAST = select(*(audit.c[name] for name in Head._fields)).order_by(audit.c.seq.desc()).limit(1)
HASH_AT = select(audit.c.hash).where(audit.c.seq == bindparam("seq"))
AFTER = select(audit).where(audit.c.seq > bindparam("seq")).order_by(audit.c.seq)
INSERT = insert(audit)
ONE_WRITER = text("SELECT pg_advisory_xact_lock(1970170996, 1)")  # alone: LAST needs a snapshot from after it


class AuditLog:
    def __init__(self, seeds: Sequence[bytes], name: str, seen: Head | None = None) -> None:
        """`seeds`: derived from the vault keys; the first signs, all are believed. `name`: the deployment's,
        by its settings. `seen`: the newest head that was kept outside."""
        keys = [Ed25519PrivateKey.from_private_bytes(seed) for seed in seeds]
        ids = [hashlib.sha256(key.public_key().public_bytes_raw()).hexdigest()[:16] for key in keys]
        self._key, self.key_id, self.seen = keys[0], ids[0], seen
        self.public = dict(zip(ids, (key.public_key() for key in keys), strict=True))
        self.genesis = Head(0, hashlib.sha256(f"unlatch audit log, 1\n{name}".encode()).hexdigest())

    def append(self, connection: Connection, entries: Sequence[Entry], *, first: bool = False) -> Head | None:
        """Add rows, last before the COMMIT: all other writers wait from here. `first`: by `migrate` alone."""
        if not entries:
            return None
        self.lock(connection)
        head, rows = self.genesis if first else self.tail(connection), []
        for entry in entries:
            facts = json.dumps(dict(entry.facts), ensure_ascii=False, sort_keys=True)
            about = (str(entry.event), entry.actor, entry.request_id, entry.version, facts)
            row = dict(zip(COLUMNS, (head.seq + 1, utc_text(entry.at), *about), strict=True))
            hash_ = hash_after(head.hash, row)
            signature = base64.b64encode(self._key.sign(self.signed(head.seq + 1, hash_))).decode()
            head = Head(head.seq + 1, hash_, self.key_id, signature)
            rows.append(row | head._asdict())
        connection.execute(INSERT, rows)
        return head

    def tail(self, connection: Connection) -> Head:
        """The row to append to: the one seen last, or a later one that is signed and leads back to it."""
        last, seen = connection.execute(LAST).first(), self.seen
        if last is None:
            raise AuditBroken("the audit log is empty")
        if seen is None or (last.seq, last.hash) != seen[:2]:
            if not self.is_signed(last):
                raise AuditBroken(f"row {last.seq} is not signed with a key of VAULT_KEYS")
            if seen is not None and connection.scalar(HASH_AT, {"seq": seen.seq}) != seen.hash:
                raise AuditBroken(f"row {seen.seq}, which this bot has seen, is gone or another")
        return Head(*last)

    def since(self, connection: Connection, head: Head) -> Sequence[Any]:
        """The rows after one that is trusted, such as a seal names: an unbroken chain up to the tail."""
        tail, rows = self.tail(connection), connection.execute(AFTER, {"seq": head.seq}).all()
        if problem := next(verify(rows, self, after=head), None):
            raise AuditBroken(problem)
        if not rows and tail[:2] != head[:2]:
            raise AuditBroken(f"row {head.seq}, which is sealed, is gone or another")
        return rows

    def remember(self, head: Head | None) -> None:
        """After the COMMIT, never before: a row that was rolled back is not missed."""
        if head is not None and (self.seen is None or head.seq > self.seen.seq):
            self.seen = head

    def holds(self, connection: Connection, head: Head) -> bool:
        """Whether a row is there. Final, for its transaction held this lock until it was over."""
        self.lock(connection)
        return connection.scalar(HASH_AT, {"seq": head.seq}) == head.hash

    def lock(self, connection: Connection) -> None:
        if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
            connection.execute(ONE_WRITER)

    def signed(self, seq: int, hash_: str) -> bytes:
        return f"unlatch audit row, 1\n{self.genesis.hash}\n{seq}\n{hash_}".encode(errors="replace")

    def is_signed(self, row: Any) -> bool:
        try:
            signature = base64.b64decode(str(row.signature), validate=True)
            self.public[str(row.key_id)].verify(signature, self.signed(row.seq, row.hash))
        except (KeyError, ValueError, InvalidSignature):
            return False
        return True


def verify(
    rows: Iterable[Any], log: AuditLog, after: Head | None = None, heads: Any = (), full: bool = False
) -> Iterator[str]:
    """A sentence for everything that is wrong. `full`: all signatures, to name where a rewrite begins."""
    last = vouching = after or log.genesis
    kept = {head.seq: head.hash for head in heads if log.is_signed(head)}
    for row in rows:
        if row.seq != last.seq + 1:
            yield f"row {row.seq} follows row {last.seq}"
        elif row.hash != hash_after(last.hash, row):
            yield f"row {row.seq} was changed"
        if kept.pop(row.seq, row.hash) != row.hash:
            yield f"row {row.seq} is not the one that was kept: the log was rewritten"
        last, vouching = row, row if str(row.key_id) in log.public else vouching
        if full and row is vouching and not log.is_signed(row):
            yield f"row {row.seq} was not written by Unlatch"
    if vouching.seq > (after or log.genesis).seq and not log.is_signed(vouching):
        yield f"row {vouching.seq} was not written by Unlatch, nor what follows from it"
    if last.seq != vouching.seq or (last.seq == 0 and after is None):
        yield f"no key that is known here vouches for the rows up to {last.seq}"
    if kept:
        yield f"the log ends at {last.seq}, but a kept head names row {max(kept)}"


def hash_after(previous: str, row: Any) -> str:
    """`default`, `errors`: a row that somebody edited may hold anything, and must be found to be another."""
    values = row if isinstance(row, dict) else row._mapping
    line = [previous, *(values[name] for name in COLUMNS)]
    line_text = json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=repr)
    return hashlib.sha256(line_text.encode(errors="surrogatepass")).hexdigest()


NEWEST_OF = (
    select(audit.c.facts).where(audit.c.event == bindparam("event")).order_by(audit.c.seq.desc()).limit(1)
)


def newest_facts(connection: Connection, event: str) -> dict[str, str] | None:
    """Return the facts of the newest row of this event."""
    found = connection.scalar(NEWEST_OF, {"event": event})
    return None if found is None else json.loads(found)
