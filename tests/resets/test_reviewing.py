"""Reviewing: what an approver sees, and who gets to see it."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from bot.domain.device import Effect
from bot.domain.errors import (
    AlreadyDecided,
    ApproverRefused,
    CannotReset,
    CouldNotVerify,
    NoSuchDevice,
    NotAMember,
    NotAnApprover,
    NotWaiting,
    OwnAccount,
    OwnRequest,
    SignInNeeded,
    TooLate,
    UnknownRequest,
)
from bot.domain.identifiers import RequestId
from bot.domain.policy import Rules
from bot.domain.record import Event
from bot.domain.request import Status
from bot.domain.why import Code
from tests.fakes.desk import a_desk, outcome
from tests.fakes.devices import LEOS_LAPTOP, LEOS_PHONE, LEOS_TABLET, Answer
from tests.fakes.people import (
    AIKO,
    APPROVER_CHANNEL,
    CHANNEL,
    DORA,
    GUS,
    KEN,
    LEO,
    MEI,
    OLGA,
    ON_CALL,
    ROBO,
)
from tests.fakes.sign_ins import account_of, token_text

CLAIMS = '{"access_token":{"nbf":{"essential":true}}}'


async def test_a_review_shows_who_asks_and_what_a_reset_would_do_on_each_device():
    desk = a_desk()
    desk.graph.found = [LEOS_PHONE, LEOS_TABLET, LEOS_LAPTOP]
    request_id = await desk.pending()

    review = await desk.review(request_id)

    effects = {choice.device.name: choice.effect for choice in review.choices}
    assert (review.requester, review.account) == (MEI, account_of(KEN))
    assert effects["Leo's Pixel"] is Effect.NEW_PASSCODE
    assert effects["Leo's iPad"] is Effect.REMOVES_PASSCODE
    assert not isinstance(effects["Leo's laptop"], Effect)
    assert desk.last(Event.REVIEWED).actor == KEN.id
    assert LEOS_TABLET.id in desk.last(Event.REVIEWED).facts["devices"]


async def test_devices_are_read_with_the_approvers_own_sign_in():
    desk = a_desk()

    await desk.review(await desk.pending(), by=AIKO)

    assert desk.graph.read_with == [token_text(AIKO.id)]


@pytest.mark.parametrize("person", [GUS, OLGA, ROBO, DORA], ids=lambda person: person.name)
async def test_only_a_full_member_may_review_even_from_inside_the_channel(person):
    desk = a_desk()
    request_id = await desk.pending()

    with pytest.raises(NotAMember):
        await desk.review(request_id, by=person)

    assert desk.refusals() == [(person.id, "NotAMember")]
    assert desk.graph.read_with == []


async def test_a_member_outside_the_approver_channel_may_not_review():
    desk = a_desk()
    request_id = await desk.pending()

    with pytest.raises(NotAnApprover):
        await desk.review(request_id, by=LEO)

    assert desk.refusals() == [(LEO.id, "NotAnApprover")]


async def test_with_a_rota_only_who_is_on_call_and_in_the_channel_may_review():
    desk = a_desk(rules=Rules(approver_channel=CHANNEL, requesters=(APPROVER_CHANNEL,), approvers=(ON_CALL,)))
    request_id = await desk.pending()

    with pytest.raises(NotAnApprover):
        await desk.review(request_id, by=AIKO)
    assert (await desk.review(request_id, by=KEN)).request.id == request_id

    desk.people.leaves(KEN, APPROVER_CHANNEL)
    with pytest.raises(NotAnApprover):
        await desk.review(request_id, by=KEN)


async def test_nobody_reviews_their_own_request():
    desk = a_desk()
    desk.sign_ins.accounts[MEI.id] = account_of(MEI)
    request_id = await desk.pending()

    with pytest.raises(OwnRequest):
        await desk.review(request_id, by=MEI)

    assert desk.refusals() == [(MEI.id, "OwnRequest")]


async def test_nobody_approves_as_the_entra_account_that_the_requester_signed_in_with():
    desk = a_desk()
    desk.sign_ins.accounts[MEI.id] = account_of(KEN, name="under another name")
    request_id = await desk.pending()

    with pytest.raises(OwnAccount):
        await desk.review(request_id, by=KEN)

    assert desk.refusals() == [(KEN.id, "OwnAccount")]


async def test_nobody_approves_as_an_account_with_the_requesters_address():
    desk = a_desk()
    desk.sign_ins.accounts[KEN.id] = account_of(KEN, emails=frozenset({"ken@contoso.com", "mei@contoso.com"}))
    desk.people.change(replace(MEI, email="Mei@Contoso.com"))
    request_id = await desk.pending()

    with pytest.raises(OwnAccount):
        await desk.review(request_id, by=KEN)


async def test_a_requester_without_an_address_is_still_told_apart_by_account():
    desk = a_desk()
    desk.people.change(replace(MEI, email=None))
    request_id = await desk.pending()

    assert (await desk.review(request_id)).account.oid == "oid-Ken"


async def test_who_is_not_signed_in_is_asked_to():
    desk = a_desk()
    del desk.sign_ins.accounts[KEN.id]
    request_id = await desk.pending()

    with pytest.raises(SignInNeeded):
        await desk.review(request_id)

    assert desk.row(request_id).status is Status.PENDING


async def test_a_lookup_that_fails_lets_no_approver_through():
    desk = a_desk()
    request_id = await desk.pending()
    desk.people.away = True

    with pytest.raises(CouldNotVerify):
        await desk.review(request_id)


async def test_a_request_that_nobody_made_cannot_be_reviewed():
    desk = a_desk()

    with pytest.raises(UnknownRequest):
        await desk.review(RequestId("0" * 32))


async def test_a_decided_request_names_who_was_first():
    desk = a_desk()
    request_id = await desk.pending()
    await desk.deny(request_id, by=AIKO)

    with pytest.raises(AlreadyDecided) as refusal:
        await desk.review(request_id, by=KEN)

    assert (refusal.value.status, refusal.value.by, refusal.value.at) == (
        Status.DENIED,
        AIKO.id,
        desk.clock.now(),
    )


async def test_a_request_that_is_not_checked_yet_cannot_be_reviewed():
    desk = a_desk()
    request = await desk.ask()

    with pytest.raises(NotWaiting):
        await desk.review(request.id)


async def test_a_request_past_its_time_cannot_be_reviewed_even_before_the_worker_expires_it():
    desk = a_desk()
    request_id = await desk.pending()
    desk.clock.pass_(desk.desk.timing.lifetime)

    with pytest.raises(TooLate):
        await desk.review(request_id)


async def test_where_intune_shows_no_device_the_request_goes_on_waiting():
    desk = a_desk()
    desk.graph.found = []
    request_id = await desk.pending()

    with pytest.raises(NoSuchDevice):
        await desk.review(request_id)

    assert desk.row(request_id).status is Status.PENDING


async def test_where_no_device_can_be_reset_the_review_ends_the_request():
    desk = a_desk()
    desk.graph.found = [LEOS_LAPTOP]
    request_id = await desk.pending()

    with pytest.raises(CannotReset) as refusal:
        await desk.review(request_id)

    ended = desk.row(request_id)
    assert refusal.value.why.code is Code.WRONG_PLATFORM
    assert (ended.status, ended.why) == (Status.REFUSED, refusal.value.why)
    assert desk.last(Event.REFUSED).facts["device"] == "Leo's laptop"


async def test_two_reviewers_of_a_hopeless_request_both_hear_why():
    desk = a_desk()
    desk.graph.found = [LEOS_LAPTOP]
    request_id = await desk.pending()

    outcomes = await asyncio.gather(
        outcome(desk.review(request_id, by=KEN)), outcome(desk.review(request_id, by=AIKO))
    )

    assert [type(each) for each in outcomes] == [CannotReset, CannotReset]
    assert desk.events().count(Event.REFUSED) == 1


async def test_an_uncertain_request_is_not_ended_by_a_review_that_finds_nothing_to_reset():
    desk = a_desk()
    request_id = await desk.needs_a_human()
    desk.graph.found = [LEOS_LAPTOP]

    with pytest.raises(CannotReset):
        await desk.review(request_id)

    assert desk.row(request_id).status is Status.UNCERTAIN


async def test_where_microsoft_asks_for_more_it_is_tried_silently_once():
    desk = a_desk()
    desk.graph.refuses_stale_tokens = CLAIMS
    request_id = await desk.pending()

    await desk.review(request_id)

    assert desk.graph.read_with == [token_text(KEN.id), f"{token_text(KEN.id)} with {CLAIMS}"]


async def test_where_microsoft_asks_again_the_approver_has_to_sign_in_with_the_claims():
    desk = a_desk()
    desk.graph.reading_fails = ApproverRefused(status=401, claims=CLAIMS)
    request_id = await desk.pending()

    with pytest.raises(SignInNeeded) as needed:
        await desk.review(request_id)

    assert needed.value.claims == CLAIMS


async def test_where_intune_refuses_the_approver_no_sign_in_is_asked_for():
    desk = a_desk()
    desk.graph.reading_fails = ApproverRefused(status=403)
    request_id = await desk.pending()

    with pytest.raises(ApproverRefused):
        await desk.review(request_id)


async def test_claims_that_microsoft_asked_at_the_reset_ask_that_approver_for_a_new_sign_in():
    desk = a_desk()
    request_id = await desk.approved(by=KEN)
    desk.later(seconds=1)
    desk.graph.answers.append(Answer(error=ApproverRefused(status=401, claims=CLAIMS)))
    await desk.drive(request_id)

    with pytest.raises(SignInNeeded) as needed:
        await desk.review(request_id, by=KEN)

    assert needed.value.claims == CLAIMS
    assert (await desk.review(request_id, by=AIKO)).account == account_of(AIKO)


async def test_one_new_sign_in_is_enough_however_often_the_card_reminds():
    desk = a_desk()
    request_id = await desk.approved(by=KEN)
    desk.later(seconds=1)
    desk.graph.answers.append(Answer(error=ApproverRefused(status=401, claims=CLAIMS)))
    await desk.drive(request_id)
    desk.later(minutes=1)
    desk.sign_ins.accounts[KEN.id] = account_of(KEN, at=desk.clock.now())
    desk.clock.pass_(desk.desk.timing.remind_every + timedelta(minutes=1))
    await desk.drive_due()

    assert desk.row(request_id).reminders == 1
    assert (await desk.review(request_id, by=KEN)).account.oid == "oid-Ken"
