"""The audit log: what was written is found as it was, and what was done to it behind its back is named."""

import asyncio
import csv
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bot import audit
from bot.audit import CANNOT_VERIFY, FINE, TAMPERED
from bot.domain.audit import Entry, Event
from bot.domain.errors import AuditBroken, StoreUnavailable
from bot.keys import Keys, new_key
from bot.settings import CannotStart
from bot.store.audit_log import HASH_AT, SEEN, SPAN, AuditLog, Head, hash_after, newest_facts, pages
from bot.store.database import BEGUN_ANEW, Database
from bot.store.migrations import migrate
from bot.store.tables import audit as table
from bot.store.tables import requests
from sqlalchemy import event, select, text
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs
from tests.support.database import DEPLOYMENT, VAULT_KEYS, audit_log
from tests.support.postgres import Cluster
from tests.unit.store.conftest import EMPTY, OPERATE, as_owner, opened, owner
from tests.unit.store.rows import LATE, NOW, a_request, note, noted, stored

ROW = "at, event, actor, request_id, version, facts, hash, key_id, signature"
CUT = "DELETE FROM audit WHERE seq > 7"
TRIGGERS = {
    "sqlite": [f"DROP TRIGGER IF EXISTS audit_{name}" for name in ("no_update", "no_delete", "no_replace")],
    "postgresql": ["DROP TRIGGER IF EXISTS audit_append_only ON audit"],
}


def a_copy_of(row: int, *, to: int) -> str:
    return f"INSERT INTO audit SELECT {to}, {ROW} FROM audit WHERE seq = {row}"  # noqa: S608  numbers


def edit(row: int, change: str) -> str:
    return f"UPDATE audit SET {change} WHERE seq = {row}"  # noqa: S608  ours


def fine(rows: int) -> str:
    return f"OK: {rows} rows verified, signed, of deployment {DEPLOYMENT}.\n"


def log_of(*keys: str) -> AuditLog:
    return AuditLog(Keys.parse(",".join(keys)), DEPLOYMENT)


def tamper(url: str, *statements: str) -> None:
    """Run SQL as the owner of the tables, who takes the triggers off first."""
    with owner(url) as connection:
        for statement in (*TRIGGERS[connection.dialect.name], *statements):
            connection.execute(text(statement))


@dataclass
class Log:
    """A database's audit log, as an operator, an auditor and the owner of the tables meet it."""

    url: str
    heads: Path
    """The file of kept heads, once `keep_head` made it."""
    _capsys: pytest.CaptureFixture[str]

    def tamper(self, *statements: str) -> None:
        tamper(self.url, *statements)

    def verify(self, **given: Any) -> tuple[int, str]:
        """Return the exit status of `unlatch audit verify`, and what it printed."""
        usual: dict[str, Any] = {"public_keys": Keys.parse(VAULT_KEYS).public_keys, "heads": None}
        self._capsys.readouterr()
        status = audit.verify(**{"database_url": self.url, "name": None, "full": False} | usual | given)
        return status, "".join(self._capsys.readouterr())

    async def keep_head(self) -> None:
        async with opened(self.url) as database:
            await audit.HeadKeeper(database, self.heads).keep()

    def restarted(self) -> AbstractAsyncContextManager[Database]:
        """A bot that knows the kept heads."""
        log = audit_log()
        log.seen = audit.last_head(self.heads, log)
        return opened(self.url, log)


@pytest.fixture
def log(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Log:
    return Log(url, tmp_path / "heads", capsys)


@pytest.fixture
async def ten_rows(log: Log) -> Log:
    async with opened(log.url) as database:
        await noted(database, 9)
    return log


EDITED = ("at", "event", "actor", "request_id", "version", "facts", "hash")
TAMPERING: dict[str, tuple[str, str]] = {
    **{f"edited {name}": (edit(4, f"{name} = '7'"), "row 4 was changed") for name in EDITED},
    "removed": ("DELETE FROM audit WHERE seq = 4", "row 5 follows row 3: 1 removed"),
    "removed the first": ("DELETE FROM audit WHERE seq = 1", "row 2 follows row 0: 1 removed"),
    "swapped": (f"{edit(4, 'seq = 99')}; {edit(5, 'seq = 4')}; {edit(99, 'seq = 5')}", "row 4 was changed"),
    "inserted behind": (a_copy_of(10, to=11), "row 11 was changed"),
    "inserted before the first": (a_copy_of(10, to=-5), "row -5 follows row 0: inserted or reordered"),
    "inserted before all": (a_copy_of(10, to=-(2**63)), "follows row 0: inserted or reordered"),
    "inserted behind all": (a_copy_of(10, to=2**63 - 1), "row 9223372036854775807 follows row 10"),
    "signature of the newest": (edit(10, "signature = 'é'"), "row 10 was not written by Unlatch, nor what "),
}


@pytest.mark.parametrize(("statements", "finding"), TAMPERING.values(), ids=TAMPERING)
async def test_tampering_is_named_and_ends_with_1(ten_rows: Log, statements: str, finding: str):
    assert ten_rows.verify() == (FINE, fine(10))
    ten_rows.tamper(*statements.split("; "))
    status, said = ten_rows.verify()
    assert (status, finding in said) == (1, True)


async def test_full_checks_every_signature_and_names_the_first_that_is_none(ten_rows: Log):
    assert ten_rows.verify(full=True) == (FINE, fine(10))
    ten_rows.tamper(edit(4, "signature = 'x'"), edit(7, "signature = 'x'"))
    assert ten_rows.verify()[0] == FINE  # the newest vouches for all
    said = "row 4 was not written by Unlatch\nTAMPERED: 1 found.\n"
    assert ten_rows.verify(full=True) == (TAMPERED, said)


def test_the_format_of_a_row_its_hash_and_its_signature_is_for_ever():
    """Exports and heads that auditors keep, and every existing log, depend on these bytes."""
    log, row = log_of(VAULT_KEYS), {"seq": 1, "at": "2026-03-02T12:00:00.000000Z", "event": "started"}
    row |= {"actor": None, "request_id": "r1", "version": None, "facts": '{"n": "1"}'}
    hash_ = "b86db04731ad2a3f8d7f8ac437dc3e70f1b8221ed556e104586788eaef2e8055"
    signature = "jR+4iZtircq5tlQO9MIbYhWI9wkn0vNCjL6fqXEfQDr+ocaljaq2vJiCgUYYwG4bFGFcdRhOvGLNXDb9w2QFBg=="
    assert hash_after(log.genesis.hash, row) == hash_
    assert log.is_signed(Head(1, hash_, "4996a1e088083053", signature))


async def test_a_cut_tail_is_found_by_a_kept_head_alone(ten_rows: Log):
    await ten_rows.keep_head()
    ten_rows.tamper(CUT)
    assert ten_rows.verify()[0] == FINE
    said = "the log ends at row 7, but a kept head names row 10\nTAMPERED: 1 found.\n"
    assert ten_rows.verify(heads=ten_rows.heads) == (TAMPERED, said)


async def test_a_chain_that_is_rebuilt_carries_no_signature_and_the_kept_head_says_from_where(ten_rows: Log):
    """With the public algorithm anybody can make hashes; signatures take the vault's key."""
    await ten_rows.keep_head()
    forger = new_key()
    ten_rows.tamper("DELETE FROM audit")
    created = Entry(event=Event.LOG_CREATED, at=NOW, facts={"deployment": DEPLOYMENT})
    with owner(ten_rows.url) as connection:
        [theirs] = Keys.parse(forger).public_keys
        added = replace(created, event=Event.KEY_ADDED, facts={"public_key": theirs})
        log_of(forger).append(connection, [created, added, *map(note, range(8))], first=True)
    said = "Cannot verify: rows 1 to 10: signed with a key that you did not provide.\n"
    assert ten_rows.verify() == (2, said)
    assert ten_rows.verify(heads=ten_rows.heads)[0] == TAMPERED
    # The forger's own key verifies the forger's log: which key it is, the auditor knows.
    assert ten_rows.verify(public_keys=[theirs])[0] == FINE
    async with opened(ten_rows.url) as database:
        with pytest.raises(AuditBroken):
            await noted(database)


async def test_a_log_of_another_deployment_is_tampering_and_none_cannot_be_verified(ten_rows, tmp_path):
    assert ten_rows.verify(name="another")[0] == TAMPERED  # row 1 is not its first row
    ten_rows.tamper("DELETE FROM audit")
    for url, words in ((ten_rows.url, "whole copy"), (f"sqlite:///{tmp_path}/none", f"{tmp_path}/none")):
        status, said = ten_rows.verify(database_url=url)
        assert (status, words in said) == (CANNOT_VERIFY, True), said


async def test_o10_a_copy_of_sqlites_file_without_its_wal_is_not_fine(on_sqlite, tmp_path, capsys):
    await noted(on_sqlite, 3)
    shutil.copy(tmp_path / "unlatch.sqlite3", tmp_path / "alone")
    copied = Log(f"sqlite:///{tmp_path}/alone", tmp_path, capsys)
    assert copied.verify() == (CANNOT_VERIFY, f"Cannot verify: {audit.NO_ROWS}.\n")


BEGUN = (CANNOT_VERIFY, f"Cannot verify: the database {BEGUN_ANEW}.\n")
RESTORES: dict[str, tuple[list[str], str, tuple[int, str]]] = {
    "o8 all": ([], "", (FINE, fine(3))),
    "o8 data alone, as documented": (["--data-only"], EMPTY, (FINE, fine(3))),
    "o8 data alone": (["--data-only"], "SELECT 1", BEGUN),
}


@pytest.mark.parametrize(("options", "prepared", "expected"), RESTORES.values(), ids=RESTORES)
async def test_an_honest_restore_of_a_dump_is_fine_or_refused_and_never_tampered(
    cluster: Cluster, postgresql: str, tmp_path: Path, capsys, options, prepared, expected
):
    async with opened(postgresql) as database:
        await stored(database, a_request(at=datetime(2020, 1, 1, tzinfo=UTC)))
        await noted(database)
    target = cluster.url(cluster.create())
    if prepared:
        migrate(target, audit_log())
        with owner(target) as connection:
            connection.execute(text(prepared))
    dump = str(tmp_path / "unlatch.dump")
    cluster.run_client("pg_dump", "--format=custom", f"--file={dump}", as_owner(postgresql))
    cluster.run_client("pg_restore", *options, f"--dbname={target}", dump)
    assert Log(target, tmp_path, capsys).verify() == expected
    async with opened(target) as database:
        assert (await database.problem() is None) is (expected[0] == FINE)


MISFITS = {
    "is not in the audit log": "UPDATE requests SET id = 'forged'",
    "was deleted": "DELETE FROM requests",
    "does not stand where its last row": "UPDATE requests SET status = 'approved'",
    "in the audit log left it": "UPDATE requests SET version = 0",
    "names another requester": "UPDATE requests SET asked_by = 'U0EVE'",
    "was attempted without an approval": "UPDATE audit SET event = 'attempt_started' WHERE seq = 2",
}


@pytest.mark.parametrize(("finding", "statement"), MISFITS.items(), ids=MISFITS)
async def test_requests_that_do_not_fit_the_log_are_named(log: Log, database, finding: str, statement: str):
    await stored(database, a_request())
    assert log.verify()[0] == FINE
    log.tamper(statement)
    status, said = log.verify()
    assert (status, finding in said) == (TAMPERED, True)


@pytest.mark.parametrize(
    "statement",
    [a_copy_of(10, to=11), CUT, "DELETE FROM audit", edit(10, "hash = 'x'")],
    ids=["planted", "cut", "emptied", "changed"],
)
async def test_a_running_bot_appends_to_no_log_but_its_own_and_goes_on_without_audit_rows(
    ten_rows, statement
):
    async with opened(ten_rows.url) as database:
        await noted(database)
        kept = "CREATE TABLE kept AS SELECT * FROM audit"
        ten_rows.tamper(kept, "DELETE FROM audit WHERE seq = 11", statement)
        with capture_logs() as logged:
            for append in (noted(database), noted(database), stored(database, a_request())):
                with pytest.raises(AuditBroken):
                    await append
        assert [line["event"] for line in logged] == ["audit_broken"]
        assert database.audit_log.broken
        assert await database.run(lambda _: "what needs no audit row goes on")
        ten_rows.tamper("DELETE FROM audit", "INSERT INTO audit SELECT * FROM kept")
        await noted(database)
        assert database.audit_log.broken is None


async def test_what_a_seal_names_has_to_be_in_the_log_and_the_newest_row_to_be_signed(ten_rows: Log):
    async with opened(ten_rows.url) as database:
        third = await database.read(lambda connection: connection.scalar(HASH_AT, {"seq": 3}))
        ten_rows.tamper(edit(10, "signature = 'x'"))
        for hash_, said in (("0" * 64, "row 3, which a seal names"), (third, "row 10 is not signed")):
            with pytest.raises(AuditBroken, match=said):
                await database.read(lambda c, hash_=hash_: database.audit_log.since(c, Head(3, hash_)))


async def test_of_a_long_log_the_newest_rows_alone_are_read_again_and_a_cut_is_noticed(ten_rows: Log):
    async with opened(ten_rows.url) as database:
        await noted(database, 200)
        third = await database.read(lambda connection: connection.scalar(HASH_AT, {"seq": 3}))
        asked: list[Any] = []
        event.listen(database.reader, "before_cursor_execute", lambda *given: asked.append(given[3]))
        for begins_at in (3, 210 - SPAN):
            rows = await database.read(lambda c: database.audit_log.since(c, Head(3, third)))
            assert [row.seq for row in rows] == [*range(4, 211)]
            assert str(begins_at) in str(asked.pop())
        for cut in ("DELETE FROM audit WHERE seq > 205", "DELETE FROM audit WHERE seq > 100"):
            ten_rows.tamper(cut)
            with pytest.raises(AuditBroken):
                await database.read(lambda c: database.audit_log.since(c, Head(3, third)))


async def test_two_replicas_append_to_one_chain_and_one_notices_a_cut_of_the_others_rows(replicas, log):
    here, elsewhere = replicas
    await asyncio.gather(*(noted(replicas[n % 2], 5) for n in range(8)))
    assert log.verify() == (FINE, fine(41))
    await noted(here)
    await noted(elsewhere, 3)
    await here.read(here.audit_log.look)  # as it does each minute
    log.tamper("DELETE FROM audit WHERE seq > 42")
    with pytest.raises(AuditBroken):
        await noted(here)


async def test_looking_at_the_log_while_another_thread_appends_raises_no_alarm(on_sqlite: Database):
    await noted(on_sqlite)
    loop = asyncio.get_running_loop()

    def overtaken(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("SELECT"):
            asyncio.run_coroutine_threadsafe(noted(on_sqlite), loop).result(10)

    event.listen(on_sqlite.reader, "after_cursor_execute", overtaken)
    head = await on_sqlite.read(on_sqlite.audit_log.look)
    assert (head.seq, on_sqlite.audit_log.broken, on_sqlite.audit_log.seen.seq) == (2, None, 3)


async def test_triggers_refuse_every_change_of_a_row(url: str, database: Database):
    await stored(database, a_request())
    statements = [edit(1, "facts = '{}'"), "DELETE FROM audit"]
    if database.is_sqlite:  # REPLACE would delete by either unique key
        statements += [a_copy_of(2, to=row).replace("INSERT", "INSERT OR REPLACE") for row in (1, 3)]
    else:
        statements.append("TRUNCATE audit")
    for statement in statements:
        with pytest.raises(DBAPIError, match="append-only"), owner(url) as connection:
            connection.execute(text(statement))


async def test_keys_rotate_in_two_steps_old_rows_stay_verifiable_and_the_key_of_the_newest_has_to_stay(log):
    new = new_key()
    both, turned = (VAULT_KEYS, new), (new, VAULT_KEYS)
    signed_with = []
    for keys in ((VAULT_KEYS,), both, turned, both, turned, (new,), (new_key(),)):
        async with opened(log.url, log_of(*keys)) as database:
            signed_with.append(await audit.signing_key(database))
            if signed_with[-1] is not None:
                await noted(database)
                signed_with.append(await audit.signing_key(database))
    assert signed_with == [0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, None]  # this key has to stay
    assert log.verify()[0] == FINE  # who has the first public key alone, learns the second
    assert log.verify(public_keys=Keys.parse(new).public_keys)[0] == FINE
    with owner(log.url) as connection:
        assert connection.scalar(text("SELECT count(*) FROM audit WHERE event = 'key_added'")) == 1


async def test_a_new_key_is_named_in_the_log_although_its_first_row_was_rolled_back(log: Log):
    async with opened(log.url, log_of(new_key(), VAULT_KEYS)) as database:
        request = a_request()
        twice = Entry.of_move(Event.REQUESTED, request, {})
        with pytest.raises(RuntimeError):
            await database.run(lambda tx: tx.entries.extend([twice, twice]))
        await noted(database, 2)
    assert log.verify()[0] == FINE  # with the old public key alone


async def test_after_an_honest_restore_resume_goes_on_and_hides_no_later_cut(ten_rows: Log):
    await ten_rows.keep_head()
    ten_rows.tamper(CUT)
    async with ten_rows.restarted() as stopped:
        with pytest.raises(AuditBroken):
            await noted(stopped)
    with pytest.raises(StoreUnavailable):
        audit.resume("sqlite:////no/such/folder/rows", audit_log(), ten_rows.heads, ten_rows.heads)
    said = audit.resume(ten_rows.url, audit_log(), ten_rows.heads, ten_rows.heads)
    assert said == "Resumed after row 7. The kept head named row 10."
    with pytest.raises(CannotStart, match="Nothing to resume: the log holds"):
        audit.resume(ten_rows.url, audit_log(), ten_rows.heads, ten_rows.heads)
    async with ten_rows.restarted() as again:
        await noted(again, 3)
    status, out = ten_rows.verify(heads=ten_rows.heads)
    assert (status, out.splitlines(keepends=True)[-1]) == (FINE, fine(11).replace("OK", "RESTORED"))
    await ten_rows.keep_head()
    ten_rows.tamper("DELETE FROM audit WHERE seq > 9")
    assert ten_rows.verify(heads=ten_rows.heads)[0] == TAMPERED


async def test_a_head_that_is_unsigned_raises_no_alarm_and_proves_nothing(ten_rows: Log):
    ten_rows.heads.write_text("not a head\n")
    assert ten_rows.verify(heads=ten_rows.heads)[0] == CANNOT_VERIFY
    line = {"event": "audit_head", "seq": 99, "hash": "x", "key_id": "y", "signature": "z"}
    ten_rows.heads.write_text(f"{json.dumps(line)}\nnot a head\n{'[' * 100_000}\n")
    status, said = ten_rows.verify(heads=ten_rows.heads)
    assert (status, "no kept head is signed with a key that you provided" in said) == (CANNOT_VERIFY, True)
    await ten_rows.keep_head()
    status, said = ten_rows.verify(heads=ten_rows.heads)
    assert (status, "note: 1 kept heads are not signed with a known key" in said) == (FINE, True)


async def test_a_head_is_kept_once_whatever_failed_or_was_cut_off_before(on_sqlite, tmp_path):
    path = tmp_path / "folder" / "heads"
    keeper = audit.HeadKeeper(on_sqlite, path)
    await keeper.keep()
    path.parent.mkdir()
    path.write_text('{"event": "audit_head", "seq')  # cut off
    for _ in range(2):
        await keeper.keep()
        await keeper.keep()
        await noted(on_sqlite)
    _, *kept = path.read_text().splitlines()
    assert [json.loads(line)["seq"] for line in kept] == [1, 2]
    assert audit.last_head(path, on_sqlite.audit_log).seq == 2


FUNCTION = (
    "CREATE FUNCTION swallow() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS "
    "$$ BEGIN {} RETURN NULL; END $$"
)
TRIGGER = "CREATE TRIGGER swallow {} INSERT ON audit FOR EACH ROW EXECUTE FUNCTION swallow()"
GONE = "DELETE FROM audit WHERE seq = NEW.seq;"
SWALLOW = {
    "sqlite before": ("CREATE TRIGGER swallow BEFORE INSERT ON audit BEGIN SELECT RAISE(IGNORE); END",),
    "sqlite after": (f"CREATE TRIGGER swallow AFTER INSERT ON audit BEGIN {GONE} END",),
    "postgresql before": (FUNCTION.format(""), TRIGGER.format("BEFORE")),
    "postgresql after": (FUNCTION.format(GONE), TRIGGER.format("AFTER")),
}


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_database_that_swallows_audit_rows_stores_nothing(log: Log, database: Database, when: str):
    await noted(database)
    log.tamper(*SWALLOW[f"{'sqlite' if database.is_sqlite else 'postgresql'} {when}"])
    with pytest.raises(AuditBroken):
        await stored(database, a_request())
    assert await database.read(lambda connection: connection.scalars(select(requests.c.id)).all()) == []


async def test_a_move_that_was_made_twice_is_named(log: Log, database: Database):
    request = await stored(database, a_request())
    log.tamper("DROP INDEX audit_by_request")
    again = Entry.of_move(Event.REQUESTED, request, {}, actor=request.asked_by)
    await database.run(lambda tx: tx.entries.append(again))
    assert f"request {request.id} made the same move twice" in log.verify()[1]


async def test_what_a_bot_has_seen_is_kept_though_it_is_gone(log: Log, database: Database):
    keeper = audit.HeadKeeper(database, log.heads)
    await noted(database, 3)
    log.tamper("DELETE FROM audit WHERE seq > 2")
    with pytest.raises(AuditBroken):
        await keeper.keep()
    assert "but a kept head names row" in log.verify(heads=log.heads)[1]


async def test_a_start_says_whether_the_settings_changed_since_the_last_one(database: Database):
    told = []
    for setting in ("a", "a", "b"):
        await audit.record_start(database, now=NOW, version="1", settings={"X": setting})
        facts = await database.read(lambda connection: newest_facts(connection, Event.STARTED)) or {}
        told.append(facts.get("configuration_changed"))
    assert told == [None, None, "yes"]


async def test_a_clock_that_stepped_back_breaks_nothing(log: Log, database: Database):
    for at in (LATE, LATE - timedelta(hours=1)):
        await database.run(lambda tx, at=at: tx.entries.append(note(at=at)))
    assert log.verify()[0] == FINE


def exported(url: str, path: Path, since: Any = NOW - timedelta(days=9999), until: Any = None) -> None:
    with path.open("w", newline="") as out:
        audit.export(url, out, format_=path.suffix[1:], since=since, until=until)


async def test_an_export_can_be_checked_by_hand_and_by_time(ten_rows: Log, tmp_path: Path):
    path = tmp_path / "log.jsonl"
    exported(ten_rows.url, path)
    lines = path.read_text().splitlines(keepends=True)
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, 11))
    assert by_hand(tmp_path) == ["checked 1 to 10"]
    edited = json.dumps(json.loads(lines[4]) | {"actor": "somebody"}) + "\n"
    path.write_text("".join([*lines[:4], edited, *lines[5:]]))
    assert by_hand(tmp_path) == ["changed at 5", "checked 1 to 10"]
    path.write_text("".join([*lines[:4], *lines[5:]]))
    assert by_hand(tmp_path) == ["changed at 6", "checked 1 to 10"]
    exported(ten_rows.url, path, LATE + timedelta(seconds=2), LATE + timedelta(seconds=4))
    assert [json.loads(line)["facts"]["n"] for line in path.read_text().splitlines()] == ["2", "3"]


async def test_facts_that_were_edited_are_exported_as_they_are_stored(ten_rows: Log, tmp_path: Path):
    """As an object they could not be hashed again: another order, a blank more."""
    path, facts = tmp_path / "log.jsonl", ['{"n":"2"}', '{"b": "1", "a": "1"}']
    for seq, stored_ in enumerate(facts, start=3):
        ten_rows.tamper(f"UPDATE audit SET facts = '{stored_}' WHERE seq = {seq}")  # noqa: S608
    exported(ten_rows.url, path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["facts"] for line in lines[2:4]] == facts


def test_a_file_of_heads_is_a_file(tmp_path: Path):
    with pytest.raises(OSError, match="regular file"):
        audit.last_head(tmp_path, audit_log())


async def test_a_snapshot_from_before_what_was_proved_is_read_from_the_seal_on(on_sqlite: Database):
    log, read = on_sqlite.audit_log, on_sqlite.reader
    await noted(on_sqlite, 12)
    with read.connect() as before, read.connect() as after:
        sealed = Head(*before.execute(select(*(table.c[name] for name in Head._fields)).limit(1)).one())
        before.info[SEEN], last = log.seen, log.seen
        await noted(on_sqlite, 20)
        assert len(log.since(after, sealed)) == 32
        assert log.since(before, sealed)[-1].seq == last.seq


def by_hand(folder: Path) -> list[str]:
    """What the script of docs/operate.md prints of `log.jsonl` there."""
    script = re.search(r"```python\n(.*?)```", OPERATE, re.DOTALL)
    assert script
    run = subprocess.run(  # noqa: S603  our own script
        [sys.executable, "-c", script[1]], cwd=folder, capture_output=True, text=True, check=True
    )
    return run.stdout.splitlines()


async def test_an_export_that_rests_between_two_pages_keeps_nothing_open(on_sqlite: Database, tmp_path: Path):
    await on_sqlite.run(lambda tx: tx.entries.extend(map(note, range(1500))))
    with audit.reading(f"sqlite:///{tmp_path}/unlatch.sqlite3") as connection:
        assert len(next(pages(connection))) == 1000
        await noted(on_sqlite)
        with closing(sqlite3.connect(tmp_path / "unlatch.sqlite3")) as other:
            blocked, *_ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert not blocked


BEGINS = ("=", "+", "-", "@", "\t=", "\r", "\n=", " =", "＝", "a;=", "a; =", 'a;"=', "a\t=", "a\n=", "a\r\n@")


async def test_no_spreadsheet_of_any_locale_runs_a_cell_of_an_export(on_sqlite: Database, tmp_path: Path):
    """Where semicolons separate, our quotes protect nothing: they do not begin a cell."""
    path = tmp_path / "log.csv"
    for number, begins in enumerate(BEGINS):
        typed: Any = f"{begins}cmd|'/c calc'!A0"
        entry = Entry(event=Event.STARTED, at=LATE.replace(hour=number), actor=typed, facts={"reason": typed})
        await on_sqlite.run(lambda tx, entry=entry: tx.entries.append(entry))
        exported(f"sqlite:///{tmp_path}/unlatch.sqlite3", path, since=entry.at)
        for separator in (",", ";", "\t"):
            with path.open(newline="") as read:
                cells = [cell for row in csv.reader(read, delimiter=separator) for cell in row]
            assert any("cmd|" in cell for cell in cells)
            runs = ("=", "+", "-", "@", "＝", "\t", "\r")
            assert [cell for cell in cells if cell.strip(' "').startswith(runs)] == []
