"""The audit log: what was written is found as it was, and what was done to it behind its back is named."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bot import audit
from bot.audit import CANNOT_VERIFY, FINE, TAMPERED
from bot.domain.audit import Entry, Event
from bot.domain.errors import AuditBroken
from bot.keys import Keys, new_key
from bot.store.audit_log import AuditLog
from bot.store.database import Database
from bot.store.migrations import migrate
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from tests.support.database import DEPLOYMENT, VAULT_KEYS, audit_log
from tests.unit.store.conftest import Replicas, another_log, owners_engine
from tests.unit.store.rows import LATE, NOW, a_pending, a_request, get, note, noted, stored

Captured = pytest.CaptureFixture[str]
PUBLIC = Keys.parse(VAULT_KEYS).public_keys


ROW = "at, event, actor, request_id, version, facts, hash, key_id, signature"


def a_copy_of(row: int, *, to: int) -> str:
    return f"INSERT INTO audit SELECT {to}, {ROW} FROM audit WHERE seq = {row}"  # noqa: S608  numbers


def behind_its_back(url: str, *statements: str) -> None:
    """Run SQL as the owner of the tables, who takes the triggers off first."""
    engine = owners_engine(url)
    with engine.begin() as connection:
        if "sqlite" in url:
            for name in ("no_update", "no_delete", "no_replace"):
                connection.execute(text(f"DROP TRIGGER IF EXISTS audit_{name}"))
        else:
            connection.execute(text("DROP TRIGGER IF EXISTS audit_append_only ON audit"))
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
async def ten_rows(url: str) -> str:
    """A log of ten rows."""
    database = Database(url, audit_log())
    await noted(database, 9)
    await database.close()
    return url


def fine(rows: int) -> str:
    return f"OK: {rows} rows verified, signed, of deployment {DEPLOYMENT}.\n"


def restarted(url: str, heads: Path) -> Database:
    seeds = Keys.parse(VAULT_KEYS).signing_seeds
    return Database(url, AuditLog(seeds, DEPLOYMENT, audit.last_head(heads, audit_log())))


async def kept_head(url: str, path: Path) -> Path:
    database = Database(url, audit_log())
    await audit.HeadKeeper(database, path).keep()
    await database.close()
    return path


def verified(url: str, capsys: Captured, *, heads: Path | None = None, **given: Any) -> tuple[int, str]:
    options: dict[str, Any] = {"name": None, "full": False, "public_keys": PUBLIC} | given
    capsys.readouterr()
    status = audit.verify(url, options.pop("public_keys"), heads=heads, **options)
    captured = capsys.readouterr()
    return status, captured.out + captured.err


TAMPERING: dict[str, tuple[list[str], str]] = {
    "edited facts": (["UPDATE audit SET facts = '{}' WHERE seq = 4"], "row 4 was changed"),
    "edited actor": (["UPDATE audit SET actor = 'U0EVE' WHERE seq = 4"], "row 4 was changed"),
    "edited time": (
        ["UPDATE audit SET at = '2020-01-01' WHERE seq = 4"],
        "row 4 was changed",
    ),
    "edited request": (["UPDATE audit SET request_id = 'x' WHERE seq = 4"], "row 4 was changed"),
    "edited version": (["UPDATE audit SET version = 7 WHERE seq = 4"], "row 4 was changed"),
    "edited event": (["UPDATE audit SET event = 'approved' WHERE seq = 4"], "row 4 was changed"),
    "edited hash": (["UPDATE audit SET hash = 'x' WHERE seq = 4"], "row 4 was changed"),
    "removed": (["DELETE FROM audit WHERE seq = 4"], "row 5 follows row 3: 1 removed"),
    "removed the first": (["DELETE FROM audit WHERE seq = 1"], "row 2 follows row 0: 1 removed"),
    "swapped": (
        [
            "UPDATE audit SET seq = 99 WHERE seq = 4",
            "UPDATE audit SET seq = 4 WHERE seq = 5",
            "UPDATE audit SET seq = 5 WHERE seq = 99",
        ],
        "row 4 was changed",
    ),
    "inserted behind": (
        [a_copy_of(10, to=11)],
        "row 11 was changed",
    ),
    "inserted before the first": (
        [a_copy_of(10, to=-5)],
        "row -5 follows row 0: inserted or reordered",
    ),
    "signature of the newest": (
        ["UPDATE audit SET signature = 'é' WHERE seq = 10"],
        "row 10 was not written by Unlatch, nor what follows from it",
    ),
}


@pytest.mark.parametrize("tampering", list(TAMPERING))
async def test_tampering_is_named_and_ends_with_1(ten_rows: str, capsys: Captured, tampering: str):
    assert verified(ten_rows, capsys) == (
        FINE,
        fine(10),
    )
    statements, finding = TAMPERING[tampering]
    behind_its_back(ten_rows, *statements)

    status, said = verified(ten_rows, capsys)

    assert status == TAMPERED
    assert finding in said


async def test_a_cut_tail_is_found_by_a_kept_head_alone(ten_rows: str, tmp_path: Path, capsys: Captured):
    heads = await kept_head(ten_rows, tmp_path / "heads")
    behind_its_back(ten_rows, "DELETE FROM audit WHERE seq > 7")

    assert verified(ten_rows, capsys)[0] == FINE
    assert verified(ten_rows, capsys, heads=heads) == (
        TAMPERED,
        "the log ends at row 7, but a kept head names row 10\nTAMPERED: 1 found.\n",
    )


async def test_a_chain_that_is_rebuilt_carries_no_signature_and_the_kept_head_says_from_where(
    ten_rows: str, tmp_path: Path, capsys: Captured
):
    """With the public algorithm anybody can make hashes; signatures take the vault's key."""
    heads = await kept_head(ten_rows, tmp_path / "heads")
    forged = AuditLog(Keys.parse(new_key()).signing_seeds, DEPLOYMENT)
    behind_its_back(ten_rows, "DELETE FROM audit")
    engine = owners_engine(ten_rows)
    with engine.begin() as connection:
        entries = [
            Entry(event=Event.LOG_CREATED, at=NOW, facts={"deployment": DEPLOYMENT}),
            *map(note, range(9)),
        ]
        forged.append(connection, entries, first=True)
    engine.dispose()

    status, said = verified(ten_rows, capsys)
    assert (status, said) == (
        CANNOT_VERIFY,
        "Cannot verify: rows 1 to 10: signed with a key that you did not provide.\n",
    )
    assert verified(ten_rows, capsys, heads=heads)[0] == TAMPERED
    status, said = verified(ten_rows, capsys, public_keys=forged_keys(forged), heads=heads)
    assert (
        status == FINE
    )  # the forger's own key verifies the forger's log: which key it is, the auditor knows

    database = Database(ten_rows, audit_log())
    with pytest.raises(AuditBroken):
        await noted(database)
    await database.close()


def forged_keys(log: AuditLog) -> list[str]:
    import base64

    return [
        "ed25519:" + base64.urlsafe_b64encode(key.public_bytes_raw()).decode().rstrip("=")
        for key in log.public.values()
    ]


@pytest.mark.parametrize("what", ["another deployment", "an empty log", "no database"])
async def test_what_cannot_be_verified_ends_with_2(
    ten_rows: str, tmp_path: Path, capsys: Captured, what: str
):
    match what:
        case "another deployment":
            status, _ = verified(ten_rows, capsys, name="another")
            assert status == TAMPERED  # row 1 is not its first row
        case "an empty log":
            behind_its_back(ten_rows, "DELETE FROM audit")
            assert verified(ten_rows, capsys) == (CANNOT_VERIFY, "Cannot verify: the audit log is empty.\n")
        case _:
            status, said = verified(f"sqlite:///{tmp_path}/none.sqlite3", capsys)
            assert status == CANNOT_VERIFY
            assert "cannot be read" in said


# What the bot does


@pytest.mark.parametrize(
    "statements",
    [
        [a_copy_of(10, to=11)],
        ["DELETE FROM audit WHERE seq > 7"],
        ["DELETE FROM audit"],
        ["UPDATE audit SET hash = 'x' WHERE seq = 10"],
    ],
    ids=["planted", "cut", "emptied", "changed"],
)
async def test_a_running_bot_appends_to_no_log_but_its_own_and_goes_on_without_audit_rows(
    ten_rows: str, statements: list[str]
):
    database = Database(ten_rows, audit_log())
    await noted(database)
    behind_its_back(ten_rows, "DELETE FROM audit WHERE seq = 11", *statements)

    with pytest.raises(AuditBroken):
        await noted(database)
    with pytest.raises(AuditBroken):
        await stored(database, a_request())
    assert database.audit_log.broken
    assert (
        await database.run(lambda _: "what needs no audit row goes on") == "what needs no audit row goes on"
    )
    await database.close()


async def test_a_planted_row_stops_the_log_only_while_it_is_there(ten_rows: str):
    database = Database(ten_rows, audit_log())
    await noted(database)
    behind_its_back(ten_rows, a_copy_of(3, to=12))
    with pytest.raises(AuditBroken):
        await noted(database)

    behind_its_back(ten_rows, "DELETE FROM audit WHERE seq = 12")
    await noted(database)

    assert database.audit_log.broken is None
    await database.close()


async def test_two_replicas_append_in_turn_to_one_chain(replicas: Replicas, capsys: Captured):
    both = (replicas.here, replicas.elsewhere)
    await asyncio.gather(*(noted(both[n % 2], 5) for n in range(8)))

    assert verified(replicas.url, capsys) == (
        FINE,
        fine(41),
    )


async def test_a_replica_notices_that_another_ones_rows_were_cut(replicas: Replicas):
    await noted(replicas.here)
    await noted(replicas.elsewhere, 3)
    await replicas.here.read(replicas.here.audit_log.look)  # as it does each minute
    behind_its_back(replicas.url, "DELETE FROM audit WHERE seq > 2")

    with pytest.raises(AuditBroken):
        await noted(replicas.here)


async def test_a_row_that_was_rolled_back_is_not_missed(database: Database):
    def fails(tx: Any) -> None:
        tx.entries.append(note())
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await database.run(fails)
    await noted(database)


async def test_one_version_of_a_request_has_one_audit_row(database: Database):
    request = await stored(database, a_pending())
    twice = Entry.of_move(Event.DENIED, request, {})

    with pytest.raises(RuntimeError):
        await database.run(lambda tx: tx.entries.append(twice))
    assert await get(database, request) == request


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET facts = '{}' WHERE seq = 1",
        "DELETE FROM audit",
        f"INSERT OR REPLACE INTO audit SELECT 1, {ROW} FROM audit WHERE seq = 2",  # noqa: S608  columns
        f"INSERT OR REPLACE INTO audit SELECT 3, {ROW} FROM audit WHERE seq = 2",  # noqa: S608  columns
        "TRUNCATE audit",
    ],
)
async def test_triggers_refuse_every_change_of_a_row(database: Database, statement: str):
    await stored(database, a_request())
    if database.is_sqlite == statement.startswith("TRUNCATE") or (
        "REPLACE" in statement and not database.is_sqlite
    ):
        return  # not of this database
    engine = create_engine(database.engine.url)
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


# Keys and restores


async def test_keys_rotate_in_two_steps_and_old_rows_stay_verifiable(url: str, capsys: Captured):
    new = new_key()
    one, both, turned = another_log(), another_log(VAULT_KEYS, new), another_log(new, VAULT_KEYS)
    for log in (one, both, turned, both, turned, another_log(new)):
        database = Database(url, log)
        await noted(database)
        await database.close()

    assert verified(url, capsys)[0] == FINE  # who has the first public key alone, learns the second
    assert verified(url, capsys, public_keys=Keys.parse(new).public_keys)[0] == FINE
    engine = owners_engine(url)
    with engine.begin() as connection:
        events = list(connection.scalars(text("SELECT event FROM audit ORDER BY seq")))
    engine.dispose()
    assert events.count("key_added") == 1


async def test_a_bot_without_the_key_of_the_newest_row_stops(url: str):
    database = Database(url, another_log(new_key()))
    with pytest.raises(AuditBroken):
        await noted(database)
    await database.close()


async def test_after_an_honest_restore_resume_goes_on_and_verify_says_restored(
    ten_rows: str, tmp_path: Path, capsys: Captured
):
    heads = await kept_head(ten_rows, tmp_path / "heads")
    behind_its_back(ten_rows, "DELETE FROM audit WHERE seq > 7")
    stopped = restarted(ten_rows, heads)
    with pytest.raises(AuditBroken):
        await noted(stopped)
    await stopped.close()

    said = audit.resume(ten_rows, audit_log(), heads)

    assert said == "Resumed after row 7. The kept head named row 10."
    with pytest.raises(AuditBroken):
        audit.resume(ten_rows, audit_log(), heads)
    again = restarted(ten_rows, heads)
    await noted(again, 3)
    await again.close()
    status, out = verified(ten_rows, capsys, heads=heads)
    assert status == FINE
    assert out.splitlines()[-1] == f"RESTORED: 11 rows verified, signed, of deployment {DEPLOYMENT}."


async def test_a_restore_that_hides_more_than_it_names_is_tampering(
    ten_rows: str, tmp_path: Path, capsys: Captured
):
    heads = await kept_head(ten_rows, tmp_path / "heads")
    behind_its_back(ten_rows, "DELETE FROM audit WHERE seq > 7")
    audit.resume(ten_rows, audit_log(), heads)
    later = Database(ten_rows, audit_log())
    await noted(later, 6)
    await later.close()
    await kept_head(ten_rows, heads)
    behind_its_back(ten_rows, "DELETE FROM audit WHERE seq > 12")

    assert verified(ten_rows, capsys, heads=heads)[0] == TAMPERED


async def test_no_head_that_is_unsigned_raises_an_alarm(ten_rows: str, tmp_path: Path, capsys: Captured):
    heads = tmp_path / "heads"
    line = {"event": "audit_head", "seq": 99, "hash": "x", "key_id": "y", "signature": "z"}
    heads.write_text(json.dumps(line) + "\nnot a head\n")

    assert verified(ten_rows, capsys, heads=heads)[0] == FINE


async def test_a_clock_that_stepped_back_is_a_note(url: str, capsys: Captured):
    database = Database(url, audit_log())
    for at in (LATE, LATE - timedelta(hours=1)):
        await database.run(lambda tx, at=at: tx.entries.append(note(at=at)))
    await database.close()

    status, said = verified(url, capsys)

    assert status == FINE
    assert "note: the clock stepped back by 1:00:00 before row 3" in said


async def test_migrating_twice_writes_row_one_once(url: str, capsys: Captured):
    migrate(url, audit_log())
    assert verified(url, capsys)[1].startswith("OK: 1 rows")


# Export


def exported(url: str, out: Any, format_: str, since: Any = None, until: Any = None) -> None:
    audit.export(url, out, format_=format_, since=since or NOW - timedelta(days=9999), until=until)


async def test_an_export_can_be_checked_by_hand_and_by_time(ten_rows: str, tmp_path: Path):
    path = tmp_path / "log.jsonl"
    with path.open("w") as out:
        exported(ten_rows, out, "jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]

    assert [row["seq"] for row in rows] == list(range(1, 11))
    assert by_hand(rows) == []
    rows[4]["facts"] = {"n": "edited"}
    assert by_hand(rows) == [5]
    with path.open("w") as out:
        exported(ten_rows, out, "jsonl", LATE + timedelta(seconds=2), LATE + timedelta(seconds=4))
    assert [json.loads(line)["facts"]["n"] for line in path.read_text().splitlines()] == ["2", "3"]


def by_hand(rows: list[dict[str, Any]]) -> list[int]:
    """The check of docs/operate.md."""
    import hashlib

    wrong = []
    for row in rows:
        facts = json.dumps(row["facts"], ensure_ascii=False, sort_keys=True)
        columns = [row[name] for name in ("previous", "seq", "at", "event", "actor", "request_id", "version")]
        line = json.dumps([*columns, facts], ensure_ascii=False, separators=(",", ":"))
        if hashlib.sha256(line.encode()).hexdigest() != row["hash"]:
            wrong.append(row["seq"])
    return wrong


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t=", "\r", "\n=", " =", "＝"])
async def test_no_spreadsheet_runs_a_cell_of_an_export(url: str, tmp_path: Path, first: str):
    database = Database(url, audit_log())
    entry = Entry(event=Event.STARTED, at=NOW, actor=f"{first}cmd|'/c calc'!A0", facts={})  # type: ignore[arg-type]  # an id that is none
    await database.run(lambda tx: tx.entries.append(entry))
    await database.close()
    path = tmp_path / "log.csv"
    with path.open("w", newline="") as out:
        exported(url, out, "csv")

    assert f"'{first}cmd" in path.read_bytes().decode()
