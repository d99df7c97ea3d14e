"""The sign-in page in a real browser: readable, and its cookie goes with its own form only."""

import re
from html import escape

import pytest
from playwright.async_api import Page, expect
from tests.browser.page import SandboxPage
from tests.support.user_actions import KEN_ACCOUNT, Browser

pytestmark = pytest.mark.asyncio(loop_scope="session")

ELSEWHERE = "http://login.elsewhere.example/"


async def test_the_page_is_readable_and_its_cookie_goes_with_its_own_form_only(shown: SandboxPage):
    """Microsoft's answer is a POST across sites: it can set the strict cookie, and cannot bring it."""
    ken, browser = shown.ken, Browser()
    await ken.type_command("sign-in")
    link = str(await ken.sign_in_link.get_attribute("href"))
    back, fields = await browser.answer_of_microsoft(link, KEN_ACCOUNT)
    await browser.http.aclose()
    tab = await shown.page.context.new_page()
    await post_from_elsewhere(tab, back, fields)
    await expect(tab.get_by_role("heading")).to_have_text("Are both of these you?")
    for width in (390, 1280):
        await tab.set_viewport_size({"width": width, "height": 844})
        assert await tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for button in await tab.get_by_role("button").all():
            box = await button.bounding_box()
            assert box is not None
            assert box["height"] >= 44
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
