"""Decide: approve, deny, withdraw, close. Of several at once one wins; the others are told who did what."""

from collections.abc import Sequence
from datetime import datetime

from bot.domain.device import Effect
from bot.domain.errors import AlreadyDecided, CannotReset, DeviceChanged, OwnDevice, RecentlyReset
from bot.domain.identifiers import DeviceId, RequestId
from bot.domain.people import Actor
from bot.domain.record import Entry, Event
from bot.domain.request import Approval, ResetRequest, checked_reason
from bot.ports import ActionSeen
from bot.resets.desk import Desk
from bot.resets.evidence import Facts, of_account, of_approval
from bot.resets.review import Choice, Review, as_user, look


async def approve(
    desk: Desk,
    request_id: RequestId,
    by: Actor,
    device: DeviceId,
    *,
    reviewed: int,
    knowingly: bool = False,
) -> ResetRequest:
    """Approve, as `by`, the reset of `device`; the worker carries it out.

    Everything that the review showed is looked up and checked again. `reviewed`: the request's round at the
    review; a form of an earlier one approves nothing. `knowingly`: although it was reset a few minutes ago.
    Raises Refusal (RecentlyReset where that has to be asked first) or GraphError.
    """
    async with desk.noting_refusals(by, request_id):
        try:
            seen = await look(desk, request_id, by)
            seen.request.check_reviewed(reviewed)
            choice = _chosen(seen, device)
            earlier = await as_user(desk, by.user, lambda token: desk.devices.actions(device, token))
            if found_at := _arrived(desk, seen.request, device, earlier):
                return await _arrived_after_all(desk, request_id, by, found_at)
            if not knowingly and (recent := _recent(desk, earlier)):
                await _check_still_open(desk, request_id, by)
                raise RecentlyReset(recent)
            approval = _approval(desk, seen, choice, by, earlier)
            how = {"knowingly": "yes"} if knowingly else {}
            return await desk.move(
                request_id,
                lambda request: request.approve(approval, reviewed=reviewed),
                lambda approved: _approved(approved, approval, seen, how),
            )
        except AlreadyDecided as decided:
            return await _own_decision(desk, request_id, by, decided)


async def close(desk: Desk, request_id: RequestId, by: Actor) -> ResetRequest:
    """Give up an uncertain request that nobody is going to try again."""
    async with desk.noting_refusals(by, request_id):
        admitted = await desk.approver(by, await desk.requests.get(request_id))
        facts = {"rule": admitted.rule} | await desk.signed_in_as(by.user)
        now = desk.clock.now()
        return await desk.move(
            request_id,
            lambda request: request.close(by=by.user, now=now),
            lambda closed: Entry(
                event=Event.CLOSED, at=now, actor=by.user, request_id=closed.id, facts=facts
            ),
        )


async def check_may_decide(desk: Desk, request_id: RequestId, by: Actor) -> ResetRequest:
    """The request, if `by` may decide on it now; a reason is asked for only then."""
    async with desk.noting_refusals(by, request_id):
        request = await desk.requests.get(request_id)
        request.check_approvable(by=by.user, now=desk.clock.now())
        await desk.approver(by, request)
        return request


async def deny(desk: Desk, request_id: RequestId, by: Actor, reason: str) -> ResetRequest:
    """Deny with a reason that the requester reads."""
    reason = checked_reason(reason)
    async with desk.noting_refusals(by, request_id):
        admitted = await desk.approver(by, await desk.requests.get(request_id))
        facts = {"reason": reason, "rule": admitted.rule} | await desk.signed_in_as(by.user)
        now = desk.clock.now()
        return await desk.move(
            request_id,
            lambda request: request.deny(reason, by=by.user, now=now),
            lambda denied: _entry(Event.DENIED, denied, facts),
        )


async def withdraw(desk: Desk, request_id: RequestId, by: Actor) -> ResetRequest:
    """Take the own request back."""
    async with desk.noting_refusals(by, request_id):
        now = desk.clock.now()
        return await desk.move(
            request_id,
            lambda request: request.withdraw(by=by.user, now=now),
            lambda withdrawn: _entry(Event.WITHDRAWN, withdrawn, {"rule": "requester"}),
        )


def _arrived(
    desk: Desk, request: ResetRequest, device: DeviceId, shown: Sequence[ActionSeen]
) -> datetime | None:
    """When the attempt that an uncertain request had already made began, if the device shows it by now."""
    if request.approval is None or request.approval.device.id != device:
        return None
    starts = [action.started_at for action in shown]
    return min((start for start in starts if request.is_ours(start, timing=desk.timing)), default=None)


def _recent(desk: Desk, earlier: Sequence[ActionSeen]) -> datetime | None:
    """When it was last reset, if lately: a second reset makes worthless what the first one gave."""
    since = desk.clock.now() - desk.timing.recently
    starts = [seen.started_at for seen in earlier if not seen.came_to_nothing]
    return max((start for start in starts if start >= since), default=None)


async def _check_still_open(desk: Desk, request_id: RequestId, by: Actor) -> None:
    """The recent reset may be this very request's, approved by somebody else meanwhile."""
    request = await desk.requests.get(request_id)
    request.check_approvable(by=by.user, now=desk.clock.now())


async def _arrived_after_all(
    desk: Desk, request_id: RequestId, by: Actor, found_at: datetime
) -> ResetRequest:
    """A second reset would only do harm: go on with the first."""
    now = desk.clock.now()
    answer = {"answer": "found on the device"}
    return await desk.move(
        request_id,
        lambda request: request.arrived(found_at, now=now, timing=desk.timing),
        lambda sent: Entry(
            event=Event.ATTEMPT_ANSWERED,
            at=now,
            actor=by.user,
            request_id=sent.id,
            facts=of_approval(sent.approval) | answer,
        ),
    )


def _approval(desk: Desk, seen: Review, choice: Choice, by: Actor, earlier: Sequence[ActionSeen]) -> Approval:
    if choice.is_own:
        raise OwnDevice
    if not isinstance(choice.effect, Effect):
        raise CannotReset(choice.effect)
    return Approval(
        by=by.user,
        oid=seen.account.oid,
        username=seen.account.username,
        at=desk.clock.now(),
        device=choice.device,
        effect=choice.effect,
        previous_reset_at=max((action.started_at for action in earlier), default=None),
    )


def _chosen(seen: Review, device_id: DeviceId) -> Choice:
    for choice in seen.choices:
        if choice.device.id == device_id:
            return choice
    raise DeviceChanged


async def _own_decision(
    desk: Desk, request_id: RequestId, by: Actor, decided: AlreadyDecided
) -> ResetRequest:
    """A second press by the one who approved is no loss: the answer is that it is approved."""
    request = await desk.requests.get(request_id)
    if request.approval is not None and request.approval.by == by.user:
        return request
    raise decided


def _approved(approved: ResetRequest, approval: Approval, seen: Review, knowing: Facts) -> Entry:
    facts = {
        "rule": seen.rule,
        "device": approval.device.id,
        "device_name": approval.device.name,
        "effect": str(approval.effect),
    }
    return _entry(Event.APPROVED, approved, of_account(seen.account) | facts | knowing)


def _entry(event: Event, request: ResetRequest, facts: dict[str, str]) -> Entry:
    return Entry(
        event=event, at=request.changed_at, actor=request.decided_by, request_id=request.id, facts=facts
    )
