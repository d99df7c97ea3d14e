"""Logs: one JSON object a line, an event's name and ids. Libraries that print bodies are kept quiet here.

What Python itself writes to standard error (an uncaught exception, in a thread or a destructor as well) would
hold the text of the exception, and with it a token or a body; it goes through here too.
"""

import logging
import re
import sys
import threading
import traceback
from collections import Counter
from types import TracebackType
from typing import Final

import structlog
from structlog.typing import EventDict, Processor

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

Counts = Counter[tuple[str, str]]
"""How often something was logged, by level and event; a library's messages count under its logger's name."""

log = structlog.get_logger()


def set_up_log(level: str) -> Counts:
    """Send every logger to standard error as JSON, at `level` or above; the returned counts keep counting."""
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

    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            _shorten_library_message,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _drop_exception_text,
            structlog.processors.JSONRenderer(),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
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

    def thread_crashed(crash: threading.ExceptHookArgs) -> None:
        log.error("thread_crashed", error=crash.exc_type.__name__, frames=_frames(crash.exc_traceback))

    def not_raised(crash: "sys.UnraisableHookArgs") -> None:
        log.error("not_raised", error=crash.exc_type.__name__, frames=_frames(crash.exc_traceback))

    sys.excepthook, threading.excepthook, sys.unraisablehook = crashed, thread_crashed, not_raised


def log_crash(event: str, crash: Exception, **ids: str) -> None:
    """Log the kind and the place of a crash. Not its text: libraries put bodies and tokens into theirs."""
    log.error(event, error=type(crash).__name__, frames=_frames(crash.__traceback__), **ids)


def _frames(trace: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(trace)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames][-_LAST_FRAMES:]
