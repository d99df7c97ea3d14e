"""The log: one JSON object a line with an event's name, whatever writes it, and never an exception's text."""

import json
import subprocess
import sys

import pytest

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
    "malformed requests": 'logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")',
}


def run(program: str, level: str = "info") -> tuple[list[dict[str, object]], str]:
    """The lines that a process logs, and its standard output."""
    start = f"""
import logging, sys, structlog
from bot.log import set_up_log
SECRET = {SECRET!r}
counts = set_up_log({level!r})
"""
    ended = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", start + program], capture_output=True, text=True, check=False
    )
    assert SECRET not in ended.stderr
    return [json.loads(line) for line in ended.stderr.splitlines()], ended.stdout


@pytest.mark.parametrize("program", WRITERS.values(), ids=WRITERS)
def test_whatever_writes_the_line_is_json_without_the_text_of_an_exception(program):
    lines, _ = run(program)
    assert lines


@pytest.mark.parametrize("program", SILENT.values(), ids=SILENT)
def test_libraries_that_print_bodies_or_addresses_are_silent(program):
    assert run(program)[0] == []


def test_a_line_says_when_how_grave_and_what_and_a_crash_its_type_and_place():
    [line, crash], _ = run(WRITERS["ours"] + "\n" + WRITERS["a crash of the process"])
    assert {"event": "row_left", "level": "warning", "request": "r1"}.items() <= line.items()
    assert str(line["timestamp"]).endswith("Z")
    assert (crash["event"], crash["level"], crash["error"]) == ("process_crashed", "critical", "ValueError")
    assert "<string>" in str(crash["frames"])


def test_lines_below_the_level_are_not_written():
    assert run('structlog.get_logger().info("quiet")', level="error")[0] == []


def test_lines_are_counted_by_level_and_event_and_a_librarys_by_its_name():
    lines = [WRITERS["ours"], WRITERS["ours"], WRITERS["a library"]]
    _, counted = run("\n".join([*lines, "print(sorted(counts.items()))"]))
    assert counted.strip() == "[(('error', 'slack_bolt'), 1), (('warning', 'row_left'), 2)]"


def test_what_strangers_cause_is_counted_each_time_and_written_a_few_times_a_minute():
    stranger = 'for _ in range(1000): structlog.get_logger().warning("delivery_refused")'
    lines, counted = run(f"{stranger}\nprint(sum(counts.values()))")
    assert 0 < len(lines) <= 20  # a minute may end in between
    assert counted.strip() == "1000"
