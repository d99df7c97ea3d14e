"""Review: what an approver sees before deciding, read from Intune with the approver's own sign-in."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn, TypeVar

from bot.domain.device import Device, Effect, effect_of_reset
from bot.domain.errors import ApproverRefused, CannotReset, NoSuchDevice, NotNow, OwnDevice, SignInNeeded
from bot.domain.identifiers import RequestId, UserId
from bot.domain.people import Account, Actor, Person
from bot.domain.policy import check_account, check_fresh, check_owner
from bot.domain.record import Entry, Event
from bot.domain.request import ResetRequest
from bot.domain.secret import Secret
from bot.domain.why import Code, Why
from bot.resets.desk import Desk
from bot.resets.evidence import of_account, of_why

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Choice:
    """A device that was found, and what a reset would do on it: an effect, or why it cannot be."""

    device: Device
    effect: Effect | Why

    @property
    def is_own(self) -> bool:
        """Whether this approver may not decide on it, though another may."""
        return isinstance(self.effect, Why) and self.effect.code is Code.OWN_DEVICE


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """Everything that the approve modal shows."""

    request: ResetRequest
    requester: Person
    account: Account
    """Whose sign-in will carry it out."""
    choices: Sequence[Choice]
    rule: str = ""
    """By what the approver may decide."""
    request_ids: Sequence[str] = ()
    """Graph's ids of the answers in which the devices came."""

    @property
    def resettable(self) -> Sequence[Choice]:
        """What this approver can have reset."""
        return [choice for choice in self.choices if isinstance(choice.effect, Effect)]


async def review(desk: Desk, request_id: RequestId, by: Actor) -> Review:
    """Check the approver, find the devices, and say what a reset would do on each.

    Raises Refusal: SignInNeeded where the approver has to sign in first; CannotReset where no device that
    was found can be reset, which ends the request so that no second approver is bothered. Raises GraphError.
    """
    async with desk.noting_refusals(by, request_id):
        found = await look(desk, request_id, by)
    await desk.note(Event.REVIEWED, by, request_id, _viewed(found))
    if not found.resettable:
        await _end_hopeless(desk, found, by)
    return found


async def look(desk: Desk, request_id: RequestId, by: Actor) -> Review:
    """The review without its record: what approving checks again."""
    request = await desk.requests.get(request_id)
    request.check_approvable(by=by.user, now=desk.clock.now())
    admitted = await desk.approver(by, request)
    approver = admitted.person
    requester = await desk.people.person(Actor(user=request.asked_by, team=request.asked_by_team))
    account = await _account(desk, request, by.user)
    theirs = await desk.sign_ins.account(requester.id)
    check_account(account, approver=approver, requester=requester, requester_account=theirs)
    answer = await as_user(desk, by.user, lambda token: desk.devices.find(request.target, token))
    if not answer.devices:
        raise NoSuchDevice
    found = Review(
        request=request,
        requester=requester,
        account=account,
        choices=[Choice(device, _effect(desk, device, approver, account)) for device in answer.devices],
        rule=admitted.rule,
        request_ids=answer.request_ids,
    )
    if not found.resettable and any(choice.is_own for choice in found.choices):
        raise OwnDevice
    return found


async def as_user(desk: Desk, user: UserId, call: Callable[[Secret], Awaitable[Answer]]) -> Answer:
    """Call Graph as `user`; where Microsoft asks for more, try silently with its claims, else a sign-in."""
    try:
        return await call(await desk.sign_ins.token(user))
    except ApproverRefused as refused:
        if refused.claims is None:
            raise
        claims = refused.claims
    try:
        return await call(await desk.sign_ins.token(user, claims=claims))
    except ApproverRefused as refused:
        raise SignInNeeded(refused.claims or claims) from refused


async def _account(desk: Desk, request: ResetRequest, user: UserId) -> Account:
    """The approver's sign-in, unless Microsoft or the installer asks for a fresher one."""
    account = await desk.sign_ins.account(user)
    if account is None:
        raise SignInNeeded
    match request.why:
        case Why(facts={"approver": asked, "claims": claims, "since": since}) if asked == user:
            if account.signed_in_at < datetime.fromisoformat(since):
                raise SignInNeeded(claims)
    check_fresh(account, now=desk.clock.now(), within=desk.rules.fresh_within)
    return account


def _effect(desk: Desk, device: Device, approver: Person, account: Account) -> Effect | Why:
    try:
        effect = effect_of_reset(device)
        check_owner(device, approver=approver, account=account, rules=desk.rules)
    except CannotReset as refusal:
        return refusal.why
    except OwnDevice:
        return Why(Code.OWN_DEVICE, {"device": device.name})
    return effect


def _viewed(found: Review) -> dict[str, str]:
    """What was seen, as whom, and by which rule."""
    seen = {
        "rule": found.rule,
        "devices": ", ".join(choice.device.id for choice in found.choices),
        "request_id": ", ".join(filter(None, found.request_ids)),
    }
    return of_account(found.account) | seen


async def _end_hopeless(desk: Desk, found: Review, by: Actor) -> NoReturn:
    """Intune cannot reset any device that the request names: end it if it still waits, and say why."""
    why = next(choice.effect for choice in found.choices if isinstance(choice.effect, Why))
    now = desk.clock.now()
    facts = of_why(why) | of_account(found.account) | {"reviewed_by": by.user}
    with suppress(NotNow):
        await desk.move(
            found.request.id,
            lambda request: request.refuse(why, now=now),
            lambda refused: Entry(event=Event.REFUSED, at=now, request_id=refused.id, facts=facts),
        )
    raise CannotReset(why)
