"""Where signed heads go: a line in the log, and a file that may lie on another disk or be carried away."""

import asyncio
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

import structlog

from bot.domain.chain import Head

EVENT: Final = "audit_head"
"""What marks such a line, in the file and in the log alike."""

log = structlog.get_logger()


class Shipping:
    """Writes each head into the log, and at the end of the file where there is one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    async def ship(self, head: Head) -> None:
        """Write it down. A file that cannot be written is said; the next head vouches for this one's rows."""
        log.info(EVENT, **asdict(head))
        if self._path is None:
            return
        try:
            await asyncio.to_thread(append, self._path, line(head))
        except OSError as error:
            log.error("audit_head_not_in_file", error=type(error).__name__)


def line(head: Head) -> str:
    """One line of JSON, with its end."""
    return json.dumps({"event": EVENT} | asdict(head)) + "\n"


def append(path: Path, text: str) -> None:
    """Add to the end of the file and wait for the disk. Raises OSError."""
    with path.open("a") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def heads(lines: Iterable[str]) -> Iterator[Head]:
    """The heads among some lines, which may be those of a whole log; others are passed over."""
    for text in lines:
        try:
            values = json.loads(text)
        except ValueError:
            continue
        if isinstance(values, dict) and values.get("event") == EVENT:
            yield _head(values)


def _head(values: dict[str, object]) -> Head:
    """A field that is missing is empty: the signature then does not fit."""
    seq = values.get("seq")
    texts = {name: str(values.get(name, "")) for name in ("hash", "at", "key", "signature")}
    return Head(seq=seq if isinstance(seq, int) else 0, **texts)
