"""Reveal: the new passcode, read live with the approver's sign-in, to the one person who asked."""

from bot.domain.errors import ApproverSignedOut, NoPasscode, SignInNeeded
from bot.domain.identifiers import RequestId
from bot.domain.people import Actor
from bot.domain.policy import check_member
from bot.domain.record import Event
from bot.domain.request import Approval, Attempt, ResetRequest
from bot.domain.secret import Secret
from bot.resets.desk import Desk


async def reveal(desk: Desk, request_id: RequestId, by: Actor) -> tuple[ResetRequest, Secret]:
    """The request and its passcode. The look is on the record before the passcode is returned.

    Raises Refusal: NotTheRequester, NotWaiting, TooLate, ApproverSignedOut, NoPasscode. Raises GraphError.
    """
    async with desk.noting_refusals(by, request_id):
        request = await desk.requests.get(request_id)
        request.check_revealable(by=by.user, now=desk.clock.now(), timing=desk.timing)
        check_member(await desk.people.person(by))
    match request:
        case ResetRequest(approval=Approval() as approval, attempt=Attempt() as attempt):
            passcode = await _read(desk, approval, attempt)
        case _:
            raise NoPasscode
    facts = {"device": approval.device.id, "read_as": approval.username}
    await desk.note(Event.PASSCODE_SEEN, by, request_id, facts)
    return request, passcode


async def _read(desk: Desk, approval: Approval, attempt: Attempt) -> Secret:
    try:
        token = await desk.sign_ins.token(approval.by)
    except SignInNeeded as need:
        raise ApproverSignedOut(approval.by) from need
    since = approval.previous_reset_at or attempt.started_at - desk.timing.skew
    passcode = await desk.devices.passcode(approval.device.id, token, since=since)
    if passcode is None:
        raise NoPasscode
    return passcode
