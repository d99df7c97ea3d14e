"""Signing in, in the assembled bot: step-up, fresh sign-ins, device codes, and a message without a window."""

import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from bot.domain.request import Status
from bot.store.schema import sign_ins
from sqlalchemy import update
from tests.whole.browser import AIKO_ACCOUNT, KEN_ACCOUNT
from tests.whole.installed import KEN, ON_CALL, Installed, installed

STEP_UP = '{"access_token": {"acrs": {"essential": true, "value": "c1"}}}'


async def test_a_step_up_that_graph_asks_for_is_carried_through_the_link_and_the_approval_goes_on(there):
    """401 with claims in base64, a silent try that is refused, a link with the claims, acrs in the token."""
    request_id = await there.pending()
    await there.signed_in()
    there.sandbox.intune.demand_claims(KEN_ACCOUNT, STEP_UP)

    assert await there.review() == "Sign in"
    assert "once more" in there.words(KEN)
    asked = await there.browser.http.get(there.link_in_window(KEN))
    assert "acrs" in asked.headers["location"]
    await there.browser.sign_in(there.link_in_window(KEN), KEN_ACCOUNT)
    await there.until(lambda: there.title(KEN) == "Review the reset")
    await there.slack.submit(KEN)
    await there.until(lambda: there.title(KEN) == "Approved")
    await there.reaches(request_id, Status.DONE)

    assert [reset.upn for reset in there.sandbox.intune.resets] == ["ken@contoso.com"]


async def test_a_step_up_that_entra_asks_for_between_approval_and_reset_sends_nothing_before_it(there):
    request_id = await there.pending()
    await there.signed_in()
    assert await there.review() == "Review the reset"
    there.gate.hold("/resetPasscode")
    await there.slack.submit(KEN)
    await there.gate.arrived.wait()
    there.sandbox.intune.demand_claims(KEN_ACCOUNT, STEP_UP)
    there.gate.release()
    await there.reaches(request_id, Status.PENDING)
    assert there.sandbox.intune.resets == []

    assert await there.review() == "Sign in"
    await there.browser.sign_in(there.link_in_window(KEN), KEN_ACCOUNT)
    await there.until(lambda: there.title(KEN) == "Review the reset")
    await there.slack.submit(KEN)
    await there.reaches(request_id, Status.DONE)
    assert len(there.sandbox.intune.resets) == 1


async def test_where_approvals_ask_for_it_an_old_sign_in_neither_reviews_nor_approves(tmp_path):
    async with installed(tmp_path, fresh_sign_in=True) as there:
        request_id = await there.pending()
        await there.signed_in()
        await grow_old(there)

        assert await there.review() == "Sign in"
        assert "fresh sign-in" in there.words(KEN)
        link = there.link_in_window(KEN)
        asked = await there.browser.http.get(link)
        assert "prompt=login" in asked.headers["location"]
        assert "max_age=600" in asked.headers["location"]
        await there.browser.sign_in(link, KEN_ACCOUNT)
        await there.until(lambda: there.title(KEN) == "Review the reset")
        await grow_old(there)
        await there.slack.submit(KEN)
        await there.until(lambda: there.title(KEN) == "Sign in")
        assert there.sandbox.intune.resets == []

        await there.browser.sign_in(there.link_in_window(KEN), KEN_ACCOUNT)
        await there.until(lambda: there.title(KEN) == "Review the reset")
        await there.slack.submit(KEN)
        await there.reaches(request_id, Status.DONE)


async def grow_old(there: Installed) -> None:
    """As if eleven minutes had passed since Ken proved who he is."""
    engine = there.bot.desk.sign_ins._rows._engine
    before = datetime.now(UTC) - timedelta(minutes=11)
    async with engine.begin() as connection:
        await connection.execute(update(sign_ins).values(authenticated_at=before))


async def test_without_a_window_a_message_says_as_whom_one_is_signed_in(there):
    link = await there.link(KEN)
    await there.slack.close(KEN)

    await there.browser.sign_in(link, KEN_ACCOUNT)

    await there.until(lambda: there.slack.direct(KEN))
    assert "signed in as ken@contoso.com" in there.slack.direct(KEN)[-1].text


# Device codes


@pytest.fixture
async def by_code(tmp_path):
    """No address for browsers, no client secret; Microsoft may be asked at once."""
    async with installed(
        tmp_path, socket_mode=True, sign_in="device-code", public_url=None, entra_client_secret=None
    ) as there:
        yield there


async def types(there: Installed, account: str) -> httpx.Response:
    """Type the code of Ken's window at Microsoft, and pick an account."""
    found = re.search(r"'text': '([A-Z2-9]{9})'", str(there.slack.view(KEN).content))
    assert found, there.slack.view(KEN).content
    page = f"{there.sandbox.base_url}/entra/devicelogin"
    assert page in str(there.slack.view(KEN).content)
    shown = await there.browser.http.post(page, data={"code": found[1]})
    assert "Are you trying to sign in to Unlatch?" in shown.text
    return await there.browser.http.post(f"{page}/account", data={"code": found[1], "account": account})


async def test_an_approver_signs_in_by_code_and_the_same_window_goes_on(by_code):
    there: Installed = by_code
    request_id = await there.pending()
    assert await there.review() == "Sign in"
    assert f"<@{KEN}>" in there.words(KEN)

    await types(there, KEN_ACCOUNT)
    await there.slack.until(lambda: there.title(KEN) == "Review the reset", timeout=20)
    await there.slack.submit(KEN)
    await there.until(lambda: there.title(KEN) == "Approved")
    await there.reaches(request_id, Status.DONE)

    assert [reset.upn for reset in there.sandbox.intune.resets] == ["ken@contoso.com"]


async def test_somebody_elses_account_behind_the_code_is_refused_in_the_window(by_code):
    there: Installed = by_code
    await there.slack.command(KEN, ON_CALL, "/reset-passcode sign-in")
    await there.until(lambda: there.title(KEN) == "Sign in")

    await types(there, AIKO_ACCOUNT)

    await there.slack.until(lambda: there.title(KEN) != "Sign in", timeout=20)
    assert "aiko@contoso.com" in there.words(KEN)
    assert await there.bot.desk.sign_ins.account(KEN) is None


async def test_a_tenant_that_blocks_device_codes_says_so_on_microsofts_page(by_code):
    there: Installed = by_code
    there.sandbox.entra.device_codes_blocked = True
    await there.slack.command(KEN, ON_CALL, "/reset-passcode sign-in")
    await there.until(lambda: there.title(KEN) == "Sign in")

    assert "AADSTS53003" in (await types(there, KEN_ACCOUNT)).text

    assert there.title(KEN) == "Sign in"


async def test_with_device_codes_there_is_no_page_to_attack(by_code):
    there: Installed = by_code
    for path in ("/sign-in/callback", "/sign-in/confirm", "/sign-in/anything"):
        assert (await there.http.get(path)).status_code == 404
        assert (await there.http.post(path)).status_code == 404
