"""Look: where who approved can read the device no more, another approver does, by a press of their own."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from bot.domain.audit import Event
from bot.domain.errors import ApproverRefused, Cause, Code, DeviceRefused, LostRace, Refusal, SignInNeeded
from bot.domain.request import ResetRequest, Status
from bot.domain.values import RequestId, UserId
from tests.support.bot import AS_KEN, Bot, outcome, refused
from tests.support.builders import AIKO, APPROVAL, IN_CHANNEL, KEN, MEI, TIMING, account_of
from tests.support.fakes import LOST_BUT_EXECUTED, token_of

ROLE, GONE = ApproverRefused(status=403), DeviceRefused(status=404, code="ResourceNotFound")
BY_KEN = {"approver": KEN.id}
AIKOS = {"looker": AIKO.id, "looker_account": "aiko@contoso.com"}
VANISHED = Cause(Code.DEVICE_GONE, BY_KEN)
BLIND = {
    "g38 the role ended": ([ROLE, ROLE], Cause(Code.CANNOT_READ, BY_KEN | {"status": "403"})),
    "g33 the record vanished": ([GONE], VANISHED),
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
    looked, again = [await bot.look(request_id) for _ in range(2)]
    assert looked == again
    assert (looked.status, looked.cause, looked.next_at) == (Status.SENT, None, bot.clock.now())
    assert (looked.decided_by, looked.approval.by) == (KEN.id, KEN.id), "the decision stays Ken's"
    assert [each.actor for each in await bot.entries() if each.event is Event.LOOKED] == [AIKO.id]
    assert (await bot.advance(request_id)).status is Status.DONE
    assert (await bot.reveal(request_id)).reveal() == "80 51 33"
    assert bot.intune.read_with == [token_of(AIKO.id)] * 3
    assert (await bot.entry(Event.PASSCODE_VIEWED)).facts.items() >= (AS_KEN | AIKOS).items()
    assert len(bot.intune.posts) == 1


async def test_of_two_who_look_at_once_one_reads_the_device_from_then_on(bot):
    request_id = await blind(bot)
    looks = await asyncio.gather(*(outcome(bot.look(request_id, by=by)) for by in (AIKO, KEN)))
    assert {type(look) for look in looks} == {ResetRequest, Refusal}
    assert [each.event for each in await bot.entries()].count(Event.LOOKED) == 1


@pytest.mark.parametrize(("down", "code"), [(True, Code.COULD_NOT_VERIFY), (False, Code.REQUESTER_LEFT)])
async def test_where_slack_shows_the_requester_no_more_nobody_looks(bot, down, code):
    request_id = await blind(bot)
    bot.directory.slow = {MEI.id} if down else set()
    if not down:
        del bot.directory.people[MEI.id]
    assert (await refused(bot.look(request_id))).code is code


async def test_who_looks_signs_in_first_and_their_token_is_used_at_their_press_alone(bot):
    del bot.sign_ins.accounts[AIKO.id]
    request_id = await blind(bot)
    needed = await refused(bot.look(request_id))
    assert isinstance(needed, SignInNeeded)
    assert needed.approver == AIKO
    bot.sign_ins.accounts[AIKO.id] = account_of(AIKO)
    bot.clock.advance(minutes=1)
    await bot.advance_due()
    assert token_of(AIKO.id) not in bot.intune.read_with


async def test_a_look_at_another_approval_s_device_is_not_kept(bot):
    request_id, other = await blind(bot), replace(APPROVAL, username="another")

    async def approved_again_meanwhile() -> None:
        row = await bot.row(request_id)
        await bot.store(row, replace(row, approval=other, version=row.version + 1))

    bot.intune.on_read = approved_again_meanwhile
    assert isinstance(await outcome(bot.look(request_id)), LostRace)


@pytest.mark.parametrize(
    ("reads", "by", "status"),
    [
        pytest.param([GONE], AIKO, Status.FAILED, id="g33 another look says the same"),
        pytest.param([GONE], KEN, Status.SENT, id="g33 the same person's look"),
        pytest.param([ROLE, ROLE], AIKO, Status.SENT, id="g33 the other one may not read"),
    ],
)
async def test_a_device_is_gone_when_two_approvers_do_not_find_it(bot, reads, by, status):
    request_id = await blind(bot, "g33 the record vanished")
    bot.intune.read_answers = list(reads)
    came, row = await outcome(bot.look(request_id, by=by)), await bot.row(request_id)
    if status is Status.FAILED:
        assert (row.status, row.cause.code) == (status, Code.DEVICE_GONE)
        assert "could_not_look" in row.cause.facts
        failed = await bot.entry(Event.FAILED)
        assert (failed.actor, failed.facts.items() >= (AS_KEN | AIKOS).items()) == (AIKO.id, True)
    else:
        assert (came, row.status, row.cause) == (reads[0], status, VANISHED)


@pytest.mark.parametrize("gone", [GONE, DeviceRefused(status=400, code="ResourceNotFound")], ids=str)
async def test_a_device_that_vanished_before_the_reset_waits_for_another_approver(bot, gone):
    request_id = await bot.approved()
    bot.intune.read_answers = [gone]
    reopened = await bot.advance(request_id)
    assert (reopened.status, reopened.cause, bot.intune.posts) == (Status.PENDING, VANISHED, [])


async def test_g38_a_lost_attempt_that_could_not_be_looked_for_is_found_by_who_can(bot):
    request_id = await bot.uncertain(LOST_BUT_EXECUTED)
    bot.intune.reading_fails = ROLE
    bot.clock.advance(TIMING.settle)
    left = await bot.advance(request_id)
    assert (left.needs_a_human, left.can_be_looked_at) == (True, True)
    bot.intune.reading_fails = None
    looked = await bot.look(request_id)
    assert (looked.needs_a_human, looked.cause) == (False, Cause(Code.NO_ANSWER))
    assert (await bot.advance(request_id)).status is Status.SENT


async def test_g33_gone_for_two_says_nothing_of_an_attempt_whose_answer_was_lost(bot):
    request_id = await bot.uncertain()
    bot.intune.reading_fails = GONE
    assert (await bot.advance(request_id)).cause == VANISHED
    assert await outcome(bot.look(request_id)) is GONE
    assert (await bot.row(request_id)).status is Status.UNCERTAIN


ANOTHER, SIGNED_OUT = account_of(KEN, oid="oid-of-another"), Code.APPROVER_SIGNED_OUT
ENDED: dict[str, tuple[Callable[[Bot, UserId], object], Code]] = {
    "signed out": (lambda bot, who: bot.sign_ins.accounts.pop(who), SIGNED_OUT),
    "another account": (lambda bot, who: bot.sign_ins.accounts.update({who: ANOTHER}), SIGNED_OUT),
    "left channel": (lambda bot, who: bot.directory.members[IN_CHANNEL].discard(who), Code.APPROVER_LEFT),
    "g38 role": (lambda bot, _who: bot.intune.read_answers.extend([ROLE, ROLE]), Code.CANNOT_READ),
    "g33 gone": (lambda bot, _who: bot.intune.read_answers.append(GONE), Code.DEVICE_GONE),
}


@pytest.mark.parametrize(("end", "code"), ENDED.values(), ids=ENDED)
@pytest.mark.parametrize("reader", [KEN, AIKO])
async def test_who_cannot_read_the_passcode_is_named_until_another_looks_or_it_ends(bot, reader, end, code):
    request_id = await blind(bot)
    await bot.look(request_id, by=reader)
    bot.intune.finish(passcode="80 51 33")
    done = await bot.advance(request_id)
    end(bot, reader.id)
    bot.clock.advance(minutes=30)
    told = await refused(bot.reveal(request_id))
    assert (told.code, told.facts["approver"]) == (code, reader.id)
    assert (await bot.row(request_id)).cause == told.cause
    looked = await bot.look(request_id, by=AIKO if reader is KEN else KEN)
    assert (looked.status, looked.cause, looked.next_at) == (Status.DONE, None, None)
    assert (looked.changed_at, (await bot.entry(Event.LOOKED)).at) == (done.changed_at, bot.clock.now())
    assert (await bot.reveal(request_id)).reveal() == "80 51 33"
    bot.clock.advance(minutes=30)
    assert (await refused(bot.reveal(request_id))).code is Code.REVEAL_EXPIRED


async def test_who_cannot_read_is_said_once_and_nobody_looks_when_it_can_be_shown_no_longer(bot):
    request_id, versions = await bot.done(), set()
    for number in range(2):
        said = ApproverRefused(status=403, request_id=f"answer {number}")
        bot.intune.read_answers = [said, said]
        assert (await refused(bot.reveal(request_id))).code is Code.CANNOT_READ
        versions.add((await bot.row(request_id)).version)
    assert len(versions) == 1
    bot.clock.advance(bot.deps.timing.reveal_for)
    assert (await refused(bot.look(request_id))).code is Code.REVEAL_EXPIRED


@pytest.mark.parametrize("meanwhile", [True, False])
async def test_who_cannot_read_is_said_and_a_later_view_announces_no_passcode_again(bot, meanwhile):
    request_id = await bot.done()

    async def another_replica_wrote() -> None:
        row = await bot.row(request_id)
        await bot.store(row, replace(row, version=row.version + 1))

    bot.intune.on_read, bot.intune.read_answers = another_replica_wrote if meanwhile else None, [ROLE, ROLE]
    assert (await refused(bot.reveal(request_id))).code is Code.CANNOT_READ
    row = await bot.row(request_id)
    assert (row.cause is None) is meanwhile
    await bot.reveal(request_id)
    bot.intune.read_answers = [DeviceRefused(status=400, code="BadRequest")]
    assert isinstance(await outcome(bot.reveal(request_id)), DeviceRefused)
    assert await bot.row(request_id) == row  # each version would be a line
