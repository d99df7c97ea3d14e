"""Review: what the approver sees, read live with their own sign-in, and what ends there."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from bot.domain.audit import Event
from bot.domain.device import Effect
from bot.domain.errors import ApproverRefused, Cause, Code, SignInNeeded
from bot.domain.people import Kind
from bot.domain.request import Status
from tests.support.bot import outcome, refused
from tests.support.builders import AIKO, KEN, LEOS_LAPTOP, LEOS_PHONE, LEOS_TABLET, MEI, account_of
from tests.support.clock import NOON
from tests.support.fakes import Answer, token_of

CLAIMS = '{"access_token":{"nbf":{"essential":true}}}'
MORE_CLAIMS = '{"access_token":{"acrs":{"value":"c1"}}}'
WRONG_PLATFORM = Cause(Code.WRONG_PLATFORM, {"device": "Leo's laptop", "system": "Windows 11"})


async def test_a_review_shows_who_asks_and_what_a_reset_would_do_on_each_device(bot):
    bot.intune.found = [LEOS_PHONE, LEOS_TABLET, LEOS_LAPTOP]

    seen = await bot.review(await bot.pending(), by=AIKO)

    assert (seen.requester, seen.account) == (MEI, account_of(AIKO))
    assert [choice.effect for choice in seen.choices] == [
        Effect.NEW_PASSCODE,
        Effect.REMOVES_PASSCODE,
        WRONG_PLATFORM,
    ]
    assert [choice.device for choice in seen.resettable] == [LEOS_PHONE, LEOS_TABLET]
    assert bot.intune.read_with == [token_of(AIKO.id)]


async def test_where_intune_shows_no_device_the_request_goes_on_waiting(bot):
    bot.intune.found = []
    request_id = await bot.pending()

    assert (await refused(bot.review(request_id))).code is Code.NO_DEVICE
    assert (await bot.row(request_id)).status is Status.PENDING


async def test_where_no_device_can_be_reset_the_review_ends_the_request_and_says_why(bot):
    bot.intune.found = [LEOS_LAPTOP]
    request_id = await bot.pending()

    both = await asyncio.gather(
        refused(bot.review(request_id, by=KEN)), refused(bot.review(request_id, by=AIKO))
    )

    assert [refusal.cause for refusal in both] == [WRONG_PLATFORM] * 2
    ended = await bot.row(request_id)
    assert (ended.status, ended.cause) == (Status.REFUSED, WRONG_PLATFORM)
    [entry] = [entry for entry in await bot.entries() if entry.event is Event.REFUSED]
    kens = account_of(KEN).as_facts() | {"reviewed_by": KEN.id}
    aikos = account_of(AIKO).as_facts() | {"reviewed_by": AIKO.id}
    assert (entry.actor, entry.version) == (None, ended.version)
    assert entry.facts in (WRONG_PLATFORM.as_facts() | kens, WRONG_PLATFORM.as_facts() | aikos)


async def test_a_review_that_finds_nothing_to_reset_does_not_end_an_uncertain_request(bot):
    request_id = await bot.needs_a_human()
    bot.intune.found = [LEOS_LAPTOP]

    assert (await refused(bot.review(request_id))).cause == WRONG_PLATFORM
    assert (await bot.row(request_id)).status is Status.UNCERTAIN


# Who is looked up, and when


async def test_the_approver_s_account_is_asked_for_before_the_requester_is_looked_up(bot):
    del bot.sign_ins.accounts[KEN.id]
    request_id = await bot.pending()
    bot.directory.looked_up.clear()

    needed = await refused(bot.review(request_id))

    assert isinstance(needed, SignInNeeded)
    assert (needed.approver, bot.directory.looked_up) == (KEN, [KEN.id])
    assert await bot.refusals() == []


@pytest.mark.parametrize("kind", [Kind.DEACTIVATED, Kind.GUEST, Kind.OUTSIDER])
async def test_an_approver_who_left_is_signed_out_at_the_press(bot, kind):
    request_id = await bot.pending()
    await bot.review(request_id)
    bot.directory.change(KEN, kind=kind)

    for call in (bot.approve(request_id), bot.offer()):
        refusal = await refused(call)
        assert refusal.cause == Cause(Code.NOT_A_MEMBER, {"kind": kind})

    assert KEN.id not in bot.sign_ins.accounts
    [signed_out] = [entry for entry in await bot.entries() if entry.event is Event.SIGNED_OUT]
    reason = {"reason": "not_a_member", "kind": kind}
    assert (signed_out.actor, signed_out.facts) == (KEN.id, account_of(KEN).as_facts() | reason)


# One's own device


async def test_an_owner_leaves_the_own_device_to_another_approver(bot):
    bot.intune.found = [replace(LEOS_PHONE, owner_id=account_of(KEN).oid), LEOS_LAPTOP]
    request_id = await bot.pending()

    for call in (bot.review(request_id), bot.approve(request_id)):
        assert (await refused(call)).code is Code.OWN_DEVICE
    assert (await bot.row(request_id)).status is Status.PENDING

    bot.intune.found.append(LEOS_TABLET)
    assert [choice.device for choice in (await bot.review(request_id)).resettable] == [LEOS_TABLET]
    own = await refused(bot.approve(request_id))
    assert own.cause == Cause(Code.OWN_DEVICE, {"device": "Leo's Pixel"})
    assert (await refused(bot.approve(request_id, device=LEOS_LAPTOP.id))).cause == WRONG_PLATFORM
    assert (await bot.approve(request_id, by=AIKO)).status is Status.APPROVED


# What Microsoft or the installer asks for


async def test_a_claims_challenge_is_answered_silently_once(bot):
    bot.intune.asks_for_claims = CLAIMS

    await bot.review(await bot.pending())

    assert bot.intune.read_with == [token_of(KEN.id), f"{token_of(KEN.id)} with {CLAIMS}"]


async def test_a_second_claims_challenge_takes_a_sign_in_with_the_newest_claims(bot):
    request_id = await bot.pending()
    answers = [ApproverRefused(status=401, claims=CLAIMS), ApproverRefused(status=401, claims=MORE_CLAIMS)]

    async def next_answer() -> None:
        raise answers.pop(0)

    bot.intune.on_read = next_answer
    needed = await refused(bot.review(request_id))
    assert isinstance(needed, SignInNeeded)
    assert (needed.claims, needed.approver) == (MORE_CLAIMS, KEN)

    answers[:] = [ApproverRefused(status=401, claims=CLAIMS), ApproverRefused(status=403)]
    needed = await refused(bot.review(request_id))
    assert isinstance(needed, SignInNeeded)
    assert needed.claims == CLAIMS


async def test_an_approver_whom_intune_refuses_is_not_sent_to_sign_in(bot):
    bot.intune.reading_fails = ApproverRefused(status=403, code="Forbidden")
    request_id = await bot.pending()

    for call in (bot.review(request_id), bot.approve(request_id)):
        assert await outcome(call) is bot.intune.reading_fails
    assert await bot.refusals() == [(KEN.id, "ApproverRefused")] * 2
    assert (await bot.row(request_id)).status is Status.PENDING


async def test_claims_that_came_at_the_reset_take_one_newer_sign_in_of_that_approver(bot):
    request_id = await bot.approved(by=KEN)
    bot.clock.advance(seconds=1)
    bot.intune.answers.append(Answer(error=ApproverRefused(status=401, claims=CLAIMS)))
    await bot.advance(request_id)

    needed = await refused(bot.review(request_id, by=KEN))
    assert isinstance(needed, SignInNeeded)
    assert needed.claims == CLAIMS
    assert (await bot.review(request_id, by=AIKO)).account == account_of(AIKO)

    bot.sign_ins.accounts[KEN.id] = account_of(KEN, at=bot.clock.now())
    bot.clock.advance(minutes=16)
    assert (await bot.advance(request_id)).reminders == 1
    assert (await bot.review(request_id, by=KEN)).account.oid == "oid-Ken"


async def test_a_sign_in_that_grew_old_during_the_review_does_not_approve(bot):
    bot.rules(fresh_within=timedelta(minutes=10))
    bot.sign_ins.accounts[KEN.id] = account_of(KEN, authenticated_at=NOON)
    request_id = await bot.pending()
    bot.clock.advance(minutes=10)
    await bot.review(request_id)
    bot.clock.advance(seconds=1)

    for call in (bot.review(request_id), bot.approve(request_id)):
        needed = await refused(call)
        assert isinstance(needed, SignInNeeded)
        assert needed.stale
    assert (await bot.row(request_id)).approval is None
    bot.sign_ins.accounts[KEN.id] = account_of(KEN, authenticated_at=bot.clock.now())
    assert (await bot.approve(request_id)).status is Status.APPROVED
