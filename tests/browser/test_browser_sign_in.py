"""Signing in goes wrong: on the page and in the window that waits, people are told what to do."""

import pytest
from playwright.async_api import Locator, expect
from tests.browser.seats import COMMAND, Seats

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_link_signs_in_nobody_but_the_person_it_was_made_for(seats: Seats) -> None:
    mei, ken, why = seats.mei, seats.ken, "Asked for while Aiko is at Ken's desk"
    await ken.sign_out()
    await mei.ask('name:"Field phone"', why)

    await ken.press("approve", why)
    tab = await ken.at_microsoft("aiko@contoso.com")

    sentence = "You signed in as aiko@contoso.com, but your Slack profile belongs to ken@contoso.com."
    await expect(tab.get_by_role("heading")).to_have_text("You are not signed in")
    await expect(tab.locator("main")).to_contain_text(sentence)
    await expect(ken.window).to_contain_text(sentence)
    await expect_signed_out(seats, why)


async def test_an_account_of_another_organisation_does_not_get_in(seats: Seats) -> None:
    ken = seats.ken
    await ken.sign_out()
    await ken.say(f"{COMMAND} sign-in")

    tab = await ken.at_microsoft("ken@fabrikam.com")

    await expect(tab.get_by_role("heading")).to_have_text("Sorry, we cannot sign you in")
    await tab.get_by_role("link", name="Pick another account").click()
    await tab.get_by_role("button", name="ken@contoso.com").click()
    await ken.says_yes(tab)
    await expect(ken.window).to_contain_text("You are signed in as ken@contoso.com")


async def test_who_cancels_at_microsoft_is_told_that_nothing_was_signed_in(seats: Seats) -> None:
    mei, ken, why = seats.mei, seats.ken, "Asked for while Ken thinks better of it"
    await ken.sign_out()
    await mei.ask("tomas@contoso.com", why)

    await ken.press("approve", why)
    tab = await ken.at_microsoft("Use nobody: cancel")

    sentence = "Microsoft was not given your consent, so you are not signed in."
    await expect(tab.locator("main")).to_contain_text(sentence)
    await expect(ken.window).to_contain_text(sentence)
    await expect_signed_out(seats, why)


async def test_a_link_works_once(seats: Seats) -> None:
    ken = seats.ken
    await ken.say(f"{COMMAND} sign-in")
    link = await address(ken.sign_in_link)
    await ken.signs_in()
    await expect(ken.window).to_contain_text("You are signed in")

    again = await seats.page.context.new_page()
    answer = await again.goto(link)

    assert answer is not None
    assert answer.status == 410
    await expect(again.get_by_role("heading")).to_have_text("This link no longer works")


async def test_looking_at_a_link_does_not_use_it_up(seats: Seats) -> None:
    ken = seats.ken
    await ken.say(f"{COMMAND} sign-in")

    looked = await seats.page.request.get(await address(ken.sign_in_link))

    assert looked.ok
    await ken.signs_in()
    await expect(ken.window).to_contain_text("You are signed in")


async def address(link: Locator) -> str:
    href = await link.get_attribute("href")
    assert href is not None
    return href


async def expect_signed_out(seats: Seats, why: str) -> None:
    """Approve asks for a sign-in again."""
    await seats.ken.close()
    await seats.ken.press("approve", why)
    await expect(seats.ken.sign_in_link).to_be_visible()
