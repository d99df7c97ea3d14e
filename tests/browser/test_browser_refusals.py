"""What ends without a reset: denied, withdrawn, not allowed, mistyped. Everybody is told why."""

import pytest
from playwright.async_api import Locator, expect
from tests.browser.seats import COMMAND, ON_CALL, Seats

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_denial_needs_a_reason_and_the_requester_reads_it(seats: Seats) -> None:
    mei, ken, why = seats.mei, seats.ken, "Somebody called and said it is urgent"
    denial = "Call Ada back on the number in the directory first."
    await mei.ask("ada@contoso.com", why)

    await ken.press("deny", why)
    await ken.submit()
    await expect(ken.window).to_contain_text("Please complete this required field.")
    await ken.window.get_by_label("Reason", exact=True).fill(denial)
    await ken.submit()
    await expect(ken.window).to_contain_text("The request is denied.")

    await expect(mei.message(why)).to_contain_text("Passcode reset: denied")
    await expect(mei.message(why)).to_contain_text(denial)
    await expect(ken.button("approve", ken.message(why))).to_have_count(0)


async def test_a_withdrawn_request_can_no_longer_be_approved(seats: Seats) -> None:
    mei, ken, why = seats.mei, seats.ken, "Typed the wrong person"
    await mei.ask("jonas@contoso.com", why)
    await expect(ken.button("approve", ken.message(why))).to_be_visible()

    await mei.press("withdraw", why)

    await expect(mei.message(why)).to_contain_text("Passcode reset: withdrawn")
    await expect(ken.message(why)).to_contain_text("@Mei Tanaka took it back")
    await expect(ken.button("approve", ken.message(why))).to_have_count(0)


async def test_nobody_approves_their_own_request(seats: Seats) -> None:
    ken, why = seats.ken, "My colleague is locked out"
    await ken.ask("ada@contoso.com", why)
    await ken.turn_to(ON_CALL)

    await ken.press("approve", why)

    await expect(ken.window).to_contain_text("This is your own request.")
    await expect(seats.aiko.button("approve", seats.aiko.message(why))).to_be_visible()


async def test_a_guest_is_refused_and_no_approver_is_bothered(seats: Seats) -> None:
    gus, why = seats.gus, "I repair this phone"
    await seats.show(gus)

    await gus.ask("ada@contoso.com", why)

    await expect(gus.message(why)).to_contain_text("Guests cannot ask for a reset")
    await expect(seats.ken.message(why)).to_have_count(0)


async def test_somebody_of_another_organisation_cannot_even_ask(seats: Seats) -> None:
    olga = seats.olga
    await seats.show(olga)

    await olga.say(f"{COMMAND} ada@contoso.com we share this channel")

    await expect(olga.slack.locator(".notice")).to_contain_text(f"{COMMAND} is not a valid command")
    await expect(seats.ken.message("we share this channel")).to_have_count(0)


async def test_the_form_keeps_what_was_typed_when_the_target_cannot_be_read(seats: Seats) -> None:
    mei, why = seats.mei, "He is on the phone, I know his voice"
    await mei.say(COMMAND)
    target, reason, ticket = (field(mei.window, name) for name in ("target", "reason", "ticket"))

    await target.fill("jonas at contoso")
    await reason.fill(why)
    await ticket.fill("INC-4711")
    await mei.submit()

    await expect(mei.window.locator("[data-block-id=target] .fault")).to_contain_text("cannot be looked up")
    await expect(target).to_be_focused()
    await expect(target).to_have_value("jonas at contoso")
    await expect(reason).to_have_value(why)
    await expect(ticket).to_have_value("INC-4711")

    await target.fill("jonas@contoso.com")
    await mei.submit()
    await expect(mei.window).to_have_count(0)
    await expect(seats.ken.message(why)).to_contain_text("INC-4711")


async def test_a_mistyped_command_comes_back_as_a_form_with_what_was_typed(seats: Seats) -> None:
    mei = seats.mei

    await mei.say(f"{COMMAND} jonas he cannot get in")

    await expect(mei.window).to_contain_text("“jonas” cannot be looked up")
    await expect(field(mei.window, "target")).to_have_value("jonas")
    await expect(field(mei.window, "reason")).to_have_value("he cannot get in")


def field(window: Locator, name: str) -> Locator:
    return window.locator(f"[data-block-id={name}]").get_by_role("textbox")
