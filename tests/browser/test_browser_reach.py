"""Without a mouse, from a form that keeps what was typed; and on a narrow screen."""

from typing import Final

import pytest
from playwright.async_api import Browser, Locator, Page, ViewportSize, expect
from tests.browser.conftest import Demo, shown_in
from tests.browser.page import COMMAND, Column, SandboxPage

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHONE: Final[ViewportSize] = {"width": 390, "height": 844}
APPROVED = "Approved. Follow progress on the card"


async def test_asking_and_approving_work_with_the_keyboard_alone(shown: SandboxPage):
    mei, ken, why, keys = shown.mei, shown.ken, "No mouse at hand today", shown.page.keyboard
    await tab_to(mei.composer)
    await keys.type(COMMAND)
    await keys.press("Enter")
    typed = {"target": "jonas at contoso", "reason": why, "ticket": "INC-4711"}
    for name, text in typed.items():
        await tab_to(mei.field(name))
        await keys.type(text)
    await tab_to(mei.modal.locator("[data-submit]"))
    await keys.press("Enter")
    await expect(mei.modal.locator("[data-block-id=target] .fault")).to_contain_text("can’t be looked up")
    await expect(mei.field("target")).to_be_focused()
    for name, text in typed.items():
        await expect(mei.field(name)).to_have_value(text)
    await keys.press("ControlOrMeta+a")
    await keys.type("serial:DMPX5678EFGH")
    await keys.press("Enter")
    await expect(mei.modal).to_have_count(0)

    await expect(ken.message(why)).to_contain_text("INC-4711")
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
    await expect(ken.message(why)).to_contain_text("Approved by @Ken Ito")


async def test_everything_can_be_done_on_a_screen_of_390_pixels(chromium: Browser, demo: Demo):
    context = await chromium.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    async with shown_in(context, demo) as shown:
        mei, ken, why = shown.mei, shown.ken, "Asked for from a phone at night"
        await mei.ask("serial:G6TX9012JKLM", why)
        await expect_no_sideways_scrolling(shown.page)

        await switch_to(ken)
        await ken.type_command("sign-in")
        tab = await ken.sign_in()
        await ken.confirm(tab)
        await tab.close()
        await expect(ken.modal).to_contain_text("You are signed in as ken@contoso.com. You can close")
        await ken.close()
        await ken.button("approve", ken.message(why)).tap()
        confirm = ken.modal.get_by_role("button", name="Reset passcode")
        await expect(confirm).to_be_in_viewport(ratio=1)
        await expect_no_sideways_scrolling(shown.page)
        await confirm.tap()
        await expect(ken.modal).to_contain_text(APPROVED)

        await switch_to(mei)
        await expect(mei.message(why)).to_contain_text("sent to the device")
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
