"""Look: where who approved can read the device no more, another approver does, by a press of their own."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from bot.domain.audit import Event
from bot.domain.errors import ApproverRefused, Cause, Code, DeviceRefused, LostRace, SignInNeeded
from bot.domain.request import Status
from bot.domain.values import RequestId
from tests.support.bot import AS_KEN, Bot, outcome, refused
from tests.support.builders import AIKO, APPROVAL, IN_CHANNEL, KEN, MEI, TIMING, account_of
from tests.support.fakes import LOST_BUT_EXECUTED, token_of

ROLE, GONE = ApproverRefused(status=403), DeviceRefused(status=404, code="ResourceNotFound")
BY_KEN, BY_AIKO = {"approver": KEN.id}, {"approver": AIKO.id}
AIKOS = {"looker": AIKO.id, "looker_account": "aiko@contoso.com"}
BLIND = {
    "g38 the role ended": ([ROLE, ROLE], Cause(Code.CANNOT_READ, BY_KEN | {"status": "403"})),
    "g33 the record vanished": ([GONE], Cause(Code.DEVICE_GONE, BY_KEN)),
    "the sign-in ended": ([], Cause(Code.APPROVER_SIGNED_OUT, BY_KEN | {"following": "yes"})),
}


async def blind(bot: Bot, why: str = "g38 the role ended") -> RequestId:
    """A reset was sent, and from now on Ken's sign-in reads nothing."""
    request_id = await bot.sent()
    if not BLIND[why][0]:
        await bot.end_sign_in("signed out")
    bot.intune.read_answers = list(BLIND[why][0])
    assert (await bot.advance(request_id)).cause == BLIND[why][1]
    return request_id


@pytest.mark.parametrize("why", BLIND)
async def test_another_approver_looks_and_lets_the_passcode_be_shown_under_their_own_name(bot, why):
    request_id = await blind(bot, why)
    bot.intune.finish(passcode="80 51 33")
    bot.intune.read_with.clear()

    looked = await bot.look(request_id, by=AIKO)

    assert (looked.status, looked.cause, looked.next_at) == (Status.SENT, None, bot.clock.now())
    assert (looked.decided_by, looked.approval.by) == (KEN.id, KEN.id), "the decision stays Ken's"
    assert (await bot.entry(Event.LOOKED)).actor == AIKO.id
    assert (await bot.advance(request_id)).status is Status.DONE
    assert (await bot.reveal(request_id)).reveal() == "80 51 33"
    assert bot.intune.read_with == [token_of(AIKO.id)] * 3
    assert (await bot.entry(Event.PASSCODE_VIEWED)).facts.items() >= (AS_KEN | AIKOS).items()
    assert len(bot.intune.posts) == 1


@pytest.mark.parametrize("by", [KEN, AIKO])
async def test_a_second_press_is_no_second_look(bot, by):
    request_id = await blind(bot)
    first, second = [await bot.look(request_id, by=by) for _ in range(2)]
    assert first == second
    assert (await bot.events()).count(Event.LOOKED) == 1


async def test_nobody_looks_where_the_device_can_be_read_nor_at_their_own_request(bot):
    bot.sign_ins.accounts[MEI.id] = account_of(MEI)
    request_id = await bot.pending()
    assert (await refused(bot.look(request_id))).code is Code.NOT_WAITING
    await bot.approve(request_id)
    await bot.advance(request_id)
    assert (await refused(bot.look(request_id))).code is Code.NOT_WAITING
    bot.intune.read_answers = [ROLE, ROLE]
    await bot.advance(request_id)
    assert (await refused(bot.look(request_id, by=MEI))).code is Code.OWN_REQUEST
    assert Event.LOOKED not in await bot.events()


async def test_who_looks_signs_in_first_and_their_token_is_read_with_at_their_press_alone(bot):
    del bot.sign_ins.accounts[AIKO.id]
    request_id = await blind(bot)
    needed = await refused(bot.look(request_id))
    assert isinstance(needed, SignInNeeded)
    assert needed.approver == AIKO
    bot.sign_ins.accounts[AIKO.id] = account_of(AIKO)
    bot.clock.advance(minutes=1)
    bot.intune.read_with.clear()
    await bot.advance_due()
    assert {token.partition(" with")[0] for token in bot.intune.read_with} == {token_of(KEN.id)}


async def test_two_who_look_at_once_are_one_look(bot):
    request_id = await blind(bot)
    came = await asyncio.gather(*(outcome(bot.look(request_id, by=each)) for each in (KEN, AIKO)))
    assert (await bot.events()).count(Event.LOOKED) == 1
    assert sum(isinstance(each, Exception) for each in came) == 1


async def test_a_look_at_another_approval_s_device_is_not_kept(bot):
    request_id, other = await blind(bot), replace(APPROVAL, username="another")

    async def approved_again_meanwhile() -> None:
        bot.intune.on_read = None
        row = await bot.row(request_id)
        await bot.store(row, replace(row, approval=other, version=row.version + 1))

    bot.intune.on_read = approved_again_meanwhile
    assert isinstance(await outcome(bot.look(request_id)), LostRace)


# A record that vanished


@pytest.mark.parametrize(
    ("reads", "by", "status"),
    [
        pytest.param([GONE], AIKO, Status.FAILED, id="g33 another look says the same"),
        pytest.param([GONE], KEN, Status.SENT, id="g33 the same person's look"),
        pytest.param([ROLE, ROLE], AIKO, Status.SENT, id="g33 the other one may not read"),
        pytest.param([], AIKO, Status.SENT, id="g33 it was out of scope"),
    ],
)
async def test_a_device_is_gone_when_two_approvers_do_not_find_it(bot, reads, by, status):
    request_id = await blind(bot, "g33 the record vanished")
    bot.intune.read_answers = list(reads)
    came = await outcome(bot.look(request_id, by=by))
    row = await bot.row(request_id)
    assert row.status is status
    if status is Status.FAILED:
        assert row.cause == Cause(Code.DEVICE_GONE, {"could_not_look": "DeviceRefused"})
        failed = await bot.entry(Event.FAILED)
        assert (failed.actor, failed.facts.items() >= (AS_KEN | AIKOS).items()) == (AIKO.id, True)
    elif reads:
        assert came in (GONE, ROLE)
        assert row.cause == BLIND["g33 the record vanished"][1]


async def test_g33_a_device_that_nobody_finds_fails_the_request_at_the_silence_limit(bot):
    request_id = await blind(bot, "g33 the record vanished")
    bot.intune.reading_fails = GONE
    bot.clock.advance(TIMING.silent_after - timedelta.resolution)
    assert (await bot.advance(request_id)).status is Status.SENT
    bot.clock.advance(timedelta.resolution)
    failed = await bot.advance(request_id)
    assert (failed.status, failed.cause.code) == (Status.FAILED, Code.DEVICE_GONE)


async def test_g33_a_device_that_is_seen_again_goes_on(bot):
    request_id = await blind(bot, "g33 the record vanished")
    bot.intune.finish()
    assert (await bot.advance(request_id)).status is Status.DONE


@pytest.mark.parametrize("gone", [GONE, DeviceRefused(status=400, code="ResourceNotFound")], ids=str)
async def test_a_device_that_vanished_before_the_reset_waits_for_another_approver(bot, gone):
    request_id = await bot.approved()
    bot.intune.read_answers = [gone]
    reopened = await bot.advance(request_id)
    assert (reopened.status, reopened.cause) == (Status.PENDING, Cause(Code.DEVICE_GONE, BY_KEN))
    assert bot.intune.posts == []
    assert (await bot.approve(request_id, by=AIKO)).status is Status.APPROVED


# An attempt whose answer was lost


async def test_a_lost_attempt_that_could_not_be_looked_for_is_found_by_who_can(bot):
    """g38"""
    request_id = await bot.uncertain(LOST_BUT_EXECUTED)
    bot.intune.reading_fails = ROLE
    bot.clock.advance(TIMING.settle)
    left = await bot.advance(request_id)
    assert (left.needs_a_human, left.can_be_looked_at) == (True, True)
    bot.intune.reading_fails = None

    looked = await bot.look(request_id, by=AIKO)

    assert (looked.status, looked.cause, looked.needs_a_human) == (
        Status.UNCERTAIN,
        Cause(Code.NO_ANSWER),
        False,
    )
    assert (await bot.advance(request_id)).status is Status.SENT


async def test_a_lost_attempt_that_was_looked_for_in_vain_is_not_looked_for_again(bot):
    request_id = await bot.needs_a_human()
    assert (await refused(bot.look(request_id))).code is Code.NOT_WAITING


async def test_gone_for_two_says_nothing_of_an_attempt_whose_answer_was_lost(bot):
    request_id = await bot.uncertain()
    bot.intune.reading_fails = GONE
    assert (await bot.advance(request_id)).cause == Cause(Code.DEVICE_GONE, BY_KEN)
    assert await outcome(bot.look(request_id)) is GONE
    assert (await bot.row(request_id)).status is Status.UNCERTAIN


# The passcode


UNREADABLE = {
    "g38 the role ended": ("read_answers", [ROLE, ROLE], Code.CANNOT_READ),
    "g33 the record vanished": ("read_answers", [GONE], Code.DEVICE_GONE),
    "Ken left": ("members", None, Code.APPROVER_LEFT),
    "Ken signed out": ("sign_in", None, Code.APPROVER_SIGNED_OUT),
}


@pytest.mark.parametrize("why", UNREADABLE)
async def test_who_cannot_read_the_passcode_is_kept_until_another_looks_and_no_longer_than_it_is_there(
    bot, why
):
    request_id = await bot.done(passcode="80 51 33")
    done = await bot.row(request_id)
    what, answers, code = UNREADABLE[why]
    if what == "members":
        bot.directory.members[IN_CHANNEL].discard(KEN.id)
    elif what == "sign_in":
        await bot.end_sign_in("signed out")
    bot.intune.read_answers = list(answers or [])
    bot.clock.advance(minutes=30)

    assert (await refused(bot.reveal(request_id))).code is code
    told = await bot.row(request_id)
    assert (told.cause.code, told.can_be_looked_at, told.next_at) == (code, True, None)
    looked = await bot.look(request_id, by=AIKO)

    assert (looked.status, looked.cause, looked.changed_at) == (Status.DONE, None, done.changed_at)
    assert (await bot.entry(Event.LOOKED)).at == bot.clock.now()
    assert (await bot.reveal(request_id)).reveal() == "80 51 33"
    bot.clock.advance(minutes=30)
    assert (await refused(bot.reveal(request_id))).code is Code.REVEAL_EXPIRED


@pytest.mark.parametrize("ended", ["signed out", "another account", "not in the channel"])
async def test_a_looker_s_token_is_lent_while_they_are_an_approver_and_signed_in_as_then(bot, ended):
    request_id = await blind(bot)
    await bot.look(request_id, by=AIKO)
    bot.intune.finish()
    assert (await bot.advance(request_id)).status is Status.DONE
    if ended == "not in the channel":
        bot.directory.members[IN_CHANNEL].discard(AIKO.id)
    elif ended == "signed out":
        await bot.sign_ins.forget(AIKO.id)
    else:
        bot.sign_ins.accounts[AIKO.id] = account_of(AIKO, oid="oid-of-another")
    code = Code.APPROVER_LEFT if ended == "not in the channel" else Code.APPROVER_SIGNED_OUT
    assert (await refused(bot.reveal(request_id))).cause == Cause(code, BY_AIKO)


async def test_what_is_shown_again_is_not_said_to_be_unreadable(bot):
    request_id = await bot.done()
    bot.intune.read_answers = [ROLE, ROLE]
    await refused(bot.reveal(request_id))
    await bot.reveal(request_id)
    assert (await bot.row(request_id)).cause is None


async def test_who_cannot_read_is_not_written_over_what_another_replica_wrote(bot):
    request_id = await bot.done()

    async def looked_meanwhile() -> None:
        bot.intune.on_read = None
        row = await bot.row(request_id)
        await bot.store(row, row.cannot_be_read(None))

    bot.intune.on_read, bot.intune.read_answers = looked_meanwhile, [ROLE, ROLE]
    assert (await refused(bot.reveal(request_id))).code is Code.CANNOT_READ
    assert (await bot.row(request_id)).cause is None


async def test_another_fault_of_a_read_is_not_said_to_be_a_device_that_is_gone(bot):
    request_id = await bot.done()
    bot.intune.read_answers = [DeviceRefused(status=400, code="BadRequest")]
    assert isinstance(await outcome(bot.reveal(request_id)), DeviceRefused)
    assert (await bot.row(request_id)).cause is None
