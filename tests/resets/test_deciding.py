"""Deciding: of several at once one wins, and everything is checked again at the click."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from bot.domain.errors import (
    AlreadyDecided,
    ApproverRefused,
    CannotReset,
    DeviceChanged,
    NoReason,
    NotAMember,
    NotAnApprover,
    NotTheRequester,
    NotWaiting,
    OwnAccount,
    OwnRequest,
    ReasonTooLong,
    ReviewOutdated,
    SignInNeeded,
    TooLate,
)
from bot.domain.record import Event
from bot.domain.request import ResetRequest, Status
from bot.domain.why import Code, Why
from bot.resets import decide
from tests.domain.making import APPROVAL
from tests.fakes.desk import a_desk, outcome
from tests.fakes.devices import LEOS_LAPTOP, LEOS_PHONE, LEOS_TABLET, Answer
from tests.fakes.people import AIKO, APPROVER_CHANNEL, CHANNEL, GUS, KEN, LEO, MEI, OLGA, actor
from tests.fakes.sign_ins import TENANT, account_of, token_text


async def test_an_approval_says_who_as_whom_and_what():
    desk = a_desk()
    request_id = await desk.pending()

    approved = await desk.approve(request_id, by=KEN)

    approval = approved.approval
    assert approval is not None
    assert (approval.by, approval.oid, approval.device) == (KEN.id, "oid-Ken", LEOS_PHONE)
    assert desk.row(request_id) == approved
    entry = desk.last(Event.APPROVED)
    assert (entry.actor, entry.facts["account"], entry.facts["device"]) == (
        KEN.id,
        "ken@contoso.com",
        LEOS_PHONE.id,
    )


async def test_approving_sends_nothing_by_itself():
    desk = a_desk()

    await desk.approved()

    assert desk.graph.posts == []


async def test_the_device_that_was_chosen_is_the_one_that_is_reset():
    desk = a_desk()
    desk.graph.found = [LEOS_PHONE, LEOS_TABLET]
    request_id = await desk.pending()

    await desk.approve(request_id, device=LEOS_TABLET.id)
    await desk.drive(request_id)

    assert [post.device for post in desk.graph.resets] == [LEOS_TABLET.id]


async def test_two_approvers_at_once_reset_once():
    desk = a_desk()
    request_id = await desk.pending()

    outcomes = await asyncio.gather(
        outcome(desk.approve(request_id, by=KEN)), outcome(desk.approve(request_id, by=AIKO))
    )
    await asyncio.gather(desk.drive_due(), desk.drive_due())

    assert [type(each) for each in outcomes] == [ResetRequest, AlreadyDecided]
    assert len(desk.graph.resets) == 1
    assert desk.refusals() == [(AIKO.id, "AlreadyDecided")]


async def test_the_loser_is_told_who_won_and_when():
    desk = a_desk()
    request_id = await desk.pending()
    await desk.approve(request_id, by=KEN)

    with pytest.raises(AlreadyDecided) as refusal:
        await desk.approve(request_id, by=AIKO)

    assert (refusal.value.status, refusal.value.by, refusal.value.at) == (
        Status.APPROVED,
        KEN.id,
        desk.clock.now(),
    )


async def test_a_second_press_by_the_same_approver_is_no_refusal_and_no_second_approval():
    desk = a_desk()
    request_id = await desk.pending()

    first, second = await asyncio.gather(desk.approve(request_id), desk.approve(request_id))

    assert (first.version, first.status) == (second.version, second.status)
    assert desk.events().count(Event.APPROVED) == 1
    assert desk.refusals() == []


@pytest.mark.parametrize("first", ["approve", "withdraw"])
async def test_approving_and_withdrawing_at_once_have_one_winner(first):
    desk = a_desk()
    request_id = await desk.pending()
    calls = {"approve": desk.approve(request_id), "withdraw": desk.withdraw(request_id)}
    order = [calls.pop(first), *calls.values()]

    outcomes = await asyncio.gather(*(outcome(call) for call in order))
    await desk.drive_due()

    lost = [each for each in outcomes if isinstance(each, AlreadyDecided)]
    withdrawn = desk.row(request_id).status is Status.WITHDRAWN
    assert len(lost) == 1
    assert len(desk.graph.resets) == (0 if withdrawn else 1)


async def test_approving_and_denying_at_once_have_one_winner():
    desk = a_desk()
    request_id = await desk.pending()

    outcomes = await asyncio.gather(
        outcome(desk.approve(request_id, by=KEN)), outcome(desk.deny(request_id, by=AIKO))
    )

    assert sorted(type(each).__name__ for each in outcomes) == ["AlreadyDecided", "ResetRequest"]


async def test_an_approval_racing_the_expiry_loses_when_the_time_is_over():
    desk = a_desk()
    request_id = await desk.pending()
    desk.clock.pass_(desk.desk.timing.lifetime)

    outcomes = await asyncio.gather(outcome(desk.approve(request_id)), outcome(desk.drive_due()))
    await desk.drive_due()

    assert type(outcomes[0]) is TooLate
    assert desk.row(request_id).status is Status.EXPIRED
    assert desk.graph.posts == []


async def test_an_approval_just_in_time_beats_the_expiry():
    desk = a_desk()
    request_id = await desk.pending()
    due = desk.row(request_id)
    desk.clock.pass_(desk.desk.timing.lifetime - timedelta(microseconds=1))

    await asyncio.gather(desk.approve(request_id), desk.drive_due())
    desk.later(microseconds=1)
    await desk.drive_due()

    assert due.expires_at == desk.clock.now()
    assert desk.row(request_id).status is Status.SENT


async def test_a_reminder_in_between_costs_the_approver_nothing():
    desk = a_desk()
    request_id = await desk.pending()
    desk.clock.pass_(desk.desk.timing.remind_every)

    approved, _ = await asyncio.gather(desk.approve(request_id), desk.drive_due())

    assert approved.status is Status.APPROVED
    assert approved.reminders == 1


@pytest.mark.parametrize("person", [GUS, OLGA], ids=lambda person: person.name)
async def test_a_guest_or_an_outsider_decides_nothing(person):
    desk = a_desk()
    request_id = await desk.pending()

    for call in (desk.approve(request_id, by=person), desk.deny(request_id, by=person)):
        with pytest.raises(NotAMember):
            await call

    assert desk.refusals() == [(person.id, "NotAMember")] * 2
    assert desk.row(request_id).status is Status.PENDING


@pytest.mark.parametrize("person", [MEI, LEO], ids=lambda person: person.name)
async def test_the_requester_and_who_is_outside_the_channel_decide_nothing(person):
    desk = a_desk()
    refusal = OwnRequest if person is MEI else NotAnApprover
    request_id = await desk.pending()

    for call in (
        desk.approve(request_id, by=person),
        desk.deny(request_id, by=person),
        decide.check_may_decide(desk.desk, request_id, actor(person)),
    ):
        with pytest.raises(refusal):
            await call

    assert desk.refusals() == [(person.id, refusal.__name__)] * 3


async def test_who_may_decide_is_told_so_before_a_reason_is_asked_for():
    desk = a_desk()
    request_id = await desk.pending()

    assert (await decide.check_may_decide(desk.desk, request_id, actor(KEN))).id == request_id


async def test_membership_counts_at_the_click_not_at_the_review():
    desk = a_desk()
    request_id = await desk.pending()
    await desk.review(request_id)
    desk.people.leaves(KEN, APPROVER_CHANNEL)

    with pytest.raises(NotAnApprover):
        await desk.approve(request_id)

    assert desk.row(request_id).status is Status.PENDING


async def test_the_account_is_checked_again_at_the_click():
    desk = a_desk()
    request_id = await desk.pending()
    await desk.review(request_id)
    desk.sign_ins.accounts[MEI.id] = account_of(KEN)

    with pytest.raises(OwnAccount):
        await desk.approve(request_id)


async def test_who_signed_out_since_the_review_signs_in_again():
    desk = a_desk()
    request_id = await desk.pending()
    await desk.review(request_id)
    await desk.sign_ins.forget(KEN.id)

    with pytest.raises(SignInNeeded):
        await desk.approve(request_id)


async def test_a_device_that_is_no_longer_the_targets_is_not_approved_and_not_read():
    desk = a_desk()
    request_id = await desk.pending()
    await desk.review(request_id)
    desk.graph.found = [LEOS_TABLET]
    desk.graph.read_with.clear()

    with pytest.raises(DeviceChanged):
        await desk.approve(request_id, device=LEOS_PHONE.id)

    assert desk.graph.read_with == [token_text(KEN.id)]


async def test_a_device_that_cannot_be_reset_is_not_approved_beside_one_that_can():
    desk = a_desk()
    desk.graph.found = [LEOS_PHONE, LEOS_LAPTOP]
    request_id = await desk.pending()

    with pytest.raises(CannotReset):
        await desk.approve(request_id, device=LEOS_LAPTOP.id)

    assert desk.row(request_id).status is Status.PENDING


async def test_an_approver_whom_intune_shows_nothing_approves_nothing():
    desk = a_desk()
    request_id = await desk.pending()
    desk.graph.reading_fails = ApproverRefused(status=403)

    with pytest.raises(ApproverRefused):
        await desk.approve(request_id)

    assert desk.row(request_id).status is Status.PENDING


async def test_a_denial_carries_its_reason_to_the_requester():
    desk = a_desk()
    request_id = await desk.pending()

    denied = await desk.deny(request_id, reason="  He sits next to me. ")

    assert (denied.status, denied.denial, denied.next_at) == (Status.DENIED, "He sits next to me.", None)
    assert desk.last(Event.DENIED).actor == KEN.id
    assert desk.last(Event.DENIED).facts == {
        "reason": "He sits next to me.",
        "rule": f"channel:{CHANNEL}",
        "account": "ken@contoso.com",
        "oid": "oid-Ken",
        "tenant": TENANT,
    }


@pytest.mark.parametrize(("reason", "refusal"), [(" ", NoReason), ("x" * 1001, ReasonTooLong)])
async def test_a_denial_without_a_usable_reason_is_none(reason, refusal):
    desk = a_desk()
    request_id = await desk.pending()

    with pytest.raises(refusal):
        await desk.deny(request_id, reason=reason)

    assert desk.row(request_id).status is Status.PENDING


async def test_the_requester_takes_the_ask_back_and_nobody_can_approve_it_after():
    desk = a_desk()
    request_id = await desk.pending()

    await desk.withdraw(request_id)

    assert desk.last(Event.WITHDRAWN).actor == MEI.id
    with pytest.raises(AlreadyDecided):
        await desk.approve(request_id)


async def test_nobody_else_takes_an_ask_back():
    desk = a_desk()
    request_id = await desk.pending()

    with pytest.raises(NotTheRequester):
        await desk.withdraw(request_id, by=KEN)

    assert desk.refusals() == [(KEN.id, "NotTheRequester")]


async def test_nobody_decides_on_an_ask_that_is_not_checked_yet():
    desk = a_desk()
    request = await desk.ask()

    for call in (desk.approve(request.id), desk.deny(request.id), desk.withdraw(request.id)):
        with pytest.raises(NotWaiting):
            await call


async def test_an_uncertain_request_is_neither_denied_nor_withdrawn():
    desk = a_desk()
    request_id = await desk.needs_a_human()

    for call in (desk.deny(request_id), desk.withdraw(request_id)):
        with pytest.raises(NotWaiting):
            await call


async def test_every_winner_wakes_the_worker_and_no_loser_does():
    desk = a_desk()
    request_id = await desk.pending()
    desk.woken.clear()

    await desk.approve(request_id)
    await outcome(desk.approve(request_id, by=AIKO))

    assert len(desk.woken) == 1


async def test_the_reset_that_the_device_had_before_is_written_into_the_approval():
    desk = a_desk()
    desk.graph.shows(LEOS_PHONE.id, "done", ago=timedelta(days=3))
    desk.graph.shows(LEOS_PHONE.id, "done", ago=timedelta(days=1))
    request_id = await desk.pending()

    approval = (await desk.approve(request_id)).approval

    assert approval is not None
    assert approval.previous_reset_at == desk.clock.now() - timedelta(days=1)


# What was reviewed


async def test_a_review_of_before_the_attempt_approves_no_second_one():
    desk = a_desk()
    request_id = await desk.pending()
    reviewed = (await desk.review(request_id)).request.round
    await desk.approve(request_id, by=AIKO, reviewed=reviewed)
    desk.graph.answers.append(Answer(error=ApproverRefused(status=403)))
    assert (await desk.drive(request_id)).status is Status.PENDING

    with pytest.raises(ReviewOutdated):
        await desk.approve(request_id, reviewed=reviewed)

    assert desk.last(Event.TRY_REFUSED).facts["refusal"] == "ReviewOutdated"
    assert (await desk.approve(request_id)).status is Status.APPROVED


async def test_a_reminder_makes_no_review_outdated():
    desk = a_desk()
    request_id = await desk.pending()
    reviewed = (await desk.review(request_id)).request.round
    desk.later(minutes=15)
    assert (await desk.drive(request_id)).reminders == 1

    assert (await desk.approve(request_id, reviewed=reviewed)).status is Status.APPROVED


async def test_what_happens_while_the_devices_are_looked_up_makes_the_review_outdated():
    """Aiko approved and was refused by Microsoft between Ken's check and his move."""
    desk = a_desk()
    request_id = await desk.pending()
    reviewed = desk.row(request_id)

    def meanwhile() -> None:
        approved = reviewed.approve(replace(APPROVAL, by=AIKO.id), reviewed=reviewed.round)
        refused = approved.wait_again(Why(Code.SIGN_IN_ENDED), now=desk.clock.now(), timing=desk.desk.timing)
        desk.requests.rows[request_id].request = refused

    desk.graph.after_read = meanwhile

    with pytest.raises(ReviewOutdated):
        await desk.approve(request_id)
    assert desk.row(request_id).status is Status.PENDING
