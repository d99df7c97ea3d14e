"""Execute: what a due request needs next. The one POST that an approval allows, and what became of it.

"An attempt starts" is committed before the POST leaves. After that this row never sends again by itself,
unless Microsoft says, or the network shows, that nothing was done: a lost answer is looked up on the device.
Safe to run twice, late, or on another replica: each step is a compare-and-set on the row's version.
"""

from collections.abc import Mapping
from datetime import datetime

from bot.domain.audit import Event
from bot.domain.device import ActionResult
from bot.domain.errors import (
    ApproverRefused,
    Cause,
    Code,
    CouldNotVerify,
    DeviceRefused,
    GraphError,
    NotExecuted,
    SignInNeeded,
)
from bot.domain.request import Approval, ResetRequest, Status
from bot.domain.values import utc_text
from bot.use_cases.deps import Deps
from bot.use_cases.submit import verify


async def advance(deps: Deps, request: ResetRequest) -> None:
    """Do the one thing that is due; raises LostRace where the row moved meanwhile."""
    match request:
        case ResetRequest(status=Status.RECEIVED):
            await verify(deps, request)
        case ResetRequest(status=Status.PENDING):
            await remind_or_expire(deps, request)
        case ResetRequest(status=Status.APPROVED, attempt=None, approval=Approval() as approval):
            await send(deps, request, approval)
        case ResetRequest(status=Status.APPROVED, approval=Approval() as approval):
            # the process that waited for the answer died
            uncertain = request.mark_uncertain(now=deps.now(), timing=deps.timing)
            await _move(deps, request, uncertain, Event.ATTEMPT_ANSWERED, approval, {"answer": "lost"})
        case ResetRequest(status=Status.SENT, approval=Approval() as approval):
            await poll(deps, request, approval)
        case ResetRequest(status=Status.UNCERTAIN, approval=Approval() as approval):
            await reconcile(deps, request, approval)
        case ResetRequest(next_at=datetime()):  # made by another program; the lease spaces the next look
            raise ValueError(f"nothing is due in a request that is {request.status}")


async def remind_or_expire(deps: Deps, pending: ResetRequest) -> None:
    """Remind the approvers, or let the request expire."""
    now = deps.now()
    if pending.expires_at is not None and now < pending.expires_at:
        await deps.move(pending, pending.remind(now=now, timing=deps.timing))
    else:
        facts = {"requester": pending.asked_by, "expires_at": utc_text(pending.expires_at or now)}
        await deps.move(pending, pending.expire(now=now), Event.EXPIRED, facts)


async def send(deps: Deps, approved: ResetRequest, approval: Approval) -> None:
    """Reset once, as the approver, and store the answer."""
    timing = deps.timing
    if deps.now() >= approval.at + timing.send_for:
        await _send_later(deps, approved, approval)
        return
    try:
        token = await deps.approver_token(approval)
    except CouldNotVerify:  # Entra does not answer
        await _send_later(deps, approved, approval)
        return
    except SignInNeeded as need:
        now = deps.now()
        reopened = approved.reopen(_sign_in_again(approval, need.claims, now), now=now, timing=timing)
        await _move(deps, approved, reopened, Event.REOPENED, approval)
        return

    call_id = deps.new_guid()
    attempt = approved.start_attempt(client_request_id=call_id, now=deps.now(), timing=timing)
    facts = {"client_request_id": call_id, "attempt": str(attempt.attempts)}
    await _move(deps, approved, attempt, Event.ATTEMPT_STARTED, approval, facts)
    deps.keep_head()
    try:
        request_id = await deps.intune.reset_passcode(
            attempt.target, approval.device.id, token, client_request_id=call_id
        )
    except GraphError as error:
        answered = after_error(deps, attempt, approval, error)
        answer = {"answer": type(error).__name__, **error.as_facts()}
    else:
        answered = attempt.mark_sent(now=deps.now(), timing=timing)
        answer = {"answer": "accepted", "request_id": request_id}
    await _move(deps, attempt, answered, Event.ATTEMPT_ANSWERED, approval, facts | answer)


async def _send_later(deps: Deps, approved: ResetRequest, approval: Approval) -> None:
    """Wait a moment, which leaves no audit row, or for another approval."""
    later = approved.send_later(now=deps.now(), timing=deps.timing)
    event = None if later.status is Status.APPROVED else Event.REOPENED
    await _move(deps, approved, later, event, approval)


def after_error(deps: Deps, attempt: ResetRequest, approval: Approval, error: GraphError) -> ResetRequest:
    """Return the request after an answer that is no 204, by one question: may the reset have happened?"""
    now, timing = deps.now(), deps.timing
    match error:
        case NotExecuted():
            return attempt.send_later(now=now, timing=timing, after=error.retry_after)
        case ApproverRefused(claims=str() as claims):
            return attempt.reopen(_sign_in_again(approval, claims, now), now=now, timing=timing)
        case ApproverRefused():
            cause = Cause(Code.MICROSOFT_REFUSED_APPROVER, error.as_facts() | {"account": approval.username})
            return attempt.reopen(cause, now=now, timing=timing)
        case DeviceRefused():
            return attempt.fail(Cause(Code.MICROSOFT_REFUSED_DEVICE, error.as_facts()), now=now)
        case _:
            return attempt.mark_uncertain(now=now, timing=timing)


async def poll(deps: Deps, sent: ResetRequest, approval: Approval) -> None:
    """Ask the device until Intune says done or failed, or has said nothing for too long."""
    now = deps.now()
    ours, could_not_look = await own_action(deps, sent, approval)
    if ours is not None and ours.state == "done":
        await _move(deps, sent, sent.mark_done(ours.started_at, now=now), Event.DONE, approval)
    elif ours is not None and ours.failure is not None:
        facts = {"error_code": str(ours.error_code)}
        failed = sent.fail(Cause(ours.failure, facts), now=now)
        await _move(deps, sent, failed, Event.FAILED, approval, facts)
    elif sent.waited(now) >= deps.timing.silent_after:
        failed = sent.fail(Cause(Code.SILENT, could_not_look), now=now)
        await _move(deps, sent, failed, Event.FAILED, approval, could_not_look)
    else:
        seen_at = ours.started_at if ours is not None else None
        await deps.move(sent, sent.poll_later(now=now, timing=deps.timing, seen_at=seen_at))


async def reconcile(deps: Deps, uncertain: ResetRequest, approval: Approval) -> None:
    """Decide from the device whether an attempt arrived; where it shows nothing, a human decides."""
    now, timing = deps.now(), deps.timing
    ours, could_not_look = await own_action(deps, uncertain, approval)
    if ours is not None:
        found = uncertain.confirm_sent(ours.started_at, now=now, timing=timing)
        facts = {"answer": "found on the device"}
    elif uncertain.waited(now) >= timing.settle:
        found = uncertain.leave_to_human(now=now)
        facts = {"answer": "could not look" if could_not_look else "not found on the device"} | could_not_look
    else:
        await deps.move(uncertain, uncertain.poll_later(now=now, timing=timing))
        return
    await _move(deps, uncertain, found, Event.ATTEMPT_ANSWERED, approval, facts)


async def own_action(
    deps: Deps, request: ResetRequest, approval: Approval
) -> tuple[ActionResult | None, dict[str, str]]:
    """Return the request's own reset as the device shows it, and why the look failed, as facts.

    They are empty where it succeeded: a silent device is something else.
    """
    try:
        token = await deps.approver_token(approval)
        actions = await deps.intune.actions(approval.device.id, token)
    except (SignInNeeded, CouldNotVerify, GraphError) as failure:
        return None, {"could_not_look": type(failure).__name__}
    return request.own_action(actions, timing=deps.timing), {}


def _sign_in_again(approval: Approval, claims: str | None, now: datetime) -> Cause:
    """`claims` and `since` tell the next review which sign-in of this approver is good enough."""
    facts = {"account": approval.username, "approver": str(approval.by)}
    challenge = {"claims": claims, "since": utc_text(now)} if claims else {}
    return Cause(Code.SIGN_IN_ENDED, facts | challenge)


async def _move(
    deps: Deps,
    old: ResetRequest,
    new: ResetRequest,
    event: Event | None,
    approval: Approval,
    facts: Mapping[str, str] | None = None,
) -> None:
    """Store a move whose audit row says who approved what, and the cause by its code alone."""
    cause = {"cause": str(new.cause.code)} if new.cause else {}
    await deps.move(old, new, event, {**approval.as_facts(), **cause, **(facts or {})})
