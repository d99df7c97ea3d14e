"""A clock that a test moves by hand."""

from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class HandClock:
    """Stands still until `pass_`."""

    def __init__(self, at: datetime = NOON) -> None:
        self._at = at

    def now(self) -> datetime:
        return self._at

    def pass_(self, time: timedelta) -> None:
        self._at += time
