"""The audit log: a public hash chain, and on each row an Ed25519 signature.

The format is a promise to everybody who keeps an export or a head, so it never changes:

- `hash`: SHA-256, hexadecimal, of a JSON array without blanks: the previous row's hash, then `seq`, `at`,
  `event`, `actor`, `request_id`, `version` and `facts` (the stored JSON text) of this row.
- Before row 1 stands SHA-256 of `unlatch audit log, 1`, a line feed, and the deployment's name.
- `signature`: Ed25519, base64, over the lines `unlatch audit row, 1`, the hash before row 1, `seq`, `hash`.

The newest signature vouches for every row before it. A cut tail shows nowhere in a database: each process
remembers the newest row that it knows to be committed, and heads are kept outside.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import Connection, Row, bindparam, insert, select, text

from bot.domain.audit import Entry, Event
from bot.domain.errors import AuditBroken
from bot.domain.values import read_object, utc_text
from bot.keys import Keys, public_key_text
from bot.store.tables import audit

HASHED: Final = ("seq", "at", "event", "actor", "request_id", "version", "facts")
"""The columns that are hashed, in this order, for ever."""


class Head(NamedTuple):
    """A row's place, hash and signature: what is kept outside the database."""

    seq: int
    hash: str
    key_id: str = ""
    signature: str = ""


LAST: Final = select(*(audit.c[name] for name in Head._fields)).order_by(audit.c.seq.desc()).limit(1)
HASH_AT: Final = select(audit.c.hash).where(audit.c.seq == bindparam("seq"))
FROM: Final = select(audit).where(audit.c.seq >= bindparam("seq")).order_by(audit.c.seq)
FIRST_SEQ, LAST_SEQ = -(2**63), 2**63 - 1
"""What the column holds: somebody else's row may have any number."""
NEWEST_OF: Final = (
    select(audit.c.facts).where(audit.c.event == bindparam("event")).order_by(audit.c.seq.desc()).limit(1)
)
KEYS_ADDED: Final = select(audit.c.facts).where(audit.c.event == Event.KEY_ADDED.value)
FIRST_FACTS: Final = select(audit.c.facts).where(audit.c.seq == 1)
FIRST_KEY: Final = select(audit.c.key_id).where(audit.c.seq == 1)
INSERT: Final = insert(audit).execution_options(preserve_rowcount=True)
SPAN, WINDOW = 8, 4000
"""How many rows are read from the database each time, and how many are remembered."""
SEEN: Final = "audit_seen"
"""Where a reader's connection has what `AuditLog.seen` was before its snapshot."""
ONE_WRITER: Final = text("SELECT pg_advisory_xact_lock(1970170996, 1)")
"""A statement of its own: what reads the last row needs a snapshot from after it."""

log = structlog.get_logger()


class AuditVerifier:
    """Checks rows and heads; needs the deployment's name and public keys alone."""

    def __init__(self, public_keys: Iterable[bytes], name: str) -> None:
        """Take raw Ed25519 public keys, in any order, and the name with which the chain begins."""
        self.public: dict[str, Ed25519PublicKey] = {}
        for key in public_keys:
            self.trust(key)
        self.name = name
        self.genesis = Head(0, hashlib.sha256(f"unlatch audit log, 1\n{name}".encode()).hexdigest())

    def trust(self, public_key: bytes) -> None:
        self.public[key_id_of(public_key)] = Ed25519PublicKey.from_public_bytes(public_key)

    def is_signed(self, row: Any) -> bool:
        """Return whether a row or head carries a good signature of a known key. Never raises."""
        try:
            signature = base64.b64decode(str(row.signature), validate=True)
            self.public[str(row.key_id)].verify(signature, self.signed_text(row.seq, row.hash))
        except (KeyError, ValueError, InvalidSignature):
            return False
        return True

    def signed_text(self, seq: int, hash_: str) -> bytes:
        return f"unlatch audit row, 1\n{self.genesis.hash}\n{seq}\n{hash_}".encode(errors="replace")


class AuditLog(AuditVerifier):
    """Appends rows, only to the row that it saw last or to a later signed one that leads back to it."""

    def __init__(self, keys: Keys, name: str) -> None:
        """`keys`: the first signs and seals, all are believed. `name`: the deployment's."""
        self.sealer = keys.sealer
        private = [Ed25519PrivateKey.from_private_bytes(seed) for seed in keys.signing_seeds]
        raw = [key.public_key().public_bytes_raw() for key in private]
        super().__init__(raw, name)
        self.key_ids = [key_id_of(key) for key in raw]
        """In the order of VAULT_KEYS: the first one signs now."""
        self._keys = dict(zip(self.key_ids, private, strict=True))
        self.seen: Head | None = None
        """The newest row that is known to be committed, or was kept outside."""
        self.broken: str | None = None
        """Why nothing can be appended, until something can."""
        self._proved: list[Row[Any]] = []
        """Rows that the chain has proved, without a gap; replaced and never changed: threads need no lock."""
        self._announced: set[str] = set()
        """Keys that a committed row names."""

    def append(self, connection: Connection, entries: Sequence[Entry], *, first: bool = False) -> Head | None:
        """Add rows, last before the COMMIT: others wait. `first`: by migrate alone. Raises AuditBroken."""
        if not entries:
            return None
        self.lock(connection)
        head = self.genesis if first else self._watched_tail(connection)
        rows: list[dict[str, Any]] = []
        if self._is_new_key(connection, head):
            public = public_key_text(self.public[self.key_ids[0]].public_bytes_raw())
            facts = {"key_id": self.key_ids[0], "public_key": public}
            added = Entry(event=Event.KEY_ADDED, at=entries[0].at, facts=facts)
            head = self._row(rows, head, added, head.key_id)
        for entry in entries:
            head = self._row(rows, head, entry, self.key_ids[0])
        taken = connection.execute(INSERT, rows).rowcount == len(rows)
        if not taken or connection.scalar(HASH_AT, {"seq": head.seq}) != head.hash:
            raise AuditBroken("the database takes no rows")
        return head

    def _row(self, rows: list[dict[str, Any]], head: Head, entry: Entry, key_id: str) -> Head:
        facts = json.dumps(dict(entry.facts), ensure_ascii=False, sort_keys=True)
        facts = facts.encode(errors="replace").decode()  # lone surrogates, which no database takes
        about = (utc_text(entry.at), str(entry.event), entry.actor, entry.request_id, entry.version, facts)
        row: dict[str, Any] = dict(zip(HASHED, (head.seq + 1, *about), strict=True))
        hash_ = hash_after(head.hash, row)
        signature = base64.b64encode(self._keys[key_id].sign(self.signed_text(head.seq + 1, hash_))).decode()
        head = Head(head.seq + 1, hash_, key_id, signature)
        rows.append(row | head._asdict())
        return head

    def _is_new_key(self, connection: Connection, tail: Head) -> bool:
        """Whether our key signs for the first time, after another of ours: the log then says so first.

        Learned from the table alone: a row that this process wrote may have been rolled back.
        """
        ours = self.key_ids[0]
        if tail.key_id == ours or tail.key_id not in self._keys or ours in self._announced:
            return False
        added = [(read_object(facts) or {}).get("key_id") for facts in connection.scalars(KEYS_ADDED)]
        self._announced.update(map(str, [*added, connection.scalar(FIRST_KEY)]))
        return ours not in self._announced

    def tail(self, connection: Connection) -> Head:
        """Return the row to append to. Raises AuditBroken where it is not one that this bot can vouch for."""
        seen = self.seen  # before the read: another thread may remember a row that this snapshot lacks
        last = connection.execute(LAST).first()
        if last is None:
            raise AuditBroken("the audit log is empty")
        if seen is None or (last.seq, last.hash) != seen[:2]:
            if not self.is_signed(last):
                raise AuditBroken(f"no key of VAULT_KEYS signed row {last.seq} (put back what was taken out)")
            if seen is not None and connection.scalar(HASH_AT, {"seq": seen.seq}) != seen.hash:
                raise AuditBroken(f"row {seen.seq}, which this bot has seen, is gone or another")
        return Head(*last)

    def since(self, connection: Any, head: Head) -> Sequence[Any]:
        """Return the rows after `head`, each proved by the chain from there to a signed newest row.

        Raises AuditBroken where a row from there on was removed, changed, inserted or cut. Of rows further
        back than SPAN what was proved before counts: in a burst each request would read all the others' rows.
        """
        # As of before the snapshot: another thread may remember a row that a reader's snapshot lacks.
        seen = (getattr(connection, "info", {}).get(SEEN, self.seen) or head)[:2]
        proved, first = self._proved, self._proved[0].seq if self._proved else head.seq + 1
        known = proved[head.seq - first : -SPAN] if head.seq >= first else []
        start = known[-1] if known and known[0].hash == head.hash else head
        rows = connection.execute(FROM, {"seq": start.seq}).all()
        if start is not head and (not rows or rows[0].hash != start.hash):  # cut, or a snapshot from before
            start, rows = head, connection.execute(FROM, {"seq": head.seq}).all()
        hashes = {row.seq: row.hash for row in rows}
        if hashes.get(start.seq) != start.hash:
            raise AuditBroken(f"row {head.seq}, which a seal names, is gone or another")
        for before, row in pairwise(rows):
            if row.seq != before.seq + 1 or row.hash != hash_after(before.hash, row):
                raise AuditBroken(f"row {row.seq} does not follow from row {before.seq}")
        if seen[0] >= start.seq and hashes.get(seen[0]) != seen[1]:
            raise AuditBroken(f"row {seen[0]}, which this bot has seen, is gone or another")
        if (rows[-1].seq, rows[-1].hash) != seen and not self.is_signed(rows[-1]):
            raise AuditBroken(f"row {rows[-1].seq} is not signed with a key of VAULT_KEYS")
        end = proved[-1] if proved else rows[0]
        if hashes.get(end.seq, end.hash) != end.hash:
            raise AuditBroken(f"row {end.seq}, which this bot has seen, is gone or another")
        kept = proved if rows[0].seq <= end.seq else []
        self._proved = [*kept, *(row for row in rows if not kept or row.seq > end.seq)][-WINDOW:]
        return [*known[1:], *rows[1:]] if start is not head else list(rows[1:])

    def look(self, connection: Connection) -> Head:
        """Return the newest row and remember it, as others' appends are seen; AuditBroken as in `append`."""
        head = self._watched_tail(connection)
        self.remember(head)
        return head

    def _watched_tail(self, connection: Connection) -> Head:
        try:
            head = self.tail(connection)
        except AuditBroken as error:
            if self.broken != str(error):
                log.critical("audit_broken", reason=str(error))
            self.broken = str(error)
            raise
        self.broken = None
        return head

    def remember(self, head: Head | None) -> None:
        """Take note of a committed row: after the COMMIT, since a row that was rolled back is not missed."""
        if head is not None and (self.seen is None or head.seq > self.seen.seq):
            self.seen = head

    def holds(self, connection: Connection, head: Head) -> bool:
        """Return whether a row is there. Final: its transaction held this lock until it was over."""
        self.lock(connection)
        return bool(connection.scalar(HASH_AT, {"seq": head.seq}) == head.hash)

    def lock(self, connection: Connection) -> None:
        """Be the only writer of the log until the transaction ends; SQLite has one anyway."""
        if connection.dialect.name == "postgresql":
            connection.execute(ONE_WRITER)


def hash_after(previous: str, row: Any) -> str:
    """Return the hash of `row`, a mapping or a database row, after the row with hash `previous`.

    A row that was edited may hold anything, and must be found to be another.
    """
    values = row if isinstance(row, Mapping) else row._mapping
    line = [previous, *(values[name] for name in HASHED)]
    line_text = json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=repr)
    return hashlib.sha256(line_text.encode(errors="surrogatepass")).hexdigest()


def key_id_of(public_key: bytes) -> str:
    """Return a public key's name: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def newest_facts(connection: Connection, event: Event) -> dict[str, str] | None:
    found = connection.scalar(NEWEST_OF, {"event": event.value})
    return None if found is None else {name: str(value) for name, value in (read_object(found) or {}).items()}


def log_name(connection: Connection) -> str | None:
    """Return whose log it is, as row 1 says; None where there is no such row."""
    found = connection.scalar(FIRST_FACTS)
    name = None if found is None else (read_object(found) or {}).get("deployment")
    return None if name is None else str(name)


def of_another(connection: Connection, name: str) -> str | None:
    """Return whose log it is where that is not `name`; it follows "The database"."""
    theirs = log_name(connection)
    return None if theirs in (None, name) else f"belongs to {theirs}, and the settings say {name}"


def pages(connection: Connection, first: int = FIRST_SEQ, size: int = 1000) -> Iterator[Sequence[Any]]:
    """Yield rows from number `first` on, a page at a time; memory stays the same however long the log is.

    Each page is a transaction of its own, over before it is yielded: `unlatch audit export | less` would
    else keep SQLite's WAL growing. The chain makes a common snapshot needless.
    """
    statement, following = FROM.limit(size), first
    while rows := connection.execute(statement, {"seq": following}).all():
        connection.rollback()
        yield rows
        if rows[-1].seq == LAST_SEQ:
            return
        following = rows[-1].seq + 1
