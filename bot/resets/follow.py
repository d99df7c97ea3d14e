"""Follow: ask the device until it is done; look for an attempt whose answer was lost. Sends nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from bot.domain.errors import CouldNotVerify, GraphError, SignInNeeded
from bot.domain.record import Entry, Event
from bot.domain.request import Approval, ResetRequest
from bot.domain.why import Code, Why
from bot.ports import ActionSeen
from bot.resets.desk import Desk
from bot.resets.evidence import of_approval, of_why

_ENDS = {"failed": Code.DEVICE_FAILED, "notsupported": Code.NOT_SUPPORTED, "canceled": Code.CANCELED}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One look. `ours` is None where the device shows no reset of ours."""

    ours: ActionSeen | None = None
    blind: Mapping[str, str] = field(default_factory=dict)
    """Why nobody could look, where that is so: silence of the device is another thing."""


async def follow(desk: Desk, sent: ResetRequest, approval: Approval) -> None:
    """Move a sent request on when the device says done or failed, or has said nothing for too long."""
    now = desk.clock.now()
    seen = await _look(desk, sent, approval)
    match seen.ours:
        case ActionSeen(state="done", started_at=seen_at):
            await _write(desk, sent, sent.done(seen_at, now=now), Event.DONE)
        case ActionSeen(state=state, error_code=error_code) if state in _ENDS:
            why = Why(_ENDS[state], {"error_code": str(error_code)})
            await _write(desk, sent, sent.fail(why, now=now), Event.FAILED)
        case _ if sent.waited(now) >= desk.timing.silent_after:
            await _write(desk, sent, sent.fail(Why(Code.SILENT, seen.blind), now=now), Event.FAILED)
        case ours:
            shown = ours.started_at if ours else None
            await desk.requests.replace(sent, sent.look_again(now=now, timing=desk.timing, seen_at=shown))


async def reconcile(desk: Desk, uncertain: ResetRequest, approval: Approval) -> None:
    """Decide from what the device says whether an attempt arrived; where it says nothing, a human decides."""
    now = desk.clock.now()
    seen = await _look(desk, uncertain, approval)
    if seen.ours is not None:
        sent = uncertain.found(seen.ours.started_at, now=now, timing=desk.timing)
        await _write(desk, uncertain, sent, Event.ATTEMPT_ANSWERED, {"answer": "found on the device"})
    elif uncertain.waited(now) >= desk.timing.settle:
        given_up = uncertain.give_up_looking(now=now)
        facts = {"answer": "could not look"} if seen.blind else {"answer": "not found on the device"}
        await _write(desk, uncertain, given_up, Event.ATTEMPT_ANSWERED, {**facts, **seen.blind})
    else:
        await desk.requests.replace(uncertain, uncertain.look_again(now=now, timing=desk.timing))


async def _look(desk: Desk, request: ResetRequest, approval: Approval) -> _Seen:
    """What the first reset that can be this request's attempt says; a later one is somebody else's."""
    try:
        token = await desk.token_of(approval)
        actions = await desk.devices.actions(approval.device.id, token)
    except (SignInNeeded, CouldNotVerify, GraphError) as failure:
        return _Seen(blind={"could_not_look": type(failure).__name__})
    ours = [action for action in actions if request.is_ours(action.started_at, timing=desk.timing)]
    return _Seen(ours=min(ours, key=_started_at, default=None))


def _started_at(action: ActionSeen) -> datetime:
    return action.started_at


async def _write(
    desk: Desk, old: ResetRequest, new: ResetRequest, event: Event, facts: Mapping[str, str] | None = None
) -> None:
    why = of_why(new.why) if new.why else {}
    known = of_approval(new.approval) | why | dict(facts or {})
    entry = Entry(event=event, at=new.changed_at, request_id=new.id, facts=known)
    await desk.requests.replace(old, new, entry)
    desk.wake()
