"""`unlatch audit …`, and the heads that are kept outside the database."""

import asyncio
import csv
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

import structlog
from sqlalchemy import Connection, and_, exists, func, or_, select

from bot.domain.audit import Entry, Event
from bot.domain.errors import AuditBroken, StoreUnavailable
from bot.domain.request import MOVES, Status
from bot.domain.values import read_object, utc_text
from bot.keys import parse_public_key
from bot.log import flush_log
from bot.settings import CannotStart, place_of
from bot.store.audit_log import LAST, AuditLog, AuditVerifier, Head, hash_after, log_name, newest_facts, pages
from bot.store.database import BEGUN_ANEW, OLDER_REQUESTS, Database
from bot.store.engine import temporary_engine
from bot.store.tables import audit, requests

FINE, TAMPERED, CANNOT_VERIFY = 0, 1, 2
MAX_FINDINGS: Final = 100
"""Findings beyond these are counted only."""
PROGRESS: Final = 100_000
COLUMNS: Final = ("seq", "at", "event", "actor", "request_id", "version", "facts", "previous", "hash")
FORMULA: Final = re.compile(r'(?:^(?=[\t\r\n])|(?:^|[;\t\r\n])(?=[\s"]*[=+\-@＝＋－＠]))')
"""Where a cell would begin with what a spreadsheet runs. Which cell a line is split into depends on the
locale: many split at semicolons, and then a line end within our quotes ends the line too."""
HEAD_EVENT: Final = "audit_head"
"""Marks a head, in the file and in the log alike."""

log = structlog.get_logger()


# Heads


class HeadKeeper:
    """Writes the newest row's head to the log, and to the file of AUDIT_HEADS where there is one."""

    def __init__(self, database: Database, path: Path | None) -> None:
        self._database = database
        self._path = path
        self._kept: int | None = None
        self._one = asyncio.Lock()

    async def keep(self) -> bool:
        """Keep the newest row's head, if it is newer than the last; False where it could not be written.

        Raises StoreError.
        """
        async with self._one:
            try:
                return await self._keep(await self._database.read(self._database.audit_log.look))
            except AuditBroken:  # what the bot has seen is gone: it is known outside now, for the next start
                if (seen := self._database.audit_log.seen) is not None and seen.signature:
                    await self._keep(seen)
                raise

    async def _keep(self, head: Head) -> bool:
        if self._kept is not None and head.seq <= self._kept:
            return True
        log.info(HEAD_EVENT, **head._asdict())
        await asyncio.to_thread(flush_log)
        if self._path is not None:
            try:
                await asyncio.to_thread(append_head, self._path, head)
            except OSError as error:  # the next head vouches for these rows too
                log.error("audit_head_not_written", error=type(error).__name__)
                return False
        self._kept = head.seq
        return True


def append_head(path: Path, head: Head | None) -> None:
    """Add a line and wait for the disk; None only makes sure that the file can be written. Raises OSError."""
    with path.open("a+b") as file:
        if head is not None:
            file.seek(-min(1, file.tell()), os.SEEK_END)
            torn = file.read() not in (b"", b"\n")  # there was no room for the end of a line
            line = json.dumps({"event": HEAD_EVENT} | head._asdict())
            file.write(b"\n" * torn + line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_heads(path: Path) -> list[Head]:
    """Return the heads in a file, which may be a whole log. Raises OSError."""
    heads = []
    with path.open(errors="replace") as lines:
        for line in lines:
            values = read_object(line) or {}
            seq = values.get("seq")
            if values.get("event") == HEAD_EVENT and isinstance(seq, int):
                heads.append(Head(seq, *(str(values.get(name, "")) for name in Head._fields[1:])))
    return heads


def last_head(path: Path | None, verifier: AuditVerifier) -> Head | None:
    """Return the newest signed head of a file; None where there is no file or none in it. Raises OSError."""
    if path is None or not path.exists():
        return None
    if not path.is_file():  # a pipe would be read for ever
        raise OSError(0, "it is no regular file")
    return next(filter(verifier.is_signed, reversed(read_heads(path))), None)


async def signing_key(database: Database) -> int | None:
    """Return the place in VAULT_KEYS of the key that signed the newest row; None where none of them did.

    That key has to stay until another one signs: a bot without it takes the row for a planted one, and stops.
    """
    audit_log = database.audit_log
    last = await database.read(lambda connection: connection.execute(LAST).first())
    if last is None or not audit_log.is_signed(last):
        return None
    return audit_log.key_ids.index(last.key_id)


async def record_start(database: Database, *, now: datetime, version: str, settings: dict[str, str]) -> None:
    """Add a row for a start: the version, and settings without secrets, and whether they changed.

    A broken log takes none, which does not end the bot: /readyz says it. Raises StoreError.
    """
    canonical = json.dumps(settings, ensure_ascii=False, sort_keys=True)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    before = await database.read(lambda connection: newest_facts(connection, Event.STARTED))
    facts = {"version": version, "settings": canonical, "digest": digest}
    if before is not None and before.get("digest") != digest:
        facts["configuration_changed"] = "yes"
    entry = Entry(event=Event.STARTED, at=now, facts=facts)
    with suppress(AuditBroken):
        await database.run(lambda tx: tx.entries.append(entry))


# Verify

STATUSES: Final[Mapping[Event, Sequence[Status]]] = {
    Event.REQUESTED: (Status.RECEIVED,),
    Event.VERIFIED: (Status.PENDING,),
    Event.APPROVED: (Status.APPROVED,),
    Event.ATTEMPT_STARTED: (Status.APPROVED,),
    Event.ATTEMPT_ANSWERED: tuple(MOVES[Status.APPROVED] | MOVES[Status.UNCERTAIN] | {Status.UNCERTAIN}),
    Event.REOPENED: (Status.PENDING,),
    Event.LOOKED: (Status.SENT, Status.UNCERTAIN, Status.DONE),
    **{Event(end): (end,) for end in Status if not MOVES[end]},  # the row of an end has its name
}
"""Where a request stands after the move that leaves such a row."""
_moves: Final = (
    select(audit.c.request_id, func.max(audit.c.version).label("version"))
    .where(audit.c.version.is_not(None))
    .group_by(audit.c.request_id)
    .subquery()
)
_last: Final = and_(audit.c.request_id == _moves.c.request_id, audit.c.version == _moves.c.version)
_of_request: Final = audit.c.request_id == requests.c.id
_asked: Final = audit.c.event == Event.REQUESTED.value
_approved: Final = audit.alias()
CROSS_CHECKS: Final = {
    "request {} is not in the audit log": select(requests.c.id).where(~exists().where(_of_request, _asked)),
    "request {} was deleted": select(audit.c.request_id).where(_asked, ~exists().where(_of_request)),
    "request {} does not stand where its last row in the audit log left it": (
        select(requests.c.id)
        .join(_moves, _moves.c.request_id == requests.c.id)
        .join(audit, _last)
        .where(
            or_(
                requests.c.version < _moves.c.version,
                *(
                    and_(audit.c.event == event.value, requests.c.status.not_in(statuses))
                    for event, statuses in STATUSES.items()
                ),
            )
        )
    ),
    "request {} names another requester than the audit log": (
        select(requests.c.id)
        .distinct()
        .join(audit, _of_request)
        .where(
            audit.c.event.in_([Event.REQUESTED.value, Event.PASSCODE_VIEWED.value]),
            audit.c.actor != requests.c.asked_by,
        )
    ),
    "request {} was attempted without an approval": select(audit.c.request_id).where(
        audit.c.event == Event.ATTEMPT_STARTED.value,
        ~exists().where(
            _approved.c.request_id == audit.c.request_id,
            _approved.c.event == Event.APPROVED.value,
            _approved.c.version < audit.c.version,
        ),
    ),
    "request {} made the same move twice": (
        select(audit.c.request_id)
        .where(audit.c.version.is_not(None))
        .group_by(audit.c.request_id, audit.c.version)
        .having(func.count() > 1)
    ),
}
"""The log against the requests and against itself: what is said, and what finds the one who tampers."""
NO_ROWS: Final = (
    "the audit log has no row, or its first alone: is this the whole copy? A copy of SQLite's file needs its "
    "-wal too, and a database that no bot has used has no rows yet"
)


@dataclass
class Verification:
    """One pass over the log in constant memory, but for the heads. `findings` are sentences."""

    verifier: AuditVerifier
    heads: Sequence[Head] = ()
    full: bool = False
    """Check every signature, to name where a rewrite begins."""
    rows: int = 0
    notes: list[str] = field(default_factory=list)
    restored: list[tuple[int, int]] = field(default_factory=list)
    """From which row to which the log was lost, and resumed."""
    unverifiable: str | None = None

    def findings(self, connection: Connection) -> Iterator[str]:
        """Yield a sentence for everything that is wrong."""
        missing = {(head.seq, head.hash) for head in self.heads}
        last = vouching = self.verifier.genesis
        trusted = True
        for page in pages(connection):
            for row in page:
                if row.seq != last.seq + 1 or row.hash != hash_after(last.hash, row):
                    yield _break(last, row)
                self._learn(row)
                missing.discard((row.seq, row.hash))
                known = str(row.key_id) in self.verifier.public
                if self.full and known and trusted and not self.verifier.is_signed(row):
                    trusted = False
                    yield f"row {row.seq} was not written by Unlatch"
                last, vouching = row, row if known else vouching
                self.rows += 1
                if self.rows % PROGRESS == 0:
                    print(f"{self.rows} rows…", file=sys.stderr)
        begun_anew = last.seq <= 1 and connection.scalar(OLDER_REQUESTS) is not None
        if last.seq <= 1:
            self.unverifiable = f"the database {BEGUN_ANEW}" if begun_anew else NO_ROWS
        checks = {} if begun_anew else CROSS_CHECKS
        if last.seq == 0:
            return
        yield from (said.format(id_) for said, query in checks.items() for id_ in connection.scalars(query))
        if vouching.seq and not self.verifier.is_signed(vouching):
            yield f"row {vouching.seq} was not written by Unlatch, nor what follows from it"
        elif last.seq != vouching.seq:
            first = vouching.seq + 1
            rows = f"row {first}" if first == last.seq else f"rows {first} to {last.seq}"
            self.unverifiable = f"{rows}: signed with a key that you did not provide"
        yield from self._kept(last, [head for head in self.heads if (head.seq, head.hash) in missing])

    def _learn(self, row: Any) -> None:
        """Believe a key that a row of a believed key adds; note a log that was resumed."""
        if row.event not in (Event.KEY_ADDED, Event.RESUMED) or not self.verifier.is_signed(row):
            return
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            facts = json.loads(row.facts)
            if row.event == Event.KEY_ADDED:
                self.verifier.trust(parse_public_key(facts["public_key"]))
            else:
                lost = facts["lost_seq"]
                self.restored.append((row.seq, int(lost)))
                self.notes.append(f"restored at {row.at}: row {row.seq} names the lost head {lost}")

    def _kept(self, last: Any, others: list[Head]) -> Iterator[str]:
        """Heads that fit no row: cut, or rewritten, unless the log was resumed after an honest restore."""
        signed = [head for head in others if self.verifier.is_signed(head)]
        if len(signed) < len(others):
            self.notes.append(f"{len(others) - len(signed)} kept heads are not signed with a known key")
        numbers = {head.seq for head in signed}
        numbers -= {seq for seq in numbers for first, lost in self.restored if first <= seq <= lost}
        if rebuilt := [seq for seq in numbers if seq <= last.seq]:
            yield f"row {min(rebuilt)} is not the one that was kept: the log was rebuilt from there or before"
        if numbers and (newest := max(numbers)) > last.seq:
            yield f"the log ends at row {last.seq}, but a kept head names row {newest}"


def _break(last: Any, row: Any) -> str:
    """Return how a row does not follow from the one before it."""
    if missing := row.seq - last.seq - 1:
        how = f"{missing} removed" if missing > 0 else "inserted or reordered"
        return f"row {row.seq} follows row {last.seq}: {how}"
    return f"row {row.seq} was changed"


def verify(
    database_url: str, public_keys: Iterable[str], *, name: str | None, heads: Path | None, full: bool
) -> int:
    """Print what is wrong with the log, or that nothing is. Returns FINE, TAMPERED or CANNOT_VERIFY.

    `name`: the deployment's; None takes the one that row 1 gives. `heads`: a file of heads, or a whole log.
    """
    try:
        raw = [parse_public_key(key) for key in public_keys]
        kept = [] if heads is None else read_heads(heads)
        if heads is not None and not kept:
            return _cannot_verify(f"there is no head in {heads}")
        with reading(database_url) as connection:
            verifier = AuditVerifier(raw, name or log_name(connection) or "")
            verification = Verification(verifier, kept, full)
            found = 0
            for found, finding in enumerate(verification.findings(connection), start=1):
                if found <= MAX_FINDINGS:
                    print(finding)
    except ValueError as error:
        return _cannot_verify(str(error))
    except OSError as error:
        return _cannot_verify(f"{heads} cannot be read ({error.strerror})")
    except StoreUnavailable as away:
        return _cannot_verify(f"the database {away.reason}. It is {place_of(database_url)}")
    return _conclude(verification, found)


def _conclude(verification: Verification, found: int) -> int:
    for note in verification.notes:
        print(f"note: {note}")
    if found > MAX_FINDINGS:
        print(f"and {found - MAX_FINDINGS} more")
    if found:
        print(f"TAMPERED: {found} found.")
        return TAMPERED
    if verification.unverifiable:
        return _cannot_verify(verification.unverifiable)
    if verification.heads and not any(map(verification.verifier.is_signed, verification.heads)):
        return _cannot_verify("no kept head is signed with a key that you provided")
    signed = f"signed, of deployment {verification.verifier.name}"
    print(f"{'RESTORED' if verification.restored else 'OK'}: {verification.rows} rows verified, {signed}.")
    return FINE


def _cannot_verify(sentence: str) -> int:
    print(f"Cannot verify: {sentence}.".replace("..", "."), file=sys.stderr)
    return CANNOT_VERIFY


@contextmanager
def reading(url: str) -> Iterator[Connection]:
    """A connection that only reads. A long log may take its time. Raises StoreUnavailable, ValueError."""
    with temporary_engine(url, read_only=True, bounded=False) as engine, engine.connect() as connection:
        yield connection


# Export


def export(database_url: str, out: TextIO, *, format_: str, since: datetime, until: datetime | None) -> None:
    """Write rows from `since` to before `until` as JSON lines or CSV. Raises StoreError, ValueError."""
    first, end = utc_text(since), None if until is None else utc_text(until)
    with reading(database_url) as connection:
        rows = _exported(connection, first, end)
        _write_csv(out, rows) if format_ == "csv" else _write_jsonl(out, rows)


def _exported(connection: Connection, first: str, end: str | None) -> Iterator[dict[str, Any]]:
    start = connection.scalar(select(audit.c.seq).where(audit.c.at >= first).order_by(audit.c.seq).limit(1))
    if start is None:
        return
    earlier = select(audit.c.hash).where(audit.c.seq < start).order_by(audit.c.seq.desc()).limit(1)
    before = connection.scalar(earlier) or AuditVerifier([], log_name(connection) or "").genesis.hash
    for page in pages(connection, start):
        for row in page:
            if first <= row.at and (end is None or row.at < end):
                yield {**row._mapping, "previous": before}
            before = row.hash


def _write_jsonl(out: TextIO, rows: Iterable[dict[str, Any]]) -> None:
    """Write facts as an object, if they can be written back from it as they are stored; else their text."""
    for row in rows:
        line = {name: row[name] for name in COLUMNS}
        facts = read_object(row["facts"])
        if facts is not None and json.dumps(facts, ensure_ascii=False, sort_keys=True) == row["facts"]:
            line["facts"] = facts
        out.write(json.dumps(line, ensure_ascii=False) + "\n")


def _write_csv(out: TextIO, rows: Iterable[dict[str, Any]]) -> None:
    writer = csv.writer(out)  # with CRLF: it quotes a cell for the line ends that it writes, and no others
    writer.writerow(COLUMNS)
    for row in rows:
        cells = ("" if row[name] is None else str(row[name]) for name in COLUMNS)
        writer.writerow([FORMULA.sub(r"\g<0>'", cell) for cell in cells])


# Resume


def resume(database_url: str, audit_log: AuditLog, heads: Path, keep_in: Path) -> str:
    """Go on after an honest restore: add a signed row that names the last lost head, and keep its head.

    Offline, with the vault key. Returns what was done, in a sentence. Raises CannotStart where there is
    nothing to resume, AuditBroken where the log was tampered with; StoreError; OSError.
    """
    kept = list(filter(audit_log.is_signed, read_heads(heads)))
    with temporary_engine(database_url) as engine, engine.begin() as connection:
        audit_log.lock(connection)
        last = connection.execute(LAST).first()
        if last is None or not audit_log.is_signed(last):
            raise AuditBroken("no key of VAULT_KEYS signed the newest row: this is no honest restore")
        if not kept:
            raise CannotStart(f"Nothing to resume: {heads} holds no head, and the bot goes on without.")
        newest, lost = kept[-1], max(kept)
        there = connection.scalar(select(audit.c.hash).where(audit.c.seq == newest.seq))
        if there == newest.hash:
            raise CannotStart("Nothing to resume: the log holds the last kept head.")
        audit_log.seen = None
        facts = {"lost_seq": str(lost.seq), "lost_hash": lost.hash}
        entry = Entry(event=Event.RESUMED, at=datetime.now(UTC), facts=facts)
        head = audit_log.append(connection, [entry])
    for path in {heads, keep_in}:
        append_head(path, head)
    return f"Resumed after row {last.seq}. The kept head named row {lost.seq}."
