"""Carrying out: the one attempt that an approval allows, and every answer that Microsoft can give to it."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest
from bot.domain.errors import (
    ApproverRefused,
    DeviceRefused,
    GraphError,
    LostRace,
    NeverLeft,
    NotWaiting,
    OwnRequest,
    Unknown,
)
from bot.domain.identifiers import RequestId
from bot.domain.record import Event
from bot.domain.request import Status
from bot.domain.target import Target, TargetKind
from bot.domain.why import Code
from bot.resets.carry_out import carry_out
from bot.resets.drive import drive
from tests.fakes.desk import AS_KEN, HANGS, LOST, LOST_BUT_ARRIVED, StaffedDesk, a_desk
from tests.fakes.devices import LEOS_PHONE, LEOS_TABLET, NO_SUCH_DEVICE, Answer, Post
from tests.fakes.people import AIKO, KEN, MEI
from tests.fakes.sign_ins import account_of, token_text

CLAIMS = '{"access_token":{"nbf":{"essential":true}}}'


async def test_an_approved_reset_is_sent_once_as_the_approver_on_the_path_where_it_was_found():
    desk = a_desk()

    request_id = await desk.approved(by=AIKO)
    sent = await desk.drive(request_id)

    target = Target(TargetKind.PERSON, "leo@contoso.com")
    assert desk.graph.posts == [Post(LEOS_PHONE.id, token_text(AIKO.id), "call-1", target)]
    assert (sent.status, sent.attempts, sent.why) == (Status.SENT, 1, None)


async def test_the_attempt_is_on_the_record_before_the_call_leaves():
    desk = a_desk()
    request_id = await desk.approved()
    desk.graph.answers.append(HANGS)

    working = asyncio.create_task(desk.drive(request_id))
    await desk.graph.posted.wait()

    started = desk.last(Event.ATTEMPT_STARTED)
    attempt = desk.row(request_id).attempt
    assert attempt is not None
    assert started.facts == AS_KEN | {"client_request_id": attempt.client_request_id, "attempt": "1"}
    await _killed(working)


async def test_two_workers_on_one_approval_send_once():
    desk = a_desk()
    request_id = await desk.approved()
    approved = desk.row(request_id)

    outcomes = await asyncio.gather(
        drive(desk.desk, approved), drive(desk.desk, approved), return_exceptions=True
    )

    assert len(desk.graph.posts) == 1
    assert [type(each) for each in outcomes if each] == [LostRace]


async def test_a_row_with_an_attempt_is_never_attempted_again():
    desk = a_desk()
    request_id = await desk.approved()
    desk.graph.answers.append(HANGS)
    await _killed_in_mid_post(desk, request_id)
    attempted = desk.row(request_id)
    assert attempted.approval is not None

    with pytest.raises(NotWaiting):
        await carry_out(desk.desk, attempted, attempted.approval)

    assert len(desk.graph.posts) == 1


async def test_an_answer_is_on_the_record_with_microsofts_ids():
    desk = a_desk()
    request_id = await desk.approved()
    error = DeviceRefused(
        status=400, code="BadRequest", message="No passcode.", request_id="r-1", activity_id="a-1"
    )
    desk.graph.answers.append(Answer(error=error))

    await desk.drive(request_id)

    assert desk.last(Event.ATTEMPT_ANSWERED).facts == AS_KEN | {
        "why": "microsoft_refused_device",
        "answer": "DeviceRefused",
        "status": "400",
        "code": "BadRequest",
        "message": "No passcode.",
        "request_id": "r-1",
        "activity_id": "a-1",
        "client_request_id": "call-1",
    }


# What each answer means


async def test_a_call_that_never_left_is_made_again_after_a_pause():
    desk = a_desk()
    request_id = await desk.approved()
    desk.graph.answers.append(Answer(error=NeverLeft(code="ConnectError")))

    waiting = await desk.drive(request_id)
    assert (waiting.status, waiting.attempt) == (Status.APPROVED, None)

    await desk.drive_due()
    assert len(desk.graph.posts) == 1
    desk.later(seconds=5)
    await desk.drive_due()

    assert desk.row(request_id).status is Status.SENT
    assert (len(desk.graph.posts), len(desk.graph.resets)) == (2, 1)
    assert {post.client_request_id for post in desk.graph.posts} == {"call-1", "call-2"}


async def test_a_call_that_graph_put_off_is_made_again_when_graph_said():
    desk = a_desk()
    request_id = await desk.approved()
    desk.graph.answers.append(Answer(error=NeverLeft(status=429, retry_after=timedelta(seconds=40))))

    waiting = await desk.drive(request_id)

    assert waiting.next_at == desk.clock.now() + timedelta(seconds=40)


async def test_a_call_that_graph_puts_off_for_too_long_waits_for_an_approver_again():
    desk = a_desk()
    request_id = await desk.approved()
    desk.graph.answers.append(Answer(error=NeverLeft(status=429, retry_after=timedelta(minutes=2))))

    waiting = await desk.drive(request_id)

    assert (waiting.status, waiting.approval, waiting.decided_by) == (Status.PENDING, None, None)
    assert waiting.why is not None
    assert waiting.why.code is Code.NEVER_LEFT


async def test_calls_that_never_leave_are_not_tried_for_ever():
    desk = a_desk()
    request_id = await desk.approved()
    desk.graph.answers += [Answer(error=NeverLeft())] * 100

    for _ in range(40):
        await desk.drive_due()
        desk.later(seconds=5)

    assert desk.row(request_id).status is Status.PENDING
    assert len(desk.graph.posts) < 40
    assert desk.graph.resets == []


async def test_where_intune_refuses_the_approver_another_may_try():
    desk = a_desk()
    request_id = await desk.approved(by=KEN)
    error = ApproverRefused(status=403, code="Forbidden", message="Not in your scope.")
    desk.graph.answers.append(Answer(error=error))

    waiting = await desk.drive(request_id)

    assert waiting.status is Status.PENDING
    assert waiting.why is not None
    assert waiting.why.code is Code.MICROSOFT_REFUSED_APPROVER
    assert waiting.why.facts == {
        "status": "403",
        "code": "Forbidden",
        "message": "Not in your scope.",
        "account": "ken@contoso.com",
    }
    await desk.approve(request_id, by=AIKO)
    assert (await desk.drive(request_id)).status is Status.SENT
    assert [post.token for post in desk.graph.resets] == [token_text(AIKO.id)]


async def test_where_microsoft_wants_a_fresher_sign_in_it_waits_and_keeps_the_claims():
    desk = a_desk()
    request_id = await desk.approved()
    desk.graph.answers.append(Answer(error=ApproverRefused(status=401, claims=CLAIMS)))

    waiting = await desk.drive(request_id)

    assert waiting.status is Status.PENDING
    assert waiting.why is not None
    assert (waiting.why.code, waiting.why.facts["claims"]) == (Code.SIGN_IN_ENDED, CLAIMS)
    assert CLAIMS not in repr(desk.record.entries)


async def test_where_intune_refuses_the_device_the_request_fails_for_good():
    desk = a_desk()
    request_id = await desk.approved()
    desk.graph.answers.append(Answer(error=NO_SUCH_DEVICE))

    failed = await desk.drive(request_id)

    assert (failed.status, failed.is_over, failed.next_at) == (Status.FAILED, True, None)
    assert failed.why is not None
    assert failed.why.facts == {"status": "404", "code": "ResourceNotFound", "message": "No such device."}


@pytest.mark.parametrize("error", [Unknown(code="ReadTimeout"), Unknown(status=503), GraphError()])
async def test_an_answer_that_says_nothing_makes_it_uncertain_and_sends_nothing_more(error):
    desk = a_desk()
    request_id = await desk.approved()
    desk.graph.answers.append(Answer(error=error))

    uncertain = await desk.drive(request_id)

    assert (uncertain.status, uncertain.needs_a_human) == (Status.UNCERTAIN, False)
    for _ in range(40):
        desk.later(minutes=1)
        await desk.drive_due()
    assert len(desk.graph.posts) == 1


# The approver's sign-in


async def test_an_approver_who_signed_out_meanwhile_sends_nothing():
    desk = a_desk()
    request_id = await desk.approved()
    await desk.sign_ins.forget(KEN.id)

    waiting = await desk.drive(request_id)

    assert waiting.status is Status.PENDING
    assert waiting.why is not None
    assert waiting.why.code is Code.SIGN_IN_ENDED
    assert waiting.why.facts == {"account": "ken@contoso.com", "approver": KEN.id}
    assert desk.last(Event.WAITS_AGAIN).facts == AS_KEN | {"why": "sign_in_ended"}
    assert desk.graph.posts == []


async def test_an_approver_who_is_someone_else_at_microsoft_by_now_sends_nothing():
    desk = a_desk()
    request_id = await desk.approved()
    desk.sign_ins.accounts[KEN.id] = account_of(KEN, oid="oid-of-another")

    assert (await desk.drive(request_id)).status is Status.PENDING
    assert desk.graph.posts == []


async def test_a_sign_in_that_no_longer_renews_itself_sends_nothing():
    desk = a_desk()
    request_id = await desk.approved()
    desk.sign_ins.ended.add(KEN.id)

    assert (await desk.drive(request_id)).status is Status.PENDING
    assert desk.graph.posts == []


async def test_while_entra_is_away_the_approval_is_kept_and_the_record_stays_quiet():
    desk = a_desk()
    request_id = await desk.approved()
    desk.sign_ins.away = True
    events = desk.events()

    waiting = await desk.drive(request_id)

    assert (waiting.status, desk.events()) == (Status.APPROVED, events)
    desk.sign_ins.away = False
    desk.later(seconds=5)
    await desk.drive_due()
    assert desk.row(request_id).status is Status.SENT


async def test_when_entra_stays_away_an_approver_has_to_press_again():
    desk = a_desk()
    request_id = await desk.approved()
    desk.sign_ins.away = True

    for _ in range(30):
        await desk.drive_due()
        desk.later(seconds=5)

    assert desk.row(request_id).status is Status.PENDING
    assert desk.events().count(Event.WAITS_AGAIN) == 1
    assert desk.graph.posts == []


async def test_an_approval_that_has_grown_stale_is_not_sent():
    desk = a_desk()
    request_id = await desk.approved()
    desk.clock.pass_(desk.desk.timing.send_for)

    waiting = await desk.drive(request_id)

    assert (waiting.status, waiting.approval) == (Status.PENDING, None)
    assert desk.graph.posts == []


async def test_what_waits_again_leaves_time_for_another_approver():
    desk = a_desk()
    request_id = await desk.pending()
    desk.later(minutes=59)
    await desk.approve(request_id)
    await desk.sign_ins.forget(KEN.id)

    waiting = await desk.drive(request_id)

    assert waiting.expires_at is not None
    assert waiting.expires_at - desk.clock.now() >= timedelta(minutes=30)


# The process dies


async def test_a_process_that_dies_in_mid_post_leaves_an_approved_row_with_its_attempt():
    desk = a_desk()
    request_id = await desk.approved()
    desk.graph.answers.append(HANGS)

    await _killed_in_mid_post(desk, request_id)

    row = desk.row(request_id)
    assert row.status is Status.APPROVED
    assert row.attempt is not None
    assert row.next_at == desk.clock.now() + desk.desk.timing.attempt


async def test_nobody_touches_an_attempt_that_may_still_be_answered():
    desk = a_desk()
    request_id = await desk.approved()
    desk.graph.answers.append(HANGS)
    await _killed_in_mid_post(desk, request_id)
    left = desk.row(request_id)

    desk.later(seconds=59)
    await desk.drive_due()

    assert desk.row(request_id) == left


async def test_after_a_death_in_mid_post_the_device_is_asked_and_nothing_is_sent_again():
    desk = a_desk()
    request_id = await desk.approved()
    desk.graph.answers.append(HANGS)
    await _killed_in_mid_post(desk, request_id)

    desk.later(minutes=1)
    await desk.drive_due()
    assert desk.row(request_id).status is Status.UNCERTAIN
    assert desk.last(Event.ATTEMPT_ANSWERED).facts == AS_KEN | {"why": "no_answer", "answer": "lost"}

    desk.later(seconds=5)
    await desk.drive_due()
    assert desk.row(request_id).status is Status.SENT
    assert len(desk.graph.posts) == 1


async def test_an_answer_that_comes_after_sight_was_lost_changes_nothing():
    desk = a_desk()
    request_id = await desk.approved()
    desk.graph.answers.append(HANGS)
    working = asyncio.create_task(desk.drive(request_id))
    await desk.graph.posted.wait()
    attempted = desk.row(request_id)
    desk.later(minutes=1)
    await desk.drive_due()

    late = attempted.sent(now=desk.clock.now(), timing=desk.desk.timing)
    with pytest.raises(LostRace):
        await desk.requests.replace(attempted, late)

    assert desk.row(request_id).status is Status.UNCERTAIN
    await _killed(working)


# Looking for an attempt whose answer was lost


async def test_a_lost_attempt_that_the_device_shows_is_taken_up():
    desk = a_desk()
    request_id = await desk.uncertain(LOST_BUT_ARRIVED)

    found = await desk.drive(request_id)

    assert (found.status, found.why) == (Status.SENT, None)
    assert desk.last(Event.ATTEMPT_ANSWERED).facts == AS_KEN | {"answer": "found on the device"}


async def test_a_lost_attempt_that_the_device_does_not_show_ends_in_front_of_a_human():
    desk = a_desk()
    request_id = await desk.uncertain(LOST)

    looking = await desk.drive(request_id)
    assert looking.next_at is not None
    desk.clock.pass_(desk.desk.timing.settle)
    given_up = await desk.drive(request_id)

    assert (given_up.status, given_up.needs_a_human) == (Status.UNCERTAIN, True)
    assert desk.last(Event.ATTEMPT_ANSWERED).facts == AS_KEN | {
        "why": "no_answer",
        "answer": "not found on the device",
    }


async def test_where_nobody_could_look_the_record_does_not_say_that_the_device_showed_nothing():
    desk = a_desk()
    request_id = await desk.uncertain(LOST_BUT_ARRIVED)
    await desk.sign_ins.forget(KEN.id)
    desk.clock.pass_(desk.desk.timing.settle)

    given_up = await desk.drive(request_id)

    assert given_up.needs_a_human
    assert desk.last(Event.ATTEMPT_ANSWERED).facts == AS_KEN | {
        "why": "no_answer",
        "answer": "could not look",
        "could_not_look": "SignInNeeded",
    }


async def test_an_earlier_reset_on_the_device_is_never_taken_for_ours():
    desk = a_desk()
    desk.graph.shows(LEOS_PHONE.id, "failed")
    desk.later(seconds=1)

    request_id = await desk.uncertain(LOST)
    desk.clock.pass_(desk.desk.timing.settle)
    given_up = await desk.drive(request_id)

    assert given_up.needs_a_human


async def test_a_reset_long_before_the_attempt_is_not_ours_even_if_nobody_saw_it_at_approval():
    desk = a_desk()
    request_id = await desk.uncertain(LOST)
    desk.graph.shows(LEOS_PHONE.id, "done", ago=desk.desk.timing.skew + timedelta(seconds=1))

    assert (await desk.drive(request_id)).status is Status.UNCERTAIN


async def test_a_reset_is_ours_though_intunes_clock_is_a_little_behind():
    desk = a_desk()
    request_id = await desk.uncertain(LOST)
    desk.graph.shows(LEOS_PHONE.id, "pending", ago=timedelta(seconds=90))

    assert (await desk.drive(request_id)).status is Status.SENT


async def test_an_uncertain_request_is_not_tried_again_while_it_is_still_looked_for():
    desk = a_desk()
    request_id = await desk.uncertain(LOST)

    for by in (KEN, AIKO):
        with pytest.raises(NotWaiting):
            await desk.approve(request_id, by=by)

    assert len(desk.graph.posts) == 1


async def test_after_looking_in_vain_a_human_may_knowingly_try_once_more():
    desk = a_desk()
    request_id = await desk.needs_a_human()

    await desk.approve(request_id, by=AIKO)
    sent = await desk.drive(request_id)

    assert (sent.status, sent.attempts) == (Status.SENT, 2)
    assert sent.attempt is not None
    assert sent.attempt.number == 2
    assert [post.token for post in desk.graph.posts] == [token_text(KEN.id), token_text(AIKO.id)]


async def test_a_human_who_tries_again_sends_nothing_where_the_first_attempt_shows_by_now():
    desk = a_desk()
    request_id = await desk.needs_a_human()
    desk.graph.shows(LEOS_PHONE.id, "pending")

    found = await desk.approve(request_id, by=AIKO)
    desk.graph.finish()
    await desk.drive(request_id)

    assert found.status is Status.SENT
    assert desk.row(request_id).status is Status.DONE
    assert len(desk.graph.posts) == 1
    answered = desk.last(Event.ATTEMPT_ANSWERED)
    assert (answered.actor, answered.facts) == (AIKO.id, AS_KEN | {"answer": "found on the device"})


async def test_two_humans_who_try_again_as_the_attempt_shows_up_do_not_undo_each_other():
    desk = a_desk()
    request_id = await desk.needs_a_human()
    desk.graph.shows(LEOS_PHONE.id, "pending")

    outcomes = await asyncio.gather(
        desk.approve(request_id, by=KEN), desk.approve(request_id, by=AIKO), return_exceptions=True
    )

    assert [type(each) for each in outcomes if isinstance(each, Exception)] == [NotWaiting]
    assert desk.row(request_id).status is Status.SENT
    assert len(desk.graph.posts) == 1


async def test_the_first_attempt_on_one_device_says_nothing_of_another_device():
    desk = a_desk()
    desk.graph.found = [LEOS_PHONE, LEOS_TABLET]
    request_id = await desk.needs_a_human()
    desk.graph.shows(LEOS_TABLET.id, "pending")

    await desk.approve(request_id, by=AIKO, device=LEOS_TABLET.id, knowingly=True)
    await desk.drive(request_id)

    assert [post.device for post in desk.graph.posts] == [LEOS_PHONE.id, LEOS_TABLET.id]


async def test_the_requester_does_not_try_again_either():
    desk = a_desk()
    desk.sign_ins.accounts[MEI.id] = account_of(MEI)
    request_id = await desk.needs_a_human()

    with pytest.raises(OwnRequest):
        await desk.approve(request_id, by=MEI)


async def _killed_in_mid_post(desk: StaffedDesk, request_id: RequestId) -> None:
    working = asyncio.create_task(desk.drive(request_id))
    await desk.graph.posted.wait()
    await _killed(working)


async def _killed(working: "asyncio.Task[object]") -> None:
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working
