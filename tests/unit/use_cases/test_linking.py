"""Sign in: whose account may act for whom, and what the audit log keeps of it."""

from collections.abc import Awaitable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from bot.domain.audit import Event
from bot.domain.errors import Code, CouldNotVerify, SignInNeeded, SignInRefused
from bot.domain.people import Kind
from bot.domain.values import RequestId
from bot.use_cases import sign_in
from tests.support.bot import Bot, outcome, refused
from tests.support.builders import AIKO, CAST, IN_CHANNEL, KEN, LEO, ON_CALL, account_of, actor

R1 = RequestId("1" * 32)
THEN: Mapping[str, Any] = {"request_id": R1, "view_id": "V1", "need": SignInNeeded("{}")}


@pytest.fixture
def bot(bot: Bot) -> Bot:
    bot.sign_ins.accounts.clear()
    return bot


async def call_at(bot: Bot, at: str) -> Awaitable[object]:
    """Return what Ken's browser calls next, once the sign-in has come so far."""
    if at == "open":
        return sign_in.authorization_url(bot.deps, await bot.offer())
    call = bot.comes_back(account_of(KEN), **THEN)
    return call if at == "receive" else sign_in.confirm(bot.deps, (await call)[-1])


async def test_a_link_is_a_secret_that_remembers_what_the_person_was_doing_for_ten_minutes_also_off_call(bot):
    bot.rules(approvers=(ON_CALL,))
    secret = await bot.offer(AIKO, **THEN)
    assert len(secret.reveal()) >= 43  # 256 random bits
    assert secret.reveal() not in repr((bot.links.links, await bot.entries()))
    link = await bot.links.get(secret)
    assert (link.user, link.request_id, link.view_id, link.claims) == (AIKO.id, R1, "V1", "{}")
    assert link.expires_at - bot.clock.now() == timedelta(minutes=10)
    await sign_in.authorization_url(bot.deps, secret)
    assert bot.links.hints == ["aiko@contoso.com"]


@pytest.mark.parametrize("person", CAST[2:], ids=lambda person: person.name)  # all but Mei and Ken
async def test_only_a_full_member_in_the_approver_channel_gets_a_link(bot, person):
    bot.directory.members[IN_CHANNEL].discard(AIKO.id)
    code = (await refused(bot.offer(person))).code
    assert code is (Code.NOT_AN_APPROVER if person in (LEO, AIKO) else Code.NOT_A_MEMBER)
    assert (bot.links.links, await bot.refusals()) == ({}, [(person.id, code)])


@pytest.mark.parametrize("person", [LEO, KEN, AIKO], ids=lambda person: person.name)
async def test_where_requesters_sign_in_who_may_ask_shows_who_they_are_and_lends_no_token(bot, person):
    bot.directory.members = {ON_CALL: {LEO.id, KEN.id}, IN_CHANNEL: {KEN.id}}
    bot.rules(requesters=(ON_CALL,), requester_sign_in=True)
    if person is AIKO:
        assert (await refused(bot.offer(person))).code is Code.NOT_A_REQUESTER
        return
    await sign_in.authorization_url(bot.deps, await bot.offer(person))
    assert bot.links.identity_only == [person is LEO]
    rule = IN_CHANNEL if person is KEN else ON_CALL
    assert (await bot.entry(Event.SIGN_IN_STARTED)).facts["rule"] == str(rule)


async def test_an_approver_who_was_admitted_for_this_press_is_not_looked_up_again(bot):
    need = SignInNeeded()
    need.approver = KEN
    assert await sign_in.offer(bot.deps, actor(KEN), request_id=None, view_id=None, need=need)
    assert bot.directory.looked_up == []


async def test_an_approver_s_own_account_is_linked_only_after_they_confirmed_both(bot):
    person, signed_in, confirmation = await bot.comes_back(account_of(KEN), **THEN)
    assert (person, signed_in, bot.sign_ins.accounts) == (KEN, account_of(KEN), {})
    assert Event.SIGNED_IN not in await bot.events()
    link, account = await sign_in.confirm(bot.deps, confirmation)
    assert (link.user, link.request_id, account) == (KEN.id, R1, account_of(KEN))
    assert bot.sign_ins.accounts == {KEN.id: account}
    assert (await bot.entry(Event.SIGNED_IN)).request_id == R1


async def test_who_declines_is_linked_to_nothing_and_the_audit_log_says_to_what(bot):
    *_, confirmation = await bot.comes_back(account_of(KEN), **THEN)
    declined = await sign_in.decline(bot.deps, confirmation)
    assert (declined.cause.facts, bot.sign_ins.accounts) == ({"account": "ken@contoso.com"}, {})
    assert declined.link is not None
    entry = await bot.entry(Event.SIGN_IN_REFUSED)
    assert (entry.actor, entry.request_id) == (KEN.id, R1)
    assert entry.facts == account_of(KEN).as_facts() | {"cause": "declined"}


@pytest.mark.parametrize("at", ["receive", "confirm", "keep"])
@pytest.mark.parametrize("code", [Code.WRONG_ACCOUNT, Code.ACCOUNT_TAKEN])
async def test_an_account_that_is_not_theirs_is_not_linked_whenever_it_turns_out(bot, at, code):
    call = await call_at(bot, at)
    if at == "keep":
        bot.sign_ins.keeping_fails = SignInRefused(code, account="ken@contoso.com")
    elif code is Code.ACCOUNT_TAKEN:
        bot.sign_ins.accounts = {AIKO.id: account_of(KEN)}
    else:
        bot.directory.change(KEN, email="new@contoso.com")
    refusal = await refused(call)
    assert isinstance(refusal, SignInRefused)
    assert refusal.link is not None
    assert (refusal.code, refusal.link.user) == (code, KEN.id)
    assert KEN.id not in bot.sign_ins.accounts
    entry = await bot.entry(Event.SIGN_IN_REFUSED)
    assert (entry.actor, entry.request_id, entry.facts["cause"]) == (KEN.id, R1, code)
    assert entry.facts["oid"] == "oid-Ken"


@pytest.mark.parametrize("at", ["open", "receive", "confirm"])
@pytest.mark.parametrize("trouble", ["left", "slack"])
async def test_a_person_who_left_or_cannot_be_looked_up_is_not_linked(bot, at, trouble):
    call = await call_at(bot, at)
    if trouble == "left":
        bot.directory.change(KEN, kind=Kind.DEACTIVATED)
    else:
        bot.directory.down = True
    refusal = await refused(call)
    assert isinstance(refusal, CouldNotVerify) or refusal.code is Code.NOT_A_MEMBER
    assert bot.sign_ins.accounts == {}
    assert await bot.refusals() == ([] if at == "open" else [(KEN.id, refusal.code)])


@pytest.mark.parametrize("knows_the_link", [True, False])
async def test_a_refusal_of_microsoft_is_in_the_audit_log_under_who_tried_where_known(bot, knows_the_link):
    link = await bot.links.get(await bot.offer(KEN, **THEN)) if knows_the_link else None
    denied = SignInRefused(Code.CONSENT_DENIED, link=link, code="access_denied")
    assert await outcome(bot.comes_back(denied, **THEN)) is denied
    rows = [entry for entry in await bot.entries() if entry.event is Event.SIGN_IN_REFUSED]
    kept = [(KEN.id, {"cause": "consent_denied", "code": "access_denied"})] if knows_the_link else []
    assert [(entry.actor, entry.facts) for entry in rows] == kept


@pytest.mark.parametrize(("asked", "claims"), [(None, "{}"), ('{"acrs":{}}', '{"acrs":{}}')])
async def test_finding_8_a_refused_sign_in_leads_on_to_a_new_link_while_they_may(bot, asked, claims):
    old = await bot.links.get(await bot.offer(KEN, **THEN))
    assert await sign_in.offer_again(bot.deps, old, asked)
    new = list(bot.links.links.values())[-1]
    assert (new.user, new.request_id, new.view_id, new.claims) == (KEN.id, R1, "V1", claims)
    bot.directory.members.clear()
    assert await sign_in.offer_again(bot.deps, old, asked) is None


async def test_signing_out_deletes_the_tokens_and_says_so_once(bot):
    bot.sign_ins.accounts[KEN.id] = account_of(KEN)
    twice = [(await sign_in.sign_out(bot.deps, actor(KEN)), bot.heads) for _ in range(2)]
    assert (twice, bot.sign_ins.accounts) == ([(True, 1), (False, 1)], {})
