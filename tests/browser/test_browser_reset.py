"""The whole job at the page: the passcode is in the requester's modal and nowhere else.

With PICTURES set to a folder, as `make screenshots` does, it draws the pictures of the README there.
"""

import json
import os
import re

import pytest
from playwright.async_api import Page, expect
from tests.browser.conftest import Demo
from tests.browser.page import SandboxPage

pytestmark = pytest.mark.asyncio(loop_scope="session")

PRIYAS_PHONE = "R5CX70ABCDE"
EVERYTHING_BUT_MEIS_MODAL = """() => {
  const page = document.documentElement.cloneNode(true);
  page.querySelector("[data-person=U0MEI] .modals").remove();
  const typed = [...document.querySelectorAll("input, textarea")].map((field) => field.value);
  return [page.outerHTML, ...typed, ...Object.values(localStorage)].join("\\n");
}"""


async def test_a_locked_phone_opens_with_a_passcode_that_only_the_requester_sees(
    shown: SandboxPage, demo: Demo
):
    mei, ken, why = shown.mei, shown.ken, "Locked out at a customer"
    await mei.ask("priya@contoso.com", why)
    await ken.message(why).wait_for()
    await expect(mei.message(why)).to_contain_text("waiting for approval")
    await picture(shown.page, "1-asked")
    await ken.button("approve", ken.message(why)).click()
    await ken.confirm(await ken.sign_in())
    await ken.modal.get_by_role("radio", name=PRIYAS_PHONE).check()
    await picture(shown.page, "5-review")
    await ken.modal.locator("[data-submit]").click()
    await expect(ken.modal).to_contain_text("Approved. Follow progress on the card")
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
