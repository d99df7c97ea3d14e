"""Leaving: whoever is no full member any more is signed out the moment it is noticed, and on the record."""

from dataclasses import replace

import pytest
from bot.domain.errors import ApproverSignedOut, CouldNotVerify, NotAMember
from bot.domain.people import Kind
from bot.domain.record import Event
from bot.resets.evidence import of_account
from bot.resets.leavers import AT_ONCE, LOOK_EVERY, look_for_leavers
from bot.resets.sign_in import Continuation, offer
from tests.fakes.desk import StaffedDesk, a_desk
from tests.fakes.people import AIKO, KEN, MEI, TEAM, actor
from tests.fakes.sign_ins import account_of

GONE = [Kind.DEACTIVATED, Kind.GUEST, Kind.OUTSIDER]


def leaves(desk: StaffedDesk, kind: Kind = Kind.DEACTIVATED) -> None:
    desk.people.change(replace(KEN, kind=kind))


def assert_signed_out(desk: StaffedDesk, kind: Kind = Kind.DEACTIVATED) -> None:
    assert KEN.id not in desk.sign_ins.accounts
    assert desk.events().count(Event.SIGNED_OUT) == 1
    entry = desk.last(Event.SIGNED_OUT)
    assert entry.actor == KEN.id
    assert entry.facts == of_account(account_of(KEN)) | {"reason": "not_a_member", "kind": kind}


@pytest.mark.parametrize("kind", GONE)
async def test_who_left_is_signed_out_at_the_press(kind):
    desk = a_desk()
    request_id = await desk.pending()
    leaves(desk, kind)

    with pytest.raises(NotAMember):
        await desk.review(request_id)

    assert_signed_out(desk, kind)


async def test_who_left_between_review_and_approval_is_signed_out_and_approves_nothing():
    desk = a_desk()
    request_id = await desk.pending()
    await desk.review(request_id)
    leaves(desk)

    with pytest.raises(NotAMember):
        await desk.approve(request_id)

    assert_signed_out(desk)
    assert desk.graph.resets == []


async def test_who_left_gets_no_new_link():
    desk = a_desk()
    leaves(desk)

    with pytest.raises(NotAMember):
        await offer(desk.desk, actor(KEN), TEAM, Continuation())

    assert_signed_out(desk)


async def test_the_sign_in_of_an_approver_who_left_reads_no_passcode():
    desk = a_desk()
    request_id = await desk.done()
    leaves(desk)

    with pytest.raises(ApproverSignedOut):
        await desk.reveal(request_id)

    assert_signed_out(desk)
    assert Event.PASSCODE_SEEN not in desk.events()


async def test_who_presses_nothing_any_more_is_noticed_within_the_hour():
    desk = a_desk()
    leaves(desk)

    await look_for_leavers(desk.desk)

    assert_signed_out(desk)
    assert AIKO.id in desk.sign_ins.accounts


async def test_everybody_is_looked_up_once_an_hour_and_a_few_at_a_time():
    desk = a_desk()
    crowd = [replace(MEI, id=f"U0MEI{number}") for number in range(AT_ONCE)]
    for person in crowd:
        desk.people.change(person)
        desk.sign_ins.accounts[person.id] = account_of(person, oid=person.id)

    await look_for_leavers(desk.desk)
    first = len(desk.sign_ins.seen_at)
    await look_for_leavers(desk.desk)
    leaves(desk)
    await look_for_leavers(desk.desk)

    assert (first, len(desk.sign_ins.seen_at)) == (AT_ONCE, AT_ONCE + 2)
    assert KEN.id in desk.sign_ins.accounts
    desk.clock.pass_(LOOK_EVERY)
    await look_for_leavers(desk.desk)
    assert_signed_out(desk)


async def test_while_slack_does_not_say_who_somebody_is_nobody_is_signed_out_and_nobody_gets_in():
    desk = a_desk()
    request_id = await desk.pending()
    leaves(desk)
    desk.people.away = True

    await look_for_leavers(desk.desk)
    with pytest.raises(CouldNotVerify):
        await desk.approve(request_id)

    assert KEN.id in desk.sign_ins.accounts
