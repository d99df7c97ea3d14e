"""Review: what the approver sees, read live with their own sign-in, and what ends there."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from bot.domain.audit import Event
from bot.domain.device import Effect
from bot.domain.errors import ApproverRefused, Cause, Code, CouldNotVerify, SignInNeeded
from bot.domain.people import Kind
from bot.domain.request import Status
from tests.support.bot import outcome, refused
from tests.support.builders import (
    AIKO,
    IN_CHANNEL,
    KEN,
    LEOS_LAPTOP,
    LEOS_PHONE,
    LEOS_TABLET,
    MEI,
    account_of,
)
from tests.support.clock import NOON
from tests.support.fakes import FRESH, Answer, token_of

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


async def test_who_asked_as_an_account_does_not_decide_as_it_under_another_slack_user(bot):
    """Mei signs out, and signs in with the same account as Aiko's Slack user."""
    bot.sign_ins.accounts[MEI.id] = account_of(MEI)
    request_id = await bot.pending()
    await bot.sign_ins.forget(MEI.id)
    bot.sign_ins.accounts[AIKO.id] = account_of(AIKO, oid=account_of(MEI).oid)
    assert (await refused(bot.review(request_id, by=AIKO))).code is Code.OWN_ACCOUNT


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
    reviewers = [account_of(each).as_facts() | {"reviewed_by": each.id} for each in (KEN, AIKO)]
    assert entry.facts in [WRONG_PLATFORM.as_facts() | reviewer for reviewer in reviewers]


async def test_the_approver_s_account_is_asked_for_before_the_requester_is_looked_up(bot):
    del bot.sign_ins.accounts[KEN.id]
    request_id = await bot.pending()
    bot.directory.looked_up.clear()
    needed = await refused(bot.review(request_id))
    assert isinstance(needed, SignInNeeded)
    assert (needed.approver, bot.directory.looked_up) == (KEN, [KEN.id])
    assert await bot.refusals() == []


@pytest.mark.parametrize("act", ["approve", "offer"])
async def test_an_approver_who_left_is_signed_out_at_the_press(bot, act):
    request_id = await bot.pending()
    bot.directory.change(KEN, kind=Kind.GUEST)
    refusal = await refused(bot.offer() if act == "offer" else bot.approve(request_id))
    assert refusal.cause == Cause(Code.NOT_A_MEMBER, {"kind": "guest"})
    assert KEN.id not in bot.sign_ins.accounts
    reason = {"reason": "not_a_member", "kind": "guest"}
    assert (await bot.entry(Event.SIGNED_OUT)).facts == account_of(KEN).as_facts() | reason


LEFT = {"person": MEI.id, "case": "membership"}
GONE = [
    *(({"kind": kind}, LEFT | {"kind": str(kind)}) for kind in Kind if kind is not Kind.MEMBER),
    ("not in the audience", {"person": MEI.id}),
    ("not shown by Slack", LEFT | {"kind": "deactivated"}),
]


@pytest.mark.parametrize("act", ["review", "approve"])
@pytest.mark.parametrize(("change", "facts"), GONE, ids=str)
async def test_s23_who_may_not_ask_any_more_gets_no_reset_that_nobody_could_see_through(
    bot, act, change, facts
):
    request_id = await bot.pending()
    if change == "not in the audience":
        bot.directory.members[IN_CHANNEL].discard(MEI.id)
    elif change == "not shown by Slack":
        del bot.directory.people[MEI.id]
    else:
        bot.directory.change(MEI, **change)
    refusal = await refused(getattr(bot, act)(request_id))
    assert refusal.cause == Cause(Code.REQUESTER_LEFT, facts)
    assert await bot.refusals() == [(KEN.id, "requester_left")]
    assert bot.intune.looked_for == []
    assert (await bot.deny(request_id)).status is Status.DENIED


async def test_s23_an_uncertain_request_of_who_left_is_closed_and_not_tried_again(bot):
    request_id = await bot.needs_a_human()
    bot.directory.change(MEI, kind=Kind.DEACTIVATED)
    assert (await refused(bot.approve(request_id))).code is Code.REQUESTER_LEFT
    assert (await bot.close(request_id)).is_over
    assert len(bot.intune.posts) == 1


@pytest.mark.parametrize("why", [None, {"code": "missing_scope"}], ids=str)
async def test_s23_a_requester_who_cannot_be_looked_up_has_not_left(bot, monkeypatch, why):
    async def person(actor):
        if actor.user == MEI.id:
            raise CouldNotVerify("person", why)
        return bot.directory.people[actor.user]

    request_id = await bot.pending()
    monkeypatch.setattr(bot.directory, "person", person)
    assert (await refused(bot.review(request_id))).code is Code.COULD_NOT_VERIFY


async def test_an_owner_leaves_the_own_device_to_another_approver(bot):
    bot.intune.found = [replace(LEOS_PHONE, owner_id=account_of(KEN).oid), LEOS_LAPTOP]
    request_id = await bot.pending()
    assert (await refused(bot.review(request_id))).code is Code.OWN_DEVICE
    assert (await bot.row(request_id)).status is Status.PENDING
    bot.intune.found.append(LEOS_TABLET)
    assert [choice.device for choice in (await bot.review(request_id)).resettable] == [LEOS_TABLET]
    own = await refused(bot.approve(request_id))
    assert own.cause == Cause(Code.OWN_DEVICE, {"device": "Leo's Pixel"})


@pytest.mark.parametrize("asked", [CLAIMS, FRESH], ids=["claims", "a dead token"])
async def test_a_token_that_graph_refuses_is_replaced_silently_once(bot, asked):
    bot.intune.asks_for = asked
    await bot.review(await bot.pending())
    assert bot.intune.read_with == [token_of(KEN.id), f"{token_of(KEN.id)} with {asked}"]


DEAD, CHALLENGE = ApproverRefused(status=401), ApproverRefused(status=401, claims=CLAIMS)
NO_ROLE, INTUNES = ApproverRefused(status=403), ApproverRefused(status=401, code="Forbidden")


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ([CHALLENGE, ApproverRefused(status=401, claims=MORE_CLAIMS)], MORE_CLAIMS),
        ([CHALLENGE, DEAD], CLAIMS),
        ([DEAD, DEAD], None),
        ([NO_ROLE, CHALLENGE], CLAIMS),
    ],
)
async def test_a_second_refusal_takes_a_sign_in_with_the_newest_claims(bot, answers, asked):
    request_id = await bot.pending()
    bot.intune.read_answers = list(answers)
    needed = await refused(bot.review(request_id))
    assert isinstance(needed, SignInNeeded)
    assert (needed.claims, needed.rejected, needed.approver) == (asked, True, KEN)


@pytest.mark.parametrize("answer", [NO_ROLE, INTUNES], ids=["403", "Intune's 401"])
async def test_a_second_refusal_of_the_role_is_the_role_s(bot, answer):
    bot.intune.read_answers = [answer, answer]
    assert await outcome(bot.review(await bot.pending())) is answer


async def test_who_signs_in_as_another_while_graph_answers_lends_no_token(bot):
    request_id = await bot.pending()

    async def another_signs_in() -> None:
        await bot.end_sign_in("another account")

    bot.intune.on_read, bot.intune.read_answers = another_signs_in, [DEAD]
    assert isinstance(await refused(bot.review(request_id)), SignInNeeded)
    assert len(bot.intune.read_with) == 1


async def test_claims_that_came_at_the_reset_take_one_newer_sign_in_of_that_approver(bot):
    request_id = await bot.approved(by=KEN)
    bot.clock.advance(seconds=1)
    bot.intune.answers += [Answer(error=CHALLENGE)] * 2
    await bot.advance(request_id)

    needed = await refused(bot.review(request_id, by=KEN))
    assert isinstance(needed, SignInNeeded)
    assert needed.claims == CLAIMS
    assert await bot.review(request_id, by=AIKO)

    bot.sign_ins.accounts[KEN.id] = account_of(KEN, at=bot.clock.now())
    assert await bot.review(request_id, by=KEN)


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
    bot.sign_ins.accounts[KEN.id] = account_of(KEN, authenticated_at=bot.clock.now())
    assert (await bot.approve(request_id)).status is Status.APPROVED
