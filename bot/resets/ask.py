"""Ask: one durable insert, so that what was acknowledged cannot be lost."""

import secrets
from dataclasses import dataclass

from bot.domain.identifiers import RequestId, TeamId
from bot.domain.limits import asks_of
from bot.domain.people import Actor
from bot.domain.record import Entry, Event
from bot.domain.request import ResetRequest, checked_reason, checked_ticket
from bot.domain.target import parse_target
from bot.resets.desk import Desk


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What Slack delivered: typed text, unread, and who is said to have typed it."""

    delivery: str
    team: TeamId
    actor: Actor
    target: str
    reason: str
    ticket: str | None = None


async def ask(desk: Desk, asked: Ask) -> ResetRequest:
    """Store the ask and return its row; a second delivery of the same ask returns the first one's row.

    Raises BadInput before anything is stored, TooOften past the limit, StoreAway where nothing could be.
    """
    now = desk.clock.now()
    received = ResetRequest(
        id=RequestId(secrets.token_hex(16)),
        delivery=asked.delivery,
        team=asked.team,
        asked_by=asked.actor.user,
        asked_by_team=asked.actor.team,
        asked_at=now,
        changed_at=now,
        next_at=now,
        target=parse_target(asked.target),
        reason=checked_reason(asked.reason),
        ticket=checked_ticket(asked.ticket),
    )
    facts = {
        "target": str(received.target),
        "reason": received.reason,
        "ticket": received.ticket or "",
        "team": received.asked_by_team or "",
    }
    entry = Entry(event=Event.ASKED, at=now, actor=received.asked_by, request_id=received.id, facts=facts)
    async with desk.noting_refusals(asked.actor):
        stored = await desk.requests.add(received, entry, asks_of(received.asked_by, desk.limits))
    desk.wake()
    return stored
