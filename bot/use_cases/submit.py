"""Submit: one durable insert before the acknowledgement; who asks is verified from the row, after it."""

import hashlib
import json
import secrets

from bot.domain.audit import Entry, Event
from bot.domain.errors import Cause, Code, CouldNotVerify, Refusal, SignInNeeded
from bot.domain.people import Actor
from bot.domain.request import ResetRequest, checked_reason, checked_ticket
from bot.domain.target import Target, TargetKind, parse_target, person_at
from bot.domain.values import RequestId, UserId
from bot.store import requests
from bot.store.database import ANSWER
from bot.use_cases.deps import Deps


async def submit(
    deps: Deps, actor: Actor, *, delivery: str, target: str, reason: str, ticket: str | None = None
) -> ResetRequest:
    """Store the request and return its row; the same delivery with the same content returns it again.

    `delivery`: what Slack calls it, such as a trigger id or a view id; a form keeps it when corrected. The
    texts are as they were typed, by whom Slack says so. Raises a Refusal before anything is stored (a code of
    BAD_INPUT or QUOTAS), or StoreError.
    """
    now = deps.now()
    content = json.dumps([target, reason, ticket or ""]).encode()
    received = ResetRequest(
        id=RequestId(secrets.token_hex(16)),
        delivery=f"{delivery}:{hashlib.sha256(content).hexdigest()}",
        asked_by=actor.user,
        asked_by_team=actor.team,
        asked_at=now,
        changed_at=now,
        next_at=now,
        target=parse_target(target),
        reason=checked_reason(reason),
        ticket=checked_ticket(ticket),
    )
    facts = {
        "target": str(received.target),
        "reason": received.reason,
        "ticket": received.ticket or "",
        "team": received.asked_by_team or "",
    }
    entry = Entry.of_move(Event.REQUESTED, received, facts, actor=received.asked_by)
    users = deps.directory.same(received.asked_by) or {received.asked_by}
    limits = {"limit": deps.rules.requests_per_hour, "open_limit": deps.rules.open_requests}
    async with deps.audit_refusals(actor):
        row = await deps.database.run(
            lambda tx: requests.add_request(tx, received, entry, users, **limits), within=ANSWER
        )
    deps.wake_worker()
    return row


async def verify(deps: Deps, received: ResetRequest) -> None:
    """Let the request wait for an approver, or refuse it; look again later where Slack cannot be asked.

    Where the requester has to sign in first, it waits for that as long as it would for an approver.
    """
    account = None
    try:
        account = await deps.sign_ins.account(min(await deps.ids(received.requester)))
        if account is None and deps.rules.requester_sign_in:
            await _wait_for_sign_in(deps, received)
            return
        admitted = await deps.requester(received.requester)
        target = await _resolve(deps, received.target)
        asked_as, facts = (account.key, account.as_facts()) if account else (None, {})
        pending = received.accept(target=target, asked_as=asked_as, now=deps.now(), timing=deps.timing)
        facts |= {"requester": pending.asked_by, "rule": admitted.rule, "target": str(target)}
        await deps.move(received, pending, Event.VERIFIED, facts)
    except CouldNotVerify as failure:
        begun = max(received.asked_at, account.signed_in_at) if account else received.asked_at
        if failure.lasts or deps.now() - begun >= deps.timing.verify_for:
            await _refuse(deps, received, failure.cause)
        else:
            await deps.move(received, received.verify_later(now=deps.now(), timing=deps.timing))
    except Refusal as refusal:
        await _refuse(deps, received, refusal.cause)


async def _wait_for_sign_in(deps: Deps, received: ResetRequest) -> None:
    """Look again later; that they may ask is looked up once, so that nobody signs in in vain."""
    needed = SignInNeeded().cause
    if received.cause is None:
        await deps.requester(received.requester)
    if deps.now() - received.asked_at >= deps.timing.lifetime:
        await _refuse(deps, received, needed)
    else:
        await deps.move(received, received.verify_later(needed, now=deps.now(), timing=deps.timing))


async def _refuse(deps: Deps, received: ResetRequest, cause: Cause) -> None:
    refused = received.refuse(cause, now=deps.now())
    await deps.move(received, refused, Event.REFUSED, {"requester": refused.asked_by} | cause.as_facts())


async def _resolve(deps: Deps, target: Target) -> Target:
    """Return the target with a mention replaced by that person's address; Refusal(NO_EMAIL) without one."""
    if target.kind is not TargetKind.MENTION:
        return target
    try:
        owner = await deps.directory.person(Actor(user=UserId(target.value), team=None))
        return person_at(owner.email or "")
    except Refusal as refusal:
        if isinstance(refusal, CouldNotVerify) and not refusal.hidden:
            raise
        raise Refusal(Code.NO_EMAIL, person=target.value) from None
