"""Sign in: tie a Slack user to the Entra account that will act for them, and let go of it."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from bot.domain.chain import written
from bot.domain.errors import SignInRefused
from bot.domain.identifiers import RequestId, TeamId
from bot.domain.limits import links_of
from bot.domain.people import Account, Actor, Audience, Person
from bot.domain.policy import check_binding, check_member, check_signer
from bot.domain.record import Event
from bot.domain.secret import Secret
from bot.domain.sign_in import TICKET_LIFE, Ticket
from bot.ports import Arrival
from bot.resets.desk import Desk
from bot.resets.evidence import Facts, of_account, of_why


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """Where the person is, so that what they were doing goes on after the sign-in."""

    request_id: RequestId | None = None
    view_id: str | None = None
    claims: str | None = None


async def offer(desk: Desk, actor: Actor, team: TeamId, then: Continuation) -> str:
    """A new single-use link for this person, ten minutes long; only who may approve gets one."""
    async with desk.noting_refusals(actor, then.request_id):
        person = await desk.people.person(actor)
        check_signer(person, in_channel=await desk.is_in_approver_channel(person))
        return await _link(desk, actor, team, then)


async def _link(desk: Desk, actor: Actor, team: TeamId, then: Continuation) -> str:
    secret = Secret(secrets.token_urlsafe(32))
    ticket = Ticket(
        digest=digest(secret),
        team=team,
        user=actor.user,
        expires_at=desk.clock.now() + TICKET_LIFE,
        request_id=then.request_id,
        view_id=then.view_id,
        claims=then.claims,
    )
    url = await desk.sign_ins.link(ticket, secret, links_of(actor.user, desk.limits))
    rule = str(Audience.channel(desk.rules.approver_channel))
    facts = {"rule": rule, "team": team, "expires_at": written(ticket.expires_at)}
    await desk.note(Event.SIGN_IN_STARTED, actor, then.request_id, facts)
    return url


def digest(secret: Secret) -> str:
    """What is stored of a ticket: the SHA-256 of its text, hexadecimal."""
    return hashlib.sha256(secret.reveal().encode()).hexdigest()


async def visit(desk: Desk, secret: Secret) -> Person:
    """Whom the link signs in; the page names them, so that a forwarded link is seen for what it is."""
    ticket = await desk.sign_ins.ticket(secret)
    return await desk.people.person(_actor(ticket))


async def begin(desk: Desk, secret: Secret) -> str:
    """Use the link up and return Microsoft's address for the browser."""
    person = await visit(desk, secret)
    return await desk.sign_ins.begin(secret, login_hint=person.email)


async def finish(desk: Desk, form: Mapping[str, str]) -> tuple[Ticket, Account]:
    """Tie the account that came back to the Slack user of the ticket, or refuse and record it.

    Raises TicketUnusable, SignInRefused (with the ticket where it is known), NotAMember, CouldNotVerify.
    """
    try:
        arrival = await desk.sign_ins.finish(form)
    except SignInRefused as refused:
        await _note_refusal(desk, refused)
        raise
    try:
        await _bind(desk, arrival)
    except SignInRefused as refused:
        refused.ticket = arrival.ticket
        await _note_refusal(desk, refused, of_account(arrival.account))
        raise
    return arrival.ticket, arrival.account


async def sign_out(desk: Desk, actor: Actor) -> bool:
    """Forget the person's tokens; False where there were none."""
    facts = await desk.signed_in_as(actor.user)
    forgotten = await desk.sign_ins.forget(actor.user)
    if forgotten:
        await desk.note(Event.SIGNED_OUT, actor, facts=facts)
    return forgotten


async def _bind(desk: Desk, arrival: Arrival) -> None:
    ticket, account = arrival.ticket, arrival.account
    async with desk.noting_refusals(_actor(ticket), ticket.request_id):
        person = await desk.people.person(_actor(ticket))
        check_member(person)
    check_binding(account, person=person, tied_to=await desk.sign_ins.tied_to(account))
    await desk.sign_ins.keep(ticket.user, arrival)
    facts = of_account(account) | {"email": person.email or ""}
    await desk.note(Event.SIGNED_IN, _actor(ticket), ticket.request_id, facts)


async def _note_refusal(desk: Desk, refused: SignInRefused, account: Facts | None = None) -> None:
    """On whose link it was; which account came back, where Microsoft named one."""
    if refused.ticket is not None:
        facts = (account or {}) | of_why(refused.why)
        await desk.note(Event.SIGN_IN_REFUSED, _actor(refused.ticket), refused.ticket.request_id, facts)


def _actor(ticket: Ticket) -> Actor:
    return Actor(user=ticket.user, team=ticket.team)
