"""Carry out: the one attempt that an approval allows, and what Microsoft answered.

“An attempt starts now” is committed before the call leaves. Whatever happens next, this row never sends
again by itself, unless Microsoft says, or the network shows, that nothing was done.
"""

from datetime import datetime, timedelta
from typing import Final

from bot.domain.errors import (
    ApproverRefused,
    CouldNotVerify,
    DeviceRefused,
    GraphError,
    NeverLeft,
    SignInNeeded,
)
from bot.domain.record import Entry, Event
from bot.domain.request import Approval, ResetRequest, Status
from bot.domain.secret import Secret
from bot.domain.why import Code, Why
from bot.resets.desk import Desk
from bot.resets.evidence import microsofts_ids, microsofts_words, of_approval

PAUSE: Final = timedelta(seconds=5)


async def carry_out(desk: Desk, approved: ResetRequest, approval: Approval) -> None:
    """Send the reset as the approver, once, and write down the answer."""
    now = desk.clock.now()
    if now >= approval.at + desk.timing.send_for:
        await _write(desk, approved, approved.wait_again(Why(Code.NEVER_LEFT), now=now, timing=desk.timing))
        return
    try:
        token = await desk.token_of(approval)
    except SignInNeeded as need:
        await _write(desk, approved, _sign_in_again(desk, approved, approval, need.claims))
    except CouldNotVerify:
        await _send_later(desk, approved, now)
    else:
        await _attempt(desk, approved, approval, token)


async def lose_sight(desk: Desk, approved: ResetRequest) -> None:
    """The attempt's answer was lost with the process that waited for it: look at the device instead."""
    lost = approved.lost_sight(now=desk.clock.now(), timing=desk.timing)
    await _write(desk, approved, lost, {"answer": "lost"})


async def _send_later(desk: Desk, approved: ResetRequest, now: datetime) -> None:
    """Entra is away: try again shortly. That is no arrow, so it leaves no row in the record."""
    later = approved.never_left(now=now, pause=PAUSE, timing=desk.timing)
    if later.status is Status.APPROVED:
        await desk.requests.replace(approved, later)
    else:
        await _write(desk, approved, later)


async def _attempt(desk: Desk, approved: ResetRequest, approval: Approval, token: Secret) -> None:
    call_id = desk.new_id()
    attempt = approved.attempt_starts(client_request_id=call_id, now=desk.clock.now(), timing=desk.timing)
    facts = {"client_request_id": call_id, "attempt": str(attempt.attempts)} | of_approval(approval)
    await desk.requests.replace(approved, attempt, _entry(Event.ATTEMPT_STARTED, attempt, facts))
    try:
        request_id = await desk.devices.reset(
            approved.target, approval.device.id, token, client_request_id=call_id
        )
    except GraphError as error:
        answered = _after(desk, attempt, approval, error, desk.clock.now())
        await _write(desk, attempt, answered, _facts(error, call_id))
    else:
        sent = attempt.sent(now=desk.clock.now(), timing=desk.timing)
        ids = {"request_id": request_id, "client_request_id": call_id}
        await _write(desk, attempt, sent, {"answer": "accepted"} | ids)


def _after(
    desk: Desk, attempt: ResetRequest, approval: Approval, error: GraphError, now: datetime
) -> ResetRequest:
    """The request after an answer that is no 204, by one question: may it have happened?"""
    match error:
        case NeverLeft():
            return attempt.never_left(now=now, pause=error.retry_after or PAUSE, timing=desk.timing)
        case ApproverRefused(claims=str() as claims):
            return _sign_in_again(desk, attempt, approval, claims)
        case ApproverRefused():
            facts = microsofts_words(error) | {"account": approval.username}
            why = Why(Code.MICROSOFT_REFUSED_APPROVER, facts)
            return attempt.wait_again(why, now=now, timing=desk.timing)
        case DeviceRefused():
            return attempt.fail(Why(Code.MICROSOFT_REFUSED_DEVICE, microsofts_words(error)), now=now)
        case _:
            return attempt.lost_sight(now=now, timing=desk.timing)


def _sign_in_again(desk: Desk, request: ResetRequest, approval: Approval, claims: str | None) -> ResetRequest:
    """Wait again; `claims` and `since` tell the review which sign-in of this approver is good enough."""
    now = desk.clock.now()
    facts = {"account": approval.username, "approver": str(approval.by)}
    asked = {"claims": claims, "since": now.isoformat()} if claims else {}
    return request.wait_again(Why(Code.SIGN_IN_ENDED, facts | asked), now=now, timing=desk.timing)


def _facts(error: GraphError, call_id: str) -> dict[str, str]:
    """What Microsoft answered, and by which ids."""
    ids = microsofts_ids(error) | {"client_request_id": call_id}
    return {"answer": type(error).__name__} | microsofts_words(error) | ids


async def _write(
    desk: Desk, old: ResetRequest, new: ResetRequest, facts: dict[str, str] | None = None
) -> None:
    event = Event.WAITS_AGAIN if facts is None else Event.ATTEMPT_ANSWERED
    why = {"why": str(new.why.code)} if new.why else {}
    known = of_approval(old.approval) | why | (facts or {})
    await desk.requests.replace(old, new, _entry(event, new, known))
    desk.wake()


def _entry(event: Event, request: ResetRequest, facts: dict[str, str]) -> Entry:
    return Entry(event=event, at=request.changed_at, request_id=request.id, facts=facts)
