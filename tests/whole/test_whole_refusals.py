"""What people may not do, or do wrongly, in the assembled bot: a private sentence, a row, nothing lost."""

import pytest
from bot.domain.record import Event
from bot.domain.request import Status
from tests.whole.browser import (
    AIKO_ACCOUNT,
    KEN_ACCOUNT,
    KEN_AT_FABRIKAM,
    MEI_ACCOUNT,
    NOBODY,
    Browser,
)
from tests.whole.installed import AIKO, GUS, KEN, MEI, OLGA, ON_CALL, Installed


async def test_an_outsiders_press_is_refused_and_recorded_though_bolt_says_our_team(both):
    there: Installed = both
    request_id = await there.pending()
    there.slack.share(ON_CALL)
    there.slack.join(ON_CALL, OLGA)
    for action in ("approve", "deny"):
        await there.pressed(OLGA, action)
        assert "another organisation" in there.words(OLGA)
    assert (await there.row(request_id)).status is Status.PENDING
    assert [who for who, _ in await there.tries_refused()] == [OLGA, OLGA]
    assert there.sandbox.intune.resets == []


async def test_a_guest_in_the_channel_may_not_decide(there):
    await there.pending()
    there.slack.join(ON_CALL, GUS)
    await there.pressed(GUS, "approve")
    assert "Guests cannot" in there.words(GUS)
    assert [who for who, _ in await there.tries_refused()] == [GUS]


async def test_the_requester_may_not_decide_on_the_own_request(there):
    await there.pending(by=KEN)
    await there.pressed(KEN, "approve")
    assert "your own request" in there.words(KEN)
    assert [who for who, _ in await there.tries_refused()] == [KEN]


async def test_an_approver_who_has_left_the_channel_since_is_refused(there):
    await there.pending()
    await there.signed_in(KEN)
    assert await there.review(KEN) == "Review the reset"
    there.slack.leave(ON_CALL, KEN)
    await there.slack.submit(KEN)
    await there.until(lambda: there.title(KEN) not in ("Review the reset", "One moment"))
    assert "can decide on this" in there.words(KEN)
    assert there.sandbox.intune.resets == []


async def test_a_guest_who_asks_is_told_so_and_no_approver_is_bothered(there):
    outcome = await there.ask(by=GUS)
    assert "Got it" in outcome.answer.text
    await there.until(lambda: there.slack.direct(GUS) and "not accepted" in there.receipt(GUS))
    assert "Guests cannot" in there.receipt(GUS)
    assert there.slack.messages(ON_CALL) == []


async def test_nothing_found_says_so_and_the_request_waits(there):
    request_id = await there.pending("/reset-passcode nobody@contoso.com locked out")
    await there.signed_in()
    await there.review()
    assert "no device" in there.words(KEN) or "does not find" in there.words(KEN)
    assert (await there.row(request_id)).status is Status.PENDING


async def test_of_several_devices_one_has_to_be_chosen(there):
    await there.pending("/reset-passcode priya@contoso.com locked out")
    await there.signed_in()
    assert await there.review() == "Review the reset"
    assert (await there.slack.submit(KEN)).errors
    chosen = "5a000000-0000-4000-8000-0000000000c4"
    await there.slack.submit(KEN, {"device": chosen})
    await there.until(lambda: there.title(KEN) == "Approved")
    await there.until(lambda: there.sandbox.intune.resets)
    assert [reset.device_id for reset in there.sandbox.intune.resets] == [chosen]


async def test_a_device_that_cannot_be_reset_ends_the_request_with_the_reason(there):
    request_id = await there.pending("/reset-passcode serial:7XK2P34 locked out")
    await there.signed_in()
    await there.review()
    assert "Windows" in there.words(KEN)
    await there.reaches(request_id, Status.REFUSED)
    await there.until(lambda: "Windows" in there.receipt())


async def test_a_button_of_a_request_that_no_longer_waits_says_who_decided(both):
    there: Installed = both
    await there.pending()
    old = there.slack.messages(ON_CALL)[-1]
    assert await there.pressed(AIKO, "deny") == "Deny the request"
    await there.slack.submit(AIKO, {"denial": "Call him first"})
    await there.until(lambda: "denied" in there.receipt())
    await there.slack.click(KEN, "approve", seen=old)
    await there.until(lambda: there.title(KEN) not in ("", "One moment"))
    assert f"<@{AIKO}>" in there.words(KEN)
    assert "Call him first" in there.receipt()


async def test_an_account_without_the_role_leaves_the_request_to_another_approver(there):
    request_id = await there.pending()
    await there.signed_in()
    there.sandbox.intune.set_role(KEN_ACCOUNT, False)
    await there.review()
    assert "does not let your account" in there.words(KEN)
    assert (await there.row(request_id)).status is Status.PENDING
    await there.signed_in(AIKO, AIKO_ACCOUNT)
    await there.approved(AIKO)
    await there.reaches(request_id, Status.DONE)
    assert [reset.upn for reset in there.sandbox.intune.resets] == ["aiko@contoso.com"]


@pytest.mark.parametrize(
    ("account", "sentence"),
    [(AIKO_ACCOUNT, "aiko@contoso.com"), (MEI_ACCOUNT, "mei@contoso.com"), (NOBODY, "consent")],
)
async def test_a_sign_in_that_is_refused_is_told_in_the_browser_and_in_slack(there, account, sentence):
    page = await there.browser.sign_in(await there.link(), account)
    assert page.status_code == 403
    assert sentence in page.text
    await there.until(lambda: there.title(KEN) != "Sign in")
    assert sentence in there.words(KEN)
    assert (KEN, Event.SIGN_IN_REFUSED) in [(who, what) for who, what, _ in await there.record()]
    assert await there.bot.desk.sign_ins.account(KEN) is None


async def test_an_account_of_another_tenant_gets_no_further_than_microsoft(there):
    start = await there.browser.http.get(await there.link())
    answer = await there.browser.picked(start.headers["location"], KEN_AT_FABRIKAM)
    assert (answer.status_code, "AADSTS50020" in answer.text) == (400, True)
    assert await there.bot.desk.sign_ins.account(KEN) is None


async def test_somebody_elses_finished_sign_in_never_lands_on_another(there):
    """A link of Ken's that Aiko opens signs in nobody."""
    other = Browser()
    page = await other.sign_in(await there.link(KEN), AIKO_ACCOUNT)
    await other.http.aclose()
    assert page.status_code == 403
    assert await there.bot.desk.sign_ins.account(KEN) is None
    assert await there.bot.desk.sign_ins.account(AIKO) is None


async def test_a_request_that_is_withdrawn_is_shown_as_such(there):
    request_id = await there.pending()
    direct = there.slack.workspace.people[MEI].direct
    await there.until(lambda: "waiting" in there.receipt())
    await there.slack.click(MEI, "withdraw", channel=direct)
    await there.reaches(request_id, Status.WITHDRAWN)
    await there.until(lambda: "withdrawn" in there.card() and "withdrawn" in there.receipt())
    assert (MEI, Event.WITHDRAWN) in [(who, what) for who, what, _ in await there.record()]
