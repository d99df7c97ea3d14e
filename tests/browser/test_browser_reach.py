"""Without a mouse, and on a narrow screen."""

from typing import Final

import pytest
from playwright.async_api import Browser, Locator, Page, ViewportSize, expect
from tests.browser.conftest import Demo, seated
from tests.browser.seats import COMMAND, Seat, Seats

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHONE: Final[ViewportSize] = {"width": 390, "height": 844}
FARTHEST = 200


async def test_asking_and_approving_work_with_the_keyboard_alone(seats: Seats) -> None:
    mei, ken, why, keys = seats.mei, seats.ken, "No mouse at hand today", seats.page.keyboard
    await ken.sign_out()

    await tab_to(mei.pen)
    await keys.type(f"{COMMAND} serial:DMPX5678EFGH {why}")
    await keys.press("Enter")
    approve = ken.button("approve", ken.message(why))
    await approve.wait_for()
    await tab_to(approve)
    await keys.press("Enter")

    await tab_to(ken.sign_in_link)
    async with seats.page.context.expect_page() as opened:
        await keys.press("Enter")
    tab = await opened.value
    await tab_to(tab.get_by_role("button", name=ken.person.email))
    await tab.keyboard.press("Enter")
    await tab_to(tab.get_by_role("button", name="Yes, both are me"))
    await tab.keyboard.press("Enter")
    await expect(tab.get_by_role("heading", name="You are signed in")).to_be_visible()
    await tab.close()

    await tab_to(ken.window.get_by_role("button", name="Reset passcode"))
    await keys.press("Enter")
    await expect(ken.window).to_contain_text("You approved it")
    await keys.press("Escape")

    await expect(ken.window).to_have_count(0)
    await expect(ken.message(why)).to_contain_text("@Ken Ito approved it")


async def test_everything_can_be_done_on_a_screen_of_390_pixels(chromium: Browser, demo: Demo) -> None:
    context = await chromium.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    async with seated(context, demo) as seats:
        mei, ken, why = seats.mei, seats.ken, "Asked for from a phone at night"
        await mei.ask("serial:G6TX9012JKLM", why)
        await expect_no_sideways_scrolling(seats.page)

        await switch_to(ken)
        await ken.sign_in()
        await ken.button("approve", ken.message(why)).tap()
        confirm = ken.window.get_by_role("button", name="Reset passcode")
        await expect(confirm).to_be_in_viewport(ratio=1)
        await expect_no_sideways_scrolling(seats.page)
        await confirm.tap()
        await expect(ken.window).to_contain_text("You approved it")

        await switch_to(mei)
        await expect(mei.message(why)).to_contain_text("sent, waiting for the device")
        await seats.page.locator("#switcher [data-toggle=phones]").tap()
        await expect(seats.phone("G6TX9012JKLM")).to_contain_text("Reset pending")
        await expect_no_sideways_scrolling(seats.page)


async def tab_to(goal: Locator) -> None:
    """Press Tab until the goal has the keyboard."""
    await goal.wait_for()
    for _ in range(FARTHEST):
        if await goal.evaluate("node => node === document.activeElement"):
            return
        await goal.page.keyboard.press("Tab")
    pytest.fail(f"Tab does not lead to {goal}")


async def switch_to(seat: Seat) -> None:
    await seat.page.locator(f"#switcher [data-toggle={seat.person.id}]").tap()
    await seat.slack.wait_for()


async def expect_no_sideways_scrolling(page: Page) -> None:
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
