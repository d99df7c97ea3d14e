"""Who sits at the page: one person's Slack, what they see in it and what they do."""

from dataclasses import dataclass
from typing import Final

from playwright.async_api import Locator, Page, expect
from sandbox.cast import AIKO, GUS, KEN, MEI, OLGA, ON_CALL, Person

COMMAND: Final = "/reset-passcode"


@dataclass(frozen=True, slots=True)
class Seat:
    """One person's column of the page."""

    page: Page
    person: Person

    @property
    def slack(self) -> Locator:
        """Everything that this person sees."""
        return self.page.locator(f"[data-person={self.person.id}]")

    @property
    def window(self) -> Locator:
        """The modal on top."""
        return self.slack.get_by_role("dialog")

    @property
    def pen(self) -> Locator:
        """Where the person writes."""
        return self.slack.locator(".composer textarea")

    @property
    def sign_in_link(self) -> Locator:
        return self.button("sign_in", self.window)

    def message(self, words: str) -> Locator:
        """The newest message of the open conversation with these words in it."""
        return self.slack.locator("article.message").filter(has_text=words).last

    def button(self, action: str, within: Locator) -> Locator:
        return within.locator(f"[data-action-id={action}]")

    async def turn_to(self, channel: str) -> None:
        await self.slack.locator(f".tab[data-channel={channel}]").click()

    async def say(self, words: str) -> None:
        await self.pen.fill(words)
        await self.pen.press("Enter")

    async def ask(self, target: str, reason: str) -> None:
        """File a request in one line, and turn to the receipt."""
        await self.say(f"{COMMAND} {target} {reason}")
        await self.turn_to(self.person.direct)
        await self.message(reason).wait_for()

    async def press(self, action: str, about: str) -> None:
        """Press a button on the message about this."""
        await self.button(action, self.message(about)).click()

    async def submit(self) -> None:
        await self.window.locator("[data-submit]").click()

    async def close(self) -> None:
        """Close the modal on top."""
        await self.window.locator("[data-close]").click()
        await expect(self.window).to_have_count(0)

    async def choose(self, device: str) -> None:
        await self.window.get_by_role("radio", name=device).check()

    async def sign_out(self) -> None:
        """Leave no sign-in of an earlier test behind."""
        await self.say(f"{COMMAND} sign-out")
        await self.message("signed").wait_for()

    async def sign_in(self) -> None:
        """Sign in ahead of any request."""
        await self.say(f"{COMMAND} sign-in")
        tab = await self.signs_in()
        await expect(self.window).to_contain_text(f"You are signed in as {self.person.email}")
        await tab.close()
        await self.close()

    async def to_microsoft(self) -> Page:
        """Follow the link of the open modal to Microsoft's account picker."""
        async with self.page.context.expect_page() as opened:
            await self.sign_in_link.click()
        return await opened.value

    async def at_microsoft(self, account: str) -> Page:
        """Follow the link of the open modal and choose the account; returns the tab."""
        tab = await self.to_microsoft()
        await tab.get_by_role("button", name=account).click()
        return tab

    async def signs_in(self) -> Page:
        """All of it, as oneself, and look at Slack again; returns the tab."""
        tab = await self.at_microsoft(self.person.email)
        await self.says_yes(tab)
        return tab

    async def says_yes(self, tab: Page) -> None:
        """The account and the person in Slack are both them."""
        await expect(tab.locator("main")).to_contain_text(self.person.name)
        await tab.get_by_role("button", name="Yes, both are me").click()
        await expect(tab.get_by_role("heading", name="You are signed in")).to_be_visible()
        await self.page.bring_to_front()  # a browser draws a tab in the background rarely


@dataclass(frozen=True, slots=True)
class Seats:
    """Everybody at one page."""

    page: Page

    @property
    def mei(self) -> Seat:
        return Seat(self.page, MEI)

    @property
    def ken(self) -> Seat:
        return Seat(self.page, KEN)

    @property
    def aiko(self) -> Seat:
        return Seat(self.page, AIKO)

    @property
    def gus(self) -> Seat:
        return Seat(self.page, GUS)

    @property
    def olga(self) -> Seat:
        return Seat(self.page, OLGA)

    @property
    def calls(self) -> Locator:
        return self.page.locator("#calls")

    def phone(self, serial: str) -> Locator:
        """A phone of the panel, by its serial number."""
        return self.page.locator("article.phone").filter(has_text=serial)

    async def show(self, seat: Seat) -> None:
        """Bring somebody in who is not shown at first."""
        await self.page.locator(f"#chips [data-toggle={seat.person.id}]").click()
        await seat.slack.wait_for()

    async def take(self, url: str) -> None:
        """Open the page; it is ready when people have their Slack and the bot answers."""
        await self.page.goto(url)
        await self.mei.slack.wait_for()
        await expect(self.page.locator("#link")).to_contain_text("Unlatch runs")


__all__ = ["COMMAND", "ON_CALL", "Seat", "Seats"]
