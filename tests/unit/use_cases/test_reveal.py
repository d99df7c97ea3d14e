"""Reveal: the new passcode goes to the requester alone, never without an audit row."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from bot.domain.audit import Event
from bot.domain.errors import ApproverRefused, Cause, Code, SignInNeeded, StoreUnavailable
from bot.domain.people import Kind
from bot.domain.values import Secret, utc_text
from tests.support.bot import Bot, goes_down, outcome, refused
from tests.support.builders import IN_CHANNEL, KEN, LEOS_PHONE, MEI, ON_CALL, account_of
from tests.support.fakes import token_of


async def test_the_requester_views_the_new_passcode_and_every_view_is_in_the_audit_log(bot):
    request_id = await bot.done(passcode="80 51 33")
    bot.intune.read_with.clear()
    heads = bot.heads
    assert [(await bot.reveal(request_id)).reveal() for _ in range(2)] == ["80 51 33"] * 2
    assert (bot.intune.read_with, bot.heads) == ([token_of(KEN.id)] * 2, heads + 2)
    assert (await bot.events()).count(Event.PASSCODE_VIEWED) == 2


@pytest.mark.parametrize("now", ["as then", "signed out", "as another account"])
async def test_where_requesters_sign_in_only_the_account_that_asked_sees_the_passcode(bot, now):
    bot.rules(requester_sign_in=True)
    bot.sign_ins.accounts[MEI.id] = account_of(MEI)
    request_id = await bot.done(passcode="80 51 33")
    others = {"signed out": None, "as another account": account_of(MEI, oid="oid-of-another")}
    if now != "as then":
        bot.sign_ins.accounts[MEI.id] = others[now]
    came = await outcome(bot.reveal(request_id))
    assert isinstance(came, Secret if now == "as then" else SignInNeeded)
    assert ((await bot.events()).count(Event.PASSCODE_VIEWED) == 1) is (now == "as then")


async def test_no_passcode_is_returned_whose_view_could_not_be_stored(bot):
    request_id = await bot.done()
    looked = len(bot.intune.read_with)
    bot.intune.on_read = lambda: goes_down(bot.database)
    assert isinstance(await outcome(bot.reveal(request_id)), StoreUnavailable)
    assert len(bot.intune.read_with) == looked + 1


@pytest.mark.parametrize("shown", ["nothing", "the reset before ours", "no attempt"])
async def test_a_passcode_of_another_reset_is_never_shown(bot, shown):
    bot.intune.show(LEOS_PHONE.id, "pending")
    bot.intune.finish(passcode="another's")
    bot.clock.advance(seconds=1)
    request_id = await bot.done(knowingly=True)
    earlier, ours = bot.intune.shown[LEOS_PHONE.id]
    kept = {"nothing": [], "the reset before ours": [earlier], "no attempt": [earlier, ours]}
    bot.intune.shown[LEOS_PHONE.id] = kept[shown]
    if shown == "no attempt":
        done = await bot.row(request_id)
        await bot.store(done, replace(done, attempt=None, version=done.version + 1))
    assert (await refused(bot.reveal(request_id))).code is Code.NO_PASSCODE
    assert Event.PASSCODE_VIEWED not in await bot.events()


BY_KEN, NOBODY = {"approver": KEN.id}, replace(ON_CALL, id="S0NOBODY")
LEFT, SIGNED_OUT = (Cause(code, BY_KEN) for code in (Code.APPROVER_LEFT, Code.APPROVER_SIGNED_OUT))
NO_ROLE = Cause(Code.CANNOT_READ, BY_KEN | {"status": "403"})
UNVERIFIED, UNFIT = Cause(Code.COULD_NOT_VERIFY, {"what": "person"}), Cause(Code.NOT_A_REQUESTER)
DEAD, ENDED = ([ApproverRefused(status=status)] * 2 for status in (401, 403))
NO_LONGER: dict[str, tuple[Callable[[Bot], object], Cause]] = {
    "Microsoft takes the token no more": (lambda bot: bot.intune.read_answers.extend(DEAD), SIGNED_OUT),
    "the approver lost the Intune role": (lambda bot: bot.intune.read_answers.extend(ENDED), NO_ROLE),
    "the approver left the workspace": (lambda bot: bot.directory.change(KEN, kind=Kind.DEACTIVATED), LEFT),
    "Slack does not show the approver any more": (lambda bot: bot.directory.people.pop(KEN.id), LEFT),
    "the approver is not on call": (lambda bot: bot.rules(approvers=(NOBODY,)), LEFT),
    "the requester left the audience": (lambda bot: bot.directory.members[IN_CHANNEL].discard(MEI.id), UNFIT),
    "Slack does not say who the approver is": (lambda bot: bot.directory.slow.add(KEN.id), UNVERIFIED),
}


@pytest.mark.parametrize(("change", "cause"), NO_LONGER.values(), ids=NO_LONGER)
async def test_who_asks_and_whose_token_is_lent_are_admitted_anew_or_named(bot, change, cause):
    request_id = await bot.done()
    change(bot)
    assert (await refused(bot.reveal(request_id))).cause == cause
    assert Event.PASSCODE_VIEWED not in await bot.events()


@pytest.mark.parametrize("state", ["pending", "done", "failed"])
async def test_a_passcode_that_a_later_reset_ended_is_not_shown_as_if_it_worked(bot, state):
    request_id = await bot.done(passcode="ours")
    bot.clock.advance(minutes=1)
    at = bot.intune.show(LEOS_PHONE.id, state)
    if state == "failed":
        assert (await bot.reveal(request_id)).reveal() == "ours"
    else:
        replaced = Cause(Code.PASSCODE_REPLACED, {"at": utc_text(at)})
        assert (await refused(bot.reveal(request_id))).cause == replaced
