"""Signing in to the whole bot: step-up, fresh sign-ins, and a message where no modal waits."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from bot.domain.request import Status
from bot.domain.values import UserId, utc_text
from bot.entra.vault import for_sign_in
from bot.slack.wording import CATALOG_EN as ENGLISH
from bot.store import tables
from bot.store.sign_ins import get_sign_in
from sandbox.entra import SigningKey
from sqlalchemy import update
from tests.support.app_fixture import TOMAS, Bot, running_bot
from tests.support.user_actions import KEN, KEN_ACCOUNT, MEI, ON_CALL

pytestmark = pytest.mark.asyncio(loop_scope="module")

IDENTITY = {"openid", "profile", "email"}
STEP_UP = '{"access_token": {"acrs": {"essential": true, "value": "c1"}}}'


async def sign_in_and_approve(bot: Bot) -> None:
    """Go from the modal with the link to the approval."""
    assert await bot.people.follow_link(KEN) == ENGLISH["review.title"]
    await bot.people.submit(KEN)
    await bot.people.title_after(KEN, ENGLISH["review.title"])


async def test_tokens_that_graph_takes_no_more_are_replaced_without_a_person(bot: Bot):
    request_id = await bot.pending_for_ken()
    assert await bot.review() == ENGLISH["review.title"]
    kept, bot.sandbox.entra.key = bot.sandbox.entra.key, SigningKey.fresh("rolled")
    try:
        await bot.people.submit(KEN)
        await bot.reaches(request_id, Status.DONE)
    finally:
        bot.sandbox.entra.key = kept


async def test_a_step_up_that_graph_asks_for_is_carried_through_the_link_and_the_approval_goes_on(bot: Bot):
    """401 with claims in base64, a silent try that is refused, a link with the claims, acrs in the token."""
    people = bot.people
    request_id = await bot.pending_for_ken()
    bot.sandbox.intune.demand_claims(KEN_ACCOUNT, STEP_UP)
    assert await bot.review() == ENGLISH["sign_in.title"]
    assert ENGLISH["sign_in.claims"] in people.modal_text(KEN)
    asked = await people.browser.http.get(people.link_in_modal(KEN))
    assert "acrs" in asked.headers["location"]
    await sign_in_and_approve(bot)
    await bot.reaches(request_id, Status.DONE)
    assert (await people.resets())[-1]["upn"] == "ken@contoso.com"


async def test_s03_s04_on_enterprise_grid_one_person_under_two_ids_asks_and_approves(tmp_path: Path):
    """Ken is named by his id in the organization, both by another workspace; the lists name them by ours."""
    async with running_bot(tmp_path, grid=True, approvers="channel:" + ON_CALL) as bot:
        people, workspace = bot.people, bot.sandbox.slack.workspace
        request_id = await bot.pending_for_ken()
        assert await bot.review() == ENGLISH["review.title"]
        workspace.named_by_organization = {MEI}  # from now on Slack says it the other way round
        await people.submit(KEN)
        assert await people.title_after(KEN, ENGLISH["review.title"]) == ENGLISH["approved.title"]
        row = await bot.reaches(request_id, Status.DONE)
        assert (row.asked_by, row.decided_by) == (MEI, KEN)
        await people.command(MEI, "status")
        await people.until(lambda: row.ref in str(people.private_texts(MEI)))
        second = await bot.pending(TOMAS)
        assert (await bot.row(second)).asked_by == workspace.organization_id(MEI)
        workspace.named_by_organization = set()
        await people.until(lambda: second in people.offered("withdraw"))
        await people.press(MEI, "withdraw", request=second)
        await bot.reaches(second, Status.WITHDRAWN)


async def test_where_approvals_ask_for_it_an_old_sign_in_neither_reviews_nor_approves(tmp_path: Path):
    async with running_bot(tmp_path, fresh_sign_in=True) as bot:
        people = bot.people
        request_id = await bot.pending_for_ken()
        await grow_old(bot)
        assert await bot.review() == ENGLISH["sign_in.title"]
        assert ENGLISH["sign_in.stale"] in people.modal_text(KEN)
        asked = await people.browser.http.get(people.link_in_modal(KEN))
        assert "prompt=login" in asked.headers["location"]
        assert "max_age=600" in asked.headers["location"]
        assert await people.follow_link(KEN) == ENGLISH["review.title"]
        await grow_old(bot)
        await people.submit(KEN)
        assert await people.title_after(KEN, ENGLISH["review.title"]) == ENGLISH["sign_in.title"]
        assert await people.resets() == []
        await sign_in_and_approve(bot)
        await bot.reaches(request_id, Status.DONE)


async def test_where_requesters_sign_in_a_request_waits_for_it_and_so_does_the_passcode(tmp_path: Path):
    async with running_bot(tmp_path, requester_sign_in=True) as bot:
        people = bot.people
        await people.command(MEI, TOMAS)
        await people.until(lambda: ENGLISH["status.unlinked.title"] in people.receipt())
        assert people.messages(ON_CALL) == []
        assert await people.open(MEI, "link") == ENGLISH["sign_in.title"]
        asked = await people.browser.http.get(people.link_in_modal(MEI))
        assert set(parse_qs(urlsplit(asked.headers["location"]).query)["scope"][0].split()) == IDENTITY
        assert await people.follow_link(MEI) == ENGLISH["signed_in.title"]
        await people.until(lambda: people.messages(ON_CALL))
        await people.approve()
        [request] = await bot.rows()
        await bot.reaches(request.id, Status.DONE)
        await people.until(lambda: "Show passcode" in str(people.direct(MEI)))
        await people.command(MEI, "sign-out")
        await people.until(lambda: ENGLISH["signed_out"] in people.private_texts(MEI))
        assert await people.open(MEI, "show_passcode") == ENGLISH["sign_in.title"]
        assert await people.follow_link(MEI) == ENGLISH["passcode.title"]


async def grow_old(bot: Bot) -> None:
    """As if eleven minutes had passed since Ken proved who he is."""
    database, vault = bot.app.deps.database, bot.app.deps.sign_ins.vault
    row = await database.read(lambda connection: get_sign_in(connection, UserId(KEN)))
    old = replace(row, authenticated_at=datetime.now(UTC) - timedelta(minutes=11))
    sealed = vault.seal(vault.open(row.sealed, for_sign_in(row)), for_sign_in(old))
    changes = {"authenticated_at": utc_text(old.authenticated_at), "sealed": sealed}
    await bot.execute(update(tables.sign_ins).values(changes))
