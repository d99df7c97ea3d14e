"""Signing in: whose account may act for whom, and what the record keeps of it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from bot.domain.errors import (
    CouldNotVerify,
    NotAMember,
    NotAnApprover,
    SignInNeeded,
    SignInRefused,
    TicketUnusable,
)
from bot.domain.identifiers import RequestId
from bot.domain.people import Account, Kind, Person
from bot.domain.record import Event
from bot.domain.secret import Secret
from bot.domain.sign_in import TICKET_LIFE, Ticket
from bot.domain.why import Code, Why
from bot.ports import Arrival, CodeUsed, Confirmation
from bot.resets import sign_in
from bot.resets.evidence import of_account
from bot.resets.sign_in import Continuation
from tests.fakes.clock import NOON
from tests.fakes.desk import StaffedDesk, a_desk
from tests.fakes.people import AIKO, APPROVER_CHANNEL, DORA, GUS, KEN, LEO, OLGA, ROBO, TEAM, actor
from tests.fakes.sign_ins import account_of

R1 = RequestId("1" * 32)


async def offered(desk: StaffedDesk, person: Person = KEN, then: Continuation | None = None) -> Secret:
    """The ticket's text, from the link that this person was given."""
    invitation = await sign_in.offer(desk.desk, actor(person), TEAM, then or Continuation())
    return Secret(invitation.url.rpartition("/")[2])


async def finished(desk: StaffedDesk, form: dict[str, str]) -> tuple[Ticket, Account]:
    """Come back from Microsoft with this, and say yes."""
    meeting = await sign_in.arrive(desk.desk, desk.sign_ins, form)
    return await sign_in.confirm(desk.desk, desk.sign_ins, meeting.confirmation)


async def arrives(desk: StaffedDesk, back: Account | Exception, person: Person = KEN) -> dict[str, str]:
    """What the browser brings back when Microsoft answers this person's flow with `back`."""
    secret = await offered(desk, person, Continuation(request_id=R1))
    state = await sign_in.begin(desk.desk, desk.sign_ins, secret)
    desk.sign_ins.answers[state] = back
    return {"state": state}


def a_desk_without_sign_ins() -> StaffedDesk:
    desk = a_desk()
    desk.sign_ins.accounts.clear()
    return desk


async def test_an_approvers_own_account_is_tied_to_them():
    desk = a_desk_without_sign_ins()

    ticket, account = await finished(desk, await arrives(desk, account_of(KEN)))

    assert (ticket.user, ticket.request_id) == (KEN.id, R1)
    assert desk.sign_ins.accounts == {KEN.id: account}
    signed_in = desk.last(Event.SIGNED_IN)
    assert (signed_in.actor, signed_in.request_id) == (KEN.id, R1)
    assert signed_in.facts == {
        "account": "ken@contoso.com",
        "oid": "oid-Ken",
        "tenant": "contoso-tenant",
        "email": "ken@contoso.com",
    }


async def test_what_the_person_was_doing_goes_with_the_ticket():
    desk = a_desk()
    then = Continuation(request_id=R1, view_id="V1", claims="{}")

    ticket = await desk.sign_ins.ticket(await offered(desk, KEN, then))

    assert (ticket.request_id, ticket.view_id, ticket.claims) == (R1, "V1", "{}")
    assert desk.last(Event.SIGN_IN_STARTED).actor == KEN.id


async def test_the_ticket_itself_is_not_stored():
    desk = a_desk()

    secret = await offered(desk)

    assert secret.reveal() not in repr((desk.sign_ins.tickets, desk.record.entries))
    assert len(secret.reveal()) >= 43


@pytest.mark.parametrize("person", [GUS, OLGA, ROBO, DORA], ids=lambda person: person.name)
async def test_only_a_full_member_gets_a_link(person):
    desk = a_desk()

    with pytest.raises(NotAMember):
        await offered(desk, person)

    assert desk.sign_ins.tickets == {}
    assert desk.refusals() == [(person.id, "NotAMember")]


async def test_only_who_is_in_the_approver_channel_gets_a_link():
    desk = a_desk()
    desk.people.leaves(AIKO, APPROVER_CHANNEL)

    for person in (LEO, AIKO):
        with pytest.raises(NotAnApprover):
            await offered(desk, person)

    assert desk.sign_ins.tickets == {}


async def test_a_link_hints_at_the_account_of_the_person_it_was_made_for():
    desk = a_desk()

    await sign_in.begin(desk.desk, desk.sign_ins, await offered(desk, AIKO))

    assert desk.sign_ins.hints == ["aiko@contoso.com"]


async def test_opening_a_link_again_leads_to_the_same_sign_in_until_somebody_came_back():
    desk = a_desk()
    secret = await offered(desk)
    first = await sign_in.begin(desk.desk, desk.sign_ins, secret)
    assert await sign_in.begin(desk.desk, desk.sign_ins, secret) == first
    desk.sign_ins.answers[first] = account_of(KEN)

    await sign_in.arrive(desk.desk, desk.sign_ins, {"state": first})

    with pytest.raises(TicketUnusable):
        await sign_in.begin(desk.desk, desk.sign_ins, secret)


async def test_a_link_of_somebody_who_left_leads_nowhere():
    desk = a_desk()
    secret = await offered(desk)
    desk.people.change(replace(KEN, kind=Kind.DEACTIVATED))

    with pytest.raises(NotAMember):
        await sign_in.begin(desk.desk, desk.sign_ins, secret)

    assert desk.sign_ins.begun == {}


async def test_nothing_is_tied_before_the_person_has_seen_who_to_whom_and_said_yes():
    desk = a_desk_without_sign_ins()

    meeting = await sign_in.arrive(desk.desk, desk.sign_ins, await arrives(desk, account_of(KEN)))

    assert (meeting.person, meeting.account) == (KEN, account_of(KEN))
    assert desk.sign_ins.accounts == {}
    assert Event.SIGNED_IN not in desk.events()
    await sign_in.confirm(desk.desk, desk.sign_ins, meeting.confirmation)
    assert set(desk.sign_ins.accounts) == {KEN.id}


async def test_a_yes_counts_once():
    desk = a_desk_without_sign_ins()
    meeting = await sign_in.arrive(desk.desk, desk.sign_ins, await arrives(desk, account_of(KEN)))
    await sign_in.confirm(desk.desk, desk.sign_ins, meeting.confirmation)

    for answer in (sign_in.confirm, sign_in.decline):
        with pytest.raises(TicketUnusable):
            await answer(desk.desk, desk.sign_ins, meeting.confirmation)

    assert desk.events().count(Event.SIGNED_IN) == 1


async def test_a_yes_takes_the_secret_of_the_page_and_the_one_of_the_browser():
    desk = a_desk_without_sign_ins()
    meeting = await sign_in.arrive(desk.desk, desk.sign_ins, await arrives(desk, account_of(KEN)))
    held = meeting.confirmation

    for half in (Confirmation(held.page, Secret("")), Confirmation(Secret(""), held.cookie)):
        with pytest.raises(TicketUnusable):
            await sign_in.confirm(desk.desk, desk.sign_ins, half)

    assert desk.sign_ins.accounts == {}


async def test_a_no_ties_nothing_and_is_on_the_record_with_the_account_that_said_it():
    desk = a_desk_without_sign_ins()
    meeting = await sign_in.arrive(desk.desk, desk.sign_ins, await arrives(desk, account_of(KEN)))

    refused = await sign_in.decline(desk.desk, desk.sign_ins, meeting.confirmation)

    assert desk.sign_ins.accounts == {}
    assert refused.ticket is not None
    entry = desk.last(Event.SIGN_IN_REFUSED)
    assert (entry.actor, entry.facts) == (KEN.id, of_account(account_of(KEN)) | {"why": "declined"})


async def test_what_changed_between_microsoft_and_the_yes_counts():
    desk = a_desk_without_sign_ins()
    meeting = await sign_in.arrive(desk.desk, desk.sign_ins, await arrives(desk, account_of(KEN)))
    desk.sign_ins.accounts[AIKO.id] = account_of(KEN)

    with pytest.raises(SignInRefused) as refusal:
        await sign_in.confirm(desk.desk, desk.sign_ins, meeting.confirmation)

    assert refusal.value.why.code is Code.ACCOUNT_TAKEN
    assert refusal.value.ticket is not None
    assert set(desk.sign_ins.accounts) == {AIKO.id}


# Device codes


def code_used(outcome: Account | Exception) -> CodeUsed:
    """Ken's device code, and what came of it."""
    ticket = Ticket(digest="d", team=TEAM, user=KEN.id, expires_at=NOON, request_id=R1)
    if isinstance(outcome, SignInRefused):
        outcome.ticket = ticket
    if isinstance(outcome, Account):
        return CodeUsed(ticket, Arrival(ticket=ticket, account=outcome, cache=Secret("cache")))
    return CodeUsed(ticket, outcome)


async def test_whoever_used_their_own_code_is_tied_as_by_a_link():
    desk = a_desk_without_sign_ins()
    desk.sign_ins.used = [code_used(account_of(KEN))]

    [(ticket, account)] = await sign_in.poll(desk.desk, desk.sign_ins)

    assert ticket.user == KEN.id
    assert desk.sign_ins.accounts == {KEN.id: account}
    assert desk.last(Event.SIGNED_IN).request_id == R1


async def test_a_code_that_somebody_else_typed_ties_nothing_and_keeps_no_other_code_up():
    desk = a_desk_without_sign_ins()
    desk.sign_ins.used = [code_used(account_of(AIKO)), code_used(account_of(KEN))]

    [(_, refused), (_, account)] = await sign_in.poll(desk.desk, desk.sign_ins)

    assert isinstance(refused, SignInRefused)
    assert refused.why.code is Code.WRONG_ACCOUNT
    assert desk.last(Event.SIGN_IN_REFUSED).facts["why"] == "wrong_account"
    assert desk.sign_ins.accounts == {KEN.id: account}


async def test_a_code_that_microsoft_refused_is_on_the_record_and_one_that_grew_old_is_told():
    desk = a_desk_without_sign_ins()
    old, refused = TicketUnusable(), SignInRefused(Why(Code.CONSENT_DENIED))
    desk.sign_ins.used = [code_used(old), code_used(refused)]

    told = await sign_in.poll(desk.desk, desk.sign_ins)

    assert [outcome for _, outcome in told] == [old, refused]
    assert desk.last(Event.SIGN_IN_REFUSED).facts == {"why": "consent_denied"}
    assert desk.sign_ins.accounts == {}


# Links


async def test_a_link_ends_by_itself():
    desk = a_desk()
    secret = await offered(desk)
    desk.clock.pass_(TICKET_LIFE)

    with pytest.raises(TicketUnusable):
        await sign_in.begin(desk.desk, desk.sign_ins, secret)


async def test_an_answer_of_microsoft_is_used_once():
    desk = a_desk_without_sign_ins()
    form = await arrives(desk, account_of(KEN))
    await finished(desk, form)

    with pytest.raises(TicketUnusable):
        await finished(desk, form)

    assert desk.events().count(Event.SIGNED_IN) == 1


@pytest.mark.parametrize("emails", [frozenset(), frozenset({"aiko@contoso.com"})], ids=["none", "another's"])
async def test_an_account_without_the_slack_address_is_not_tied(emails):
    desk = a_desk_without_sign_ins()
    form = await arrives(desk, account_of(AIKO, emails=emails))

    with pytest.raises(SignInRefused) as refusal:
        await finished(desk, form)

    assert refusal.value.why == Why(
        Code.WRONG_ACCOUNT, {"account": "aiko@contoso.com", "expected": "ken@contoso.com"}
    )
    assert refusal.value.ticket is not None
    assert refusal.value.ticket.user == KEN.id
    assert desk.sign_ins.accounts == {}
    refused = desk.last(Event.SIGN_IN_REFUSED)
    assert (refused.actor, refused.request_id, refused.facts["why"]) == (KEN.id, R1, "wrong_account")


async def test_a_person_without_an_address_in_slack_is_not_tied_to_any_account():
    desk = a_desk_without_sign_ins()
    desk.people.change(replace(KEN, email=None))

    with pytest.raises(SignInRefused) as refusal:
        await finished(desk, await arrives(desk, account_of(KEN, emails=frozenset({""}))))

    assert refusal.value.why.code is Code.WRONG_ACCOUNT


async def test_an_address_is_the_same_in_any_case():
    desk = a_desk_without_sign_ins()
    desk.people.change(replace(KEN, email="Ken@Contoso.COM"))

    await finished(desk, await arrives(desk, account_of(KEN)))

    assert KEN.id in desk.sign_ins.accounts


async def test_an_account_of_another_slack_user_is_not_tied_twice():
    desk = a_desk_without_sign_ins()
    desk.sign_ins.accounts[AIKO.id] = account_of(KEN)

    with pytest.raises(SignInRefused) as refusal:
        await finished(desk, await arrives(desk, account_of(KEN)))

    assert refusal.value.why == Why(Code.ACCOUNT_TAKEN, {"account": "ken@contoso.com"})
    assert set(desk.sign_ins.accounts) == {AIKO.id}


async def test_signing_in_anew_replaces_the_own_sign_in():
    desk = a_desk()
    desk.later(hours=1)
    newer = account_of(KEN, at=desk.clock.now())

    await finished(desk, await arrives(desk, newer))

    assert desk.sign_ins.accounts[KEN.id] == newer


async def test_who_is_no_member_any_more_is_not_tied():
    desk = a_desk_without_sign_ins()
    form = await arrives(desk, account_of(KEN))
    desk.people.change(replace(KEN, kind=Kind.DEACTIVATED))

    with pytest.raises(NotAMember):
        await finished(desk, form)

    assert desk.sign_ins.accounts == {}
    assert desk.refusals() == [(KEN.id, "NotAMember")]


async def test_while_slack_is_away_nobody_is_tied():
    desk = a_desk_without_sign_ins()
    form = await arrives(desk, account_of(KEN))
    desk.people.away = True

    with pytest.raises(CouldNotVerify):
        await finished(desk, form)

    assert desk.sign_ins.accounts == {}


async def test_microsofts_own_refusal_is_on_the_record_under_who_tried():
    desk = a_desk_without_sign_ins()
    ticket = await desk.sign_ins.ticket(await offered(desk))
    refused = SignInRefused(Why(Code.CONSENT_DENIED, {"code": "access_denied"}), ticket)

    with pytest.raises(SignInRefused):
        await finished(desk, await arrives(desk, refused))

    entry = desk.last(Event.SIGN_IN_REFUSED)
    assert (entry.actor, entry.facts) == (KEN.id, {"why": "consent_denied", "code": "access_denied"})


async def test_a_refusal_of_nobody_known_leaves_no_row():
    desk = a_desk_without_sign_ins()

    with pytest.raises(SignInRefused):
        await finished(desk, await arrives(desk, SignInRefused(Why(Code.BAD_TOKEN))))

    assert Event.SIGN_IN_REFUSED not in desk.events()


async def test_signing_out_forgets_and_says_so_once():
    desk = a_desk()

    assert await sign_in.sign_out(desk.desk, actor(KEN)) is True
    assert await sign_in.sign_out(desk.desk, actor(KEN)) is False

    assert desk.events() == [Event.SIGNED_OUT]
    assert desk.last(Event.SIGNED_OUT).facts == of_account(account_of(KEN)) | {"reason": "asked"}
    with pytest.raises(SignInNeeded):
        await desk.sign_ins.token(KEN.id)


async def test_a_link_lives_ten_minutes():
    desk = a_desk()

    ticket = await desk.sign_ins.ticket(await offered(desk))

    assert ticket.expires_at == desk.clock.now() + timedelta(minutes=10)
