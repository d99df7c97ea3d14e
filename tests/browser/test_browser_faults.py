"""Making something fail, from the page."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Page, expect
from tests.browser.conftest import Demo
from tests.browser.seats import Seats

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def page(seats: Seats, demo: Demo) -> AsyncIterator[Page]:
    yield seats.page
    demo.sandbox.faults.clear()


async def test_a_fault_is_ordered_with_the_keyboard_and_goes_when_it_is_used_up(
    page: Page, demo: Demo
) -> None:
    panel, rows = page.locator(".faults"), page.locator(".fault-row")
    await expect(page.get_by_role("button", name="Let it fail")).to_be_hidden()

    await panel.locator("summary").focus()
    await page.keyboard.press("Enter")
    await page.get_by_label("Vendor", exact=True).select_option("Entra")
    await page.get_by_label("What goes wrong").select_option("Answered 503, nothing is done")
    await page.get_by_role("button", name="Let it fail").focus()
    await page.keyboard.press("Enter")
    await expect(rows).to_contain_text(["Get a tokenAnswered 503, nothing is done; the next time."])

    async with httpx.AsyncClient(base_url=demo.sandbox.base_url) as http:
        assert (await http.post("/entra/any/oauth2/v2.0/token")).status_code == 503
    await expect(rows).to_have_count(0)
    await expect(page.locator(".call").first).to_contain_text("fault: 503")


async def test_a_fault_is_called_off(page: Page, demo: Demo) -> None:
    await page.locator(".faults summary").click()
    await page.get_by_role("button", name="Let it fail").click()

    await page.get_by_role("button", name="Call off: Graph, Reset a passcode").press("Enter")

    await expect(page.locator(".fault-row")).to_have_count(0)
    await expect(page.locator(".faults summary")).to_be_focused()
    assert demo.sandbox.faults.rules == []
