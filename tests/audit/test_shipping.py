"""Heads leave the house as lines that are found again, whatever else is in the file."""

import json
import subprocess
import sys
from pathlib import Path

from bot.domain.chain import Head
from bot.shipping import heads, line

HEAD = Head(seq=7, hash="a" * 64, at="2026-03-02T12:00:00.000000Z", key="k" * 16, signature="s")


PROGRAM = f"""
import asyncio, sys
from pathlib import Path
from bot.domain.chain import Head
from bot.logs import set_up_logs
from bot.shipping import Shipping

set_up_logs("info")
file = Path(sys.argv[1]) if sys.argv[1:] else None
asyncio.run(Shipping(file).ship({HEAD!r}))
"""


def logged(*arguments: str) -> list[str]:
    """The log of a process that ships one head."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  our own program
    return ended.stderr.splitlines()


def test_a_head_is_a_line_in_the_log_and_one_at_the_end_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "heads.jsonl"

    logs = [logged(str(file)), logged(str(file))]

    assert file.read_text() == line(HEAD) * 2
    assert [list(heads(log)) for log in logs] == [[HEAD], [HEAD]]


def test_without_a_file_there_is_the_log() -> None:
    assert list(heads(logged())) == [HEAD]


def test_a_file_that_cannot_be_written_is_said_and_stops_nothing(tmp_path: Path) -> None:
    told = [json.loads(text) for text in logged(str(tmp_path))]

    assert [each["event"] for each in told] == ["audit_head", "audit_head_not_in_file"]


def test_heads_are_picked_out_of_whatever_is_there() -> None:
    lines = ["", "no JSON", "[]", '{"event": "serving"}', line(HEAD), line(HEAD)[:40]]

    assert list(heads(lines)) == [HEAD]


def test_a_head_with_something_missing_is_one_whose_signature_cannot_fit() -> None:
    assert list(heads(['{"event": "audit_head", "seq": "7"}'])) == [
        Head(seq=0, hash="", at="", key="", signature="")
    ]
