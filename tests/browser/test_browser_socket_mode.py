"""The same bot over a socket: no address of its own that Slack would have to reach."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect
from sandbox.demo import sandbox_and_bot
from tests.browser.conftest import Demo, seated

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def socket_demo() -> AsyncIterator[Demo]:
    async with sandbox_and_bot(socket_mode=True, action_seconds=1) as (sandbox, bot):
        yield Demo(sandbox, bot)


async def test_a_phone_is_reset_over_socket_mode(chromium: Browser, socket_demo: Demo) -> None:
    async with seated(await chromium.new_context(), socket_demo) as seats:
        mei, ken, why = seats.mei, seats.ken, "Locked out, over a socket"
        await expect(seats.page.locator("#link")).to_have_text("Unlatch runs, Socket Mode")

        await mei.ask("serial:59040DLJH001", why)
        await ken.press("approve", why)
        await ken.signs_in()
        await ken.submit()
        await expect(ken.window).to_contain_text("You approved it")
        await mei.press("show_passcode", why)

        await expect(mei.window.locator("pre")).to_have_text(re.compile(r"^\d{8}$"))
        await expect(seats.calls.locator(".pinned")).to_contain_text("resetPasscode, as Ken Ito")
