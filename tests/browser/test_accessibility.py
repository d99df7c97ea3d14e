"""axe finds nothing wrong with any state of the pages, and none scrolls sideways.

Each state is looked at in one setting, and the next state in the next; with AXE=all, as `make axe` does,
in all of them.
"""

import os
from collections.abc import AsyncIterator
from importlib.resources import files
from itertools import cycle, product
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect
from sandbox.cast import AIKO
from tests.browser.conftest import COMMAND, Demo, SandboxPage, shown_in
from tests.browser.test_browser import APPROVED, PRIYAS_PHONE, picture, tab_to

pytestmark = pytest.mark.asyncio(loop_scope="session")

AXE = str(files("axe_playwright_python") / "axe.min.js")
RUN = """async () => {
  const {violations} = await axe.run(document, {resultTypes: ["violations"]});
  const said = ({id, nodes}) => nodes.map(({target, failureSummary}) => `${id} ${target}: ${failureSummary}`);
  const sideways = document.documentElement.scrollWidth > innerWidth ? ["scrolls sideways"] : [];
  return [...violations.flatMap(said), ...sideways];
}"""
TOMAS_PHONE = "59040DLJH001"
SIZES = ((320, 256), (390, 844), (1440, 900))  # the first is 1280 by 1024 at 400 %
COLOURS = ({"color_scheme": "light"}, {"color_scheme": "dark"}, {"forced_colors": "active"})
PLAIN = {"color_scheme": "light", "forced_colors": "none"}
SETTINGS = [*product(SIZES, COLOURS)]
SETTINGS = [SETTINGS[4 * turn % 9] for turn in range(9)]  # both change from one state to the next


class Audit:
    def __init__(self) -> None:
        self.found: list[str] = []
        self._settings = cycle(SETTINGS)

    async def look(self, page: Page, state: str, view: str = "") -> None:
        """Run axe in the next setting, or in all; where only one view fits, on `view`."""
        for size, colours in SETTINGS if os.environ.get("AXE") == "all" else [next(self._settings)]:
            setting = f"{state} {size[0]} {' '.join(colours.values())}"
            await page.set_viewport_size({"width": size[0], "height": size[1]})
            await page.emulate_media(**PLAIN | colours)
            if view:
                await page.locator(f"#switcher [data-toggle={view}]").dispatch_event("click")
            await picture(page, f"axe {setting}")
            self.found += [f"{setting}: {violation}" for violation in await page.evaluate(RUN)]
        await page.set_viewport_size({"width": 1440, "height": 900})

    async def each(self, page: Page, *states: tuple[Any, ...]) -> None:
        """Look at each state, on the view of a person or a part, after the steps that lead to it."""
        for state, view, *steps in states:
            for step in steps:
                await step
            await self.look(page, state, view)


@pytest_asyncio.fixture(loop_scope="session")
async def wide(chromium: Browser, demo: Demo) -> AsyncIterator[SandboxPage]:
    context = await chromium.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    await context.add_init_script(path=AXE)
    async with shown_in(context, demo) as page:
        yield page


async def test_axe_finds_nothing_wrong_in_any_state(wide: SandboxPage):
    page, mei, ken, audit = wide.page, wide.mei, wide.ken, Audit()
    why, help_, notice = "Locked out, on the phone with her", "opens the form", mei.slack.locator(".notice")
    await audit.each(
        page,
        ("first", "U0MEI"),
        ("suggestions", "U0MEI", mei.composer.fill(COMMAND)),
        ("form", "U0MEI", mei.composer.press("Enter"), mei.field("target").wait_for()),
        ("form with errors", "U0MEI", mei.submit.click()),
        ("private answer", "U0MEI", mei.close(), mei.type_command("help"), mei.message(help_).wait_for()),
        ("notice", "U0MEI", mei.say("/nothing-like-it"), notice.wait_for()),
        ("receipt", "U0MEI", mei.ask("priya@contoso.com", why), mei.shows(why, "waiting for approval")),
        ("card", "U0KEN", ken.message(why).wait_for()),
    )
    for account, answer, said in (
        (AIKO.email, "", "wrong account"),
        ("Cancel", "", "canceled"),
        (ken.person.email, "No, someone sent me this link", "declined"),
        (ken.person.email, "Yes, both are me", "signed in"),
    ):
        await ken.button("approve", ken.message(why)).click()
        async with page.context.expect_page() as opened:
            await ken.sign_in_link.click()
        tab = await opened.value
        if account == AIKO.email:
            await audit.look(tab, "accounts")
        await tab.get_by_role("button", name=account).click()
        await tab.wait_for_url("**/sign-in/callback")
        if said == "declined":
            await audit.look(tab, "confirmation")
        if answer:
            await tab.get_by_role("button", name=answer).click()
            await tab.wait_for_url("**/sign-in/confirm")
        await audit.look(tab, said)
        await tab.close()
        await page.bring_to_front()
        if said != "signed in":
            await audit.look(page, f"modal of {said}", "U0KEN")
            await ken.close()
    phone, passcode = wide.phone(PRIYAS_PHONE), mei.modal.locator("pre")
    pill = expect(phone.locator(".pill")).to_have_text("New passcode")
    await audit.each(
        page,
        ("review", "U0KEN", ken.modal.get_by_role("radio", name=PRIYAS_PHONE).check()),
        ("approved", "U0KEN", ken.submit.click(), expect(ken.modal).to_contain_text(APPROVED)),
        ("phones", "phones", ken.close(), phone.locator("summary").click(), pill),
        ("passcode", "U0MEI", mei.button("show_passcode", mei.message(why)).click(), passcode.wait_for()),
        ("done", "U0MEI", mei.close()),
    )
    for why in ("Locked out again, still on the phone", "Locked out once more"):
        await mei.slack.locator(".tab[data-channel=C0SUPPORT]").click()
        await mei.ask(f"serial:{PRIYAS_PHONE}", why)
        if "again" in why:
            await phone.get_by_role("textbox").fill("1234")
            await ken.button("approve", ken.message(why)).click()
            await ken.submit.click()
            await expect(ken.modal).to_contain_text("already reset")
            await audit.look(page, "reset again", "U0KEN")
            await ken.modal.get_by_role("checkbox").check()
            await ken.submit.click()
            await expect(phone.get_by_role("textbox")).to_have_value("")  # another passcode is due
            await mei.shows(why, "Show passcode")
            await ken.close()
    order, call_off = (page.get_by_role("button", name=name) for name in ("Let it fail", "Call off"))
    denial, fault = ken.field("denial"), page.locator(".fault-row")
    hide = page.locator(".hints [aria-label='Hide the steps']")
    faulty = (page.locator(".faults summary").click(), order.click(), fault.wait_for())
    chips = [page.locator("#chips").get_by_role("button", name=name) for name in ("Gus", "Olga")]
    await audit.each(
        page,
        ("deny", "U0KEN", ken.button("deny", ken.message(why)).click(), denial.wait_for()),
        ("denied", "U0KEN", denial.fill("Not yet"), ken.submit.click(), ken.shows(why, "Denied by")),
        ("calls and faults", "calls", *faulty, page.locator(".call summary").first.click()),
        ("everybody", "U0OLGA", call_off.click(), hide.click(), *(chip.click() for chip in chips)),
    )
    assert "\n".join(audit.found) == ""


async def test_typing_too_early_neither_closes_a_modal_nor_is_the_keyboard_left_behind(wide: SandboxPage):
    """The modal says at first that something is looked up: what comes in its place takes the keyboard."""
    mei, ken, keys, why = wide.mei, wide.ken, wide.page.keyboard, "Typed before the form was there"
    await mei.ask("imei:352987101234567", why)
    await ken.message(why).wait_for()
    rule = {"to": "slack", "match": "users.info", "kind": "latency", "seconds": 1, "times": 1}
    await wide.page.request.post(f"{wide.page.url}sandbox/faults", data=rule)
    await ken.button("deny", ken.message(why)).press("Enter")
    await expect(ken.modal).to_contain_text("Looking up")
    for key in (*"abc def", "Enter"):
        await keys.press(key)
    await expect(ken.field("denial")).to_be_focused()
    await keys.press("Shift+Tab")
    await expect(ken.modal.get_by_label("Close window")).to_be_focused()
    await expect(wide.page.locator("#announcer")).to_contain_text("Ken Ito: Deny the request")
    await keys.press("Escape")
    await expect(ken.button("deny", ken.message(why))).to_be_focused()


async def test_f6_leads_out_of_a_modal_to_the_phone_and_back_and_nothing_drops_the_keyboard(wide, demo):
    page, mei, ken, keys = wide.page, wide.mei, wide.ken, wide.page.keyboard
    why, phone = "Read to the owner, by keyboard", wide.phone(TOMAS_PHONE)
    for key in ("Tab", "Enter"):
        await keys.press(key)  # the first stop leads past all others
    await expect(mei.composer).to_be_focused()
    await mei.ask(f"serial:{TOMAS_PHONE}", why)
    await ken.button("approve", ken.message(why)).click()
    await ken.confirm(await ken.sign_in())
    await ken.submit.click()
    await expect(phone.locator(".pill")).to_have_text("New passcode")
    announcer = page.locator("#announcer")
    await expect(announcer).to_contain_text("Pixel 10 59040DLJH001: Reset done. New passcode.")
    await mei.button("show_passcode", mei.message(why)).press("Enter")
    passcode = await mei.modal.locator("pre").inner_text()
    await expect(announcer).to_contain_text("Mei Tanaka: New passcode")
    assert passcode not in await announcer.inner_text()
    await expect(mei.modal.locator(".modal-body")).to_be_focused()
    for part in ("U0KEN", "U0AIKO"):
        await keys.press("F6")
        assert await page.evaluate("document.activeElement.closest('.column').dataset.person") == part
    await keys.press("F6")
    field, unlock = phone.get_by_role("textbox"), phone.get_by_role("button", name="Unlock")
    await tab_to(field)
    await keys.type("0000")
    await keys.press("Enter")
    await expect(phone).to_contain_text("Wrong passcode.")
    await keys.press("ControlOrMeta+a")
    await keys.type(passcode)
    await tab_to(unlock)
    await keys.press("Enter")
    await expect(phone.locator(".pill")).to_have_text("Unlocked")
    await expect(phone).to_contain_text("It opens.")
    await expect(phone.locator("summary")).to_be_focused()  # the form is gone
    for _ in range(3):
        await keys.press("Shift+F6")
    await expect(mei.modal.locator(".modal-body")).to_be_focused()
    await keys.press("Escape")
    await expect(mei.button("show_passcode", mei.message(why))).to_be_focused()
    await mei.slack.locator(".tab[data-channel=C0SUPPORT]").click()
    for words in ("/one-unknown", "/another-unknown"):
        await mei.say(words)
        await expect(mei.slack.locator(".notice")).to_have_count(1)
        await expect(mei.slack.locator(".notice")).to_contain_text(words)
    await mei.slack.get_by_role("button", name="Dismiss: /another-unknown").press("Enter")
    await expect(mei.slack.locator(".notice")).to_have_count(0)
    await expect(mei.composer).to_be_focused()
    await mei.composer.fill("Thank you")
    await mei.slack.get_by_role("button", name="Send").press("Enter")
    await expect(mei.composer).to_be_focused()
    await page.get_by_role("button", name="Hide the steps").press("Enter")
    await expect(page.get_by_role("button", name="First steps")).to_be_focused()
    await ken.close()
    slack, ts = demo.sandbox.slack.workspace, await ken.message(why).get_attribute("data-ts")
    slack.post("C0ONCALL", user=slack.bot.id, text="It is done", thread_ts=ts)
    reply = ken.message("It is done")
    await expect(reply).to_contain_text("Replied to a thread: Passcode reset: ")
    await ken.slack.get_by_role("log").focus()
    await keys.press("ArrowUp")
    await expect(reply).to_be_focused()
    await keys.press("ArrowUp")
    assert await reply.evaluate("reply => reply.previousElementSibling === document.activeElement")


async def test_a_window_of_256_pixels_shows_what_it_is_for(wide: SandboxPage):
    page, mei = wide.page, wide.mei
    await mei.composer.focus()
    for size in ((320, 256), (844, 390)):
        await page.set_viewport_size({"width": size[0], "height": size[1]})
        await page.locator("#switcher [data-toggle=U0MEI]").click()
        await mei.slack.locator(".tab[data-channel=C0SUPPORT]").click()
        await mei.type_command("help")
        newest = mei.message("opens the form")
        await expect(newest.get_by_text("sign-out")).to_be_in_viewport(ratio=1)
        await expect(mei.composer).to_be_in_viewport(ratio=1)
        await mei.type_command()
        await expect(mei.field("target")).to_be_focused()
        for part in (mei.field("target"), mei.submit):
            await expect(part).to_be_in_viewport(ratio=1)
        await mei.close()


async def test_forced_colours_tell_what_is_shown_chosen_and_under_way(wide: SandboxPage):
    page = wide.page
    await page.emulate_media(forced_colors="active")
    for which, what in (
        ("#chips [aria-pressed=%s]", "background-color"),
        (".filter[aria-pressed=%s]", "background-color"),
        (".tab[aria-current=%s]", "border-bottom-color"),
    ):
        read = "([which, what]) => getComputedStyle(document.querySelector(which)).getPropertyValue(what)"
        assert len({await page.evaluate(read, [which % on, what]) for on in ("true", "false")}) == 2, which
    bar = "getComputedStyle(document.querySelector('.phone-action'), '::after').backgroundColor"
    assert await page.evaluate(f"{bar} !== getComputedStyle(document.body).backgroundColor")


async def test_a_notice_of_slacks_leaves_by_itself_but_not_while_it_is_read(wide: SandboxPage):
    page, mei = wide.page, wide.mei
    await page.clock.install()
    await page.reload()
    await mei.say("/one-unknown")
    notice = mei.slack.locator(".notice")
    await notice.hover()
    await page.clock.fast_forward(21_000)
    await page.mouse.move(0, 0)
    await expect(notice).to_be_visible()
    await page.clock.fast_forward(21_000)
    await expect(notice).to_have_count(0)
