"""Decide: approve, deny, withdraw, close. Of several at once one wins; the others are told who did what."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from bot.domain.audit import Event
from bot.domain.device import ActionResult, Effect
from bot.domain.errors import Cause, Code, DeviceRefused, LostRace, RecentlyReset, Refusal, SignInNeeded
from bot.domain.people import Actor
from bot.domain.request import Approval, Looker, ResetRequest, Status, checked_reason
from bot.domain.values import DeviceId, RequestId
from bot.use_cases.deps import Deps, Move
from bot.use_cases.review import Choice, Review, account_of, check_another, look


async def approve(
    deps: Deps, request_id: RequestId, by: Actor, device: DeviceId, *, reviewed: int, knowingly: bool
) -> ResetRequest:
    """Approve, as `by`, the reset of `device`; the worker executes it.

    Everything that the review showed is looked up and checked again. `reviewed`: the request's revision at
    the review; a form of an earlier one approves nothing. `knowingly`: although it was reset minutes ago.
    Raises Refusal (RecentlyReset where that has to be asked first) or GraphError.
    """
    async with deps.acting(by, request_id) as (by, request):
        try:
            return await _approve(deps, request, by, device, reviewed=reviewed, knowingly=knowingly)
        except Refusal as refusal:
            if refusal.code is not Code.ALREADY_DECIDED:
                raise
            # A second press by the approver is no loss: the answer is that it is approved.
            request = await deps.get_request(request_id)
            approval = request.approval
            if approval is None or (approval.by, approval.device.id) != (by.user, device):
                raise
            return request


async def _approve(
    deps: Deps, request: ResetRequest, by: Actor, device: DeviceId, *, reviewed: int, knowingly: bool
) -> ResetRequest:
    seen, request_id = await look(deps, request, by), request.id
    seen.request.check_reviewed(reviewed)
    choice = next((choice for choice in seen.choices if choice.device.id == device), None)
    if choice is None:
        raise Refusal(Code.DEVICE_CHANGED)
    earlier = await deps.as_person(by.user, seen.account.oid, partial(deps.intune.actions, device))
    approved = seen.request.approval
    ours = seen.request.own_action(earlier, timing=deps.timing)
    if approved is not None and approved.device.id == device and ours is not None:
        # The attempt that an uncertain request already made shows by now: a second reset would only do harm.
        confirm = partial(ResetRequest.confirm_sent_late, seen_at=ours.started_at, timing=deps.timing)
        facts = approved.as_facts() | {"answer": "found on the device"}
        return await deps.decide(request_id, Event.ATTEMPT_ANSWERED, confirm, facts, by)
    if not knowingly and (recent := _recent_reset(deps, earlier)):
        # It may be this very request's, approved by somebody else meanwhile.
        (await deps.get_request(request_id)).check_approvable(by=by.user, now=deps.now())
        raise RecentlyReset(recent, platform=str(choice.device.platform))
    approval = _approval(deps, seen, choice, by, earlier)
    facts = {
        "rule": seen.admitted.rule,
        "device": approval.device.id,
        "device_name": approval.device.name,
        "effect": str(approval.effect),
        **({"knowingly": "yes"} if knowingly else {}),
        **seen.account.as_facts(),
    }

    def move(current: ResetRequest, **_now: datetime) -> ResetRequest:
        return current.approve(approval, reviewed=reviewed)

    return await deps.decide(request_id, Event.APPROVED, move, facts, by)


async def check_may_decide(deps: Deps, request_id: RequestId, by: Actor) -> ResetRequest:
    """Return the request if `by` may decide on it now; a reason for a denial is asked for only then."""
    async with deps.acting(by, request_id) as (by, request):
        request.check_approvable(by=by.user, now=deps.now())
        await deps.approver(by, request)
        return request


async def deny(deps: Deps, request_id: RequestId, by: Actor, reason: str) -> ResetRequest:
    reason = checked_reason(reason)
    move = partial(ResetRequest.deny, reason=reason)
    return await _decide(deps, request_id, by, Event.DENIED, move, reason=reason)


async def close(deps: Deps, request_id: RequestId, by: Actor) -> ResetRequest:
    return await _decide(deps, request_id, by, Event.CLOSED, ResetRequest.close)


async def _decide(
    deps: Deps, request_id: RequestId, by: Actor, event: Event, move: Move, **facts: str
) -> ResetRequest:
    async with deps.acting(by, request_id) as (by, request):
        admitted = await deps.approver(by, request)
        facts |= {"rule": admitted.rule} | await deps.account_facts(by.user)
        return await deps.decide(request_id, event, partial(move, by=by.user), facts, by)


async def withdraw(deps: Deps, request_id: RequestId, by: Actor) -> ResetRequest:
    async with deps.acting(by, request_id) as (by, _):
        move = partial(ResetRequest.withdraw, by=by.user)
        return await deps.decide(request_id, Event.WITHDRAWN, move, {"rule": "requester"}, by)


async def look_on(deps: Deps, request_id: RequestId, by: Actor) -> ResetRequest:
    """Read the device as `by` from now on: whoever did before cannot any more.

    The decision stays its approver's; `by` is named in the audit log, and nothing is sent. Where Intune shows
    the device to neither of them, a reset that was sent has failed. Raises Refusal or GraphError.
    """
    async with deps.acting(by, request_id) as (by, request):
        approval = request.approval
        if approval is None:
            raise Refusal(Code.NOT_WAITING, status=request.status)
        if approval.reader.by == by.user and not request.can_be_looked_at:
            return request  # pressed twice
        request.check_can_be_looked_at(by=by.user)
        ends = request.reveal_ends(deps.timing.reveal_for)
        if ends is not None and deps.now() >= ends:
            raise Refusal(Code.REVEAL_EXPIRED)
        admitted = await deps.approver(by, request)
        try:
            account = await account_of(deps, request, admitted.person.id)
        except SignInNeeded as need:
            need.approver = admitted.person
            raise
        await check_another(deps, request, admitted.person, account, may_ask=False)
        facts = {"rule": admitted.rule, **approval.as_facts()}
        facts |= {"looker": by.user, "looker_account": account.username, "looker_oid": account.oid}
        looked = replace(approval, looker=Looker(by=by.user, oid=account.oid, username=account.username))
        event, gone = Event.LOOKED, Cause(Code.DEVICE_GONE, {"could_not_look": "DeviceRefused"})
        try:
            await deps.as_person(by.user, account.oid, partial(deps.intune.actions, approval.device.id))
        except DeviceRefused as refused:
            was_gone = request.status is Status.SENT and request.cause and request.cause.code is gone.code
            if not (refused.is_gone and was_gone) or approval.reader.by == by.user:
                raise
            event = Event.FAILED

        def move(current: ResetRequest, now: datetime) -> ResetRequest:
            current.check_can_be_looked_at(by=by.user)
            if current.approval != approval:
                raise LostRace
            return current.fail(gone, now=now) if event is Event.FAILED else current.look(looked, now=now)

        return await deps.decide(request_id, event, move, facts, by)


def _recent_reset(deps: Deps, earlier: Sequence[ActionResult]) -> datetime | None:
    """Return when the device was last reset, if lately: another reset ends the passcode of that one."""
    since = deps.now() - deps.timing.recently
    starts = [action.started_at for action in earlier if action.failure is None]
    return max((start for start in starts if start >= since), default=None)


def _approval(
    deps: Deps, seen: Review, choice: Choice, by: Actor, earlier: Sequence[ActionResult]
) -> Approval:
    if not isinstance(choice.effect, Effect):
        raise Refusal(choice.effect.code, **choice.effect.facts)
    return Approval(
        by=by.user,
        oid=seen.account.oid,
        username=seen.account.username,
        at=deps.now(),
        device=choice.device,
        effect=choice.effect,
        previous_reset_at=max((action.started_at for action in earlier), default=None),
    )
