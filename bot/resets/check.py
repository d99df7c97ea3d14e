"""Check a stored ask: may this person ask, and whom does a mention mean?"""

from datetime import timedelta
from typing import Final

from bot.domain.errors import AlreadyAsked, BadTarget, CouldNotVerify, NotAMember, NotARequester
from bot.domain.identifiers import UserId
from bot.domain.people import Actor
from bot.domain.record import Entry, Event
from bot.domain.request import ResetRequest
from bot.domain.target import Target, TargetKind, person_at
from bot.domain.why import Code, Why
from bot.resets.desk import Admitted, Desk
from bot.resets.evidence import of_why

PAUSE: Final = timedelta(seconds=10)


async def check(desk: Desk, received: ResetRequest) -> None:
    """Let the ask wait for an approver, or refuse it; look again later where Slack cannot be asked."""
    asker = Actor(user=received.asked_by, team=received.asked_by_team)
    try:
        admitted = await desk.requester(asker)
        target = await _resolved(desk, received.target)
    except NotAMember as refusal:
        await _refuse(desk, received, Why(Code.NOT_A_MEMBER, {"kind": refusal.kind}))
    except NotARequester:
        await _refuse(desk, received, Why(Code.NOT_A_REQUESTER))
    except CouldNotVerify as failure:
        await _look_again(desk, received, failure)
    else:
        await _accept(desk, received, target, admitted)


async def _accept(desk: Desk, received: ResetRequest, target: Target | None, admitted: Admitted) -> None:
    if target is None:
        await _refuse(desk, received, Why(Code.NO_EMAIL, {"person": received.target.value}))
        return
    now = desk.clock.now()
    pending = received.accept(target=target, now=now, timing=desk.timing)
    facts = {"rule": admitted.rule, "target": str(target)}
    try:
        await desk.requests.replace(received, pending, _entry(Event.VERIFIED, pending, facts))
    except AlreadyAsked as first:
        await _refuse(desk, received, Why(Code.ALREADY_ASKED, {"ref": first.ref, "person": first.by}))


async def _refuse(desk: Desk, received: ResetRequest, why: Why) -> None:
    refused = received.refuse(why, now=desk.clock.now())
    await desk.requests.replace(received, refused, _entry(Event.REFUSED, refused, of_why(why)))


async def _look_again(desk: Desk, received: ResetRequest, failure: CouldNotVerify) -> None:
    now = desk.clock.now()
    if now - received.asked_at >= desk.timing.verify_for:
        await _refuse(desk, received, Why(Code.COULD_NOT_VERIFY, {"what": failure.what}))
    else:
        await desk.requests.replace(received, received.verify_later(now=now, pause=PAUSE))


async def _resolved(desk: Desk, target: Target) -> Target | None:
    """The target with a mention replaced by that person's address; None where Slack shows none of use."""
    if target.kind is not TargetKind.MENTION:
        return target
    owner = await desk.people.person(Actor(user=UserId(target.value), team=None))
    try:
        return person_at(owner.email or "")
    except BadTarget:
        return None


def _entry(event: Event, request: ResetRequest, facts: dict[str, str]) -> Entry:
    facts = {"requester": request.asked_by} | facts
    return Entry(event=event, at=request.changed_at, request_id=request.id, facts=facts)
