"""Making something fail, from the page and with the keyboard."""

import httpx
import pytest
from playwright.async_api import expect
from tests.browser.conftest import Demo
from tests.browser.page import SandboxPage

pytestmark = pytest.mark.asyncio(loop_scope="session")


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
