"""Draws the pictures of the README: `python -m tests.browser.screenshots docs/pictures`."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, Page, expect
from sandbox.demo import sandbox_and_bot
from tests.browser.chromium import chromium_browser
from tests.browser.page import SandboxPage

REASON: Final = "Locked out at a customer"
WORK_PHONE: Final = "R5CX70ABCDE"


async def draw(folder: Path) -> None:
    async with chromium_browser() as browser:
        async with sandbox_and_bot(action_seconds=1) as (sandbox, _), _page(browser) as shown:
            await shown.open(f"{sandbox.base_url}/")
            await _whole_job(folder, shown)
        async with sandbox_and_bot(action_seconds=1) as (sandbox, _):
            async with _page(browser, width=390, height=844) as shown:
                await shown.open(f"{sandbox.base_url}/")
                await shown.mei.ask("ada@contoso.com", REASON)
                await shown.mei.message("waiting for approval").wait_for()
                await _take(folder, shown.page, "8-phone-width")
            async with _page(browser, dark=True) as shown:
                await shown.open(f"{sandbox.base_url}/")
                await shown.ken.message(REASON).wait_for()
                await _take(folder, shown.page, "9-dark")


async def _whole_job(folder: Path, shown: SandboxPage) -> None:
    """Ask, sign in, approve, see the new passcode."""
    mei, ken = shown.mei, shown.ken
    await mei.ask("priya@contoso.com", REASON)
    await ken.message(REASON).wait_for()
    await expect(mei.message(REASON)).to_contain_text("waiting for approval")
    await _take(folder, shown.page, "1-asked")
    await ken.press("approve", REASON)
    await ken.sign_in_link.wait_for()
    await _take(folder, shown.page, "2-sign-in")
    tab = await ken.follow_link()
    account = tab.get_by_role("button", name=ken.person.email)
    await account.wait_for()
    await tab.set_viewport_size({"width": 640, "height": 760})
    await _take(folder, tab, "3-pick-an-account")
    await account.click()
    await tab.get_by_role("heading", name="Are both of these you?").wait_for()
    await _take(folder, tab, "4-is-this-you")
    await ken.confirm(tab)
    await ken.modal.get_by_role("radio", name=WORK_PHONE).check()
    await _take(folder, shown.page, "5-review")
    await ken.submit()
    await expect(ken.modal).to_contain_text("Approved")
    await ken.close()
    await mei.button("show_passcode", mei.slack).wait_for()
    await _take(folder, shown.page, "6-done")
    await mei.press("show_passcode", REASON)
    await mei.modal.locator("pre").wait_for()
    await _take(folder, shown.page, "7-passcode")


async def _take(folder: Path, page: Page, name: str) -> None:
    await page.screenshot(path=folder / f"{name}.png", animations="disabled")


@asynccontextmanager
async def _page(
    browser: Browser, *, width: int = 1280, height: int = 800, dark: bool = False
) -> AsyncIterator[SandboxPage]:
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        locale="en-GB",
        timezone_id="Asia/Tokyo",
    )
    try:
        yield SandboxPage(await context.new_page())
    finally:
        await context.close()


if __name__ == "__main__":
    asyncio.run(draw(Path(sys.argv[1])))
