"""The export: rows as stored, checked by their lines alone, harmless in a spreadsheet, however many."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bot.audit.commands import moment
from bot.audit.export import export
from bot.cli import main
from bot.domain.chain import GENESIS
from bot.domain.identifiers import RequestId, UserId
from bot.domain.record import Event
from bot.store.engine import database_url, is_sqlite
from kept import NOON, an_entry
from sqlalchemy import create_engine, text
from written import Written, writing

ROOT = Path(__file__).parents[2]
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
MANY = 100_000
MEGABYTE = 1024
"""In kilobytes, as ru_maxrss counts."""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """A migrated database of one's own."""
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('path')}"
    address: str = request.getfixturevalue("postgresql")
    return address


@pytest.fixture
async def written(url: str, tmp_path: Path) -> AsyncIterator[Written]:
    """Three rows a minute apart, with everything that people type."""
    async with writing(url, tmp_path) as made:
        for minutes, reason in enumerate(("naïve “=cmd”\n", "=1+1", "\x00")):
            entry = an_entry(event=Event.DENIED)
            at = NOON + timedelta(minutes=minutes)
            await made.store.record.note(replace(entry, at=at, facts={"reason": reason}))
        yield made


def exported(written: Written, format_: str = "jsonl", **within: datetime) -> str:
    out = io.StringIO()
    export(written.url, out, format_=format_, since=within.get("since", SINCE), until=within.get("until"))
    return out.getvalue()


def lines(text_: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text_.splitlines()]


async def test_a_line_holds_the_row_and_its_place_in_the_chain(written: Written) -> None:
    first, second, _ = lines(exported(written))

    assert list(first) == ["seq", "id", "at", "event", "actor", "request_id", "facts", "previous", "hash"]
    assert (first["seq"], first["previous"]) == (1, GENESIS)
    assert (second["seq"], second["previous"]) == (2, first["hash"])
    assert first["facts"] == {"reason": "naïve “=cmd”\n"}
    assert (first["at"], first["event"], first["actor"]) == ("2026-03-02T12:00:00.000000Z", "denied", "U0KEN")


async def test_only_the_rows_of_the_time_that_is_asked_for_are_exported(written: Written) -> None:
    minute = timedelta(minutes=1)

    assert [row["id"] for row in lines(exported(written, since=NOON + minute))] == [2, 3]
    assert [row["id"] for row in lines(exported(written, since=NOON, until=NOON + 2 * minute))] == [1, 2]
    assert exported(written, since=NOON + timedelta(days=1)) == ""


async def test_a_row_without_a_link_is_exported_last_with_none(written: Written) -> None:
    async with written.store.engine.begin() as connection:
        await connection.execute(
            text("INSERT INTO audit (at, event, facts) VALUES ('2026-03-02T13', 'asked', '{ }')")
        )

    last = lines(exported(written))[-1]

    assert (last["seq"], last["previous"], last["hash"]) == (None, None, None)
    assert last["facts"] == "{ }", "not as Unlatch writes it, so as it stands"


RECIPE = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


async def test_the_readmes_recipe_finds_what_was_changed_and_nothing_else(written: Written) -> None:
    assert RECIPE is not None
    assert len(RECIPE.group(1).splitlines()) <= 12
    text_ = exported(written)
    second = text_.splitlines()[1]

    fine, edited = _recipe(text_), _recipe(text_.replace(second, second.replace("U0KEN", "U0MALLORY")))

    assert (fine, edited) == ("", "2 was changed\n")


def _recipe(exported_: str) -> str:
    assert RECIPE is not None
    ran = subprocess.run(  # noqa: S603  the README's own program
        [sys.executable, "-c", RECIPE.group(1)], input=exported_, capture_output=True, text=True, check=True
    )
    return ran.stdout


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\t", "\r"])
async def test_no_cell_of_the_csv_is_a_formula(written: Written, begins: str) -> None:
    forged = f"{begins}HYPERLINK(1)"
    entry = replace(an_entry(), actor=UserId(forged), request_id=RequestId(forged), facts={begins: forged})
    await written.store.record.note(entry)

    header, *rows = csv.reader(io.StringIO(exported(written, "csv"), newline=""))

    row = dict(zip(header, rows[-1], strict=True))
    assert (row["actor"], row["request_id"]) == (f"'{forged}", f"'{forged}")
    assert json.loads(row["facts"]) == {begins: forged}
    assert all(not cell.startswith(("=", "+", "-", "@", "\t", "\r")) for each in rows for cell in each)
    assert len(rows) == 4


@pytest.mark.parametrize(
    ("typed", "at"),
    [
        ("2026-03-02", datetime(2026, 3, 2, tzinfo=UTC)),
        ("2026-03-02T12:00", NOON),
        ("2026-03-02T21:00:00+09:00", NOON),
        ("2026-03-02T12:00:00Z", NOON),
    ],
)
def test_a_time_without_a_zone_is_utc(typed: str, at: datetime) -> None:
    assert moment(typed) == at


def test_what_is_no_time_is_a_wrong_call(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["audit", "export", "--since", "yesterday"])

    assert ended.value.code == 2
    assert "--since" in capsys.readouterr().err


# As a process


@pytest.fixture
async def long_record(url: str, tmp_path: Path) -> AsyncIterator[Written]:
    """A thousand rows."""
    async with writing(url, tmp_path) as made:
        _fill(url, 1000)
        await made.store.chain.adopt()
        await made.seal()
        yield made


async def test_however_long_the_record_is_export_and_verify_take_the_same_memory(
    long_record: Written,
) -> None:
    before = {command: _ran(long_record, command) for command in ("jsonl", "csv", "verify")}
    _fill(long_record.url, MANY)
    await long_record.store.chain.adopt()
    await long_record.seal()

    after = {command: _ran(long_record, command) for command in before}

    for command, (memory, count) in after.items():
        assert memory < before[command][0] + 12 * MEGABYTE, (command, before, after)
        assert command == "verify" or count - before[command][1] == MANY


async def test_a_reader_that_has_read_enough_is_no_error(long_record: Written) -> None:
    command = " ".join(_command(long_record, "jsonl"))
    ended = subprocess.run(  # noqa: ASYNC221, S602  our own command
        f"{command} | head -1", shell=True, capture_output=True, text=True, check=False, cwd=ROOT
    )

    assert (len(ended.stdout.splitlines()), ended.stderr) == (1, "")


def _fill(url: str, rows: int) -> None:
    """What replicas of an older version wrote."""
    at = "'2026-03-02T12:00:00.000000Z'"
    facts = """'{"reason": "locked out before his flight, and nobody else is there"}'"""
    parsed = database_url(url)
    many = f"generate_series(1, {rows})"
    if is_sqlite(parsed):
        parsed = parsed.set(drivername="sqlite")
        counted = f"SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {rows}"  # noqa: S608  a number
        many = f"(WITH RECURSIVE n(x) AS ({counted}) SELECT x FROM n)"  # noqa: S608  as above
    engine = create_engine(parsed)
    with engine.begin() as connection:
        insert = "INSERT INTO audit (at, event, actor, facts) SELECT"
        connection.execute(text(f"{insert} {at}, 'asked', 'U0MEI', {facts} FROM {many}"))
    engine.dispose()


def _command(written: Written, what: str) -> list[str]:
    command = [sys.executable, "-m", "bot", "audit"]
    if what == "verify":
        [key] = written.notary.public_keys
        return [*command, "verify", "--database", written.url, "--public-key", key]
    return [*command, "export", "--database", written.url, "--since", "2026-01-01", "--format", what]


def _ran(written: Written, what: str) -> tuple[int, int]:
    """The most memory that the process had, in kilobytes, and how many lines it wrote."""
    process = subprocess.Popen(_command(written, what), stdout=subprocess.PIPE, cwd=ROOT)  # noqa: S603  our own command
    assert process.stdout is not None
    with process.stdout:
        count = sum(1 for _ in process.stdout)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss, count
