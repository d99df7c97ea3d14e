"""The main job: a locked phone is reset as the approver, and its new passcode reaches one person."""

import json
from pathlib import Path

import pytest
from playwright.async_api import expect
from tests.browser.conftest import Demo
from tests.browser.seats import Seats

pytestmark = pytest.mark.asyncio(loop_scope="session")

PRIYAS_PHONE = "R5CX70ABCDE"
ADAS_IPHONE = "F2LX1234ABCD"
TOMAS_PHONE = "59040DLJH001"
LEAS_LAPTOP = "7XK2P34"


async def test_a_locked_phone_opens_again_with_a_passcode_that_only_the_requester_saw(
    seats: Seats, demo: Demo
) -> None:
    mei, ken, why = seats.mei, seats.ken, "Locked out at a customer's gate"
    await ken.sign_out()

    await mei.ask("priya@contoso.com", why)
    await ken.press("approve", why)
    await ken.signs_in()

    await ken.choose(PRIYAS_PHONE)
    await ken.submit()
    await expect(ken.window).to_contain_text("You approved it")

    phone = seats.phone(PRIYAS_PHONE)
    await expect(phone.locator(".pill")).to_have_text("New passcode")
    await expect(seats.calls.locator(".pinned")).to_contain_text("resetPasscode, as Ken Ito")

    await mei.press("show_passcode", why)
    passcode = await mei.window.locator("pre").inner_text()
    assert passcode.isdigit()
    assert len(passcode) == 8
    assert passcode in await mei.slack.inner_html()
    assert_secret(passcode, await everything_but_meis_window(seats), state(demo, but="U0MEI"))

    await phone.get_by_role("textbox").fill(passcode)
    await phone.get_by_role("button", name="Unlock").click()
    await expect(phone).to_have_attribute("data-lock", "open")

    await mei.close()
    assert_secret(passcode, await seats.page.content(), state(demo))
    assert_secret(passcode, *demo.bot.lines, *kept_on_disk(demo.bot.folder))


async def test_the_passcode_of_an_iphone_is_removed_and_there_is_none_to_show(seats: Seats) -> None:
    mei, ken, why = seats.mei, seats.ken, "Forgot it over the holidays"
    await ken.sign_in()

    await mei.ask(f"serial:{ADAS_IPHONE}", why)
    await ken.press("approve", why)
    await expect(ken.window).to_contain_text("Removes the passcode")
    await ken.submit()

    await expect(seats.phone(ADAS_IPHONE).locator(".pill")).to_have_text("No passcode")
    await expect(mei.message(why)).to_contain_text("The passcode is gone.")
    await expect(mei.button("show_passcode", mei.message(why))).to_have_count(0)


async def test_a_windows_laptop_is_refused_with_the_reason_and_the_request_ends(seats: Seats) -> None:
    mei, ken, why = seats.mei, seats.ken, "Cannot get into the laptop"
    await ken.sign_in()

    await mei.ask(f"serial:{LEAS_LAPTOP}", why)
    await ken.press("approve", why)

    reason = "Intune resets the passcodes of Apple and Android phones and tablets only"
    await expect(ken.window).to_contain_text(reason)
    await expect(mei.message(why)).to_contain_text(reason)
    await expect(mei.message(why)).to_contain_text("Passcode reset: not accepted")
    await expect(ken.button("approve", ken.message(why))).to_have_count(0)


async def test_who_reviews_while_somebody_else_approves_is_told_who_decided(seats: Seats, demo: Demo) -> None:
    mei, ken, aiko, why = seats.mei, seats.ken, seats.aiko, "New phone, wrong code five times"
    await ken.sign_in()
    await aiko.sign_in()

    await mei.ask(f"serial:{TOMAS_PHONE}", why)
    await aiko.press("approve", why)
    await expect(aiko.window).to_contain_text("Sets a new temporary passcode")
    await ken.press("approve", why)
    await ken.submit()
    await expect(ken.window).to_contain_text("You approved it")
    await aiko.submit()

    await expect(aiko.window).to_contain_text("@Ken Ito approved it")
    assert resets_of(demo, TOMAS_PHONE) == 1


def resets_of(demo: Demo, serial: str) -> int:
    (phone,) = (phone for phone in demo.sandbox.intune.snapshot() if phone["serial"] == serial)
    return int(str(phone["resets"]))


def state(demo: Demo, but: str = "") -> str:
    """What every page is sent, without the modals of one person."""
    shown = demo.sandbox.snapshot()
    shown["modals"].pop(but, None)
    return json.dumps(shown, ensure_ascii=False)


async def everything_but_meis_window(seats: Seats) -> str:
    """The whole page as it stands, typed text included."""
    return str(
        await seats.page.evaluate(
            """() => {
              const page = document.documentElement.cloneNode(true);
              page.querySelector("[data-person=U0MEI] .modals").remove();
              const typed = [...document.querySelectorAll("input, textarea")].map((field) => field.value);
              return [page.outerHTML, ...typed, ...Object.values(localStorage)].join("\\n");
            }"""
        )
    )


def kept_on_disk(folder: Path) -> list[str]:
    return [file.read_bytes().decode(errors="replace") for file in folder.iterdir() if file.is_file()]


def assert_secret(passcode: str, *places: str) -> None:
    """Neither as it is, nor as it is read aloud."""
    for place in places:
        assert passcode not in place
        assert " · ".join(passcode) not in place
