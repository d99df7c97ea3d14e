"""Cursors: long lists in pages (docs.slack.dev/apis/web-api/pagination)."""

import base64
from collections.abc import Sequence
from typing import Final, TypeVar

from sandbox.slack.arguments import Arguments
from sandbox.slack.refusals import Refused, refused_because

T = TypeVar("T")
DEFAULT_LIMIT: Final = 100
MOST: Final = 999


def page(items: Sequence[T], arguments: Arguments) -> tuple[list[T], str]:
    """Return one page of `items` and the cursor of the next, empty at the end."""
    limit = arguments.number("limit", DEFAULT_LIMIT)
    if not 1 <= limit <= MOST:
        raise refused_because("invalid_arguments", [f"[ERROR] limit must be between 1 and {MOST}"])
    start = _position(arguments.text("cursor"))
    end = start + limit
    return list(items[start:end]), _cursor(end) if end < len(items) else ""


def _cursor(position: int) -> str:
    return base64.b64encode(f"next:{position}".encode()).decode()


def _position(cursor: str) -> int:
    if not cursor:
        return 0
    try:
        return int(base64.b64decode(cursor, validate=True).decode().removeprefix("next:"))
    except ValueError:
        raise Refused("invalid_cursor") from None
