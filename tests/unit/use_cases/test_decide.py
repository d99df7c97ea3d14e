"""Decide: of several at once one wins, and everything that was reviewed is checked again."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from bot.domain.audit import Event
from bot.domain.errors import ApproverRefused, Cause, Code, LostRace, RecentlyReset, Refusal, SignInNeeded
from bot.domain.request import Approval, ResetRequest, Status
from bot.domain.values import utc_text
from tests.support.bot import AS_KEN, outcome, refused
from tests.support.builders import (
    AIKO,
    APPROVAL,
    IN_CHANNEL,
    KEN,
    LEOS_LAPTOP,
    LEOS_PHONE,
    LEOS_TABLET,
    MEI,
    account_of,
)
from tests.support.fakes import Answer, token_of

SERIAL = "serial:C02LEO"


async def test_an_approval_says_who_as_whom_and_what_and_sends_nothing_by_itself(bot):
    bot.intune.found = [LEOS_PHONE, LEOS_TABLET]
    bot.intune.show(LEOS_PHONE.id, "done", ago=timedelta(days=3))
    bot.intune.show(LEOS_PHONE.id, "done", ago=timedelta(days=1))
    request_id = await bot.pending()
    wakes, heads = bot.wakes, bot.heads

    approved = await bot.approve(request_id)

    assert approved.approval == Approval(
        by=KEN.id,
        oid="oid-Ken",
        username="ken@contoso.com",
        at=bot.clock.now(),
        device=LEOS_PHONE,
        effect=APPROVAL.effect,
        previous_reset_at=bot.clock.now() - timedelta(days=1),
    )
    assert await bot.row(request_id) == approved
    assert (bot.wakes, bot.heads) == (wakes + 1, heads + 1)
    assert bot.intune.posts == []


async def test_two_approvers_at_once_reset_once(bot):
    request_id = await bot.pending()

    outcomes = await asyncio.gather(
        outcome(bot.approve(request_id, by=KEN)), outcome(bot.approve(request_id, by=AIKO))
    )
    await asyncio.gather(bot.advance_due(), bot.advance_due())

    winner = (await bot.row(request_id)).decided_by
    loser = ({KEN.id, AIKO.id} - {winner}).pop()
    [lost] = [each for each in outcomes if isinstance(each, Refusal)]
    now = utc_text(bot.clock.now())
    assert lost.cause == Cause(Code.ALREADY_DECIDED, {"status": "approved", "by": winner, "at": now})
    assert [post.token for post in bot.intune.resets] == [token_of(winner)]
    assert await bot.refusals() == [(loser, "already_decided")]


async def test_a_second_press_by_the_approver_is_no_refusal_and_no_second_approval(bot):
    request_id = await bot.pending()

    first, second = await asyncio.gather(bot.approve(request_id), bot.approve(request_id))
    third = await bot.approve(request_id)

    assert first == second == third
    assert (await bot.events()).count(Event.APPROVED) == 1
    assert await bot.refusals() == []


async def test_a_denial_carries_its_reason_to_the_requester(bot):
    request_id = await bot.pending()
    for reason in (" ", "x" * 1001):
        await refused(bot.deny(request_id, reason=reason))

    denied = await bot.deny(request_id, reason="  He sits next to me. ")

    assert (denied.status, denied.denial, denied.next_at) == (Status.DENIED, "He sits next to me.", None)
    assert await bot.refusals() == []


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


# Everything is checked again at the press


async def test_what_changed_since_the_review_counts_at_the_press(bot):
    request_id = await bot.pending()
    await bot.review(request_id)

    bot.directory.members[IN_CHANNEL].discard(KEN.id)
    assert (await refused(bot.approve(request_id))).code is Code.NOT_AN_APPROVER
    bot.directory.members[IN_CHANNEL].add(KEN.id)
    bot.sign_ins.accounts[MEI.id] = account_of(KEN)
    assert (await refused(bot.approve(request_id))).code is Code.OWN_ACCOUNT
    del bot.sign_ins.accounts[MEI.id]
    kens = bot.sign_ins.accounts.pop(KEN.id)
    assert isinstance(await refused(bot.approve(request_id)), SignInNeeded)
    bot.sign_ins.accounts[KEN.id] = kens
    bot.intune.found = [LEOS_TABLET, LEOS_LAPTOP]
    bot.intune.read_with.clear()
    assert (await refused(bot.approve(request_id, device=LEOS_PHONE.id))).code is Code.DEVICE_CHANGED
    assert len(bot.intune.read_with) == 1  # the device that is not the target's is not read
    assert (await refused(bot.approve(request_id, device=LEOS_LAPTOP.id))).code is Code.WRONG_PLATFORM

    assert (await bot.row(request_id)).status is Status.PENDING
    assert Event.APPROVED not in await bot.events()


async def test_a_review_of_before_an_attempt_approves_no_second_one(bot):
    request_id = await bot.pending()
    reviewed = (await bot.review(request_id)).request.revision
    await bot.approve(request_id, by=AIKO, reviewed=reviewed)
    bot.intune.answers.append(Answer(error=ApproverRefused(status=403)))
    assert (await bot.advance(request_id)).status is Status.PENDING

    assert (await refused(bot.approve(request_id, reviewed=reviewed))).code is Code.REVIEW_OUTDATED
    assert await bot.refusals() == [(KEN.id, "review_outdated")]
    assert (await bot.approve(request_id)).status is Status.APPROVED


async def test_an_outdated_review_goes_on_with_no_earlier_attempt_either(bot):
    request_id = await bot.needs_a_human()
    outdated = (await bot.row(request_id)).revision - 1
    bot.intune.show(LEOS_PHONE.id, "pending")

    assert (await refused(bot.approve(request_id, reviewed=outdated))).code is Code.REVIEW_OUTDATED
    assert (await bot.row(request_id)).status is Status.UNCERTAIN


async def test_what_happens_while_the_devices_are_looked_up_makes_the_review_outdated(bot):
    """Aiko approved and was refused by Microsoft between Ken's check and his move."""
    request_id = await bot.pending()

    async def meanwhile() -> None:
        bot.intune.on_read = None
        pending = await bot.row(request_id)
        approved = pending.approve(replace(APPROVAL, by=AIKO.id), reviewed=pending.revision)
        await bot.store(pending, approved)
        reopened = approved.reopen(Cause(Code.SIGN_IN_ENDED), now=bot.clock.now(), timing=bot.deps.timing)
        await bot.store(approved, reopened)

    bot.intune.on_read = meanwhile

    assert (await refused(bot.approve(request_id))).code is Code.REVIEW_OUTDATED
    assert (await bot.row(request_id)).status is Status.PENDING


# A second reset within minutes


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


async def test_who_was_a_moment_later_is_told_who_decided_and_not_asked_whether_it_is_meant(bot):
    request_id = await bot.pending()

    async def ken_is_faster() -> None:
        bot.intune.on_read = None
        pending = await bot.row(request_id)
        await bot.store(pending, pending.approve(APPROVAL, reviewed=pending.revision))
        bot.intune.show(LEOS_PHONE.id, "pending")

    bot.intune.on_read = ken_is_faster

    told = await refused(bot.approve(request_id, by=AIKO))
    assert (told.code, told.facts["by"]) == (Code.ALREADY_DECIDED, KEN.id)


# One attempt a device


@pytest.mark.parametrize("looked_at", [True, False])
async def test_a_device_is_free_again_once_its_reset_is_seen_or_was_not_to_be_seen_for_long(bot, looked_at):
    first, second = await bot.sent(), await bot.pending(target=SERIAL)
    assert (await refused(bot.approve(second, by=AIKO, knowingly=True))).code is Code.DEVICE_BUSY
    if not looked_at:
        await bot.sign_ins.forget(KEN.id)
        bot.clock.advance(minutes=15)

    await bot.advance(first)

    assert (await bot.approve(second, by=AIKO, knowingly=True)).status is Status.APPROVED


# An uncertain one


async def test_an_approver_who_tries_again_sends_nothing_where_the_first_attempt_shows_by_now(bot):
    request_id = await bot.needs_a_human()
    bot.intune.show(LEOS_PHONE.id, "pending")

    outcomes = await asyncio.gather(
        outcome(bot.approve(request_id, by=AIKO)), outcome(bot.approve(request_id, by=KEN))
    )
    bot.intune.finish()
    await bot.advance(request_id)

    assert (await bot.row(request_id)).status is Status.DONE
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
