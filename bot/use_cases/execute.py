"""Execute: what a due request needs next. The one reset that an approval allows, and what became of it.

"An attempt starts" is committed before the POST leaves. After that this row never sends again by itself,
unless Microsoft says, or the network shows, that nothing was done: a lost answer is looked up on the device.
Safe to run twice, late, or on another replica: each step is a compare-and-set on the row's version.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial

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
    OutcomeUnknown,
    Refusal,
    SignInNeeded,
    StoreError,
    UnknownPath,
)
from bot.domain.request import Approval, Looker, ResetRequest, Status
from bot.domain.values import Facts, Secret, utc_text
from bot.timing import Timing
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
    now = deps.now()
    if pending.expires_at is not None and now < pending.expires_at:
        await deps.move(pending, pending.remind(now=now, timing=deps.timing))
    else:
        facts = {"requester": pending.asked_by, "expires_at": utc_text(pending.expires_at or now)}
        await deps.move(pending, pending.expire(now=now), Event.EXPIRED, facts)


async def send(deps: Deps, approved: ResetRequest, approval: Approval) -> None:
    """Reset once, as the approver, and store the answer."""
    device = approval.device.id
    if deps.now() >= approval.at + deps.timing.send_for:
        await _send_later(deps, approved, approval)
        return
    if not await _head_is_kept(deps):
        await _send_later(deps, approved, approval, Code.HEAD_NOT_KEPT)
        return
    sending = _Sending(deps, approved, approval)
    try:
        actions = await deps.as_person(approval.by, approval.oid, partial(deps.intune.actions, device))
        if (later := _reset_since(approval, actions, deps.timing)) is None:
            await deps.as_person(approval.by, approval.oid, sending.post)
            return
    except (CouldNotVerify, NotExecuted, OutcomeUnknown):  # of Entra or of a read: nothing was done
        await _send_later(deps, sending.request, approval)
        return
    except (SignInNeeded, GraphError) as error:
        await _give_back(deps, sending.request, approval, error)
        return
    cause = Cause(Code.RECENTLY_RESET, {"at": utc_text(later), "platform": str(approval.device.platform)})
    reopened = approved.reopen(cause, now=deps.now(), timing=deps.timing)
    await _move(deps, approved, reopened, Event.REOPENED, approval, {})


@dataclass
class _Sending:
    """The attempts of one approval. Each is a committed step, and another follows only a proof of Graph's.

    `request` is the row as it was last stored.
    """

    deps: Deps
    request: ResetRequest
    approval: Approval

    async def post(self, token: Secret) -> None:
        """Reset where the device was found, or below all devices where Graph does not know that path."""
        try:
            await self._attempt(token, direct=False)
        except UnknownPath:
            if self.request.status is Status.APPROVED:
                with suppress(UnknownPath):  # which is stored
                    await self._attempt(token, direct=True)

    async def _attempt(self, token: Secret, *, direct: bool) -> None:
        """Commit that an attempt starts, POST, and store the answer; raises what another may follow."""
        deps, approval, call_id = self.deps, self.approval, self.deps.new_guid()
        started = self.request.start_attempt(client_request_id=call_id, now=deps.now(), timing=deps.timing)
        facts = {"client_request_id": call_id, "attempt": str(started.attempts)}
        facts |= {"path": "/deviceManagement/managedDevices"} if direct else {}
        await _move(deps, self.request, started, Event.ATTEMPT_STARTED, approval, facts)
        failure = None
        try:
            if not await _head_is_kept(deps):  # of the attempt, of which an old copy would not know
                raise NotExecuted(code="HeadNotKept")
            if not await _may_leave(deps, started):
                raise NotExecuted(code="TooLate")
            request_id = await deps.intune.reset_passcode(
                started.target, approval.device.id, token, client_request_id=call_id, direct=direct
            )
        except GraphError as error:
            failure = error if isinstance(error, ApproverRefused | UnknownPath) else None
            self.request = after_error(deps, started, error, direct=direct)
            facts |= {"answer": type(error).__name__, **error.as_facts()}
        else:
            self.request = started.mark_sent(now=deps.now(), timing=deps.timing)
            facts |= {"answer": "accepted", "request_id": request_id}
        await _move(deps, started, self.request, Event.ATTEMPT_ANSWERED, approval, facts)
        if failure is not None:
            raise failure


async def _head_is_kept(deps: Deps) -> bool:
    """Make the end of the audit log known outside the database, where that is asked for."""
    with suppress(StoreError):
        return await deps.write_head()
    return False


async def _may_leave(deps: Deps, attempt: ResetRequest) -> bool:
    """Whether a call would end in time and the row is still its own: machines are suspended and resumed."""
    row = await deps.get_request(attempt.id, in_log=False)
    left = deps.timing.attempt - attempt.waited(deps.now())
    return row.version == attempt.version and left > deps.timing.graph_timeout


def _reset_since(approval: Approval, actions: Sequence[ActionResult], timing: Timing) -> datetime | None:
    """Return when the device was reset after what the approver saw.

    That is one witness whom a writer of the database cannot roll back: this approval was used already.
    """
    newest = max((action.started_at for action in actions), default=None)
    before = approval.previous_reset_at
    known = newest is None or (before is not None and newest <= before + timing.same_reset)
    return None if known else newest


async def _send_later(
    deps: Deps, approved: ResetRequest, approval: Approval, cause: Code = Code.NOT_EXECUTED
) -> None:
    """Wait a moment, which leaves no audit row, or for another approval."""
    later = approved.send_later(cause, now=deps.now(), timing=deps.timing)
    event = None if later.status is Status.APPROVED else Event.REOPENED
    await _move(deps, approved, later, event, approval, {})


async def _give_back(
    deps: Deps, approved: ResetRequest, approval: Approval, error: SignInNeeded | GraphError
) -> None:
    """Wait for an approver again, or end; no attempt is out."""
    now, facts = deps.now(), error.as_facts() if isinstance(error, GraphError) else {}
    match error:
        case SignInNeeded():
            # They tell the next review which sign-in of this approver is good enough.
            asked = {"claims": error.claims, "since": utc_text(now)} if error.claims else {}
            who = {"account": approval.username, "approver": str(approval.by)}
            cause = Cause(Code.SIGN_IN_ENDED, who | asked)
            ended = approved.reopen(cause, now=now, timing=deps.timing)
        case ApproverRefused():
            cause = Cause(Code.MICROSOFT_REFUSED_APPROVER, facts | {"account": approval.username})
            ended = approved.reopen(cause, now=now, timing=deps.timing)
        case _:
            ended = after_error(deps, approved, error, direct=True)
    event = Event.REOPENED if ended.status is Status.PENDING else Event.FAILED
    await _move(deps, approved, ended, event, approval, facts)


def after_error(deps: Deps, attempt: ResetRequest, error: GraphError, *, direct: bool) -> ResetRequest:
    """Return the request after an answer that is no 204, by one question: may the reset have happened?"""
    now, timing = deps.now(), deps.timing
    match error:
        case NotExecuted():
            return attempt.send_later(Code.NOT_EXECUTED, now=now, timing=timing, after=error.retry_after)
        case ApproverRefused():
            return attempt.send_again(now=now)
        case UnknownPath() if not direct and attempt.target.has_own_path:
            return attempt.send_again(now=now)
        case UnknownPath():
            return attempt.fail(Cause(Code.UNKNOWN_PATH, error.as_facts()), now=now)
        case DeviceRefused(is_gone=True):  # to this approver
            gone = Cause(Code.DEVICE_GONE, {"approver": attempt.decided_by or ""})
            return attempt.reopen(gone, now=now, timing=timing)
        case DeviceRefused():
            return attempt.fail(Cause(Code.MICROSOFT_REFUSED_DEVICE, error.as_facts()), now=now)
        case _:
            return attempt.mark_uncertain(now=now, timing=timing)


async def poll(deps: Deps, sent: ResetRequest, approval: Approval) -> None:
    """Ask the device until Intune says done or failed, or has said nothing for too long."""
    now = deps.now()
    ours, could_not_look, cause = await look_at(deps, sent, approval)
    if ours is not None and ours.state == "done":
        await _move(deps, sent, sent.mark_done(ours.started_at, now=now), Event.DONE, approval, {})
    elif ours is not None and ours.failure is not None:
        facts = {"error_code": str(ours.error_code)}
        failed = sent.fail(Cause(ours.failure, facts), now=now)
        await _move(deps, sent, failed, Event.FAILED, approval, facts)
    elif sent.waited(now) >= deps.timing.silent_after:
        gone = cause is not None and cause.code is Code.DEVICE_GONE
        cause = Cause(Code.DEVICE_GONE if gone else Code.SILENT, could_not_look)
        await _move(deps, sent, sent.fail(cause, now=now), Event.FAILED, approval, could_not_look)
    else:
        seen_at = ours.started_at if ours is not None else None
        await deps.move(sent, sent.poll_later(now=now, timing=deps.timing, seen_at=seen_at, cause=cause))


async def reconcile(deps: Deps, uncertain: ResetRequest, approval: Approval) -> None:
    """Decide from the device whether an attempt arrived; where it shows nothing, a human decides."""
    now, timing = deps.now(), deps.timing
    ours, could_not_look, cause = await look_at(deps, uncertain, approval)
    if ours is not None:
        found = uncertain.confirm_sent(ours.started_at, now=now, timing=timing)
        facts = {"answer": "found on the device"}
    elif uncertain.waited(now) >= timing.settle:
        found = uncertain.leave_to_human(Cause(Code.NO_ANSWER, could_not_look), now=now)
        facts = {"answer": "could not look" if could_not_look else "not found on the device"} | could_not_look
    else:
        cause = cause or Cause(Code.NO_ANSWER)
        await deps.move(uncertain, uncertain.poll_later(now=now, timing=timing, cause=cause))
        return
    await _move(deps, uncertain, found, Event.ATTEMPT_ANSWERED, approval, facts)


async def look_at(
    deps: Deps, request: ResetRequest, approval: Approval
) -> tuple[ActionResult | None, dict[str, str], Cause | None]:
    """Return the request's own reset as the device shows it; else why nobody could look, and what people do.

    A silent device is something else. It is read as the approver, or as who pressed *Look* since.
    """
    reader, read = approval.reader, partial(deps.intune.actions, approval.device.id)
    try:
        actions = await deps.as_person(reader.by, reader.oid, read)
    except (SignInNeeded, CouldNotVerify, GraphError) as failure:
        cause = cannot_read(reader, failure, following=True) or request.cause
        return None, {"could_not_look": type(failure).__name__}, cause
    return request.own_action(actions, timing=deps.timing), {}, None


def cannot_read(reader: Looker, failure: Refusal | GraphError, *, following: bool = False) -> Cause | None:
    """Return what people have to do before `reader` can look; None where it may pass by itself."""
    by = {"approver": str(reader.by)}
    match failure:
        case SignInNeeded():
            return Cause(Code.APPROVER_SIGNED_OUT, by | ({"following": "yes"} if following else {}))
        case CouldNotVerify(hidden=False):
            return None
        case Refusal():
            return Cause(Code.APPROVER_LEFT, by)
        case ApproverRefused():
            return Cause(Code.CANNOT_READ, by | failure.as_facts())
        case DeviceRefused(is_gone=True):
            return Cause(Code.DEVICE_GONE, by)
        case _:
            return None


async def _move(
    deps: Deps, old: ResetRequest, new: ResetRequest, event: Event | None, approval: Approval, facts: Facts
) -> None:
    """Store a move whose audit row says who approved what, and the cause by its code alone."""
    cause = {"cause": str(new.cause.code)} if new.cause else {}
    await deps.move(old, new, event, {**approval.as_facts(), **cause, **facts})
