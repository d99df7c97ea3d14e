"""Sign in: whose account may act for whom, and what the audit log keeps of it."""

import pytest
from bot.domain.audit import Event
from bot.domain.errors import Cause, Code, CouldNotVerify, SignInRefused
from bot.domain.people import Account, Kind, Person, SignInLink, SignInResult
from bot.domain.values import RequestId
from bot.use_cases import sign_in
from bot.use_cases.sign_in import Continuation, PendingSignIn
from tests.support.bot import Bot, outcome, refused
from tests.support.builders import (
    AIKO,
    DORA,
    GUS,
    IN_CHANNEL,
    KEN,
    LEO,
    OLGA,
    ON_CALL,
    ROBO,
    TEAM,
    account_of,
    actor,
)

R1 = RequestId("1" * 32)
THEN = Continuation(request_id=R1, view_id="V1", claims="{}")


@pytest.fixture
def bot(bot: Bot) -> Bot:
    bot.sign_ins.accounts.clear()
    return bot


async def comes_back(bot: Bot, answer: Account | Exception, person: Person = KEN) -> dict[str, str]:
    """Return the form with which Microsoft answers this person's flow."""
    state = await sign_in.authorization_url(bot.deps, await bot.offer(person, THEN))
    bot.links.answers[state] = answer
    return {"state": state}


async def received(bot: Bot, answer: Account | Exception) -> PendingSignIn:
    return await sign_in.receive(bot.deps, await comes_back(bot, answer))


async def signed_in(bot: Bot, answer: Account | Exception) -> tuple[SignInLink, Account]:
    return await sign_in.confirm(bot.deps, (await received(bot, answer)).confirmation)


# Links


async def test_a_link_remembers_what_the_person_was_doing_and_lives_ten_minutes(bot):
    secret = await bot.offer(KEN, THEN)

    assert len(secret.reveal()) >= 43  # 256 random bits
    assert secret.reveal() not in repr((bot.links.links, await bot.entries()))
    link = await bot.links.get(secret)
    assert (link.user, link.request_id, link.view_id, link.claims) == (KEN.id, R1, "V1", "{}")
    assert (link.expires_at - bot.clock.now()).total_seconds() == 600
    assert await sign_in.authorization_url(bot.deps, secret) == await sign_in.authorization_url(
        bot.deps, secret
    )
    assert bot.links.hints == ["ken@contoso.com"]
    bot.clock.advance(minutes=10)
    assert (await refused(sign_in.authorization_url(bot.deps, secret))).code is Code.LINK_UNUSABLE


@pytest.mark.parametrize("person", [GUS, OLGA, ROBO, DORA, LEO, AIKO], ids=lambda person: person.name)
async def test_only_a_full_member_in_the_approver_channel_gets_a_link(bot, person):
    bot.directory.members[IN_CHANNEL].discard(AIKO.id)

    code = (await refused(bot.offer(person))).code

    assert code is (Code.NOT_AN_APPROVER if person in (LEO, AIKO) else Code.NOT_A_MEMBER)
    assert bot.links.links == {}
    assert await bot.refusals() == [(person.id, code)]


async def test_an_approver_off_call_may_sign_in_before_the_shift(bot):
    bot.rules(approvers=(ON_CALL,))

    assert await bot.offer(AIKO)


async def test_an_approver_who_was_admitted_for_this_press_is_not_looked_up_again(bot):
    await sign_in.offer(bot.deps, actor(KEN), TEAM, Continuation(), approver=KEN)

    assert bot.directory.looked_up == []
    assert (await bot.entry(Event.SIGN_IN_STARTED)).actor == KEN.id


async def test_an_approver_past_the_quota_gets_no_link_and_leaves_no_row(bot):
    bot.rules(links_per_hour=1)
    await bot.offer()

    refusal = await refused(bot.offer())

    assert (refusal.code, refusal.facts["limit"]) == (Code.QUOTA_EXCEEDED, "1")
    assert await bot.events() == [Event.SIGN_IN_STARTED]


# Linking


async def test_an_approver_s_own_account_is_linked_only_after_they_confirmed_both(bot):
    pending = await received(bot, account_of(KEN))
    assert (pending.person, pending.account) == (KEN, account_of(KEN))
    assert bot.sign_ins.accounts == {}
    assert Event.SIGNED_IN not in await bot.events()

    link, account = await sign_in.confirm(bot.deps, pending.confirmation)

    assert (link.user, link.request_id, account) == (KEN.id, R1, account_of(KEN))
    assert bot.sign_ins.accounts == {KEN.id: account}
    for answer in (sign_in.confirm, sign_in.decline):
        assert (await refused(answer(bot.deps, pending.confirmation))).code is Code.LINK_UNUSABLE


async def test_the_audit_row_of_a_sign_in_is_kept_with_it_or_not_at_all(bot):
    entries = []

    async def keep(user: str, result: SignInResult, entry: object) -> None:
        entries.append((user, result.account, entry))

    bot.sign_ins.keep = keep
    await signed_in(bot, account_of(KEN))

    [(user, account, entry)] = entries
    assert (user, account) == (KEN.id, account_of(KEN))
    assert (entry.event, entry.actor, entry.request_id) == (Event.SIGNED_IN, KEN.id, R1)
    assert entry.facts == account.as_facts() | {"email": "ken@contoso.com"}
    assert Event.SIGNED_IN not in await bot.events()  # nothing else writes it


async def test_who_declines_is_linked_to_nothing_and_the_audit_log_says_to_what(bot):
    pending = await received(bot, account_of(KEN))

    declined = await sign_in.decline(bot.deps, pending.confirmation)

    assert declined.cause == Cause(Code.DECLINED, {"account": "ken@contoso.com"})
    assert declined.link is not None
    assert bot.sign_ins.accounts == {}
    entry = await bot.entry(Event.SIGN_IN_REFUSED)
    assert (entry.actor, entry.request_id) == (KEN.id, R1)
    assert entry.facts == account_of(KEN).as_facts() | {"cause": "declined"}


@pytest.mark.parametrize("at", ["receive", "confirm", "keep"])
@pytest.mark.parametrize("code", [Code.WRONG_ACCOUNT, Code.ACCOUNT_TAKEN])
async def test_an_account_that_is_not_theirs_is_not_linked_whenever_it_turns_out(bot, at, code):
    call = sign_in.receive(bot.deps, await comes_back(bot, account_of(KEN)))
    if at != "receive":
        call = sign_in.confirm(bot.deps, (await call).confirmation)
    if at == "keep":
        bot.sign_ins.keeping_fails = SignInRefused(code, account="ken@contoso.com")
    elif code is Code.ACCOUNT_TAKEN:
        bot.sign_ins.accounts = {AIKO.id: account_of(KEN)}
    else:
        bot.directory.change(KEN, email="new@contoso.com")

    refusal = await refused(call)

    assert refusal.code is code
    assert isinstance(refusal, SignInRefused)
    assert refusal.link is not None
    assert (refusal.link.user, KEN.id in bot.sign_ins.accounts) == (KEN.id, False)
    entry = await bot.entry(Event.SIGN_IN_REFUSED)
    assert (entry.actor, entry.request_id, entry.facts["cause"]) == (KEN.id, R1, code)
    assert entry.facts["oid"] == "oid-Ken"


@pytest.mark.parametrize("at", ["open", "receive", "confirm"])
@pytest.mark.parametrize("trouble", ["left", "slack"])
async def test_a_person_who_left_or_cannot_be_looked_up_is_not_linked(bot, at, trouble):
    if at == "open":
        call = sign_in.authorization_url(bot.deps, await bot.offer())
    else:
        call = sign_in.receive(bot.deps, await comes_back(bot, account_of(KEN)))
    if at == "confirm":
        call = sign_in.confirm(bot.deps, (await call).confirmation)
    if trouble == "left":
        bot.directory.change(KEN, kind=Kind.DEACTIVATED)
    else:
        bot.directory.down = True

    refusal = await refused(call)

    assert isinstance(refusal, CouldNotVerify) or refusal.code is Code.NOT_A_MEMBER
    assert bot.sign_ins.accounts == {}
    assert await bot.refusals() == ([] if at == "open" else [(KEN.id, refusal.code)])


# What Microsoft refused


async def test_a_refusal_of_microsoft_is_in_the_audit_log_under_who_tried(bot):
    link = await bot.links.get(await bot.offer(KEN, THEN))
    denied = SignInRefused(Code.CONSENT_DENIED, link=link, code="access_denied")

    assert await outcome(received(bot, denied)) is denied

    entry = await bot.entry(Event.SIGN_IN_REFUSED)
    assert (entry.actor, entry.facts) == (KEN.id, {"cause": "consent_denied", "code": "access_denied"})


async def test_a_refusal_of_a_browser_without_a_link_leaves_no_row(bot):
    await refused(received(bot, SignInRefused(Code.BAD_TOKEN)))

    assert Event.SIGN_IN_REFUSED not in await bot.events()


# Sign out


async def test_signing_out_deletes_the_tokens_and_says_so_once(bot):
    bot.sign_ins.accounts[KEN.id] = account_of(KEN)

    assert [await sign_in.sign_out(bot.deps, actor(KEN)) for _ in range(2)] == [True, False]

    assert bot.sign_ins.accounts == {}
    assert (await bot.events(), bot.heads) == ([Event.SIGNED_OUT], 1)
