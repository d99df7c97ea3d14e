"""Draws the pictures of the README: `python -m tests.browser.screenshots docs/pictures`."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, Page, expect
from sandbox.demo import sandbox_and_bot
from tests.browser.chromium import a_chromium
from tests.browser.seats import Seats

REASON: Final = "Locked out at a customer"
WORK_PHONE: Final = "R5CX70ABCDE"


class Album:
    """A folder of numbered pictures."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    async def take(self, page: Page, name: str) -> None:
        await page.screenshot(path=self._folder / f"{name}.png", animations="disabled")
        print(f"{name}.png")


async def main(folder: Path) -> None:
    album = Album(folder)
    async with a_chromium() as browser:
        async with sandbox_and_bot(action_seconds=1) as (sandbox, _), _seats(browser) as seats:
            await seats.take(f"{sandbox.base_url}/")
            await _main_job(album, seats)
        async with sandbox_and_bot(action_seconds=1) as (sandbox, _):
            async with _seats(browser, width=390, height=844) as seats:
                await seats.take(f"{sandbox.base_url}/")
                await seats.mei.ask("ada@contoso.com", REASON)
                await seats.mei.message("waiting for an approver").wait_for()
                await album.take(seats.page, "8-phone-width")
            async with _seats(browser, dark=True) as seats:
                await seats.take(f"{sandbox.base_url}/")
                await seats.ken.message(REASON).wait_for()
                await album.take(seats.page, "9-dark")


async def _main_job(album: Album, seats: Seats) -> None:
    """Ask, sign in, approve, see the new passcode."""
    mei, ken = seats.mei, seats.ken
    await mei.ask("priya@contoso.com", REASON)
    await ken.message(REASON).wait_for()
    await expect(mei.message(REASON)).to_contain_text("waiting for an approver")
    await album.take(seats.page, "1-asked")
    await ken.press("approve", REASON)
    await ken.sign_in_link.wait_for()
    await album.take(seats.page, "2-sign-in")
    await _sign_in(album, seats)
    await ken.choose(WORK_PHONE)
    await album.take(seats.page, "5-review")
    await ken.submit()
    await expect(ken.window).to_contain_text("Approved")
    await ken.close()
    await mei.button("show_passcode", mei.slack).wait_for()
    await album.take(seats.page, "6-done")
    await mei.press("show_passcode", REASON)
    await expect(mei.window).to_contain_text("passcode")
    await expect(mei.window.locator("pre")).to_be_visible()
    await album.take(seats.page, "7-passcode")


async def _sign_in(album: Album, seats: Seats) -> None:
    async with seats.page.context.expect_page() as opened:
        await seats.ken.sign_in_link.click()
    tab = await opened.value
    await tab.get_by_role("button", name="ken@contoso.com").wait_for()
    await tab.set_viewport_size({"width": 640, "height": 760})
    await album.take(tab, "3-pick-an-account")
    await tab.get_by_role("button", name="ken@contoso.com").click()
    await expect(tab.get_by_role("heading", name="Are both of these you?")).to_be_visible()
    await album.take(tab, "4-is-this-you")
    await seats.ken.says_yes(tab)
    await seats.page.bring_to_front()
    await expect(seats.ken.window).to_contain_text("Review the reset")


@asynccontextmanager
async def _seats(
    browser: Browser, *, width: int = 1280, height: int = 800, dark: bool = False
) -> AsyncIterator[Seats]:
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        locale="en-GB",
        timezone_id="Asia/Tokyo",
    )
    try:
        yield Seats(await context.new_page())
    finally:
        await context.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
