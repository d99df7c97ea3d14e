"""`unlatch audit export`: any number of rows as JSON lines or CSV, each with its place in the chain."""

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, TextIO

from bot.domain.chain import facts_text, written
from bot.store.reading import reading

COLUMNS: Final = ("seq", "id", "at", "event", "actor", "request_id", "facts", "previous", "hash")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would run: a cell that begins so is not a text to it."""

Row = Mapping[str, Any]


def export(database: str, out: TextIO, *, format_: str, since: datetime, until: datetime | None) -> None:
    """Write the rows from `since` to before `until`; raises ValueError, StoreAway."""
    with reading(database) as record:
        rows = record.exported(written(since), None if until is None else written(until))
        _FORMATS[format_](out, rows)


def _jsonl(out: TextIO, rows: Iterable[Row]) -> None:
    for row in rows:
        line = {name: row[name] for name in COLUMNS} | {"facts": _facts(row["facts"])}
        out.write(json.dumps(line, ensure_ascii=False) + "\n")


def _facts(text: str) -> object:
    """Facts as an object, if they can be written back from it as they are stored; else their text."""
    try:
        facts = json.loads(text)
        return facts if facts_text(facts) == text else text
    except ValueError:
        return text


def _csv(out: TextIO, rows: Iterable[Row]) -> None:
    writer = csv.writer(out)  # with CRLF: it quotes a cell for the line ends that it writes, and no others
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_cell(row[name]) for name in COLUMNS])


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


_FORMATS: Final[Mapping[str, Callable[[TextIO, Iterable[Row]], None]]] = {"jsonl": _jsonl, "csv": _csv}
