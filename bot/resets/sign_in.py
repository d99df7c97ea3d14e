"""Sign in: tie a Slack user to the Entra account that will act for them, and let go of it."""

import hashlib
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bot.domain.chain import written
from bot.domain.errors import Refusal, SignInRefused, UnlatchError
from bot.domain.identifiers import RequestId, TeamId
from bot.domain.limits import links_of
from bot.domain.people import Account, Actor, Audience, Person
from bot.domain.policy import check_binding, check_member, check_signer
from bot.domain.record import Event
from bot.domain.secret import Secret
from bot.domain.sign_in import TICKET_LIFE, Ended, Ticket
from bot.domain.why import Code, Why
from bot.ports import Arrival, Confirmation, DeviceCodes, Invitation, SignInLinks
from bot.resets.desk import Desk
from bot.resets.evidence import Facts, of_account, of_why


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """Where the person is, so that what they were doing goes on after the sign-in."""

    request_id: RequestId | None = None
    view_id: str | None = None
    claims: str | None = None


@dataclass(frozen=True, slots=True)
class Meeting:
    """A Slack user and an account that are about to be tied, and what the browser needs to say yes."""

    person: Person
    account: Account
    confirmation: Confirmation


async def offer(desk: Desk, actor: Actor, team: TeamId, then: Continuation) -> Invitation:
    """A new single-use way in for this person; only who may approve gets one."""
    async with desk.noting_refusals(actor, then.request_id):
        person = await desk.member(actor)
        check_signer(person, in_channel=await desk.is_in_approver_channel(person))
        return await _invite(desk, actor, team, then)


async def _invite(desk: Desk, actor: Actor, team: TeamId, then: Continuation) -> Invitation:
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
    quota = links_of(actor.user, desk.limits)
    invitation = await desk.invitations.invite(ticket, secret, quota)
    rule = str(Audience.channel(desk.rules.approver_channel))
    facts = {"rule": rule, "team": team, "expires_at": written(ticket.expires_at)}
    await desk.note(Event.SIGN_IN_STARTED, actor, then.request_id, facts)
    return invitation


def digest(secret: Secret) -> str:
    """What is stored of a ticket: the SHA-256 of its text, hexadecimal."""
    return hashlib.sha256(secret.reveal().encode()).hexdigest()


async def begin(desk: Desk, links: SignInLinks, secret: Secret) -> str:
    """Microsoft's address for the browser that opened the link; opening it again uses nothing up."""
    ticket = await links.ticket(secret)
    person = await desk.member(_actor(ticket))
    check_member(person)
    return await links.begin(secret, login_hint=person.email)


async def arrive(desk: Desk, links: SignInLinks, form: Mapping[str, str]) -> Meeting:
    """Check the account that came back, and keep it until the person says that both are them.

    Nothing is tied yet: whoever was sent somebody else's link sees whose it is, and stops here.
    Raises TicketUnusable, SignInRefused (with the ticket where it is known), NotAMember, CouldNotVerify.
    """
    async with _noting_refusals(desk):
        arrival = await links.finish(form)
    person = await _checked(desk, arrival)
    return Meeting(person, arrival.account, await links.hold(arrival))


async def confirm(desk: Desk, links: SignInLinks, confirmation: Confirmation) -> tuple[Ticket, Account]:
    """The person said yes: check everything again, and tie the account to them. Raises as `arrive` does."""
    return await bind(desk, await links.take(confirmation))


async def decline(desk: Desk, links: SignInLinks, confirmation: Confirmation) -> SignInRefused:
    """The person said no: drop the tokens, and return what the Slack user is told."""
    arrival = await links.take(confirmation)
    refused = SignInRefused(Why(Code.DECLINED, {"account": arrival.account.username}), arrival.ticket)
    await _note_refusal(desk, refused, of_account(arrival.account))
    return refused


async def poll(desk: Desk, codes: DeviceCodes) -> Sequence[tuple[Ticket, Account | UnlatchError]]:
    """Tie whoever has used a device code; for each that ended, what to tell its owner."""
    return [(used.ticket, await _ended(desk, used.arrival)) for used in await codes.poll()]


async def bind(desk: Desk, arrival: Arrival) -> tuple[Ticket, Account]:
    """Tie the account that came back to the Slack user of the ticket, or refuse and record it."""
    ticket, account = arrival.ticket, arrival.account
    person = await _checked(desk, arrival)
    async with _noting_refusals(desk, arrival):
        await desk.sign_ins.keep(ticket.user, arrival)
    facts = of_account(account) | {"email": person.email or ""}
    await desk.note(Event.SIGNED_IN, _actor(ticket), ticket.request_id, facts)
    return ticket, account


async def sign_out(desk: Desk, actor: Actor) -> bool:
    """Forget the person's tokens; False where there were none."""
    return await desk.sign_ins.forget(actor.user, Ended.ASKED)


async def _ended(desk: Desk, arrival: Arrival | Refusal) -> Account | UnlatchError:
    """What came of one device code."""
    if isinstance(arrival, SignInRefused):
        await _note_refusal(desk, arrival)
    if isinstance(arrival, Refusal):
        return arrival
    try:
        _, account = await bind(desk, arrival)
    except UnlatchError as refused:
        return refused
    return account


async def _checked(desk: Desk, arrival: Arrival) -> Person:
    """Whose ticket it is, where they may be tied to the account that came back."""
    ticket, account = arrival.ticket, arrival.account
    async with desk.noting_refusals(_actor(ticket), ticket.request_id):
        person = await desk.member(_actor(ticket))
        check_member(person)
    async with _noting_refusals(desk, arrival):
        check_binding(account, person=person, tied_to=await desk.sign_ins.tied_to(account))
    return person


@asynccontextmanager
async def _noting_refusals(desk: Desk, arrival: Arrival | None = None) -> AsyncIterator[None]:
    """A sign-in that is refused leaves a row in the record, under who tried, with the account that came."""
    try:
        yield
    except SignInRefused as refused:
        if arrival is not None:
            refused.ticket = arrival.ticket
        await _note_refusal(desk, refused, of_account(arrival.account) if arrival else None)
        raise


async def _note_refusal(desk: Desk, refused: SignInRefused, account: Facts | None = None) -> None:
    """On whose link it was; which account came back, where Microsoft named one."""
    if refused.ticket is not None:
        facts = (account or {}) | of_why(refused.why)
        await desk.note(Event.SIGN_IN_REFUSED, _actor(refused.ticket), refused.ticket.request_id, facts)


def _actor(ticket: Ticket) -> Actor:
    return Actor(user=ticket.user, team=ticket.team)
