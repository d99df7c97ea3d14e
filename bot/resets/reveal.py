"""Reveal: the new passcode, read live with the approver's sign-in, to the one person who asked."""

from datetime import datetime

from bot.domain.errors import ApproverSignedOut, NoPasscode, SignInNeeded
from bot.domain.identifiers import RequestId
from bot.domain.people import Actor
from bot.domain.policy import check_member
from bot.domain.record import Event
from bot.domain.request import Approval, ResetRequest
from bot.domain.secret import Secret
from bot.resets.desk import Desk
from bot.resets.evidence import of_approval


async def reveal(desk: Desk, request_id: RequestId, by: Actor) -> tuple[ResetRequest, Secret]:
    """The request and its passcode. The look is on the record before the passcode is returned.

    Raises Refusal: NotTheRequester, NotWaiting, TooLate, ApproverSignedOut, NoPasscode. Raises GraphError.
    """
    async with desk.noting_refusals(by, request_id):
        request = await desk.requests.get(request_id)
        request.check_revealable(by=by.user, now=desk.clock.now(), timing=desk.timing)
        check_member(await desk.member(by))
        approval, since = request.approval, request.ours_since(timing=desk.timing)
        if approval is None or since is None:
            raise NoPasscode
        passcode = await _read(desk, approval, since)
    facts = {"rule": "requester"} | of_approval(approval)
    await desk.note(Event.PASSCODE_SEEN, by, request_id, facts)
    return request, passcode


async def _read(desk: Desk, approval: Approval, since: datetime) -> Secret:
    await desk.member(Actor(user=approval.by, team=None))  # the token of somebody who left is read no more
    try:
        token = await desk.token_of(approval)
    except SignInNeeded as need:
        raise ApproverSignedOut(approval.by) from need
    passcode = await desk.devices.passcode(approval.device.id, token, since=since)
    if passcode is None:
        raise NoPasscode
    return passcode
