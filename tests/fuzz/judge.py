"""What must hold whatever comes in: nothing crashes, nobody is called, everything that is shown can be."""

import asyncio
import json
import logging
import re
import time
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Final

from sandbox.slack import blocks
from structlog.testing import capture_logs

CRASHES: Final = frozenset(
    {
        *("row_crashed", "listener_crashed", "afterwork_crashed", "window_crashed", "pass_crashed"),
        *("row_unreadable", "delivery_crashed"),
    }
)
SLOW: Final = 1.5
"""Seconds of this process's own time for one input; a page of text takes some milliseconds."""
_OURS: Final = re.compile(
    r"<(@[UW][A-Z0-9]+|#C0ONCALL|!subteam\^S0ONCALL|!date\^-?\d+\^[^|<>]*\|[^<>]*)>|&(amp|lt|gt);"
)
_THEIRS: Final = ("U0TEXT", "C0TEXT", "S0TEXT")
_SCHEMA: Final = Path(blocks.__file__).with_name("block-kit.schema.json")


class Wrong(Exception):
    """An input did what none may do."""


@dataclass
class Judge:
    """Listens to the log while inputs are played."""

    logs: list[MutableMapping[str, Any]]
    errors: list[str] = field(default_factory=list)
    _began: float = field(default_factory=time.process_time)

    def begin(self) -> None:
        """One more input."""
        self.logs.clear()
        self.errors.clear()
        self._began = time.process_time()

    def end(self) -> None:
        """Raise Wrong where the log holds a crash, or the input took too long."""
        crashes = [dict(line) for line in self.logs if line["event"] in CRASHES]
        if crashes or self.errors:
            raise Wrong(f"the log says: {[*crashes, *self.errors]}")
        if (took := time.process_time() - self._began) > SLOW:
            raise Wrong(f"it took {took:.1f} s")


class _Errors(logging.Handler):
    """Whatever a library logs as an error."""

    def __init__(self, found: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        self._found.append(f"{record.name}: {record.getMessage()[:500]}")


@contextmanager
def listening() -> Iterator[Judge]:
    """A judge, inside a running event loop."""
    with capture_logs() as logs:
        judge = Judge(logs)
        handler, root, bolt = _Errors(judge.errors), logging.getLogger(), logging.getLogger("slack_bolt")
        loop, level = asyncio.get_running_loop(), bolt.level
        loop.set_exception_handler(lambda _, context: judge.errors.append(f"asyncio: {context}"))
        root.addHandler(handler)
        bolt.setLevel(logging.ERROR)  # as in `bot.logs`
        try:
            yield judge
        finally:
            root.removeHandler(handler)
            bolt.setLevel(level)
            loop.set_exception_handler(None)


def check_message(text: str, shown: Sequence[Mapping[str, Any]]) -> None:
    """A message that Slack takes, and that calls nobody who was only typed."""
    if not 0 < len(text) <= 4000:
        raise Wrong(f"a text of {len(text)} characters")
    _accepted("message", shown)
    for said in chain([text], texts(shown)):
        check_text(said)


def check_view(view: Mapping[str, Any]) -> None:
    """The same for a window."""
    _accepted("view", view)
    for said in texts(view):
        check_text(said)


def check_text(said: str) -> None:
    """Every angle bracket and every ampersand is ours."""
    rest = _OURS.sub("", said)
    called = [name for name in _THEIRS if re.search(rf"<[@#!^a-z]*{name}", said)]
    if "<" in rest or ">" in rest or "&" in rest or called:
        raise Wrong(f"unescaped: {said[:300]!r}")


def texts(shown: Any) -> Iterator[str]:
    """Every text in which Slack reads markup."""
    match shown:
        case {"type": "plain_text" | "mrkdwn", "text": str(text)}:
            yield text
        case Mapping():
            yield from (found for part in shown.values() for found in texts(part))
        case list() | tuple():
            yield from (found for part in shown for found in texts(part))


def _accepted(kind: str, shown: Any) -> None:
    """Ask the sandbox's schema, once for everything that it cannot tell apart."""
    if kind == "view" and len(json.dumps(shown)) > blocks.VIEW_BYTES:
        raise Wrong("a view of more than 250 kB")
    parts = {(kind, outline) for outline in _outlines(shown)}
    if parts <= _KNOWN:
        return
    try:
        blocks.accepted_view(shown) if kind == "view" else blocks.accepted_blocks(list(shown))
    except Exception as refused:
        raise Wrong(f"Slack would refuse this {kind}: {refused!r} {json.dumps(shown)[:2000]}") from refused
    _KNOWN.update(parts)


_KNOWN: Final[set[tuple[str, str]]] = set()


def _outlines(shown: Any) -> Iterator[str]:
    """The frame with the number and the ids of the blocks, and each block."""
    inside = shown.get("blocks", []) if isinstance(shown, Mapping) else shown
    frame = {**shown, "blocks": None} if isinstance(shown, Mapping) else {}
    yield json.dumps([_outline(frame, ""), len(inside), [block.get("block_id") for block in inside]])
    for block in inside:
        yield json.dumps(_outline(block, ""), sort_keys=True)


def _outline(shown: Any, name: str) -> Any:
    """The value with its texts as long as the next limit in the schema."""
    match shown:
        case Mapping():
            return {key: _outline(part, key) for key, part in shown.items()}
        case list() | tuple():
            return [_outline(part, name) for part in shown]
        case str() if name in ("text", "value", "initial_value"):
            return next((limit for limit in _limits() if len(shown) <= limit), -1)
    return shown


@lru_cache(maxsize=1)
def _limits() -> tuple[int, ...]:
    found = re.findall(r'"m(?:in|ax)Length": *(\d+)', _SCHEMA.read_text())
    return tuple(sorted({0, *map(int, found)}))
