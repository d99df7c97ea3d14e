"""Decide: approve, deny, withdraw, close. Of several at once one wins; the others are told who did what."""

from collections.abc import Sequence
from datetime import datetime

from bot.domain.audit import Event
from bot.domain.device import ActionResult, Effect
from bot.domain.errors import Code, RecentlyReset, Refusal
from bot.domain.people import Actor
from bot.domain.request import Approval, ResetRequest, checked_reason
from bot.domain.values import DeviceId, RequestId
from bot.use_cases.deps import Deps
from bot.use_cases.review import Choice, Review, look


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
            if request.approval is None or request.approval.by != by.user:
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
    earlier = await deps.as_person(
        by.user, seen.account.oid, lambda token: deps.intune.actions(device, token)
    )
    approved = seen.request.approval
    ours = seen.request.own_action(earlier, timing=deps.timing)
    if approved is not None and approved.device.id == device and ours is not None:
        # The attempt that an uncertain request already made shows by now: a second reset would only do harm.
        return await deps.decide(
            request_id,
            Event.ATTEMPT_ANSWERED,
            lambda current, now: current.confirm_sent_late(ours.started_at, now=now, timing=deps.timing),
            approved.as_facts() | {"answer": "found on the device"},
            by,
        )
    if not knowingly and (recent := _recent_reset(deps, earlier)):
        # It may be this very request's, approved by somebody else meanwhile.
        (await deps.get_request(request_id)).check_approvable(by=by.user, now=deps.now())
        raise RecentlyReset(recent, platform=str(choice.device.platform))
    approval = _approval(deps, seen, choice, by, earlier)
    facts = {
        "rule": seen.rule,
        "device": approval.device.id,
        "device_name": approval.device.name,
        "effect": str(approval.effect),
        **({"knowingly": "yes"} if knowingly else {}),
        **seen.account.as_facts(),
    }
    return await deps.decide(
        request_id,
        Event.APPROVED,
        lambda request, _now: request.approve(approval, reviewed=reviewed),
        facts,
        by,
    )


async def check_may_decide(deps: Deps, request_id: RequestId, by: Actor) -> ResetRequest:
    """Return the request if `by` may decide on it now; a reason for a denial is asked for only then."""
    async with deps.acting(by, request_id) as (by, request):
        request.check_approvable(by=by.user, now=deps.now())
        await deps.approver(by, request)
        return request


async def deny(deps: Deps, request_id: RequestId, by: Actor, reason: str) -> ResetRequest:
    """Deny with a reason that the requester reads."""
    reason = checked_reason(reason)
    async with deps.acting(by, request_id) as (by, request):
        admitted = await deps.approver(by, request)
        facts = {"reason": reason, "rule": admitted.rule} | await deps.account_facts(by.user)
        return await deps.decide(
            request_id,
            Event.DENIED,
            lambda request, now: request.deny(reason, by=by.user, now=now),
            facts,
            by,
        )


async def withdraw(deps: Deps, request_id: RequestId, by: Actor) -> ResetRequest:
    async with deps.acting(by, request_id) as (by, _):
        facts = {"rule": "requester"}
        return await deps.decide(
            request_id, Event.WITHDRAWN, lambda request, now: request.withdraw(by=by.user, now=now), facts, by
        )


async def close(deps: Deps, request_id: RequestId, by: Actor) -> ResetRequest:
    """Close an uncertain request whose outcome nobody is going to find out."""
    async with deps.acting(by, request_id) as (by, request):
        admitted = await deps.approver(by, request)
        facts = {"rule": admitted.rule} | await deps.account_facts(by.user)
        return await deps.decide(
            request_id, Event.CLOSED, lambda request, now: request.close(by=by.user, now=now), facts, by
        )


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
