"""Reveal: the new passcode, read live with the approver's sign-in, to the requester alone."""

from contextlib import suppress
from datetime import datetime
from functools import partial

from bot.domain.audit import Event
from bot.domain.device import NewPasscode
from bot.domain.errors import Cause, Code, GraphError, LostRace, Refusal
from bot.domain.people import Actor
from bot.domain.policy import check_asked_as
from bot.domain.request import Approval, ResetRequest
from bot.domain.values import RequestId, Secret, utc_text
from bot.use_cases.deps import Deps
from bot.use_cases.execute import cannot_read


async def reveal(deps: Deps, request_id: RequestId, by: Actor) -> tuple[ResetRequest, Secret]:
    """Return the request and its passcode. The view is in the audit log before the passcode is returned.

    Who asks is still admitted as a requester, and whose token is lent as an approver: who approved, or
    pressed *Look* since. Raises Refusal: NOT_THE_REQUESTER, NOT_WAITING, REVEAL_EXPIRED, NOT_A_REQUESTER,
    NO_PASSCODE, PASSCODE_REPLACED; APPROVER_LEFT, APPROVER_SIGNED_OUT, CANNOT_READ and DEVICE_GONE, which
    card and receipt then show, so that another approver can look. Raises GraphError; SignInNeeded where the
    requester has to sign in again, as the account that asked.
    """
    async with deps.acting(by, request_id) as (by, request):
        request.check_revealable(by=by.user, now=deps.now(), timing=deps.timing)
        admitted = await deps.requester(by)
        if deps.rules.requester_sign_in:
            check_asked_as(await deps.sign_ins.account(admitted.person.id), request.asked_as)
        approval, since = request.approval, request.ours_since(timing=deps.timing)
        if approval is None or since is None:
            raise Refusal(Code.NO_PASSCODE)
        found, cause = await _read(deps, request, approval, since)
        if cause is not None and _named(cause) != _named(request.cause):
            with suppress(LostRace):
                await deps.move(request, request.cannot_be_read(cause))
        if cause is not None:
            raise Refusal(cause.code, **cause.facts)
        if found is None:
            raise Refusal(Code.NO_PASSCODE)
        if found.replaced_at is not None:
            raise Refusal(Code.PASSCODE_REPLACED, at=utc_text(found.replaced_at))
        facts = {"rule": f"requester, {admitted.rule}"} | approval.as_facts()
        await deps.audit(Event.PASSCODE_VIEWED, by.user, request_id, facts)
    deps.keep_head()
    return request, found.passcode


async def _read(
    deps: Deps, request: ResetRequest, approval: Approval, since: datetime
) -> tuple[NewPasscode | None, Cause | None]:
    """Return the passcode of the first reset `since`, or why whose token is lent cannot read it."""
    reader, read = approval.reader, partial(deps.intune.passcode, approval.device.id, since=since)
    try:
        await deps.still_approver(Actor(user=reader.by, team=None), request)
        found = await deps.as_person(reader.by, reader.oid, read)
    except (Refusal, GraphError) as failure:
        cause = cannot_read(reader, failure)
        if cause is None:
            raise
        return None, cause
    return found, None


def _named(cause: Cause | None) -> tuple[Code, str | None] | None:
    """Return who cannot read it, and why; Graph's ids are others at every call."""
    return None if cause is None else (cause.code, cause.facts.get("approver"))
