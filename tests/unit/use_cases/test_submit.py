"""Submit: one durable insert, then the verification of who asks and for what."""

from datetime import timedelta

import pytest
from bot.domain.audit import Event
from bot.domain.errors import Cause, Code
from bot.domain.people import Kind
from bot.domain.request import ResetRequest, Status
from bot.domain.target import Target, TargetKind
from bot.use_cases.submit import submit
from structlog.testing import capture_logs
from tests.support.bot import refused
from tests.support.builders import AIKO, LEO, MEI, RULES, account_of, actor

WRONG, RIGHT = "F2LX1234ABCD", "R5CX70ABCDE"


async def test_a_request_is_stored_before_anybody_is_looked_up(bot):
    bot.directory.down = True
    request = await bot.submit(ticket=" INC-7 ")
    assert await bot.row(request.id) == request
    assert (request.status, request.ticket, request.next_at) == (Status.RECEIVED, "INC-7", bot.clock.now())
    assert (bot.directory.looked_up, bot.wakes) == ([], 1)
    assert (len(request.id), int(request.id, 16).bit_length() > 64) == (32, True)  # 128 random bits


async def test_s02_a_second_delivery_of_the_same_content_is_the_first_one_s_request(bot):
    async def stored(target: str = RIGHT, **typed: str) -> ResetRequest:
        texts = {"target": f"serial:{target}", "reason": "locked"} | typed
        return await submit(bot.deps, actor(MEI), delivery="V0FORM", **texts)

    ids = [(await stored(name)).id for name in ("F2LX1234ABCD", "R5CX70ABCDE", "R5CX70ABCDE", "F2LX1234ABCD")]
    assert (ids, (await bot.row(ids[1])).target.value) == ([ids[0], ids[1], ids[1], ids[0]], RIGHT)
    joined = [{"reason": "a", "ticket": "b"}, {"reason": "ab"}, {"reason": "a"}]
    assert len({(await stored(**typed)).delivery for typed in joined}) == 3


@pytest.mark.parametrize("in_audience", [True, False, None], ids=["in it", "not in it", "there is none"])
@pytest.mark.parametrize("kind", Kind)
async def test_only_a_full_member_of_the_audience_may_ask(bot, kind, in_audience):
    bot.directory.change(MEI, kind=kind)
    if in_audience is None:
        bot.rules(requesters=())
    elif not in_audience:
        bot.directory.members[RULES.requesters[0]].discard(MEI.id)
    request = await bot.advance((await bot.submit()).id)
    if kind is Kind.MEMBER and in_audience:
        assert (request.status, request.cause) == (Status.PENDING, None)
        return
    guest = Cause(Code.NOT_A_MEMBER, {"kind": kind})
    assert request.cause == (Cause(Code.NOT_A_REQUESTER) if kind is Kind.MEMBER else guest)
    assert request.status is Status.REFUSED
    assert (await bot.entry(Event.REFUSED)).facts == {"requester": MEI.id} | request.cause.as_facts()


@pytest.mark.parametrize("answers_in_time", [True, False])
async def test_a_lookup_that_fails_is_tried_again_and_then_refuses(bot, answers_in_time):
    request = await bot.submit()
    bot.directory.down = True
    waiting = await bot.advance(request.id)
    assert (waiting.status, waiting.next_at) == (Status.RECEIVED, bot.clock.now() + timedelta(seconds=10))
    bot.clock.advance(timedelta(minutes=5) - timedelta.resolution)
    assert (await bot.advance(request.id)).status is Status.RECEIVED
    assert await bot.events() == [Event.REQUESTED]
    bot.directory.down = not answers_in_time
    bot.clock.advance(timedelta.resolution)
    after = await bot.advance(request.id)
    cause = None if answers_in_time else Cause(Code.COULD_NOT_VERIFY, {"what": "slack"})
    assert (after.status, after.cause) == (Status.PENDING if answers_in_time else Status.REFUSED, cause)


async def test_a_lookup_that_no_waiting_mends_refuses_at_once_and_says_why(bot):
    request = await bot.submit()
    bot.directory.down, bot.directory.why = True, {"code": "missing_scope", "needed": "users:read"}
    facts = {"what": "slack"} | bot.directory.why
    assert (await bot.advance(request.id)).cause == Cause(Code.COULD_NOT_VERIFY, facts)


async def test_who_has_to_sign_in_first_is_waited_for_and_then_the_request_goes_on_as_it_was_typed(bot):
    bot.rules(requester_sign_in=True)
    request = await bot.submit()
    for _ in range(3):
        waiting = await bot.advance(request.id)
        assert (waiting.status, waiting.waits_for_sign_in) == (Status.RECEIVED, True)
        assert waiting.next_at == bot.clock.now() + bot.deps.timing.remind_every  # a sign-in makes it due
    assert bot.directory.looked_up == [MEI.id]  # once
    await bot.publish(request.id)
    assert bot.notifier.posted == ["receipt"]
    bot.clock.advance(minutes=20)  # a failed lookup has its time from the sign-in on
    bot.sign_ins.accounts[MEI.id] = account_of(MEI, at=bot.clock.now())
    bot.directory.down = True
    assert (await bot.advance(request.id)).status is Status.RECEIVED
    bot.directory.down = False
    pending = await bot.advance(request.id)
    assert (pending.status, pending.cause, pending.asked_as) == (Status.PENDING, None, account_of(MEI).key)
    assert (pending.target, pending.reason) == (request.target, request.reason)
    assert (await bot.entry(Event.VERIFIED)).facts.items() >= account_of(MEI).as_facts().items()


@pytest.mark.parametrize("asker", [MEI, LEO], ids=["nobody signs in", "who may not ask"])
async def test_where_nobody_signs_in_the_request_ends(bot, asker):
    bot.rules(requester_sign_in=True)
    request = await bot.submit(by=asker)
    assert (await bot.advance(request.id)).waits_for_sign_in is (asker is MEI)
    bot.clock.advance(bot.deps.timing.lifetime)
    ended = await bot.advance(request.id) if asker is MEI else await bot.row(request.id)
    code = Code.SIGN_IN_NEEDED if asker is MEI else Code.NOT_A_REQUESTER
    assert (ended.status, ended.cause) == (Status.REFUSED, Cause(code))


@pytest.mark.parametrize("email", ["Leo@contoso.com", None, "leo@contoso.com?$x=1", "of nobody"])
async def test_a_mention_becomes_that_person_s_address_or_is_refused(bot, email):
    bot.directory.change(LEO, email=email)
    if email == "of nobody":
        del bot.directory.people[LEO.id]
    request = await bot.submit(target=f"<@{LEO.id}|leo>")
    bot.directory.slow = {LEO.id}
    assert (email == "of nobody") or (await bot.advance(request.id)).status is Status.RECEIVED
    bot.directory.slow.clear()
    request = await bot.advance(request.id)
    if email == "Leo@contoso.com":
        assert request.target == Target(TargetKind.PERSON, "leo@contoso.com")
    else:
        assert (request.status, request.cause) == (Status.REFUSED, Cause(Code.NO_EMAIL, {"person": LEO.id}))


async def test_a_second_request_for_the_same_target_is_led_to_the_first_if_its_requester_may_ask(bot):
    first = await bot.row(await bot.pending())
    second = await bot.advance((await bot.submit(by=AIKO, target="LEO@contoso.com")).id)
    outsiders = await bot.advance((await bot.submit(by=LEO)).id)
    assert second.status is Status.REFUSED
    assert second.cause == Cause(Code.ALREADY_REQUESTED, {"ref": first.ref, "by": MEI.id, "first": first.id})
    assert outsiders.cause == Cause(Code.NOT_A_REQUESTER)


async def test_a_person_s_sixth_open_request_is_refused_until_one_is_decided(bot):
    ids = [(await bot.submit(target=f"serial:C02LEO{n}")).id for n in range(3)]
    ids += [await bot.pending(target=f"serial:C02LEO{n}") for n in (3, 4)]
    with capture_logs() as logs:
        assert (await refused(bot.submit(target="serial:C02LEO5"))).facts == {"limit": "5"}
    assert [line["code"] for line in logs] == [Code.TOO_MANY_OPEN]
    await bot.submit(by=AIKO)
    await bot.withdraw(ids[-1])
    await bot.submit(target="serial:C02LEO5")
    assert await bot.refusals() == []
