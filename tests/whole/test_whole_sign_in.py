"""Signing in, in the assembled bot: step-up, fresh sign-ins, and a message without a window."""

from datetime import UTC, datetime, timedelta

from bot.domain.request import Status
from bot.store.schema import sign_ins
from sqlalchemy import update
from tests.whole.browser import KEN_ACCOUNT
from tests.whole.installed import KEN, Installed, installed

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
