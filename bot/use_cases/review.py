"""Review: what the approver sees of the device, read live with their own sign-in, before deciding."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final, NoReturn

from bot.domain.audit import Event
from bot.domain.device import BY_NATURE, Device, Effect, FoundDevices, effect_of_reset
from bot.domain.errors import Cause, Code, CouldNotVerify, LostRace, Refusal, SignInNeeded
from bot.domain.people import Account, Actor, Kind, Person
from bot.domain.policy import check_account, check_fresh, check_owner
from bot.domain.request import ResetRequest
from bot.domain.target import TargetKind
from bot.domain.values import RequestId, UserId
from bot.use_cases.deps import Admitted, Deps

NEVER: Final = datetime.min.replace(tzinfo=UTC)
NAMES_ONE_DEVICE: Final = frozenset({TargetKind.SERIAL, TargetKind.IMEI, TargetKind.ID})


@dataclass(frozen=True, slots=True)
class Choice:
    """A device that was found, and what a reset would do on it: an effect, or why it cannot be reset."""

    device: Device
    effect: Effect | Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """Everything that the approval modal shows."""

    request: ResetRequest
    admitted: Admitted
    """The approver."""
    account: Account
    """The approver's, whose token will carry it out."""
    found: FoundDevices
    choices: Sequence[Choice]
    """The devices that were online last come first."""

    @property
    def resettable(self) -> Sequence[Choice]:
        """What this approver can have reset."""
        return [choice for choice in self.choices if isinstance(choice.effect, Effect)]


async def review(deps: Deps, request_id: RequestId, by: Actor) -> Review:
    """Check the approver, find the devices, and say what a reset would do on each.

    Raises Refusal: SignInNeeded where the approver has to sign in first; the reason why no device that was
    found can be reset. Intune shows each account what its role and scope reach, so that ends the request only
    where the target names exactly that device and nobody could reset it. Raises GraphError.
    """
    async with deps.acting(by, request_id) as (by, request):
        seen = await look(deps, request, by)
    facts = {
        "rule": seen.admitted.rule,
        "devices": ", ".join(choice.device.id for choice in seen.choices),
        "request_id": ", ".join(filter(None, seen.found.request_ids)),
    }
    await deps.audit(Event.REVIEWED, by.user, request_id, seen.account.as_facts() | facts)
    if not seen.resettable:
        await _refuse(deps, seen, by)
    return seen


async def look(deps: Deps, request: ResetRequest, by: Actor) -> Review:
    """Return the review without its audit row: what approving checks again."""
    request.check_approvable(by=by.user, now=deps.now())
    admitted = await deps.approver(by, request)
    try:
        return await _look(deps, request, admitted)
    except SignInNeeded as need:
        need.approver = admitted.person
        raise


async def _look(deps: Deps, request: ResetRequest, admitted: Admitted) -> Review:
    approver = admitted.person
    account = await account_of(deps, request, approver.id)
    await check_another(deps, request, approver, account, may_ask=True)
    find = partial(deps.intune.find, request.target)
    for fresh in (False, True):  # a token from before a role was activated may show less
        found = await deps.as_person(approver.id, account.oid, find, fresh=fresh)
        devices = sorted(found.devices, key=lambda device: device.last_sync_at or NEVER, reverse=True)
        choices = [Choice(device, _effect(deps, device, approver, account)) for device in devices]
        seen = Review(request=request, admitted=admitted, account=account, found=found, choices=choices)
        if seen.resettable:
            break
    if not seen.choices:
        raise Refusal(Code.NO_DEVICE if found.complete else Code.SEARCH_CUT)
    if not seen.resettable:
        for choice in seen.choices:  # another approver may decide on one's own device
            if isinstance(choice.effect, Cause) and choice.effect.code is Code.OWN_DEVICE:
                raise Refusal(Code.OWN_DEVICE, **choice.effect.facts)
    return seen


async def check_another(
    deps: Deps, request: ResetRequest, approver: Person, account: Account, *, may_ask: bool
) -> None:
    """Refuse an approver who is the requester under another name, and raise Refusal(REQUESTER_LEFT).

    `may_ask`: also of who may ask no more: only who may can see a new passcode.
    """
    try:
        if may_ask:
            requester = (await deps.requester(request.requester)).person
        else:
            requester = await deps.directory.person(request.requester)
    except Refusal as refusal:
        kind = refusal.facts.get("kind")
        if isinstance(refusal, CouldNotVerify):
            if not refusal.hidden:
                raise
            kind = Kind.DEACTIVATED
        facts = {"case": "membership", "kind": str(kind)} if kind else {}
        raise Refusal(Code.REQUESTER_LEFT, person=request.asked_by, **facts) from refusal
    theirs = await deps.sign_ins.account(requester.id)
    check_account(account, approver=approver, requester=requester, theirs=theirs, asked_as=request.asked_as)


async def account_of(deps: Deps, request: ResetRequest, user: UserId) -> Account:
    """Return the approver's account, or raise SignInNeeded where Microsoft or the installer asks for more."""
    account = await deps.sign_ins.account(user)
    if account is None:
        raise SignInNeeded
    asked = request.cause.facts if request.cause else {}
    is_asked = asked.get("approver") == user and asked.keys() >= {"claims", "since"}
    if is_asked and account.signed_in_at < datetime.fromisoformat(asked["since"]):
        raise SignInNeeded(asked["claims"])
    check_fresh(account, now=deps.now(), within=deps.rules.fresh_within)
    return account


def _effect(deps: Deps, device: Device, approver: Person, account: Account) -> Effect | Cause:
    try:
        effect = effect_of_reset(device)
        check_owner(device, approver=approver, account=account, rules=deps.rules)
    except Refusal as refusal:
        return refusal.cause
    return effect


async def _refuse(deps: Deps, seen: Review, by: Actor) -> NoReturn:
    """Say why nothing that was found can be reset; end a request that still waits where nobody can do it."""
    causes = [choice.effect for choice in seen.choices if isinstance(choice.effect, Cause)]
    cause, target = causes[0], seen.request.target
    if target.kind not in NAMES_ONE_DEVICE or not seen.found.complete or {c.code for c in causes} - BY_NATURE:
        noted = seen.request.note(Cause(Code.NOTHING_TO_RESET, {"approver": by.user}), now=deps.now())
        if noted is not seen.request:
            with suppress(LostRace):  # the card tells something newer
                await deps.move(seen.request, noted)
        raise Refusal(Code.NOTHING_TO_RESET, **{**cause.facts, "why": str(cause.code)})
    facts = cause.as_facts() | seen.account.as_facts() | {"reviewed_by": by.user}
    with suppress(Refusal):  # somebody decided meanwhile
        await deps.decide(seen.request.id, Event.REFUSED, partial(ResetRequest.refuse, cause=cause), facts)
    raise Refusal(cause.code, **cause.facts)
