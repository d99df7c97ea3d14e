"""The log: one JSON object a line with an event's name, whatever writes it, and never an exception's text."""

import json
import os
import pty
import subprocess
import sys
from typing import Any
from uuid import uuid4

import pytest
from bot.domain.audit import Entry, Event
from bot.domain.values import RequestId, UserId
from bot.log import log_step
from bot.store.database import Database
from structlog.testing import capture_logs
from tests.support.clock import NOON

SECRET = "xoxb-in-the-text"

WRITERS = {
    "ours": 'structlog.get_logger().warning("row_left", request="r1")',
    "ours with an exception": """
try: int(SECRET)
except ValueError: structlog.get_logger().exception("row_crashed")
""",
    "a library": 'logging.getLogger("slack_bolt").error("Failed to call: %s", SECRET)',
    "a library's traceback": 'logging.getLogger("uvicorn.error").error("Crash", exc_info=ValueError(SECRET))',
    "a library's warning": "import warnings; warnings.warn('Deprecated: ' + SECRET)",
    "a thread": "import threading; t = threading.Thread(target=int, args=(SECRET,)); t.start(); t.join()",
    "a destructor": """
class Broken: __del__ = lambda self: int(SECRET)
Broken()
""",
    "a crash of the process": "raise ValueError(SECRET)",
}
SILENT = {
    "msal's errors, which hold token responses": 'logging.getLogger("msal").error(SECRET)',
    "httpx's addresses": 'logging.getLogger("httpx").info(SECRET)',
    "lines below the level": 'set_up_log("error"); structlog.get_logger().info("quiet")',
    "malformed requests": 'logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")',
}


def started(program: str, before: str = "", **streams: Any) -> "subprocess.Popen[str]":
    start = f"""{before}
import logging, sys, structlog
from bot.log import set_up_log
SECRET = {SECRET!r}
counts = set_up_log("info")
"""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | streams
    return subprocess.Popen([sys.executable, "-c", start + program], text=True, **pipes)  # noqa: S603  ours


def run(program: str) -> tuple[list[dict[str, object]], str]:
    """The lines that a process logs, and its standard output."""
    with started(program) as process:
        ended = subprocess.CompletedProcess(program, 0, *process.communicate())
    assert SECRET not in ended.stderr
    return [json.loads(line) for line in ended.stderr.splitlines()], ended.stdout


@pytest.mark.parametrize("program", WRITERS.values(), ids=WRITERS)
def test_whatever_writes_the_line_is_json_without_the_text_of_an_exception(program):
    lines, _ = run(program)
    assert lines


@pytest.mark.parametrize("program", SILENT.values(), ids=SILENT)
def test_libraries_that_print_bodies_or_addresses_and_lines_below_the_level_are_not_written(program):
    assert run(program)[0] == []


def test_a_line_says_when_how_grave_and_what_and_a_crash_its_type_and_place():
    [line, crash], _ = run(WRITERS["ours"] + "\n" + WRITERS["a crash of the process"])
    assert {"event": "row_left", "level": "warning", "request": "r1"}.items() <= line.items()
    assert str(line["timestamp"]).endswith("Z")
    assert (crash["event"], crash["level"], crash["error"]) == ("process_crashed", "critical", "ValueError")
    assert "<string>" in str(crash["frames"])


def test_lines_are_counted_by_level_and_event_and_a_librarys_by_its_name():
    lines = [WRITERS["ours"], WRITERS["ours"], WRITERS["a library"]]
    _, counted = run("\n".join([*lines, "print(sorted(counts.items()))"]))
    assert counted.strip() == "[(('error', 'slack_bolt'), 1), (('warning', 'row_left'), 2)]"


def test_what_strangers_cause_is_counted_each_time_and_written_a_few_times_a_minute():
    stranger = 'for _ in range(1000): structlog.get_logger().warning("delivery_refused")'
    lines, counted = run(f"{stranger}\nprint(sum(counts.values()))")
    assert 0 < len(lines) <= 20  # a minute may end in between
    assert counted.strip() == "1000"


MANY = 'for _ in range(20_000): structlog.get_logger().info("row_left")\n'


def test_o07_a_reader_that_is_stuck_holds_up_nothing_and_reads_later_how_many_lines_it_missed():
    told = "print(counts['warning', 'log_lines_dropped'], flush=True); input()"
    with started(MANY + told, before="import os; os.set_blocking(2, False)") as process:
        dropped = int(process.stdout.readline())
        said = [json.loads(line) for line in process.communicate("\n")[1].splitlines()]
    assert len([line for line in said if line["event"] == "row_left"]) == 20_000 - dropped > 0
    told = [
        line for line in said if line["event"] == "log_lines_dropped"
    ]  # one, or two where it got going late
    assert (sum(line["count"] for line in told), told[-1]["level"]) == (dropped, "warning")
    assert process.returncode == 0


@pytest.mark.parametrize("reader", ["stuck", "gone"])
def test_o39_a_process_ends_with_0_though_the_reader_of_its_log_is_(reader):
    read, write = os.pipe()
    if reader == "gone":
        os.close(read)
    count = "logging.shutdown(); print(counts['warning', 'log_lines_dropped'])"
    with started(MANY + count, stderr=write) as process:
        dropped = int(process.communicate(timeout=30)[0])
    assert (process.returncode, dropped == 20_000) == (0, reader == "gone")


def test_in_a_terminal_lines_are_words_and_hold_no_text_of_an_exception():
    ours, theirs = pty.openpty()
    with started(WRITERS["ours with an exception"], stderr=theirs):
        pass
    said = os.read(ours, 10_000).decode()
    assert "row_crashed" in said
    assert [word for word in (SECRET, "Traceback", "{") if word in said] == []


def test_a_step_names_its_request_and_every_id_and_no_text_of_peoples():
    device, graphs = str(uuid4()), str(uuid4())
    ids = {"device": device, "approver": "U0KEN", "client_request_id": graphs}
    about = {"request_id": RequestId("r1"), "actor": UserId("U0KEN"), "version": 3}
    texts = {"reason": "Locked out", "device_name": "Leo's", "account": "ken@contoso.com"}
    with capture_logs() as lines:
        log_step(Entry(event=Event.APPROVED, at=NOON, **about, facts=ids | {"request_id": graphs} | texts))
        log_step(Entry(event=Event.ACCESS_REFUSED, at=NOON, facts={"device": "Leo's Pixel"}))
    nothing = {"event": "step", "log_level": "info", "request": None, "actor": None, "version": None}
    whole = {"step": "approved", "request": "r1", "actor": "U0KEN", "version": 3, "graph_request_id": graphs}
    assert lines == [nothing | ids | whole, nothing | {"step": "access_refused"}]


async def test_a_step_is_told_once_it_is_committed_and_not_where_it_is_rolled_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    told: list[Entry] = []
    database.committed = told.append
    entry = Entry(event=Event.LOOKED, at=NOON)
    monkeypatch.setattr(database.audit_log, "append", None)
    with pytest.raises(TypeError):
        await database.run(lambda tx: tx.entries.append(entry))
    monkeypatch.undo()
    await database.run(lambda tx: tx.entries.append(entry))
    await database.close()
    assert told == [entry]
