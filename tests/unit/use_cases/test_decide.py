"""Decide: of several at once one wins, and everything that was reviewed is checked again."""

import asyncio
from datetime import datetime, timedelta

import pytest
from bot.domain.audit import Event
from bot.domain.errors import ApproverRefused, Cause, Code, LostRace, RecentlyReset, Refusal
from bot.domain.request import ResetRequest, Status
from bot.domain.values import utc_text
from tests.support.bot import AS_KEN, outcome, refused
from tests.support.builders import AIKO, APPROVAL, KEN, LEOS_LAPTOP, LEOS_PHONE, LEOS_TABLET, MEI
from tests.support.fakes import Answer


async def test_an_approval_knows_the_newest_reset_of_before_and_sends_nothing_by_itself(bot):
    for days in (3, 1, 2):
        bot.intune.show(LEOS_PHONE.id, "done", ago=timedelta(days=days))
    request_id = await bot.pending()
    wakes, heads = bot.wakes, bot.heads
    approved = await bot.approve(request_id)
    assert approved.approval is not None
    assert approved.approval.previous_reset_at == bot.clock.now() - timedelta(days=1)
    assert (bot.wakes, bot.heads, bot.intune.posts) == (wakes + 1, heads + 1, [])


@pytest.mark.parametrize(("lost", "wins"), [(2, True), (3, False)])
async def test_a_decision_is_made_again_after_a_lost_race_but_not_for_ever(bot, lost, wins):
    request_id = await bot.pending()
    rounds, wakes = [], bot.wakes

    def withdraw(request: ResetRequest, now: datetime) -> ResetRequest:
        rounds.append(request)
        if len(rounds) <= lost:
            raise LostRace  # as where another replica moves the row between the read and the write
        return request.withdraw(by=MEI.id, now=now)

    decided = await outcome(bot.deps.decide(request_id, Event.WITHDRAWN, withdraw, {}))
    assert isinstance(decided, ResetRequest if wins else LostRace)
    assert (len(rounds), bot.wakes - wakes) == (3, int(wins))


@pytest.mark.parametrize("what", ["deny", "withdraw", "approve"])
async def test_a_decision_that_is_delivered_twice_is_answered_twice_and_made_once(bot, what):
    request_id = await bot.pending()
    first, second = [await getattr(bot, what)(request_id) for _ in range(2)]
    assert first == second
    assert ((await bot.events()).count(first.status), await bot.refusals()) == (1, [])


async def test_a_device_that_the_target_does_not_name_any_more_is_not_even_read(bot):
    request_id = await bot.pending()
    bot.intune.found = [LEOS_TABLET, LEOS_LAPTOP]
    assert (await refused(bot.approve(request_id))).code is Code.DEVICE_CHANGED
    assert len(bot.intune.read_with) == 1  # of the list
    assert (await refused(bot.approve(request_id, device=LEOS_LAPTOP.id))).code is Code.WRONG_PLATFORM


async def test_who_approved_one_device_is_not_told_that_another_one_is_approved(bot):
    bot.intune.found = [LEOS_PHONE, LEOS_TABLET]
    request_id = await bot.approved()
    assert (await bot.approve(request_id)).approval.device.id == LEOS_PHONE.id  # pressed twice
    assert (await refused(bot.approve(request_id, device=LEOS_TABLET.id))).code is Code.ALREADY_DECIDED


async def test_a_review_of_before_an_attempt_approves_no_second_one(bot):
    request_id = await bot.pending()
    reviewed = (await bot.review(request_id)).request.revision
    await bot.approve(request_id, by=AIKO, reviewed=reviewed)
    bot.intune.answers += [Answer(error=ApproverRefused(status=403))] * 2
    assert (await bot.advance(request_id)).status is Status.PENDING
    assert (await refused(bot.approve(request_id, reviewed=reviewed))).code is Code.REVIEW_OUTDATED
    assert await bot.refusals() == [(KEN.id, "review_outdated")]
    assert (await bot.approve(request_id)).status is Status.APPROVED


@pytest.mark.parametrize("reopened", [True, False])
async def test_what_ken_did_while_aiko_s_approval_looked_the_devices_up_counts(bot, reopened):
    request_id = await bot.pending()

    async def ken_is_faster() -> None:
        pending = await bot.row(request_id)
        approved = pending.approve(APPROVAL, reviewed=pending.revision)
        await bot.store(pending, approved)
        if reopened:
            cause, now = Cause(Code.SIGN_IN_ENDED), bot.clock.now()
            await bot.store(approved, approved.reopen(cause, now=now, timing=bot.deps.timing))
        else:
            bot.intune.show(LEOS_PHONE.id, "pending")

    bot.intune.on_read = ken_is_faster
    told = await refused(bot.approve(request_id, by=AIKO))
    if reopened:
        assert told.code is Code.REVIEW_OUTDATED
    else:  # and is not asked whether a second reset is meant
        assert (told.code, told.facts["by"]) == (Code.ALREADY_DECIDED, KEN.id)
    assert (await bot.row(request_id)).decided_by == (None if reopened else KEN.id)


@pytest.mark.parametrize(
    ("state", "ago", "asks"),
    [
        *((state, timedelta(minutes=15), True) for state in ("pending", "active", "done")),
        ("done", timedelta(minutes=15) + timedelta.resolution, False),
        *((state, timedelta(minutes=1), False) for state in ("failed", "canceled", "notsupported")),
    ],
)
async def test_a_device_that_was_reset_minutes_ago_is_reset_again_only_knowingly(bot, state, ago, asks):
    reset_at = bot.intune.show(LEOS_PHONE.id, state, ago=ago)
    request_id = await bot.pending()
    came = await outcome(bot.approve(request_id))
    if asks:
        assert isinstance(came, RecentlyReset)
        assert came.facts == {"at": utc_text(reset_at), "platform": "Android"}
        await bot.approve(request_id, knowingly=True)
    assert await bot.refusals() == []
    assert (await bot.row(request_id)).status is Status.APPROVED
    assert ("knowingly" in (await bot.entry(Event.APPROVED)).facts) == asks


async def test_who_tries_again_sends_nothing_where_the_first_attempt_shows_nor_goes_on_as_reviewed_before(
    bot,
):
    request_id = await bot.needs_a_human()
    bot.intune.show(LEOS_PHONE.id, "pending")
    row = await bot.row(request_id)
    assert (await refused(bot.approve(request_id, reviewed=row.revision - 1))).code is Code.REVIEW_OUTDATED
    assert await bot.row(request_id) == row
    approvals = (outcome(bot.approve(request_id, by=by)) for by in (AIKO, KEN))
    outcomes = await asyncio.gather(*approvals)
    assert (await bot.row(request_id)).status is Status.SENT
    assert len(bot.intune.posts) == 1
    [late] = [each for each in outcomes if isinstance(each, Refusal)]
    assert late.code in (Code.NOT_WAITING, Code.ALREADY_DECIDED)
    answered = await bot.entry(Event.ATTEMPT_ANSWERED)
    assert answered.facts == AS_KEN | {"answer": "found on the device"}
    assert answered.actor in (AIKO.id, KEN.id)


async def test_the_first_attempt_on_one_device_says_nothing_of_another_device(bot):
    bot.intune.found = [LEOS_PHONE, LEOS_TABLET]
    request_id = await bot.needs_a_human()
    bot.intune.show(LEOS_TABLET.id, "pending")
    await bot.approve(request_id, by=AIKO, device=LEOS_TABLET.id, knowingly=True)
    await bot.advance(request_id)
    assert [post.device for post in bot.intune.posts] == [LEOS_PHONE.id, LEOS_TABLET.id]
