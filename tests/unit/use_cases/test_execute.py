"""Execute: the one POST that an approval allows, every answer to it, and what the device says afterwards."""

import asyncio
from dataclasses import MISSING, fields, replace
from datetime import timedelta
from itertools import count
from uuid import UUID

import pytest
from bot.domain.audit import Event
from bot.domain.errors import (
    ApproverRefused,
    Cause,
    Code,
    DeviceRefused,
    GraphError,
    LostRace,
    NotExecuted,
    OutcomeUnknown,
    Refusal,
)
from bot.domain.request import Status
from bot.domain.target import Target, TargetKind
from bot.domain.values import utc_text
from bot.use_cases.deps import Deps
from bot.use_cases.execute import advance, send
from tests.support.bot import AS_KEN
from tests.support.builders import AIKO, KEN, LEOS_PHONE, LEOS_TABLET, TIMING
from tests.support.clock import NOON
from tests.support.fakes import ACCEPTED, LOST, LOST_BUT_EXECUTED, Answer, Post, Stopped, token_of

CLAIMS = '{"access_token":{"nbf":{"essential":true}}}'
IDS = {"request_id": "r-1", "activity_id": "a-1"}
WORDS = {"status": "403", "code": "Forbidden", "message": "Not in your scope."}


async def test_an_approved_reset_is_sent_once_as_the_approver_on_the_path_where_it_was_found(bot):
    request_id = await bot.approved(by=AIKO)
    sent = await bot.advance(request_id)

    target = Target(TargetKind.PERSON, "leo@contoso.com")
    assert bot.intune.posts == [Post(LEOS_PHONE.id, token_of(AIKO.id), "call-1", target)]
    assert (sent.status, sent.attempts, sent.cause) == (Status.SENT, 1, None)
    assert sent.next_at == bot.clock.now() + timedelta(seconds=5)


async def test_the_attempt_and_its_audit_row_are_committed_before_the_call_leaves(bot):
    request_id = await bot.approved()
    heads = bot.heads
    seen = []

    async def on_post() -> None:
        seen.extend([await bot.row(request_id), await bot.entry(Event.ATTEMPT_STARTED), bot.heads])

    bot.intune.on_post = on_post
    await bot.advance(request_id)

    row, started, heads_then = seen
    assert (row.status, row.next_at) == (Status.APPROVED, bot.clock.now() + TIMING.attempt)
    assert row.attempt is not None
    assert started.facts["client_request_id"] == row.attempt.client_request_id
    assert (started.version, heads_then) == (row.version, heads + 1)


async def test_two_workers_on_one_approval_send_once(bot):
    approved = await bot.row(await bot.approved())

    outcomes = await asyncio.gather(
        advance(bot.deps, approved), advance(bot.deps, approved), return_exceptions=True
    )

    assert len(bot.intune.posts) == 1
    assert [type(each) for each in outcomes if each] == [LostRace]


async def test_each_call_has_a_guid_of_its_own_and_a_process_needs_no_worker(bot):
    required = [each.name for each in fields(Deps) if each.default is MISSING]
    bot.deps = Deps(**{name: getattr(bot.deps, name) for name in required})
    bot.intune.found = [LEOS_PHONE, LEOS_TABLET]
    for device in bot.intune.found:
        request_id = await bot.pending(target="app:outlook")
        await bot.approve(request_id, device=device.id)
        assert (await bot.advance(request_id)).changed_at > NOON

    assert len({UUID(post.client_request_id) for post in bot.intune.posts}) == 2


# What each answer means


AGAIN = {"account": "ken@contoso.com", "approver": KEN.id}
NOT_NOW = (Status.APPROVED, None)
WAITS = (Status.PENDING, Cause(Code.NOT_EXECUTED))
ROLE = (Status.PENDING, Cause(Code.MICROSOFT_REFUSED_APPROVER, WORDS | {"account": "ken@contoso.com"}))
CHALLENGE = {"claims": CLAIMS, "since": utc_text(NOON)}
SIGN_IN = (Status.PENDING, Cause(Code.SIGN_IN_ENDED, AGAIN | CHALLENGE))
DEVICE = (Status.FAILED, Cause(Code.MICROSOFT_REFUSED_DEVICE, WORDS | IDS))
UNKNOWN = (Status.UNCERTAIN, Cause(Code.NO_ANSWER))
MEANINGS: list[tuple[GraphError, tuple[Status, Cause | None], timedelta | None]] = [
    (NotExecuted(code="ConnectError"), NOT_NOW, timedelta(seconds=5)),
    (NotExecuted(status=429, retry_after=timedelta(0)), NOT_NOW, timedelta(seconds=5)),
    (NotExecuted(status=429, retry_after=timedelta(seconds=40)), NOT_NOW, timedelta(seconds=40)),
    (NotExecuted(status=429, retry_after=timedelta(minutes=2)), WAITS, None),
    (ApproverRefused(403, "Forbidden", "Not in your scope."), ROLE, None),
    (ApproverRefused(status=401, claims=CLAIMS), SIGN_IN, None),
    (DeviceRefused(403, "Forbidden", "Not in your scope.", **IDS), DEVICE, None),
    (OutcomeUnknown(code="ReadTimeout"), UNKNOWN, None),
    (OutcomeUnknown(status=503), UNKNOWN, None),
    (GraphError(), UNKNOWN, None),
]
"""What a request becomes after an error of Graph's, and after which pause it is sent again by itself."""


def test_every_graph_error_says_whether_the_reset_may_have_happened():
    assert {type(error) for error, *_ in MEANINGS} == {GraphError, *GraphError.__subclasses__()}
    assert [each for error in GraphError.__subclasses__() for each in error.__subclasses__()] == []


@pytest.mark.parametrize(("error", "meaning", "again"), MEANINGS, ids=lambda each: str(each)[:60])
async def test_an_answer_of_graph_means_one_state_and_no_second_call_unless_nothing_was_done(
    bot, error, meaning, again
):
    request_id = await bot.approved()
    bot.intune.answers += [Answer(error=error)] * 99

    after = await bot.advance(request_id)

    status, cause = meaning
    assert (after.status, after.cause) == meaning
    if after.status in (Status.APPROVED, Status.PENDING):
        assert after.attempt is None
    answered = await bot.entry(Event.ATTEMPT_ANSWERED)
    call = {"client_request_id": "call-1", "attempt": "1", "answer": type(error).__name__}
    code = {"cause": str(cause.code)} if cause else {}
    assert answered.facts == AS_KEN | code | call | error.as_facts()
    assert CLAIMS not in repr(await bot.entries())

    if again is not None:
        assert after.next_at == bot.clock.now() + again
    pause = again or timedelta(minutes=1)
    for _ in range(timedelta(minutes=3) // pause):
        bot.clock.advance(pause)
        await bot.advance_due()
    assert len(bot.intune.posts) == (1 if again is None else timedelta(minutes=2) // again)
    assert len({post.client_request_id for post in bot.intune.posts}) == len(bot.intune.posts)
    assert (await bot.row(request_id)).status is (status if again is None else Status.PENDING)


# The approver's sign-in


@pytest.mark.parametrize("ended", ["signed out", "tokens ended", "another account"])
async def test_without_the_sign_in_that_approved_nothing_is_sent(bot, ended):
    request_id = await bot.pending()
    bot.clock.advance(minutes=59)
    await bot.approve(request_id)
    await bot.end_sign_in(ended)

    reopened = await bot.advance(request_id)

    assert (reopened.status, reopened.cause) == (Status.PENDING, Cause(Code.SIGN_IN_ENDED, AGAIN))
    assert reopened.expires_at - bot.clock.now() == timedelta(minutes=30)
    assert (await bot.entry(Event.REOPENED)).facts == AS_KEN | {"cause": "sign_in_ended"}
    assert bot.intune.posts == []


@pytest.mark.parametrize("answers_in_time", [True, False])
async def test_while_entra_does_not_answer_the_approval_is_kept_for_two_minutes(bot, answers_in_time):
    request_id = await bot.approved()
    bot.sign_ins.down = True
    events = await bot.events()

    for _ in range(23):
        waiting = await bot.advance(request_id)
        assert (waiting.status, waiting.next_at) == (Status.APPROVED, bot.clock.now() + timedelta(seconds=5))
        bot.clock.advance(seconds=5)
    assert await bot.events() == events
    bot.sign_ins.down = not answers_in_time
    after = await bot.advance(request_id)

    assert after.status is (Status.SENT if answers_in_time else Status.PENDING)
    assert len(bot.intune.posts) == int(answers_in_time)
    if not answers_in_time:
        assert after.cause == Cause(Code.NOT_EXECUTED)
        assert (await bot.entry(Event.REOPENED)).facts == AS_KEN | {"cause": "not_executed"}


async def test_an_approval_that_waited_too_long_is_not_sent(bot):
    request_id = await bot.approved()
    bot.clock.advance(minutes=2)

    assert (await bot.advance(request_id)).status is Status.PENDING
    assert bot.intune.posts == []


# The process stops


@pytest.mark.parametrize("answer", [ACCEPTED, LOST], ids=["accepted", "lost"])
async def test_a_process_that_stops_at_any_step_leaves_no_second_reset(new_bot, answer):
    for steps in count():
        bot = await new_bot()
        request_id = await bot.approved()
        bot.intune.answers.append(answer)
        stopped = await bot.stops_after(steps, bot.advance_due())

        for _ in range(12):  # until an uncertain attempt is left to a human
            if (await bot.row(request_id)).status is not Status.SENT:
                bot.clock.advance(seconds=95)  # longer than the lease
                await bot.advance_due()

        row = await bot.row(request_id)
        assert len(bot.intune.posts) <= 1
        assert (await bot.events()).count(Event.ATTEMPT_STARTED) == row.attempts
        assert row.status is Status.SENT if bot.intune.resets else row.needs_a_human
        if not stopped:
            break
    assert steps > 10


async def test_an_attempt_that_may_still_be_answered_is_left_alone_and_then_looked_for(bot):
    request_id = await bot.approved()

    async def power_cut() -> None:
        raise Stopped

    bot.intune.on_post = power_cut
    with pytest.raises(Stopped):
        await bot.advance(request_id)
    attempted = await bot.row(request_id)
    assert (attempted.status, attempted.attempts) == (Status.APPROVED, 1)
    with pytest.raises(Refusal):  # an attempt is never made twice, whoever tries
        await send(bot.deps, attempted, attempted.approval)

    bot.clock.advance(seconds=59)
    await bot.advance_due()
    assert await bot.row(request_id) == attempted
    bot.clock.advance(seconds=1)
    await bot.advance_due()

    assert (await bot.row(request_id)).status is Status.UNCERTAIN
    answered = await bot.entry(Event.ATTEMPT_ANSWERED)
    assert answered.facts == AS_KEN | {"cause": "no_answer", "answer": "lost"}
    assert len(bot.intune.posts) == 1


# Looking for an attempt whose answer was lost


async def test_a_lost_attempt_that_the_device_shows_is_taken_up(bot):
    request_id = await bot.uncertain(LOST_BUT_EXECUTED)

    found = await bot.advance(request_id)

    assert (found.status, found.cause, found.held_device) == (Status.SENT, None, None)
    assert found.attempt.seen_at == bot.intune.shown[LEOS_PHONE.id][0].started_at
    assert (await bot.entry(Event.ATTEMPT_ANSWERED)).facts == AS_KEN | {"answer": "found on the device"}


@pytest.mark.parametrize(
    ("signed_in", "facts"),
    [
        (True, {"answer": "not found on the device"}),
        (False, {"answer": "could not look", "could_not_look": "SignInNeeded"}),
    ],
)
async def test_a_lost_attempt_that_is_not_found_in_time_is_left_to_a_human(bot, signed_in, facts):
    request_id = await bot.uncertain(LOST)
    if not signed_in:
        await bot.sign_ins.forget(KEN.id)
    bot.clock.advance(TIMING.settle - timedelta.resolution)
    assert (await bot.advance(request_id)).next_at is not None
    bot.clock.advance(timedelta.resolution)

    left = await bot.advance(request_id)

    assert (left.status, left.needs_a_human) == (Status.UNCERTAIN, True)
    assert (await bot.entry(Event.ATTEMPT_ANSWERED)).facts == AS_KEN | {"cause": "no_answer"} | facts
    assert len(bot.intune.posts) == 1


# What the device says


@pytest.mark.parametrize("state", ["pending", "active", "none", "a word of next year"])
async def test_any_other_word_of_the_device_is_waited_out(bot, state):
    request_id = await bot.sent()
    bot.intune.finish(state)
    events = await bot.events()
    bot.intune.read_with.clear()

    waiting = await bot.advance(request_id)

    assert (waiting.status, await bot.events()) == (Status.SENT, events)
    assert waiting.next_at == bot.clock.now() + timedelta(seconds=5)
    assert bot.intune.read_with == [token_of(KEN.id)]


async def test_another_reset_before_or_after_says_nothing_of_ours(bot):
    bot.intune.show(LEOS_PHONE.id, "done")
    bot.clock.advance(seconds=1)
    request_id = await bot.sent(knowingly=True)
    ours = bot.intune.shown[LEOS_PHONE.id].pop()

    assert (await bot.advance(request_id)).status is Status.SENT
    bot.intune.shown[LEOS_PHONE.id].append(replace(ours, state="failed"))
    bot.clock.advance(seconds=10)
    bot.intune.show(LEOS_PHONE.id, "done")
    bot.intune.shown[LEOS_PHONE.id].reverse()
    assert (await bot.advance(request_id)).status is Status.FAILED


@pytest.mark.parametrize("looked_at", [True, False])
async def test_a_device_that_says_nothing_for_a_day_fails_the_request(bot, looked_at):
    request_id = await bot.sent()
    if not looked_at:
        await bot.sign_ins.forget(KEN.id)
    bot.clock.advance(timedelta(hours=24) - timedelta.resolution)
    assert (await bot.advance(request_id)).status is Status.SENT
    bot.clock.advance(timedelta.resolution)

    failed = await bot.advance(request_id)

    facts = {} if looked_at else {"could_not_look": "SignInNeeded"}
    assert (failed.status, failed.cause) == (Status.FAILED, Cause(Code.SILENT, facts))
    assert (await bot.entry(Event.FAILED)).facts == AS_KEN | {"cause": "silent"} | facts


async def test_what_cannot_be_read_now_is_read_later(bot):
    request_id = await bot.sent()
    bot.intune.finish("done")
    bot.sign_ins.down = True
    assert (await bot.advance(request_id)).status is Status.SENT
    bot.sign_ins.down, bot.intune.reading_fails = False, ApproverRefused(status=403)
    assert (await bot.advance(request_id)).status is Status.SENT
    bot.intune.reading_fails = None

    done = await bot.advance(request_id)

    assert (done.status, done.next_at) == (Status.DONE, None)


# The clock


async def test_a_request_that_waits_reminds_until_it_expires(bot):
    request_id = await bot.pending()

    for _ in range(60):
        bot.clock.advance(minutes=1)
        await asyncio.gather(bot.advance_due(), bot.advance_due())

    expired = await bot.row(request_id)
    assert (expired.reminders, expired.status, expired.next_at) == (3, Status.EXPIRED, None)
    assert await bot.events() == [Event.REQUESTED, Event.VERIFIED, Event.EXPIRED]


async def test_a_row_that_moved_meanwhile_is_not_advanced(bot):
    request_id = await bot.pending()
    stale = await bot.row(request_id)
    await bot.deny(request_id)

    with pytest.raises(LostRace):
        await advance(bot.deps, stale)
    denied = await bot.row(request_id)
    assert await bot.advance(request_id) == denied


@pytest.mark.parametrize("status", [Status.SENT, Status.UNCERTAIN, Status.APPROVED])
async def test_a_row_without_its_approval_sends_nothing(bot, status):
    approved = await bot.row(await bot.approved())

    await advance(bot.deps, replace(approved, status=status, approval=None))

    assert bot.intune.posts == []
    assert await bot.row(approved.id) == approved
