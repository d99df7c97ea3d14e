"""Signing in to the whole bot: step-up, fresh sign-ins, and a message where no modal waits."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bot.domain.request import Status
from bot.domain.values import utc_text
from bot.slack.wording import CATALOG_EN as ENGLISH
from bot.store import tables
from sqlalchemy import update
from tests.support.app_fixture import Bot, running_bot
from tests.support.user_actions import KEN, KEN_ACCOUNT

pytestmark = pytest.mark.asyncio(loop_scope="module")

STEP_UP = '{"access_token": {"acrs": {"essential": true, "value": "c1"}}}'


async def sign_in_and_approve(bot: Bot) -> None:
    """Go from the modal with the link to the approval."""
    people = bot.people
    await people.browser.sign_in(people.link_in_modal(KEN), KEN_ACCOUNT)
    assert await people.title_after(KEN, ENGLISH["sign_in.title"]) == ENGLISH["review.title"]
    await people.submit(KEN)
    await people.title_after(KEN, ENGLISH["review.title"])


async def test_a_step_up_that_graph_asks_for_is_carried_through_the_link_and_the_approval_goes_on(bot: Bot):
    """401 with claims in base64, a silent try that is refused, a link with the claims, acrs in the token."""
    people = bot.people
    request_id = await bot.pending()
    await people.sign_in()
    bot.sandbox.intune.demand_claims(KEN_ACCOUNT, STEP_UP)

    assert await bot.review() == ENGLISH["sign_in.title"]
    assert ENGLISH["sign_in.claims"] in people.modal_text(KEN)
    asked = await people.browser.http.get(people.link_in_modal(KEN))
    assert "acrs" in asked.headers["location"]
    await sign_in_and_approve(bot)
    await bot.reaches(request_id, Status.DONE)
    assert (await people.resets())[-1]["upn"] == "ken@contoso.com"


async def test_where_approvals_ask_for_it_an_old_sign_in_neither_reviews_nor_approves(tmp_path: Path):
    async with running_bot(tmp_path, fresh_sign_in=True) as bot:
        people = bot.people
        request_id = await bot.pending()
        await people.sign_in()
        await grow_old(bot)

        assert await bot.review() == ENGLISH["sign_in.title"]
        assert ENGLISH["sign_in.stale"] in people.modal_text(KEN)
        asked = await people.browser.http.get(people.link_in_modal(KEN))
        assert "prompt=login" in asked.headers["location"]
        assert "max_age=600" in asked.headers["location"]
        await people.browser.sign_in(people.link_in_modal(KEN), KEN_ACCOUNT)
        assert await people.title_after(KEN, ENGLISH["sign_in.title"]) == ENGLISH["review.title"]
        await grow_old(bot)
        await people.submit(KEN)
        assert await people.title_after(KEN, ENGLISH["review.title"]) == ENGLISH["sign_in.title"]
        assert await people.resets() == []

        await sign_in_and_approve(bot)
        await bot.reaches(request_id, Status.DONE)


async def grow_old(bot: Bot) -> None:
    """As if eleven minutes had passed since Ken proved who he is."""
    before = utc_text(datetime.now(UTC) - timedelta(minutes=11))
    await bot.execute(update(tables.sign_ins).values(authenticated_at=before))
