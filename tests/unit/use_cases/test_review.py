"""Review: what the approver sees, read live with their own sign-in, and what ends there."""

from dataclasses import replace
from datetime import timedelta

import pytest
from bot.domain.audit import Event
from bot.domain.device import Effect, Platform, effect_of_reset
from bot.domain.errors import ApproverRefused, Cause, Code, Refusal, SignInNeeded
from bot.domain.people import Kind
from bot.domain.request import Status
from bot.domain.values import DeviceId
from tests.support.bot import Bot, outcome, refused
from tests.support.builders import AIKO, KEN, LEOS_LAPTOP, LEOS_PHONE, LEOS_TABLET, MEI, NOON, account_of
from tests.support.fakes import FRESH, Answer, token_of

CLAIMS = '{"access_token":{"nbf":{"essential":true}}}'
MORE_CLAIMS = '{"access_token":{"acrs":{"value":"c1"}}}'
WRONG_PLATFORM = Cause(Code.WRONG_PLATFORM, {"device": "Leo's laptop", "system": "Windows 11"})
DEAD, CHALLENGE = ApproverRefused(status=401), ApproverRefused(status=401, claims=CLAIMS)
NO_ROLE, INTUNES = ApproverRefused(status=403), ApproverRefused(status=401, code="Forbidden")


async def test_a_review_shows_what_a_reset_would_do_on_each_device(bot):
    bot.intune.found = [LEOS_PHONE, LEOS_TABLET, LEOS_LAPTOP]
    seen = await bot.review(await bot.pending(), by=AIKO)
    assert seen.account == account_of(AIKO)
    effects = [choice.effect for choice in seen.choices]
    assert effects == [Effect.NEW_PASSCODE, Effect.REMOVES_PASSCODE, WRONG_PLATFORM]
    assert [choice.device for choice in seen.resettable] == [LEOS_PHONE, LEOS_TABLET]
    assert bot.intune.read_with == [token_of(AIKO.id)]


async def test_who_asked_as_an_account_does_not_decide_as_it_under_another_slack_user(bot):
    """Mei signs out, and signs in with the same account as Aiko's Slack user."""
    bot.sign_ins.accounts[MEI.id] = account_of(MEI)
    request_id = await bot.pending()
    await bot.sign_ins.forget(MEI.id)
    bot.sign_ins.accounts[AIKO.id] = account_of(AIKO, oid=account_of(MEI).oid)
    assert (await refused(bot.review(request_id, by=AIKO))).code is Code.OWN_ACCOUNT


@pytest.mark.parametrize("complete", [True, False])
async def test_where_intune_shows_no_device_a_fresh_token_is_tried_and_the_request_waits(bot, complete):
    """Cut is not empty (g12), and a token from before the role was activated may see nothing (g39)."""
    bot.intune.found, bot.intune.complete = [], complete
    request_id = await bot.pending()
    code = Code.NO_DEVICE if complete else Code.SEARCH_CUT
    assert (await refused(bot.review(request_id))).code is code
    assert bot.intune.read_with == [token_of(KEN.id), f"{token_of(KEN.id)} with {FRESH}"]
    assert (await bot.row(request_id)).status is Status.PENDING
    bot.intune.found = [LEOS_PHONE]
    assert (await bot.review(request_id)).found.complete is complete


@pytest.mark.parametrize("before", [[], [LEOS_LAPTOP]], ids=["nothing", "g35 less"])
async def test_g39_a_fresh_token_may_see_the_devices_that_the_old_one_does_not(bot, before):
    bot.intune.seen_with = {FRESH: [LEOS_PHONE], "": before}
    assert (await bot.review(await bot.pending())).resettable


async def test_g07_devices_that_were_online_last_come_first(bot):
    seen = [None, NOON - timedelta(days=90), NOON, None, NOON - timedelta(minutes=4)]
    phones = [replace(LEOS_PHONE, id=DeviceId(f"phone-{n}"), last_sync_at=at) for n, at in enumerate(seen)]
    bot.intune.found = phones
    choices = (await bot.review(await bot.pending())).choices
    assert [choice.device.last_sync_at for choice in choices] == sorted(filter(None, seen))[::-1] + [None] * 2


MAIL_ONLY = replace(LEOS_PHONE, id=DeviceId("mail"), agent="eas")
IN_PART = replace(LEOS_TABLET, enrollment="appleAccountDrivenUserEnrollment")
WIPED = replace(LEOS_PHONE, management_state="wipeIssued")
ODD = replace(LEOS_PHONE, platform=Platform.OTHER)
SERIAL, ONE = "serial:R58M123", "id:11111111-1111-1111-1111-111111111111"


@pytest.mark.parametrize(
    ("target", "found", "complete", "ends"),
    [
        pytest.param("leo@contoso.com", [LEOS_LAPTOP], True, False, id="g35 a person"),
        pytest.param('name:"Field phone"', [LEOS_LAPTOP], True, False, id="g35 a name"),
        pytest.param("app:outlook", [LEOS_LAPTOP], True, False, id="g35 an app"),
        pytest.param(SERIAL, [LEOS_LAPTOP], True, True, id="a serial number"),
        pytest.param("imei:356938035643809", [IN_PART], True, True, id="g02 an IMEI"),
        pytest.param(ONE, [MAIL_ONLY], True, True, id="g11 an id"),
        pytest.param(SERIAL, [MAIL_ONLY, LEOS_LAPTOP], True, True, id="two records of one device"),
        pytest.param(SERIAL, [LEOS_LAPTOP], False, False, id="g12 a list that was cut"),
        pytest.param(ONE, [WIPED], True, False, id="what may be canceled"),
        pytest.param(ONE, [ODD], True, False, id="what Intune does not name"),
        pytest.param(SERIAL, [LEOS_LAPTOP, WIPED], True, False, id="one of two"),
    ],
)
async def test_a_request_ends_only_where_nobody_can_reset_what_it_names(bot, target, found, complete, ends):
    bot.intune.found, bot.intune.complete = found, complete
    request_id = await bot.pending(target=target)
    form = (await bot.row(request_id)).revision
    told = [await refused(bot.review(request_id)) for _ in range(2)]
    row = await bot.row(request_id)
    with pytest.raises(Refusal) as caught:
        effect_of_reset(found[0])
    why = caught.value
    if ends:
        assert (told[0].cause, told[1].code) == (why.cause, Code.ALREADY_DECIDED)
        assert (row.status, row.cause) == (Status.REFUSED, why.cause)
        [entry] = [entry for entry in await bot.entries() if entry.event is Event.REFUSED]
        assert entry.facts == why.cause.as_facts() | account_of(KEN).as_facts() | {"reviewed_by": KEN.id}
    else:
        in_vain = Cause(Code.NOTHING_TO_RESET, {**why.facts, "why": why.code})
        assert [each.cause for each in told] == [in_vain] * 2
        assert row.status is Status.PENDING
        assert row.cause == Cause(Code.NOTHING_TO_RESET, {"approver": KEN.id})
        assert row.revision == form, "the form that Aiko has open is as good as before"
        bot.intune.found, bot.intune.complete = [LEOS_PHONE], True
        assert (await bot.approve(request_id, by=AIKO, reviewed=form)).status is Status.APPROVED


async def test_who_looked_in_vain_is_not_said_in_place_of_what_an_approver_has_to_do(bot):
    request_id = await bot.approved()
    await bot.end_sign_in("signed out")
    reopened = await bot.advance(request_id)
    bot.intune.found = [LEOS_LAPTOP]
    assert (await refused(bot.review(request_id, by=AIKO))).code is Code.NOTHING_TO_RESET
    assert await bot.row(request_id) == reopened


async def test_what_is_decided_while_an_approver_looks_in_vain_is_not_written_over(bot):
    bot.intune.found = [LEOS_LAPTOP]
    request_id = await bot.pending()
    bot.intune.on_read = lambda: bot.withdraw(request_id)  # Mei is faster
    assert (await refused(bot.review(request_id))).code is Code.NOTHING_TO_RESET
    assert (await bot.row(request_id)).status is Status.WITHDRAWN


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
@pytest.mark.parametrize("reached", [Bot.pending, Bot.needs_a_human])
async def test_s23_who_may_not_ask_any_more_gets_no_reset(bot, reached, act, change, facts):
    request_id = await reached(bot)
    posts = list(bot.intune.posts)
    bot.intune.looked_for.clear()
    if change == "not in the audience":
        bot.directory.members[bot.deps.rules.requesters[0]].discard(MEI.id)
    elif change == "not shown by Slack":
        del bot.directory.people[MEI.id]
    else:
        bot.directory.change(MEI, **change)
    refusal = await refused(getattr(bot, act)(request_id))
    assert refusal.cause == Cause(Code.REQUESTER_LEFT, facts)
    assert await bot.refusals() == [(KEN.id, "requester_left")]
    assert (bot.intune.looked_for, bot.intune.posts) == ([], posts)
    assert (await (bot.deny if reached is Bot.pending else bot.close)(request_id)).is_over


@pytest.mark.parametrize("why", [None, {"code": "missing_scope"}], ids=str)
async def test_s23_a_requester_who_cannot_be_looked_up_has_not_left(bot, why):
    request_id = await bot.pending()
    bot.directory.slow, bot.directory.why = {MEI.id}, why
    assert (await refused(bot.review(request_id))).code is Code.COULD_NOT_VERIFY


async def test_an_owner_leaves_the_own_device_to_another_approver(bot):
    bot.intune.found = [replace(LEOS_PHONE, owner_id=account_of(KEN).oid), LEOS_LAPTOP]
    request_id = await bot.pending()
    assert (await refused(bot.review(request_id))).code is Code.OWN_DEVICE
    assert (await bot.row(request_id)).status is Status.PENDING
    bot.intune.found = [replace(LEOS_PHONE, listed_for=account_of(KEN).oid.upper())]
    assert (await refused(bot.review(request_id))).code is Code.OWN_DEVICE
    bot.intune.found.append(LEOS_TABLET)
    assert [choice.device for choice in (await bot.review(request_id)).resettable] == [LEOS_TABLET]
    own = await refused(bot.approve(request_id))
    assert own.cause == Cause(Code.OWN_DEVICE, {"device": "Leo's Pixel"})


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        *(([CHALLENGE], None), ([DEAD], None)),
        ([CHALLENGE, ApproverRefused(status=401, claims=MORE_CLAIMS)], MORE_CLAIMS),
        ([CHALLENGE, DEAD], CLAIMS),
        ([DEAD, DEAD], None),
        ([NO_ROLE, CHALLENGE], CLAIMS),
        *(([NO_ROLE, NO_ROLE], NO_ROLE), ([INTUNES, INTUNES], INTUNES)),
    ],
    ids=str,
)
async def test_a_token_that_graph_refuses_is_replaced_once_before_a_sign_in_is_needed(bot, answers, told):
    bot.intune.read_answers = list(answers)
    came = await outcome(bot.review(await bot.pending()))
    assert bot.intune.read_with == [token_of(KEN.id), f"{token_of(KEN.id)} with {answers[0].claims or FRESH}"]
    if len(answers) == 1:
        assert came.resettable
    elif isinstance(told, ApproverRefused):
        assert came is told
    else:
        assert isinstance(came, SignInNeeded)
        assert (came.claims, came.rejected, came.approver) == (told, True, KEN)


async def test_who_signs_in_as_another_while_graph_answers_lends_no_token(bot):
    request_id = await bot.pending()
    bot.intune.on_read = lambda: bot.end_sign_in("another account")
    bot.intune.read_answers = [DEAD]
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
