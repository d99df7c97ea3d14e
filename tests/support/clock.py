"""A clock that a test moves by hand."""

from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class Clock:
    def __init__(self, at: datetime = NOON) -> None:
        self._at = at

    def now(self) -> datetime:
        return self._at

    def advance(self, by: timedelta = timedelta(0), **time: float) -> None:
        """Move on by a timedelta, or by its keywords: `advance(minutes=5)`."""
        self._at += by + timedelta(**time)
