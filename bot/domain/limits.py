"""How often one person may do something, counted over all replicas."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from bot.domain.identifiers import UserId

HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Per person and hour."""

    asks: int = 20
    links: int = 20
    """Sign-in links."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """At most `limit` of what `key` names in a fixed window of `per`."""

    key: str
    limit: int
    per: timedelta = HOUR

    def window(self, now: datetime) -> datetime:
        """When the window began in which `now` is."""
        epoch = datetime.fromtimestamp(0, UTC)
        return now - (now - epoch) % self.per

    def until(self, now: datetime) -> datetime:
        """When the window ends in which `now` is."""
        return self.window(now) + self.per


def asks_of(user: UserId, limits: Limits) -> Quota:
    """What `user` may ask."""
    return Quota(key=f"asks:{user}", limit=limits.asks)


def links_of(user: UserId, limits: Limits) -> Quota:
    """The sign-in links that `user` may get."""
    return Quota(key=f"links:{user}", limit=limits.links)
