"""The page that asks who is tied to whom, in a real browser: readable, and its yes is this browser's own."""

import re
from html import escape

import pytest
from playwright.async_api import Browser as Chromium
from playwright.async_api import Page, expect
from tests.browser.seats import COMMAND, Seats
from tests.browser.test_browser_sign_in import address
from tests.whole.browser import KEN_ACCOUNT, Browser

pytestmark = pytest.mark.asyncio(loop_scope="session")

HEADING = "Are both of these you?"
ELSEWHERE = "http://login.elsewhere.example/"


async def asked(seats: Seats) -> Page:
    """Ken has come back from Microsoft, and is asked."""
    await seats.ken.sign_out()
    await seats.ken.say(f"{COMMAND} sign-in")
    tab = await seats.ken.at_microsoft(seats.ken.person.email)
    await expect(tab.get_by_role("heading")).to_have_text(HEADING)
    return tab


async def test_nothing_is_tied_until_the_yes_and_then_the_window_goes_on(seats: Seats) -> None:
    tab = await asked(seats)
    shown = tab.locator("main")
    await expect(shown).to_contain_text("ken@contoso.com")
    await expect(shown.locator("dd").last).to_contain_text("Ken Ito")
    await expect(seats.ken.window).not_to_contain_text("You are signed in")

    await seats.ken.says_yes(tab)

    await expect(seats.ken.window).to_contain_text("You are signed in as ken@contoso.com")


async def test_a_no_ties_nothing_and_the_window_says_what_happened(seats: Seats) -> None:
    tab = await asked(seats)

    await tab.get_by_role("button", name="No, somebody sent me this link").click()

    await expect(tab.get_by_role("heading")).to_have_text("Nothing was tied")
    await expect(seats.ken.window).to_contain_text("said that this link was not theirs")


async def test_a_page_that_was_answered_is_over_also_after_going_back(seats: Seats) -> None:
    tab = await asked(seats)
    page = await tab.content()
    await seats.ken.says_yes(tab)

    await tab.set_content(page)
    await tab.get_by_role("button", name="Yes, both are me").click()

    await expect(tab.get_by_role("heading")).to_have_text("This link no longer works")


async def test_the_cookie_comes_with_an_answer_from_another_site_and_goes_with_our_own_form_only(
    seats: Seats,
) -> None:
    """Microsoft's answer is a POST across sites: it can set the strict cookie, and cannot bring it."""
    ken = seats.ken
    await ken.sign_out()
    await ken.say(f"{COMMAND} sign-in")
    browser = Browser()
    back, fields = await browser.answer_of_microsoft(await address(ken.sign_in_link), KEN_ACCOUNT)
    await browser.http.aclose()
    tab = await seats.page.context.new_page()
    await elsewhere(tab, back, fields)

    await expect(tab.get_by_role("heading")).to_have_text(HEADING)
    [cookie] = [kept for kept in await tab.context.cookies(back) if "unlatch" in kept.get("name", "")]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
    [secret] = re.findall(r'name="page" value="([^"]+)"', await tab.content())
    stolen = await seats.page.context.new_page()
    await elsewhere(stolen, back.replace("callback", "confirm"), {"page": secret, "answer": "yes"})
    await expect(stolen.get_by_role("heading")).to_have_text("This link no longer works")

    await ken.says_yes(tab)
    await expect(ken.window).to_contain_text("You are signed in as ken@contoso.com")


async def elsewhere(tab: Page, action: str, fields: dict[str, str]) -> None:
    """A page of another site that posts this form, as Microsoft's does."""
    inputs = "".join(f'<input type="hidden" name="{n}" value="{escape(v)}">' for n, v in fields.items())
    html = f'<form method="post" action="{action}">{inputs}<button>Go</button></form>'
    await tab.route(
        ELSEWHERE, lambda route: route.fulfill(body=html, content_type="text/html; charset=utf-8")
    )
    await tab.goto(ELSEWHERE)
    await tab.get_by_role("button", name="Go").click()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
async def test_the_page_is_readable_at_every_width_and_by_night(
    seats: Seats, chromium: Chromium, width: int, dark: bool
) -> None:
    ken = seats.ken
    await ken.sign_out()
    await ken.say(f"{COMMAND} sign-in")
    link = await address(ken.sign_in_link)
    context = await chromium.new_context(
        viewport={"width": width, "height": 844}, color_scheme="dark" if dark else "light"
    )
    tab = await context.new_page()
    await tab.goto(link)
    await tab.get_by_role("button", name=ken.person.email).click()
    await expect(tab.get_by_role("heading")).to_have_text(HEADING)

    overflow = await tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0
    for button in await tab.get_by_role("button").all():
        box = await button.bounding_box()
        assert box is not None
        assert box["height"] >= 44
    await context.close()
