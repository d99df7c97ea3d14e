"""The sandbox's page with the bot behind it, in a real browser: what only a browser can show.

With PICTURES set to a folder, as `make screenshots` does, the pictures of the README are drawn there.
"""

import json
import os
import re
from html import escape

import httpx
import pytest
from playwright.async_api import Browser, Locator, Page, expect
from tests.browser.conftest import COMMAND, Column, Demo, SandboxPage, shown_in
from tests.support.user_actions import KEN_ACCOUNT
from tests.support.user_actions import Browser as WithoutScripts

pytestmark = pytest.mark.asyncio(loop_scope="session")

APPROVED = "Approved. Follow progress on the card"
PRIYAS_PHONE = "R5CX70ABCDE"
EVERYTHING_BUT_MEIS_MODAL = """() => {
  const page = document.documentElement.cloneNode(true);
  page.querySelector("[data-person=U0MEI] .modals").remove();
  const typed = [...document.querySelectorAll("input, textarea")].map((field) => field.value);
  return [page.outerHTML, ...typed, ...Object.values(localStorage)].join("\\n");
}"""


async def test_a_locked_phone_opens_with_a_passcode_that_only_the_requester_sees(shown, demo):
    mei, ken, why = shown.mei, shown.ken, "Locked out at a customer"
    await mei.ask("priya@contoso.com", why)
    await ken.message(why).wait_for()
    await mei.shows(why, "waiting for approval")
    await picture(shown.page, "1-asked")
    await ken.button("approve", ken.message(why)).click()
    await ken.confirm(await ken.sign_in())
    await ken.modal.get_by_role("radio", name=PRIYAS_PHONE).check()
    await picture(shown.page, "5-review")
    await ken.submit.click()
    await expect(ken.modal).to_contain_text(APPROVED)
    await ken.close()
    phone = shown.phone(PRIYAS_PHONE)
    await expect(phone.locator(".pill")).to_have_text("New passcode")
    await expect(shown.page.locator("#calls .pinned")).to_contain_text("resetPasscode, as Ken Ito")
    await mei.button("show_passcode", mei.message(why)).click()
    passcode = await mei.modal.locator("pre").inner_text()
    await picture(shown.page, "7-passcode")
    assert re.fullmatch(r"\d{8}", passcode)
    state = demo.sandbox.snapshot()
    state["modals"].pop(mei.person.id)
    everywhere_else = [await shown.page.evaluate(EVERYTHING_BUT_MEIS_MODAL), json.dumps(state)]
    await phone.get_by_role("textbox").fill(passcode)
    await phone.get_by_role("button", name="Unlock").click()
    await expect(phone).to_have_attribute("data-lock", "open")
    await mei.close()
    everywhere_else += [await shown.page.content(), json.dumps(demo.sandbox.snapshot())]
    for place in everywhere_else:
        assert passcode not in place
        assert " · ".join(passcode) not in place


async def picture(page: Page, name: str) -> None:
    if folder := os.environ.get("PICTURES"):
        await page.screenshot(path=f"{folder}/{name}.png", animations="disabled")


async def test_asking_and_approving_work_with_the_keyboard_alone(shown: SandboxPage):
    mei, ken, why, keys = shown.mei, shown.ken, "No mouse at hand today", shown.page.keyboard
    await tab_to(mei.composer)
    await keys.type(COMMAND)
    await keys.press("Enter")
    typed = {"target": "jonas at contoso", "reason": why, "ticket": "INC-4711"}
    for name, text in typed.items():
        await tab_to(mei.field(name))
        await keys.type(text)
    await tab_to(mei.submit)
    await keys.press("Enter")
    await expect(mei.modal.locator("[data-block-id=target] .fault")).to_contain_text("can’t be looked up")
    await expect(mei.field("target")).to_be_focused()
    for name, text in typed.items():
        await expect(mei.field(name)).to_have_value(text)
    await keys.press("ControlOrMeta+a")
    await keys.type("serial:DMPX5678EFGH")
    await keys.press("Enter")
    await expect(mei.modal).to_have_count(0)
    await ken.shows(why, "INC-4711")
    await tab_to(ken.button("approve", ken.message(why)))
    await keys.press("Enter")
    await tab_to(ken.sign_in_link)
    async with shown.page.context.expect_page() as opened:
        await keys.press("Enter")
    tab = await opened.value
    for button in (ken.person.email, "Yes, both are me"):
        await tab_to(tab.get_by_role("button", name=button))
        await tab.keyboard.press("Enter")
    await expect(tab.get_by_role("heading", name="You are signed in")).to_be_visible()
    await tab.close()
    await tab_to(ken.modal.get_by_role("button", name="Reset passcode"))
    await keys.press("Enter")
    await expect(ken.modal).to_contain_text(APPROVED)
    await keys.press("Escape")
    await expect(ken.modal).to_have_count(0)
    await ken.shows(why, "Approved by @Ken Ito")


async def test_everything_can_be_done_on_a_screen_of_390_pixels(chromium: Browser, demo: Demo):
    context = await chromium.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    async with shown_in(context, demo) as shown:
        mei, ken, why = shown.mei, shown.ken, "Asked for from a phone at night"
        await mei.ask("serial:G6TX9012JKLM", why)
        await expect_no_sideways_scrolling(shown.page)
        await switch_to(ken)
        await ken.type_command("sign-in")
        await ken.confirm(await ken.sign_in())
        await expect(ken.modal).to_contain_text("You are signed in as ken@contoso.com. You can close")
        await ken.close()
        await ken.button("approve", ken.message(why)).tap()
        confirm = ken.modal.get_by_role("button", name="Reset passcode")
        await expect(confirm).to_be_in_viewport(ratio=1)
        await expect_no_sideways_scrolling(shown.page)
        await confirm.tap()
        await expect(ken.modal).to_contain_text(APPROVED)
        await switch_to(mei)
        await mei.shows(why, "sent to the device")
        await shown.page.locator("#switcher [data-toggle=phones]").tap()
        await expect(shown.phone("G6TX9012JKLM")).to_contain_text("Reset pending")
        await expect_no_sideways_scrolling(shown.page)


async def tab_to(goal: Locator) -> None:
    await goal.wait_for()
    for _ in range(200):
        if await goal.evaluate("node => node === document.activeElement"):
            return
        await goal.page.keyboard.press("Tab")
    pytest.fail(f"Tab does not lead to {goal}")


async def switch_to(column: Column) -> None:
    await column.page.locator(f"#switcher [data-toggle={column.person.id}]").tap()
    await column.slack.wait_for()


async def expect_no_sideways_scrolling(page: Page) -> None:
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_the_page_is_readable_and_its_cookie_goes_with_its_own_form_only(shown: SandboxPage):
    """Microsoft's answer is a POST across sites: it can set the strict cookie, and cannot bring it."""
    ken, browser = shown.ken, WithoutScripts()
    await ken.type_command("sign-in")
    link = str(await ken.sign_in_link.get_attribute("href"))
    back, fields = await browser.answer_of_microsoft(link, KEN_ACCOUNT)
    await browser.http.aclose()
    tab = await shown.page.context.new_page()
    await post_from_elsewhere(tab, back, fields)
    await expect(tab.get_by_role("heading")).to_have_text("Are both of these you?")
    for width in (390, 1280):
        await tab.set_viewport_size({"width": width, "height": 844})
        await expect_no_sideways_scrolling(tab)
        for button in await tab.get_by_role("button").all():
            assert (await button.bounding_box())["height"] >= 44
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
    page = {"body": html, "content_type": "text/html; charset=utf-8"}
    await tab.route("http://login.elsewhere.example/", lambda route: route.fulfill(**page))
    await tab.goto("http://login.elsewhere.example/")
    await tab.get_by_role("button", name="Go").click()


async def test_a_fault_is_ordered_and_goes_when_it_is_used_up_or_called_off(shown: SandboxPage, demo: Demo):
    page = shown.page
    panel, rows = page.locator(".faults"), page.locator(".fault-row")
    order = page.get_by_role("button", name="Let it fail")
    await expect(order).to_be_hidden()
    await panel.locator("summary").press("Enter")
    await page.get_by_label("Vendor", exact=True).select_option("Entra")
    await page.get_by_label("What goes wrong").select_option("Answered 503, nothing is done")
    await order.press("Enter")
    await expect(rows).to_contain_text(["Get a tokenAnswered 503, nothing is done; the next time."])
    async with httpx.AsyncClient(base_url=demo.sandbox.base_url) as http:
        assert (await http.post("/entra/any/oauth2/v2.0/token")).status_code == 503
    await expect(rows).to_have_count(0)
    await expect(page.locator(".call").first).to_contain_text("fault: 503")
    await page.get_by_label("Vendor", exact=True).select_option("Graph")
    await order.press("Enter")
    await page.get_by_role("button", name="Call off: Graph").press("Enter")
    await expect(rows).to_have_count(0)
    await expect(panel.locator("summary")).to_be_focused()
    assert demo.sandbox.content()["faults"] == []
