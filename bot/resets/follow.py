"""Follow: ask the device until it is done; look for an attempt whose answer was lost. Sends nothing."""

from datetime import datetime

from bot.domain.errors import CouldNotVerify, GraphError, SignInNeeded
from bot.domain.record import Entry, Event
from bot.domain.request import Approval, ResetRequest
from bot.domain.why import Code, Why
from bot.ports import ActionSeen
from bot.resets.desk import Desk

_ENDS = {"failed": Code.DEVICE_FAILED, "notsupported": Code.NOT_SUPPORTED, "canceled": Code.CANCELED}


async def follow(desk: Desk, sent: ResetRequest, approval: Approval) -> None:
    """Move a sent request on when the device says done or failed, or has said nothing for too long."""
    now = desk.clock.now()
    ours = await _ours(desk, sent, approval)
    if ours is not None and ours.state == "done":
        await _write(desk, sent, sent.done(now=now), Event.DONE)
    elif ours is not None and ours.state in _ENDS:
        why = Why(_ENDS[ours.state], {"error_code": str(ours.error_code)})
        await _write(desk, sent, sent.fail(why, now=now), Event.FAILED)
    elif sent.waited(now) >= desk.timing.silent_after:
        await _write(desk, sent, sent.fail(Why(Code.SILENT), now=now), Event.FAILED)
    else:
        await desk.requests.replace(sent, sent.look_again(now=now, timing=desk.timing))


async def reconcile(desk: Desk, uncertain: ResetRequest, approval: Approval) -> None:
    """Decide from what the device says whether an attempt arrived; where it says nothing, a human decides."""
    now = desk.clock.now()
    if await _ours(desk, uncertain, approval) is not None:
        sent = uncertain.sent(now=now, timing=desk.timing)
        await _write(desk, uncertain, sent, Event.ATTEMPT_ANSWERED, {"answer": "found on the device"})
    elif uncertain.waited(now) >= desk.timing.settle:
        given_up = uncertain.give_up_looking(now=now)
        facts = {"answer": "not found on the device"}
        await _write(desk, uncertain, given_up, Event.ATTEMPT_ANSWERED, facts)
    else:
        await desk.requests.replace(uncertain, uncertain.look_again(now=now, timing=desk.timing))


async def _ours(desk: Desk, request: ResetRequest, approval: Approval) -> ActionSeen | None:
    """The newest reset on the device that is this request's attempt; None too where nobody can look now."""
    try:
        token = await desk.sign_ins.token(approval.by)
        actions = await desk.devices.actions(approval.device.id, token)
    except (SignInNeeded, CouldNotVerify, GraphError):
        return None
    ours = [action for action in actions if request.is_ours(action.started_at, timing=desk.timing)]
    return max(ours, key=_started_at, default=None)


def _started_at(action: ActionSeen) -> datetime:
    return action.started_at


async def _write(
    desk: Desk, old: ResetRequest, new: ResetRequest, event: Event, facts: dict[str, str] | None = None
) -> None:
    why = {"why": str(new.why.code), **new.why.facts} if new.why else {}
    entry = Entry(event=event, at=new.changed_at, request_id=new.id, facts=why | (facts or {}))
    await desk.requests.replace(old, new, entry)
    desk.wake()
