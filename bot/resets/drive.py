"""Drive: what a due row needs next, read from its state. Safe to do twice, late, or on another replica."""

from bot.domain.chain import written
from bot.domain.record import Entry, Event
from bot.domain.request import ResetRequest, Status
from bot.resets.carry_out import carry_out, lose_sight
from bot.resets.check import check
from bot.resets.desk import Desk
from bot.resets.follow import follow, reconcile


async def drive(desk: Desk, request: ResetRequest) -> None:
    """Do the one thing that is due; raises LostRace where somebody else moved the row meanwhile."""
    match request:
        case ResetRequest(status=Status.RECEIVED):
            await check(desk, request)
        case ResetRequest(status=Status.PENDING):
            await _wait(desk, request)
        case ResetRequest(status=Status.APPROVED, approval=approval, attempt=None) if approval:
            await carry_out(desk, request, approval)
        case ResetRequest(status=Status.APPROVED):
            await lose_sight(desk, request)
        case ResetRequest(status=Status.SENT, approval=approval) if approval:
            await follow(desk, request, approval)
        case ResetRequest(status=Status.UNCERTAIN, approval=approval) if approval:
            await reconcile(desk, request, approval)


async def _wait(desk: Desk, pending: ResetRequest) -> None:
    """Remind, or expire."""
    now = desk.clock.now()
    if pending.expires_at is not None and now < pending.expires_at:
        await desk.requests.replace(pending, pending.remind(now=now, timing=desk.timing))
        return
    expired = pending.expire(now=now)
    facts = {"requester": expired.asked_by, "expires_at": written(pending.expires_at or now)}
    entry = Entry(event=Event.EXPIRED, at=now, request_id=expired.id, facts=facts)
    await desk.requests.replace(pending, expired, entry)
