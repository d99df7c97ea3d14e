"""Execute: the one POST that an approval allows, every answer to it, and what the device says afterwards."""

from contextlib import nullcontext
from dataclasses import MISSING, fields, replace
from datetime import timedelta
from itertools import count, repeat
from uuid import UUID

import pytest
from bot.domain import errors
from bot.domain.audit import Event
from bot.domain.errors import ApproverRefused, Cause, Code, DeviceRefused, OutcomeUnknown, UnknownPath
from bot.domain.request import Status
from bot.domain.target import Target, TargetKind
from bot.domain.values import utc_text
from bot.use_cases.deps import Deps
from tests.support.bot import AS_KEN, Bot, goes_down
from tests.support.builders import AIKO, KEN, LEOS_PHONE, NOON, TIMING, account_of
from tests.support.fakes import ACCEPTED, FRESH, LOST, LOST_BUT_EXECUTED, Answer, Post, Stopped, token_of

CLAIMS = '{"access_token":{"nbf":{"essential":true}}}'
IDS = {"request_id": "r-1", "activity_id": "a-1"}
WORDS = {"status": "403", "code": "Forbidden", "message": "Not in your scope."}
REFUSED, NOT_THERE = Answer(error=ApproverRefused(status=401)), Answer(error=UnknownPath(status=400))


async def test_a_process_needs_no_worker_and_names_each_call_by_a_guid_of_its_own(bot):
    required = [each.name for each in fields(Deps) if each.default is MISSING]
    bot.deps = Deps(**{name: getattr(bot.deps, name) for name in required})
    assert bot.deps.new_guid() != bot.deps.new_guid()
    request_id = await bot.sent()
    assert UUID(bot.intune.posts[0].client_request_id)
    assert (await bot.row(request_id)).changed_at > NOON


AGAIN = {"account": "ken@contoso.com", "approver": KEN.id}
NOT_NOW = (Status.APPROVED, None)
WAITS = (Status.PENDING, Cause(Code.NOT_EXECUTED))
ROLE = (Status.PENDING, Cause(Code.MICROSOFT_REFUSED_APPROVER, WORDS | {"account": "ken@contoso.com"}))
CHALLENGE = {"claims": CLAIMS, "since": utc_text(NOON)}
SIGN_IN = (Status.PENDING, Cause(Code.SIGN_IN_ENDED, AGAIN | CHALLENGE))
DEAD = (Status.PENDING, Cause(Code.SIGN_IN_ENDED, AGAIN))
DEVICE = (Status.FAILED, Cause(Code.MICROSOFT_REFUSED_DEVICE, WORDS | IDS))
NOWHERE = (Status.FAILED, Cause(Code.UNKNOWN_PATH, {"status": "400"}))
UNKNOWN = (Status.UNCERTAIN, Cause(Code.NO_ANSWER))
MEANINGS: list[tuple[errors.GraphError, tuple[Status, Cause | None], timedelta | None]] = [
    (errors.NotExecuted(code="ConnectError"), NOT_NOW, timedelta(seconds=5)),
    (errors.NotExecuted(status=429, retry_after=timedelta(0)), NOT_NOW, timedelta(seconds=5)),
    (errors.NotExecuted(status=429, retry_after=timedelta(seconds=40)), NOT_NOW, timedelta(seconds=40)),
    (errors.NotExecuted(status=429, retry_after=timedelta(minutes=2)), WAITS, None),
    (ApproverRefused(403, "Forbidden", "Not in your scope."), ROLE, None),
    (ApproverRefused(status=401, claims=CLAIMS), SIGN_IN, None),
    (ApproverRefused(status=401), DEAD, None),
    (DeviceRefused(403, "Forbidden", "Not in your scope.", **IDS), DEVICE, None),
    (UnknownPath(status=400), NOWHERE, None),
    *((OutcomeUnknown(code="ReadTimeout"), UNKNOWN, None), (OutcomeUnknown(status=503), UNKNOWN, None)),
    (errors.GraphError(), UNKNOWN, None),
]
"""What a request becomes after an error of Graph's, and after which pause it is sent again by itself."""
AT_ONCE = (ApproverRefused, UnknownPath)
"""They prove that nothing was done: the same approval goes on, with a fresh token or on the other path."""


def test_every_graph_error_says_whether_the_reset_may_have_happened():
    assert {type(error) for error, *_ in MEANINGS} == {errors.GraphError, *errors.GraphError.__subclasses__()}
    assert [each for error in errors.GraphError.__subclasses__() for each in error.__subclasses__()] == []


@pytest.mark.parametrize(("error", "meaning", "again"), MEANINGS, ids=lambda each: str(each)[:60])
async def test_an_answer_means_one_state_and_no_second_call_unless_it_did_nothing(bot, error, meaning, again):
    request_id = await bot.approved()
    bot.intune.answers += [Answer(error=error)] * 99
    posts = 2 if isinstance(error, AT_ONCE) else 1
    after = await bot.advance(request_id)
    status, cause = meaning
    assert (after.status, after.cause) == meaning
    if after.status in (Status.APPROVED, Status.PENDING):
        assert after.attempt is None
    assert (len(bot.intune.posts), after.attempts) == (posts, posts)
    answered = await bot.entry(Event.ATTEMPT_ANSWERED)
    call = {"client_request_id": f"call-{posts}", "attempt": str(posts), "answer": type(error).__name__}
    code = {"cause": str(cause.code)} if cause and not isinstance(error, ApproverRefused) else {}
    direct = {"path": "/deviceManagement/managedDevices"} if isinstance(error, UnknownPath) else {}
    assert answered.facts == AS_KEN | code | call | direct | error.as_facts()
    assert CLAIMS not in repr(await bot.entries())
    if again is not None:
        assert after.next_at == bot.clock.now() + again
    pause = again or timedelta(minutes=1)
    for _ in range(timedelta(minutes=3) // pause):
        bot.clock.advance(pause)
        await bot.advance_due()
    assert len(bot.intune.posts) == (posts if again is None else timedelta(minutes=2) // again)
    assert len({post.client_request_id for post in bot.intune.posts}) == len(bot.intune.posts)
    assert (await bot.row(request_id)).status is (status if again is None else Status.PENDING)


TOKEN, FRESH_TOKEN = token_of(AIKO.id), f"{token_of(AIKO.id)} with {FRESH}"
THEN: list[tuple[list[errors.GraphError], list[tuple[str, bool]]]] = [
    ([], [(TOKEN, False)]),
    *(([ApproverRefused(status=n)], [(TOKEN, False), (FRESH_TOKEN, False)]) for n in (401, 403)),
    ([UnknownPath()], [(TOKEN, False), (TOKEN, True)]),
    (
        [UnknownPath(), ApproverRefused(status=401), UnknownPath()],
        [(TOKEN, False), (TOKEN, True), (FRESH_TOKEN, False), (FRESH_TOKEN, True)],
    ),
]
"""How Graph refuses, and which calls then leave: with which token, and whether on the direct path."""


@pytest.mark.parametrize(("refusals", "posts"), THEN, ids=str)
async def test_each_call_is_the_approvers_and_an_attempt_committed_before_it_leaves(bot, refusals, posts):
    request_id = await bot.approved(by=AIKO)
    bot.intune.answers += [Answer(error=error) for error in refusals]
    wakes, heads, seen = bot.wakes, bot.heads, []

    async def on_post() -> None:
        seen.append((await bot.row(request_id), await bot.entry(Event.ATTEMPT_STARTED), bot.heads))

    bot.intune.on_post = on_post
    sent = await bot.advance(request_id)
    target = Target(TargetKind.PERSON, "leo@contoso.com")
    assert bot.intune.posts == [
        Post(LEOS_PHONE.id, token, f"call-{number}", target, direct)
        for number, (token, direct) in enumerate(posts, start=1)
    ]
    assert (sent.status, sent.attempts, len(bot.intune.resets)) == (Status.SENT, len(posts), 1)
    assert bot.wakes == wakes + 2 * len(posts)
    for number, (row, started, heads_then) in enumerate(seen, start=1):
        assert (row.status, row.next_at) == (Status.APPROVED, bot.clock.now() + TIMING.attempt)
        assert (row.attempts, started.version, heads_then) == (number, row.version, heads + 1 + number)
        facts = {"client_request_id": row.attempt.client_request_id, "attempt": str(number)}
        assert started.facts.items() >= facts.items()


async def test_where_entra_gives_no_other_token_nothing_else_is_sent(bot):
    request_id = await bot.approved()
    bot.intune.on_post = lambda: goes_down(bot.sign_ins)
    bot.intune.answers.append(Answer(error=ApproverRefused(status=401)))
    waiting = await bot.advance(request_id)
    assert (waiting.status, waiting.attempt, len(bot.intune.posts)) == (Status.APPROVED, None, 1)
    assert waiting.next_at == bot.clock.now() + timedelta(seconds=5)


@pytest.mark.parametrize("ended", ["signed out", "tokens ended", "another account"])
async def test_without_the_sign_in_that_approved_nothing_is_sent(bot, ended):
    request_id = await bot.approved()
    await bot.end_sign_in(ended)
    reopened = await bot.advance(request_id)
    assert (reopened.status, reopened.cause) == (Status.PENDING, Cause(Code.SIGN_IN_ENDED, AGAIN))
    assert bot.intune.posts == []
    bot.sign_ins.accounts[KEN.id], bot.sign_ins.expired = account_of(KEN), set()
    assert await bot.review(request_id)  # with the same sign-in as before


@pytest.mark.parametrize("down", [True, False], ids=["Entra does not answer", "the worker was late"])
async def test_an_approval_is_kept_for_two_minutes_and_not_sent_after_that(bot, down):
    request_id = await bot.approved()
    bot.sign_ins.down = down
    events = await bot.events()
    if down:
        waiting = await bot.advance(request_id)
        assert (waiting.status, waiting.next_at) == (Status.APPROVED, bot.clock.now() + timedelta(seconds=5))
        assert await bot.events() == events
    bot.clock.advance(minutes=2)
    reopened = await bot.advance(request_id)
    assert (reopened.status, reopened.cause) == (Status.PENDING, Cause(Code.NOT_EXECUTED))
    assert (await bot.entry(Event.REOPENED)).facts == AS_KEN | {"cause": "not_executed"}
    assert bot.intune.posts == []


# Before the one POST: a database that was turned back is not believed alone


async def test_a_device_that_was_reset_after_the_review_is_not_reset_again(bot):
    request_id = await bot.approved()
    bot.clock.advance(seconds=10)
    bot.intune.show(LEOS_PHONE.id, "done")
    row = await bot.advance(request_id)
    assert (row.status, bot.intune.posts) == (Status.PENDING, [])
    assert row.cause.code is Code.RECENTLY_RESET
    assert (await bot.entry(Event.REOPENED)).facts["cause"] == "recently_reset"


async def test_the_reset_that_the_approver_saw_is_no_later_one_though_intune_rounds_its_start(bot):
    bot.intune.show(LEOS_PHONE.id, "done")
    bot.clock.advance(bot.deps.timing.recently + timedelta(seconds=1))
    request_id = await bot.approved()
    [shown] = bot.intune.shown[LEOS_PHONE.id]
    bot.intune.shown[LEOS_PHONE.id] = [replace(shown, started_at=shown.started_at + timedelta(seconds=1))]
    assert (await bot.advance(request_id)).status is Status.SENT


@pytest.mark.parametrize(
    ("error", "status"),
    [
        *((error, Status.APPROVED) for error in (errors.NotExecuted(), OutcomeUnknown())),
        *((ApproverRefused(), Status.PENDING), (DeviceRefused(), Status.FAILED)),
    ],
    ids=lambda given: type(given).__name__,
)
async def test_where_intune_cannot_be_looked_at_nothing_is_sent_and_nothing_is_in_doubt(bot, error, status):
    request_id = await bot.approved()
    bot.intune.reading_fails = error
    row = await bot.advance(request_id)
    assert (row.status, row.attempt, bot.intune.posts) == (status, None, [])


AWAY = errors.StoreUnavailable()
WRITTEN = {"no disk": ([False], 0), "no disk for the attempt": ([True, False], 1)}
WRITTEN |= {"no database": ([AWAY], 0), "no database for the attempt": ([True, AWAY], 1)}


@pytest.mark.parametrize(("written", "attempts"), WRITTEN.values(), ids=WRITTEN)
async def test_no_call_leaves_before_the_attempt_is_known_outside_the_database(bot, written, attempts):
    request_id = await bot.approved()
    bot.heads_written = iter(written)
    row = await bot.advance(request_id)
    assert (row.status, row.attempts, bot.intune.posts) == (Status.APPROVED, attempts, [])
    bot.heads_written = repeat(True)
    bot.clock.advance(bot.deps.timing.send_retry)
    assert (await bot.advance(request_id)).status is Status.SENT


@pytest.mark.parametrize(("paused", "taken", "posts"), [(29, 0, 1), (31, 0, 0), (0, 85, 0), (85, 85, 0)])
async def test_o9_a_suspended_process_sends_in_time_and_as_the_rows_holder_alone(bot, paused, taken, posts):
    """`paused` by this replica's clock, which may be wrong after that; `taken` by another one's."""
    request_id = await bot.approved()

    async def suspended() -> bool:
        if (await bot.row(request_id)).attempt is not None:
            bot.clock.advance(seconds=paused)
            other = bot.on_the_same_database()
            other.clock.advance(seconds=taken)
            if taken:
                assert (await other.advance(request_id)).status is Status.UNCERTAIN
        return True

    bot.deps = replace(bot.deps, write_head=suspended)
    with pytest.raises(errors.LostRace) if taken else nullcontext():
        await bot.advance(request_id)
    assert len(bot.intune.posts) == posts


async def test_where_there_is_one_path_alone_it_is_not_tried_twice(bot):
    request_id = await bot.pending(target=f"id:{LEOS_PHONE.id}")
    await bot.approve(request_id)
    bot.intune.answers.append(Answer(error=UnknownPath(status=400)))
    row = await bot.advance(request_id)
    assert (row.status, row.cause.code) == (Status.FAILED, Code.UNKNOWN_PATH)
    assert (len(bot.intune.posts), row.attempts) == (1, 1)


async def test_where_the_log_cannot_be_kept_outside_people_are_told_so_and_not_that_microsoft_is_away(bot):
    request_id, bot.heads_written = await bot.approved(), repeat(False)
    waiting = await bot.advance(request_id)
    assert (waiting.status, (await bot.events())[-1]) == (Status.APPROVED, Event.APPROVED)
    bot.clock.advance(bot.deps.timing.send_for - bot.deps.timing.send_retry)
    row = await bot.advance(request_id)
    assert (row.status, row.cause, bot.intune.posts) == (Status.PENDING, Cause(Code.HEAD_NOT_KEPT), [])


@pytest.mark.parametrize(
    "answers",
    [[ACCEPTED], [LOST], [REFUSED, ACCEPTED], [NOT_THERE, LOST]],
    ids=["accepted", "lost", "refused, then accepted", "on the other path, lost"],
)
async def test_a_process_that_stops_at_any_step_leaves_no_second_reset(new_bot, answers):
    for steps in count():
        bot = await new_bot()
        request_id = await bot.approved()
        bot.intune.answers += answers
        stopped = await bot.stops_after(steps, bot.advance_due())
        for _ in range(12):  # until an uncertain attempt is left to a human
            if (await bot.row(request_id)).status is not Status.SENT:
                bot.clock.advance(seconds=95)  # longer than the lease
                await bot.advance_due()
        row = await bot.row(request_id)
        assert len(bot.intune.posts) <= len(answers)
        assert len(bot.intune.resets) <= 1
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
    for seconds, status in ((59, Status.APPROVED), (1, Status.UNCERTAIN)):
        bot.clock.advance(seconds=seconds)
        await bot.advance_due()
        assert (await bot.row(request_id)).status is status
    answered = await bot.entry(Event.ATTEMPT_ANSWERED)
    assert answered.facts == AS_KEN | {"cause": "no_answer", "answer": "lost"}
    assert len(bot.intune.posts) == 1


WHY_NOT = {
    None: {},
    "signed out": {"could_not_look": "SignInNeeded"},
    "Entra": {"could_not_look": "CouldNotVerify"},
    "Graph": {"could_not_look": "ApproverRefused"},
    "g33 gone": {"could_not_look": "DeviceRefused"},
}
"""Why the device cannot be read from now on, as the audit log says it."""
TAKES_HELP = {
    "signed out": Cause(Code.APPROVER_SIGNED_OUT, {"approver": KEN.id, "following": "yes"}),
    "Graph": Cause(Code.CANNOT_READ, {"approver": KEN.id, "status": "403"}),
    "g33 gone": Cause(Code.DEVICE_GONE, {"approver": KEN.id}),
}
"""What people read meanwhile, where it does not pass by itself."""


async def cannot_look(bot: Bot, trouble: str | None) -> None:
    if trouble == "signed out":
        await bot.end_sign_in(trouble)
    bot.sign_ins.down = trouble == "Entra"
    answers = {"Graph": ApproverRefused(status=403), "g33 gone": DeviceRefused(404, "ResourceNotFound")}
    bot.intune.reading_fails = answers.get(trouble)


@pytest.mark.parametrize("trouble", WHY_NOT)
async def test_a_lost_attempt_that_is_not_found_in_time_is_left_to_a_human(bot, trouble):
    request_id = await bot.uncertain(LOST)
    await cannot_look(bot, trouble)
    bot.clock.advance(TIMING.settle - timedelta.resolution)
    looking = await bot.advance(request_id)
    assert looking.next_at > bot.clock.now()
    assert looking.cause == TAKES_HELP.get(trouble, Cause(Code.NO_ANSWER))
    bot.clock.advance(timedelta.resolution)
    left = await bot.advance(request_id)
    assert (left.status, left.needs_a_human) == (Status.UNCERTAIN, True)
    assert left.cause == Cause(Code.NO_ANSWER, WHY_NOT[trouble])
    answer = {"answer": "could not look" if trouble else "not found on the device"}
    facts = AS_KEN | {"cause": "no_answer"} | answer | WHY_NOT[trouble]
    assert ((await bot.entry(Event.ATTEMPT_ANSWERED)).facts, len(bot.intune.posts)) == (facts, 1)


@pytest.mark.parametrize("where", [Status.SENT, Status.UNCERTAIN])
async def test_a_dead_token_does_not_keep_the_device_from_being_seen(bot, where):
    request_id = await (bot.sent() if where is Status.SENT else bot.uncertain(LOST_BUT_EXECUTED))
    await bot.end_sign_in("signed out")
    assert (await bot.advance(request_id)).cause == TAKES_HELP["signed out"]
    bot.sign_ins.accounts[KEN.id], bot.intune.asks_for = account_of(KEN), FRESH
    bot.intune.read_answers = [OutcomeUnknown(status=503)]
    assert (await bot.advance(request_id)).cause == TAKES_HELP["signed out"], "nobody has looked yet"
    bot.intune.finish()
    bot.clock.advance(seconds=1)
    seen = await bot.advance(request_id)
    assert (seen.status, seen.cause) == (Status.DONE if where is Status.SENT else Status.SENT, None)
    assert seen.attempt.seen_at == bot.intune.shown[LEOS_PHONE.id][0].started_at
    answer = {"answer": "found on the device"} if where is Status.UNCERTAIN else {}
    assert (await bot.entries())[-1].facts == AS_KEN | answer


@pytest.mark.parametrize("state", ["pending", "active", "none", "a word of next year"])
async def test_any_other_word_of_the_device_is_waited_out(bot, state):
    request_id = await bot.sent()
    bot.intune.finish(state)
    events = await bot.events()
    bot.intune.read_with.clear()
    waiting = await bot.advance(request_id)
    assert (waiting.status, await bot.events()) == (Status.SENT, events)
    assert waiting.attempt.seen_at == NOON  # so that no earlier reset is taken for it any more
    assert waiting.next_at == bot.clock.now() + timedelta(seconds=5)
    assert bot.intune.read_with == [token_of(KEN.id)]


@pytest.mark.parametrize("status", [Status.APPROVED, Status.DONE])
async def test_a_row_that_no_approval_led_to_is_a_crash_in_the_log_and_no_reset(bot, status):
    """Another program wrote it; to do nothing would find it due again at once, for ever."""
    row = await bot.row(await bot.pending())
    await bot.store(row, replace(row, status=status, version=row.version + 1, next_at=NOON))
    with pytest.raises(ValueError, match="nothing is due"):
        await bot.advance(row.id)
    assert bot.intune.posts == []


@pytest.mark.parametrize("trouble", WHY_NOT)
async def test_a_device_that_says_nothing_for_a_day_fails_the_request(bot, trouble):
    request_id = await bot.sent()
    await cannot_look(bot, trouble)
    bot.clock.advance(timedelta(hours=24) - timedelta.resolution)
    waiting = await bot.advance(request_id)
    assert (waiting.status, waiting.cause) == (Status.SENT, TAKES_HELP.get(trouble))
    bot.clock.advance(timedelta.resolution)
    failed = await bot.advance(request_id)
    facts, code = WHY_NOT[trouble], Code.DEVICE_GONE if trouble == "g33 gone" else Code.SILENT
    assert (failed.status, failed.cause) == (Status.FAILED, Cause(code, facts))
    assert (await bot.entry(Event.FAILED)).facts == AS_KEN | {"cause": code} | facts
    assert await bot.advance(request_id) == failed  # nothing is left to do
