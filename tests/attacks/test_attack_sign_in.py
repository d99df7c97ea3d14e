"""Attacks on the sign-in, by name: links forwarded, answers replayed, tokens of elsewhere, rows moved."""

from dataclasses import replace

import pytest
from bot.domain.people import Account
from bot.domain.record import Event
from bot.domain.request import Status
from bot.resets.leavers import look_for_leavers
from bot.store.schema import sign_ins
from sandbox.cast import OTHER_TENANT_ID
from sqlalchemy import select, update
from tests.whole.browser import AIKO_ACCOUNT, KEN_ACCOUNT, KEN_AT_FABRIKAM, Browser
from tests.whole.installed import AIKO, KEN, Installed


async def tied(there: Installed) -> dict[str, str]:
    """Who is signed in, as whom."""
    found = {}
    for user in (KEN, AIKO):
        account: Account | None = await there.bot.desk.sign_ins.account(user)  # type: ignore[arg-type]
        if account is not None:
            found[user] = account.username
    return found


async def reasons(there: Installed, event: Event) -> list[tuple[str | None, str]]:
    return [(who, facts) for who, what, facts in await there.record() if what == event]


async def test_attack_forwarded_sign_in_link(there):
    """Ken, the attacker, sends his link to Aiko, who signs in: nothing is tied, and it is on the record."""
    lead = Browser()
    page = await lead.sign_in(await there.link(KEN), AIKO_ACCOUNT)

    assert page.status_code == 403
    assert await tied(there) == {}
    [(who, facts)] = await reasons(there, Event.SIGN_IN_REFUSED)
    assert who == KEN
    assert '"why": "wrong_account"' in facts
    await there.until(lambda: "aiko@contoso.com" in there.words(KEN))
    await lead.http.aclose()


async def test_attack_forwarded_sign_in_link_with_the_leads_address_in_the_attackers_profile(there):
    """On some Slack plans people change their own address. Then the page is what stands in the way."""
    _change_address(there, KEN, "aiko@contoso.com")
    lead = Browser()
    page = await lead.arrive(await there.link(KEN), AIKO_ACCOUNT)

    assert "Ken Ito" in page.text
    assert "aiko@contoso.com" in page.text
    assert await tied(there) == {}
    answer = await lead.confirm(page, "no")

    assert "Nobody acts with your account" in answer.text
    assert await tied(there) == {}
    [(who, facts)] = await reasons(there, Event.SIGN_IN_REFUSED)
    assert (who, '"why": "declined"' in facts) == (KEN, True)
    await there.until(lambda: "said that this link was not theirs" in there.words(KEN))
    await lead.http.aclose()


async def test_attack_yes_pressed_for_somebody_else(there):
    """The attacker knows the form, but not the cookie of the lead's browser, or the other way round."""
    _change_address(there, KEN, "aiko@contoso.com")
    lead, attacker = Browser(), Browser()
    page = await lead.arrive(await there.link(KEN), AIKO_ACCOUNT)

    assert (await attacker.confirm(page)).status_code == 410
    forged = await lead.http.post(f"{there.url}/sign-in/confirm", data={"page": "x" * 43, "answer": "yes"})
    assert forged.status_code == 410
    assert await tied(there) == {}
    for browser in (lead, attacker):
        await browser.http.aclose()


async def test_attack_replayed_callback(there):
    """What Microsoft sent back is brought a second time, from another browser."""
    back, fields = await there.browser.answer_of_microsoft(await there.link(KEN), KEN_ACCOUNT)
    first = await there.browser.come_back(back, fields)
    attacker = Browser()
    again = await attacker.come_back(back, fields)

    assert (first.status_code, again.status_code) == (200, 410)
    assert "set-cookie" not in again.headers
    assert await tied(there) == {}
    await there.browser.confirm(first)
    assert await tied(there) == {KEN: "ken@contoso.com"}
    codes = [call for call in there.sandbox.journal.calls if call.note == "code"]
    assert len(codes) == 1
    await attacker.http.aclose()


async def test_attack_replayed_yes(there):
    """A page that was answered is answered again with everything that the browser had."""
    page = await there.browser.arrive(await there.link(KEN), KEN_ACCOUNT)
    cookies = dict(there.browser.http.cookies)
    await there.browser.confirm(page)
    await there.slack.command(KEN, "C0ONCALL", "/reset-passcode sign-out")
    there.browser.http.cookies.update(cookies)

    assert (await there.browser.confirm(page)).status_code == 410
    assert await tied(there) == {}


async def test_attack_token_of_another_tenant(there):
    """The app was made multi-tenant by mistake, and an account of elsewhere signs in."""
    there.sandbox.entra.multitenant = True
    page = await there.browser.sign_in(await there.link(KEN), KEN_AT_FABRIKAM)

    assert (page.status_code, "another organisation" in page.text) == (403, True)
    assert await tied(there) == {}
    [(_, facts)] = await reasons(there, Event.SIGN_IN_REFUSED)
    assert "wrong_tenant" in facts


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"aud": "00000000-0000-4000-8000-000000000000"}, "bad_token"),
        ({"iss": f"https://login.microsoftonline.com/{OTHER_TENANT_ID}/v2.0"}, "bad_token"),
        ({"nonce": "of another sign-in"}, "bad_token"),
        ({"idp": "live.com"}, "guest_account"),
    ],
    ids=["id_token for another client", "another issuer", "another sign-in", "a guest"],
)
async def test_attack_id_token_for_another_client(there, claims, code):
    """A token that Microsoft signed, but not for this app, this tenant or this sign-in."""
    there.sandbox.entra.tamper = claims
    page = await there.browser.sign_in(await there.link(KEN), KEN_ACCOUNT)

    assert page.status_code == 403
    assert await tied(there) == {}
    [(_, facts)] = await reasons(there, Event.SIGN_IN_REFUSED)
    assert code in facts


async def test_attack_account_that_is_tied_already(there):
    """Aiko's account, after she is signed in, does not become Ken's as well."""
    await there.signed_in(AIKO, AIKO_ACCOUNT)
    _change_address(there, KEN, "aiko@contoso.com")
    page = await there.browser.sign_in(await there.link(KEN), AIKO_ACCOUNT)

    assert (page.status_code, "already tied" in page.text) == (403, True)
    assert await tied(there) == {AIKO: "aiko@contoso.com"}


async def test_attack_swapped_vault_rows(there):
    """Somebody with the database puts Aiko's sealed tokens into Ken's row: they do not open there."""
    await there.signed_in(KEN, KEN_ACCOUNT)
    await there.signed_in(AIKO, AIKO_ACCOUNT)
    await _swap(there)
    request_id = await there.pending()

    for user in (KEN, AIKO):
        assert await there.review(user) == "Sign in"

    assert there.sandbox.intune.resets == []
    assert (await there.row(request_id)).status is Status.PENDING


async def test_attack_approver_who_lost_the_intune_role(there):
    """Ken reviewed, then Intune's role was taken from him: his approval resets nothing."""
    request_id = await there.pending()
    await there.signed_in()
    assert await there.review(KEN) == "Review the reset"
    there.sandbox.intune.set_role(KEN_ACCOUNT, False)
    await there.slack.submit(KEN)
    await there.until(lambda: there.title(KEN) not in ("Review the reset", "One moment"))
    await there.reaches(request_id, Status.PENDING)

    assert there.sandbox.intune.resets == []
    assert "does not let your account" in there.words(KEN) or "did not let" in there.card()


async def test_attack_revoked_session(there):
    """Entra ended Ken's sessions: his kept token resets nothing more, and he has to prove who he is."""
    await there.pending()
    await there.signed_in()
    there.sandbox.intune.revoke_session(KEN_ACCOUNT)

    assert await there.review(KEN) == "Sign in"

    assert there.sandbox.intune.resets == []


async def test_attack_sign_in_of_an_approver_who_left(there):
    """Ken is deactivated in Slack: the round finds it, and his tokens are gone before anybody presses."""
    await there.signed_in()
    person = there.slack.workspace.people[KEN]
    there.slack.workspace.people[KEN] = replace(person, kind="deactivated")
    engine = there.bot.desk.sign_ins._rows._engine
    async with engine.begin() as connection:
        await connection.execute(update(sign_ins).values(seen_at=None))

    await look_for_leavers(there.bot.desk)

    assert await tied(there) == {}
    [(who, facts)] = await reasons(there, Event.SIGNED_OUT)
    assert (who, '"kind": "deactivated"' in facts) == (KEN, True)


def _change_address(there: Installed, user: str, address: str) -> None:
    person = there.slack.workspace.people[user]
    there.slack.workspace.people[user] = replace(person, email=address)


async def _swap(there: Installed) -> None:
    engine = there.bot.desk.sign_ins._rows._engine
    async with engine.begin() as connection:
        rows = (await connection.execute(select(sign_ins.c.user, sign_ins.c.sealed))).all()
        (one, first), (other, second) = rows
        for user, sealed in ((one, second), (other, first)):
            await connection.execute(update(sign_ins).where(sign_ins.c.user == user).values(sealed=sealed))
