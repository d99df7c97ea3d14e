"""Reveal: the new passcode, read live with the approver's sign-in, to the requester alone."""

from bot.domain.audit import Event
from bot.domain.errors import Code, Refusal, SignInNeeded
from bot.domain.people import Actor
from bot.domain.policy import check_member
from bot.domain.request import ResetRequest
from bot.domain.values import RequestId, Secret
from bot.use_cases.deps import Deps


async def reveal(deps: Deps, request_id: RequestId, by: Actor) -> tuple[ResetRequest, Secret]:
    """Return the request and its passcode. The view is in the audit log before the passcode is returned.

    Raises Refusal: NOT_THE_REQUESTER, NOT_WAITING, REVEAL_EXPIRED, APPROVER_SIGNED_OUT, NO_PASSCODE. Raises
    GraphError.
    """
    async with deps.audit_refusals(by, request_id):
        request = await deps.get_request(request_id)
        request.check_revealable(by=by.user, now=deps.now(), timing=deps.timing)
        check_member(await deps.member(by))
        approval, since = request.approval, request.ours_since(timing=deps.timing)
        if approval is None or since is None:
            raise Refusal(Code.NO_PASSCODE)
        await deps.member(Actor(user=approval.by, team=None))  # the token of somebody who left is not used
        try:
            token = await deps.approver_token(approval)
        except SignInNeeded as need:
            raise Refusal(Code.APPROVER_SIGNED_OUT, approver=approval.by) from need
        passcode = await deps.intune.passcode(approval.device.id, token, since=since)
        if passcode is None:
            raise Refusal(Code.NO_PASSCODE)
        facts = {"rule": "requester"} | approval.as_facts()
        await deps.audit(Event.PASSCODE_VIEWED, by.user, request_id, facts)
    deps.keep_head()
    return request, passcode
