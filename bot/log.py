"""Logs: one JSON object a line, an event's name and ids. Libraries that print bodies are kept quiet here.

What Python itself writes to standard error (an uncaught exception, in a thread or a destructor as well) would
hold the text of the exception, and with it a token or a body; it goes through here too.
"""

import logging
import os
import re
import sys
import threading
import traceback
from collections import Counter
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from types import TracebackType
from typing import Final

import structlog
from structlog.typing import EventDict, Processor

from bot.domain.audit import Entry

_MAX_WAITING: Final = 5_000
"""Lines that wait for whoever reads standard error; what comes then is dropped."""
_DROPPED: Final = "warning", "log_lines_dropped"

_QUIET: Final = {
    # Their DEBUG and INFO print parameters, bodies and URLs; msal's ERROR prints a whole token response.
    "msal": logging.CRITICAL,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "slack_bolt": logging.ERROR,
    "slack_sdk": logging.ERROR,
    "aiohttp": logging.ERROR,
    "asyncio": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "alembic": logging.WARNING,
    "stamina": logging.ERROR,
    "uvicorn.access": logging.CRITICAL,
    "uvicorn.error": logging.ERROR,  # at WARNING each malformed request is a line
}

_DETAILS: Final = re.compile(r"[:(<{\[\"'=\n]")
"""Where a library's message goes on with texts of exceptions, addresses, arguments."""
_KEPT_OF_A_LIBRARY: Final = ("level", "timestamp", "exc_info", "_record", "_from_structlog")
_LAST_FRAMES: Final = 12

_SHARED: Final[list[Processor]] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

_BOUNDED: Final = frozenset({"delivery_refused", "quota_exceeded"})
"""What strangers, or one person, can cause as often as they like: counted each time, written a few times."""
_LINES_A_MINUTE: Final = 10

_SLACK_IDS: Final = ("requester", "approver", "looker", "reviewed_by", "team")
_MICROSOFT_IDS: Final = ("device", "oid", "looker_oid", "client_request_id", "request_id", "activity_id")
_GUIDS: Final = re.compile(r"[0-9a-fA-F-]{36}(, [0-9a-fA-F-]{36})*")
"""A refusal's `device` is the name that a person gave it."""

Counts = Counter[tuple[str, str]]
"""How often something was logged, by level and event; a library's messages count under its logger's name."""

log = structlog.get_logger()


class _Writer(logging.Handler):
    """Writes lines in a thread of its own: a reader of standard error that is stuck or gone stops nothing.

    Lines that find no room are dropped and counted, and a line says how many as soon as one can be written.
    """

    def __init__(self, counts: Counts) -> None:
        super().__init__()
        self._counts = counts
        self._waiting: SimpleQueue[bytes | threading.Event] = SimpleQueue()  # a destructor may log into it
        os.set_blocking(2, True)  # whoever started us may have left it otherwise
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):  # of a library whose arguments do not fit its message
            line = self.format(record).encode(errors="backslashreplace") + b"\n"
            if self._waiting.qsize() < _MAX_WAITING:
                self._waiting.put(line)
            else:
                self._counts[_DROPPED] += 1

    def flush(self) -> None:
        """Wait, for a second at most, until everything is written; Python does it at the process's end."""
        written = threading.Event()
        self._waiting.put(written)
        written.wait(1.0)

    def _write(self) -> None:
        told = 0
        while True:
            line = self._waiting.get()
            if isinstance(line, threading.Event):
                line.set()
                continue
            try:
                os.write(2, line)
                if (dropped := self._counts[_DROPPED]) > told:
                    about = {"levelname": "WARNING", "name": __name__, "msg": _DROPPED[1]}
                    note = self.format(logging.makeLogRecord(about | {"count": dropped - told}))
                    os.write(2, note.encode() + b"\n")
                    told = dropped
            except OSError:  # the reader is gone
                self._counts[_DROPPED] += 1


def set_up_log(level: str) -> Counts:
    """Send every logger to standard error, at `level` or above; the returned counts keep counting.

    One JSON object a line, or words where standard error is a terminal.
    """
    counts: Counts = Counter()
    written: Counter[tuple[str, int]] = Counter()

    def count(record: logging.LogRecord) -> bool:
        """Count the line; return whether it is written."""
        name = str(record.msg.get("event")) if isinstance(record.msg, dict) else record.name
        counts[record.levelname.lower(), name] += 1
        if name not in _BOUNDED:
            return True
        minute = int(record.created) // 60
        if (name, minute) not in written:
            written.clear()
        written[name, minute] += 1
        return written[name, minute] <= _LINES_A_MINUTE

    in_words = structlog.dev.ConsoleRenderer(repr_native_str=True)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            _shorten_library_message,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _drop_exception_text,
            in_words if os.isatty(2) else structlog.processors.JSONRenderer(),
        ],
    )
    handler = _Writer(counts)
    handler.setFormatter(formatter)
    handler.addFilter(count)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.raiseExceptions = False
    logging.captureWarnings(capture=True)
    for name, floor in _QUIET.items():
        logging.getLogger(name).setLevel(floor)
    _log_uncaught()
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return counts


def flush_log() -> None:
    """Wait for a moment until what was logged is written."""
    for handler in logging.getLogger().handlers:
        handler.flush()


def log_step(entry: Entry) -> None:
    """Log a committed entry of the audit log: what was done, by whom, to which request, and every id."""
    about: dict[str, object] = {
        f"graph_{name}" if name in ("request_id", "activity_id") else name: fact
        for name, fact in entry.facts.items()
        if name in _SLACK_IDS or (name in _MICROSOFT_IDS and _GUIDS.fullmatch(fact))
    }
    about |= {"request": entry.request_id, "actor": entry.actor, "version": entry.version}
    log.info("step", step=entry.event.value, **about)


def _drop_exception_text(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Keep the type of an exception, drop its text: libraries put addresses and bodies into theirs."""
    found = event.pop("exc_info", None)
    error = found[1] if isinstance(found, tuple) else found
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
    return event


def _shorten_library_message(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Keep the first words of a message that is not ours, and which logger wrote it."""
    record = event["_record"]
    if event.get("_from_structlog") or record.name.partition(".")[0] == "bot":
        return event
    kept = {name: event[name] for name in _KEPT_OF_A_LIBRARY if name in event}
    words = _DETAILS.split(str(event["event"]), maxsplit=1)[0].strip()
    return {**kept, "event": words, "logger": record.name}


def _log_uncaught() -> None:
    """Log the type and the place of an exception that nothing caught."""

    def crashed(kind: type[BaseException], _error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            log.critical("process_crashed", error=kind.__name__, frames=_frames(trace))

    def lost(event: str, crash: "threading.ExceptHookArgs | sys.UnraisableHookArgs") -> None:
        log.error(event, error=crash.exc_type.__name__, frames=_frames(crash.exc_traceback))

    sys.excepthook = crashed
    threading.excepthook, sys.unraisablehook = partial(lost, "thread_crashed"), partial(lost, "not_raised")


def log_crash(event: str, crash: Exception, **ids: str) -> None:
    """Log the kind and the place of a crash. Not its text: libraries put bodies and tokens into theirs."""
    log.error(event, error=type(crash).__name__, frames=_frames(crash.__traceback__), **ids)


def _frames(trace: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(trace)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames][-_LAST_FRAMES:]
