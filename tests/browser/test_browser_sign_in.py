"""The sign-in page in a real browser: readable, and its cookie goes with its own form only."""

import re
from html import escape

import pytest
from playwright.async_api import Page, expect
from tests.browser.page import Column, SandboxPage
from tests.support.user_actions import KEN_ACCOUNT, Browser

pytestmark = pytest.mark.asyncio(loop_scope="session")

HEADING = "Are both of these you?"
ELSEWHERE = "http://login.elsewhere.example/"


async def link_of(person: Column) -> str:
    """Ask for a sign-in link."""
    await person.type_command("sign-in")
    return str(await person.sign_in_link.get_attribute("href"))


async def test_the_cookie_comes_with_an_answer_from_another_site_and_goes_with_our_own_form_only(
    shown: SandboxPage,
):
    """Microsoft's answer is a POST across sites: it can set the strict cookie, and cannot bring it."""
    ken, browser = shown.ken, Browser()
    back, fields = await browser.answer_of_microsoft(await link_of(ken), KEN_ACCOUNT)
    await browser.http.aclose()
    tab = await shown.page.context.new_page()
    await post_from_elsewhere(tab, back, fields)
    await expect(tab.get_by_role("heading")).to_have_text(HEADING)
    [cookie] = [kept for kept in await tab.context.cookies(back) if "unlatch" in kept.get("name", "")]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")

    [secret] = re.findall(r'name="page" value="([^"]+)"', await tab.content())
    stolen = await shown.page.context.new_page()
    await post_from_elsewhere(stolen, back.replace("callback", "confirm"), {"page": secret, "answer": "yes"})
    await expect(stolen.get_by_role("heading")).to_have_text("This link no longer works")

    await ken.confirm(tab)
    await expect(ken.modal).to_contain_text("You are signed in as ken@contoso.com. You can close")


async def post_from_elsewhere(tab: Page, action: str, fields: dict[str, str]) -> None:
    """Post this form from a page of another site, as Microsoft's does."""
    inputs = "".join(f'<input type="hidden" name="{n}" value="{escape(v)}">' for n, v in fields.items())
    html = f'<form method="post" action="{action}">{inputs}<button>Go</button></form>'
    await tab.route(
        ELSEWHERE, lambda route: route.fulfill(body=html, content_type="text/html; charset=utf-8")
    )
    await tab.goto(ELSEWHERE)
    await tab.get_by_role("button", name="Go").click()


@pytest.mark.parametrize("width", [1280, 390])
async def test_the_page_is_readable_at_every_width(shown: SandboxPage, width: int):
    link = await link_of(shown.ken)
    tab = await shown.page.context.new_page()
    await tab.set_viewport_size({"width": width, "height": 844})
    await tab.goto(link)
    await tab.get_by_role("button", name=shown.ken.person.email).click()
    await expect(tab.get_by_role("heading")).to_have_text(HEADING)

    assert await tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for button in await tab.get_by_role("button").all():
        box = await button.bounding_box()
        assert box is not None
        assert box["height"] >= 44
