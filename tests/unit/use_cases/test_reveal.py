"""Reveal: the new passcode goes to the requester alone, never without an audit row."""

from dataclasses import replace

import pytest
from bot.domain.audit import Event
from bot.domain.errors import Cause, Code, StoreUnavailable
from tests.support.bot import outcome, refused
from tests.support.builders import KEN, LEOS_PHONE
from tests.support.fakes import token_of


async def test_the_requester_views_the_new_passcode_and_every_view_is_in_the_audit_log(bot):
    request_id = await bot.done(passcode="80 51 33")
    bot.intune.read_with.clear()
    heads = bot.heads
    assert [(await bot.reveal(request_id)).reveal() for _ in range(2)] == ["80 51 33"] * 2
    assert bot.intune.read_with == [token_of(KEN.id)] * 2
    assert bot.heads == heads + 2
    assert (await bot.events()).count(Event.PASSCODE_VIEWED) == 2


async def test_no_passcode_is_returned_whose_view_could_not_be_stored(bot):
    request_id = await bot.done()
    looked = len(bot.intune.read_with)

    async def database_goes_down() -> None:
        bot.database.down = True

    bot.intune.on_read = database_goes_down

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


@pytest.mark.parametrize("ended", ["signed out", "left the workspace"])
async def test_without_the_approver_s_sign_in_the_requester_hears_whose_it_takes(bot, ended):
    request_id = await bot.done()
    await bot.end_sign_in(ended)
    refusal = await refused(bot.reveal(request_id))
    assert refusal.cause == Cause(Code.APPROVER_SIGNED_OUT, {"approver": KEN.id})
