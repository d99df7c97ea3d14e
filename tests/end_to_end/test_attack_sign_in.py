"""Attacks on the sign-in, by name: links forwarded, answers replayed, tokens of elsewhere, rows swapped."""

import pytest
from bot.domain.audit import Event
from bot.domain.errors import Code
from bot.domain.request import Status
from bot.domain.values import UserId
from bot.slack.wording import CATALOG_EN as ENGLISH
from bot.store import tables
from bot.web.sign_in import DECLINED
from sandbox.cast import OTHER_TENANT_ID
from sqlalchemy import select, update
from tests.support.app_fixture import Bot, by_user
from tests.support.user_actions import AIKO, AIKO_ACCOUNT, KEN, KEN_ACCOUNT, KEN_AT_FABRIKAM, Browser

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def signed_in(bot: Bot) -> dict[str, str]:
    """Who is signed in, as whom."""
    found = {user: await bot.app.deps.sign_ins.account(UserId(user)) for user in (KEN, AIKO)}
    return {user: account.username for user, account in found.items() if account is not None}


async def test_attack_forwarded_sign_in_link(bot: Bot):
    """Ken, the attacker, sends his link to Aiko, who signs in: nothing is linked, and it is in the log."""
    page = await bot.people.browser.sign_in(await bot.people.sign_in_link(KEN), AIKO_ACCOUNT)

    assert page.status_code == 403
    assert await signed_in(bot) == {}
    assert await bot.refused(Event.SIGN_IN_REFUSED) == [(KEN, Code.WRONG_ACCOUNT)]
    await bot.people.until(lambda: "aiko@contoso.com" in bot.people.modal_text(KEN))


async def test_attack_forwarded_sign_in_link_with_the_leads_address_in_the_attackers_profile(bot: Bot):
    """On some Slack plans people change their own address. Then the page is what stands in the way."""
    bot.sandbox.slack.change_person(KEN, email="aiko@contoso.com")
    lead = bot.people.browser
    page = await lead.arrive(await bot.people.sign_in_link(KEN), AIKO_ACCOUNT)

    assert "Ken Ito" in page.text
    assert "aiko@contoso.com" in page.text
    assert await signed_in(bot) == {}
    assert DECLINED in (await lead.confirm(page, "no")).text
    assert await signed_in(bot) == {}
    assert await bot.refused(Event.SIGN_IN_REFUSED) == [(KEN, Code.DECLINED)]
    assert await bot.people.title_after(KEN, ENGLISH["sign_in.title"]) == ENGLISH["code.declined.title"]


async def test_attack_yes_pressed_for_somebody_else(bot: Bot):
    """The attacker knows the form, but not the cookie of the lead's browser, or the other way round."""
    bot.sandbox.slack.change_person(KEN, email="aiko@contoso.com")
    lead, attacker = bot.people.browser, Browser()
    page = await lead.arrive(await bot.people.sign_in_link(KEN), AIKO_ACCOUNT)

    assert (await attacker.confirm(page)).status_code == 410
    forged = await lead.http.post(f"{bot.url}/sign-in/confirm", data={"page": "x" * 43, "answer": "yes"})
    assert forged.status_code == 410
    assert await signed_in(bot) == {}
    await attacker.http.aclose()


async def test_attack_replayed_callback(bot: Bot):
    """What Microsoft sent back is brought a second time, from another browser."""
    browser, attacker = bot.people.browser, Browser()
    back, fields = await browser.answer_of_microsoft(await bot.people.sign_in_link(KEN), KEN_ACCOUNT)
    bot.sandbox.journal.calls.clear()
    first = await browser.come_back(back, fields)
    again = await attacker.come_back(back, fields)

    assert (first.status_code, again.status_code) == (200, 410)
    assert "set-cookie" not in again.headers
    assert await signed_in(bot) == {}
    await browser.confirm(first)
    assert await signed_in(bot) == {KEN: "ken@contoso.com"}
    assert [call["note"] for call in bot.people.calls("/token")] == ["code"]
    await attacker.http.aclose()


async def test_attack_replayed_yes(bot: Bot):
    """A page that was answered is answered again with everything that the browser had."""
    browser = Browser()
    page = await browser.arrive(await bot.people.sign_in_link(KEN), KEN_ACCOUNT)
    cookies = dict(browser.http.cookies)
    await browser.confirm(page)
    await bot.people.command(KEN, "sign-out")
    await bot.people.until(lambda: ENGLISH["signed_out"] in bot.people.private_texts(KEN))
    browser.http.cookies.update(cookies)

    assert (await browser.confirm(page)).status_code == 410
    assert await signed_in(bot) == {}
    await browser.http.aclose()


async def test_attack_token_of_another_tenant(bot: Bot):
    """The app was made multi-tenant by mistake, and an account of elsewhere signs in."""
    bot.sandbox.entra.multitenant = True
    page = await bot.people.browser.sign_in(await bot.people.sign_in_link(KEN), KEN_AT_FABRIKAM)

    assert (page.status_code, "another organization" in page.text) == (403, True)
    assert await signed_in(bot) == {}
    assert await bot.refused(Event.SIGN_IN_REFUSED) == [(KEN, Code.WRONG_TENANT)]


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"aud": "00000000-0000-4000-8000-000000000000"}, Code.BAD_TOKEN),
        ({"iss": f"https://login.microsoftonline.com/{OTHER_TENANT_ID}/v2.0"}, Code.BAD_TOKEN),
        ({"nonce": "of another sign-in"}, Code.BAD_TOKEN),
        ({"idp": "live.com"}, Code.GUEST_ACCOUNT),
    ],
    ids=["id_token for another client", "another issuer", "another sign-in", "a guest"],
)
async def test_attack_id_token_for_another_client(bot: Bot, claims: dict[str, object], code: Code):
    """A token that Microsoft signed, but not for this app, this tenant or this sign-in."""
    bot.sandbox.entra.tamper = claims
    page = await bot.people.browser.sign_in(await bot.people.sign_in_link(KEN), KEN_ACCOUNT)

    assert page.status_code == 403
    assert await signed_in(bot) == {}
    assert await bot.refused(Event.SIGN_IN_REFUSED) == [(KEN, code)]


async def test_attack_account_that_is_tied_already(bot: Bot):
    """Aiko's account, after she is signed in, does not become Ken's as well."""
    await bot.people.sign_in(AIKO, AIKO_ACCOUNT)
    bot.sandbox.slack.change_person(KEN, email="aiko@contoso.com")
    page = await bot.people.browser.sign_in(await bot.people.sign_in_link(KEN), AIKO_ACCOUNT)

    assert (page.status_code, "already linked" in page.text) == (403, True)
    assert await signed_in(bot) == {AIKO: "aiko@contoso.com"}


async def test_attack_swapped_vault_rows(bot: Bot):
    """The owner of the database puts Aiko's encrypted tokens into Ken's row: they do not open there."""
    await bot.people.sign_in(KEN, KEN_ACCOUNT)
    await bot.people.sign_in(AIKO, AIKO_ACCOUNT)
    rows = tables.sign_ins.c
    read = bot.app.deps.database.read
    (one, first), (other, second) = await read(lambda c: c.execute(select(rows.user, rows.sealed)).all())
    for user, sealed in ((one, second), (other, first)):
        await bot.execute(update(tables.sign_ins).where(rows.user == user).values(sealed=sealed))
    request_id = await bot.pending()

    for user in (KEN, AIKO):
        assert await bot.review(user) == ENGLISH["sign_in.title"]
    assert (await bot.row(request_id)).status is Status.PENDING


async def test_attack_approver_who_lost_the_intune_role(bot: Bot):
    """Ken reviewed, then Intune's role was taken from him: his approval resets nothing."""
    request_id = await bot.pending()
    before = len(await bot.people.resets())
    await bot.people.sign_in()
    assert await bot.review() == ENGLISH["review.title"]
    await bot.people.role(KEN_ACCOUNT, may_reset=False)
    await bot.people.submit(KEN)
    title = await bot.people.title_after(KEN, ENGLISH["review.title"])

    assert title in (ENGLISH["error.ApproverRefused.title"], ENGLISH["approved.title"])
    await bot.reaches(request_id, Status.PENDING)
    assert len(await bot.people.resets()) == before


async def test_attack_revoked_session(bot: Bot):
    """Entra ended Ken's sessions: his kept token resets nothing more, and he has to prove who he is."""
    await bot.pending()
    await bot.people.sign_in()
    bot.sandbox.intune.revoke_session(KEN_ACCOUNT)

    assert await bot.review() == ENGLISH["sign_in.title"]


async def test_attack_sign_in_of_an_approver_who_left(bot: Bot):
    """Ken is deactivated in Slack: a press in his name, or a look with his token, is refused and ends it."""
    await bot.pending()
    await bot.people.sign_in()
    bot.sandbox.slack.change_person(KEN, kind="deactivated")
    with bot.deliveries.forging(lambda payload: by_user(payload, KEN, "T0CONTOSO")):
        await bot.people.open(AIKO, "approve")

    assert (KEN, Code.NOT_A_MEMBER) in await bot.refused()
    assert await signed_in(bot) == {}
    rows = await bot.audit_rows()
    assert [(who, facts["kind"]) for who, what, facts in rows if what == "signed_out"] == [
        (KEN, "deactivated")
    ]
