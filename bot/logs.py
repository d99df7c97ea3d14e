"""Logs: one JSON object a line, an event's name and ids. Libraries that print bodies are kept quiet here."""

import logging
import sys
from collections import Counter
from typing import Final

import structlog

_QUIET: Final = {
    # Their DEBUG and INFO print parameters, bodies and URLs; msal's ERROR prints a token response whole.
    "msal": logging.CRITICAL,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "slack_bolt": logging.ERROR,
    "slack_sdk": logging.ERROR,
    "aiohttp": logging.ERROR,
    "asyncio": logging.WARNING,
    "aiosqlite": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "alembic": logging.WARNING,
    "uvicorn.access": logging.CRITICAL,
    "uvicorn.error": logging.WARNING,
    "websockets": logging.WARNING,
}

_SHARED: Final[list[structlog.typing.Processor]] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


Counts = Counter[tuple[str, str]]
"""How often something was logged, by level and event; of a library, by its logger's name."""


def set_up_logs(level: str) -> Counts:
    """Send every logger to standard error as JSON, at `level` or above; returns the counts, which go on."""
    counts: Counts = Counter()
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            _counting(counts),
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _type_of_exception,
            structlog.processors.JSONRenderer(),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name, floor in _QUIET.items():
        logging.getLogger(name).setLevel(floor)
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return counts


def _counting(counts: Counts) -> structlog.typing.Processor:
    """What a library logs is any text, so it counts under its logger's name."""

    def count(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        ours = event.get("_from_structlog")
        name = str(event.get("event")) if ours else event["_record"].name
        counts[str(event.get("level")), name] += 1
        return event

    return count


def _type_of_exception(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Keep the kind of an exception, drop its text: libraries put addresses and bodies into theirs."""
    found = event.pop("exc_info", None)
    error = found[1] if isinstance(found, tuple) else found
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
    return event
