"""Reveal: the new passcode, read live with the approver's sign-in, to the requester alone."""

from bot.domain.audit import Event
from bot.domain.errors import ApproverRefused, Code, CouldNotVerify, Refusal, SignInNeeded
from bot.domain.people import Actor
from bot.domain.policy import check_asked_as
from bot.domain.request import ResetRequest
from bot.domain.values import RequestId, Secret, utc_text
from bot.use_cases.deps import Deps


async def reveal(deps: Deps, request_id: RequestId, by: Actor) -> tuple[ResetRequest, Secret]:
    """Return the request and its passcode. The view is in the audit log before the passcode is returned.

    Who asks is still admitted as a requester, and whose token is lent as an approver. Raises Refusal:
    NOT_THE_REQUESTER, NOT_WAITING, REVEAL_EXPIRED, NOT_A_REQUESTER, APPROVER_LEFT, APPROVER_SIGNED_OUT,
    CANNOT_READ, NO_PASSCODE, PASSCODE_REPLACED. Raises GraphError; SignInNeeded where the requester has to
    sign in again, as the account that asked.
    """
    async with deps.acting(by, request_id) as (by, request):
        request.check_revealable(by=by.user, now=deps.now(), timing=deps.timing)
        admitted = await deps.requester(by)
        if deps.rules.requester_sign_in:
            check_asked_as(await deps.sign_ins.account(admitted.person.id), request.asked_as)
        approval, since = request.approval, request.ours_since(timing=deps.timing)
        if approval is None or since is None:
            raise Refusal(Code.NO_PASSCODE)
        device, approver = approval.device.id, approval.by
        try:
            await deps.still_approver(Actor(user=approver, team=None), request)
        except CouldNotVerify:
            raise
        except Refusal as refusal:
            raise Refusal(Code.APPROVER_LEFT, approver=approver) from refusal
        try:
            found = await deps.as_person(
                approver, approval.oid, lambda token: deps.intune.passcode(device, token, since=since)
            )
        except SignInNeeded as need:
            raise Refusal(Code.APPROVER_SIGNED_OUT, approver=approver) from need
        except ApproverRefused as refused:
            raise Refusal(Code.CANNOT_READ, approver=approver, **refused.as_facts()) from refused
        if found is None:
            raise Refusal(Code.NO_PASSCODE)
        if found.replaced_at is not None:
            raise Refusal(Code.PASSCODE_REPLACED, at=utc_text(found.replaced_at))
        facts = {"rule": f"requester, {admitted.rule}"} | approval.as_facts()
        await deps.audit(Event.PASSCODE_VIEWED, by.user, request_id, facts)
    deps.keep_head()
    return request, found.passcode
