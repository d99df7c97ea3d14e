"""What people may not do, do too late or take back: each is told why, and nothing is reset."""

import pytest
from bot.domain.request import Status
from bot.slack.wording import CATALOG_EN as ENGLISH
from tests.support.app_fixture import Bot, with_value
from tests.support.user_actions import AIKO, GUS, KEN, MEI, ON_CALL, direct_channel

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_guest_who_asks_is_told_so_and_no_approver_sees_a_card(bot: Bot):
    people = bot.people
    before = len(people.messages(ON_CALL))
    await people.command(GUS, "ada@contoso.com I repair this phone")
    await people.until(lambda: ENGLISH["kind.guest"] in str(people.direct(GUS)))
    assert len(people.messages(ON_CALL)) == before


async def test_a_device_that_cannot_be_reset_ends_the_request_with_the_reason(bot: Bot):
    request_id = await bot.pending("serial:7XK2P34 locked out")
    await bot.people.sign_in()
    assert await bot.review() == ENGLISH["code.wrong_platform.title"]
    await bot.reaches(request_id, Status.REFUSED)
    await bot.people.until(lambda: "runs Windows" in bot.people.receipt())


async def test_a_press_on_an_old_card_says_who_decided(bot: Bot):
    people = bot.people
    old = await bot.pending()
    assert await people.open(AIKO, "deny") == ENGLISH["deny.title"]
    await people.submit(AIKO, denial="Call him first")
    await bot.reaches(old, Status.DENIED)
    await people.until(lambda: "Call him first" in people.receipt())

    await bot.pending("jonas@contoso.com locked out")
    with bot.deliveries.forging(lambda payload: with_value(payload, old)):
        assert await bot.review() == ENGLISH["code.already_decided.title"]
    assert f"<@{AIKO}>" in people.modal_text(KEN)


async def test_a_request_that_is_withdrawn_is_shown_as_such(bot: Bot):
    people = bot.people
    request_id = await bot.pending()
    await people.until(lambda: ENGLISH["status.pending.title"] in people.receipt())
    await people.press(MEI, "withdraw", channel=direct_channel(MEI))
    await bot.reaches(request_id, Status.WITHDRAWN)
    await people.until(lambda: "ithdrawn" in people.card() and "ithdrawn" in people.receipt())
