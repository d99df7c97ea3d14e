"""What waits and what is stuck, for operators; counted in the database, so all replicas say the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from bot.domain.request import MOVES, Status
from bot.domain.values import utc_text
from bot.store.requests import HOUR, Queue, moment
from bot.store.tables import requests, sign_ins


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How many of each, and since when."""

    open_requests: Mapping[Status, int]
    overdue: Mapping[Queue, timedelta]
    """How long the oldest due row has waited for a worker; zero where none does."""
    not_published: int
    """Requests whose last delivery to Slack failed."""
    set_aside: int
    """Requests that are not over and that nobody works on: changed behind the bot's back, or unreadable."""
    sign_ins: int


def backlog(connection: Connection, *, now: datetime) -> Backlog:
    living = [status for status in Status if MOVES[status]]
    by_status = select(requests.c.status, func.count()).where(requests.c.status.in_(living))
    counts = {str(row[0]): int(row[1]) for row in connection.execute(by_status.group_by(requests.c.status))}
    return Backlog(
        open_requests={status: counts.get(status.value, 0) for status in living},
        overdue={queue: _overdue(connection, queue, now) for queue in Queue},
        not_published=connection.scalar(
            select(func.count()).where(requests.c.publish_at > "", requests.c.publish_failures > 0)
        )
        or 0,
        set_aside=connection.scalar(select(func.count()).where(_set_aside(now))) or 0,
        sign_ins=connection.scalar(select(func.count()).select_from(sign_ins)) or 0,
    )


def _set_aside(now: datetime) -> Any:
    """What `claim` set aside, or will never look at: the bot itself plans no look for later than an hour."""
    unreadable = [and_(queue.due == queue.lease, queue.due > utc_text(now)) for queue in Queue]
    planned = [status for status in Status if MOVES[status] and status is not Status.UNCERTAIN]
    never = or_(requests.c.next_at.is_(None), requests.c.next_at > utc_text(now + HOUR))
    return or_(*unreadable, and_(requests.c.status.in_(planned), never))


def _overdue(connection: Connection, queue: Queue, now: datetime) -> timedelta:
    at = utc_text(now)
    free = or_(queue.lease.is_(None), queue.lease <= at)
    oldest = connection.scalar(select(func.min(queue.due)).where(queue.due > "", queue.due <= at, free))
    due = moment(oldest)
    return timedelta(0) if due is None else now - due
