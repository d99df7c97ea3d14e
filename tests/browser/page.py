"""The sandbox's page: what each person does and sees in their column of it."""

from dataclasses import dataclass
from typing import Final

from playwright.async_api import Locator, Page, expect
from sandbox.cast import KEN, MEI, Person

COMMAND: Final = "/reset-passcode"


@dataclass(frozen=True, slots=True)
class Column:
    """One person's Slack."""

    page: Page
    person: Person

    @property
    def slack(self) -> Locator:
        """Everything that this person sees."""
        return self.page.locator(f"[data-person={self.person.id}]")

    @property
    def modal(self) -> Locator:
        return self.slack.get_by_role("dialog")

    @property
    def composer(self) -> Locator:
        return self.slack.locator(".composer textarea")

    @property
    def sign_in_link(self) -> Locator:
        return self.button("sign_in", self.modal)

    def message(self, words: str) -> Locator:
        """The newest message of the open conversation with these words in it."""
        return self.slack.locator("article.message").filter(has_text=words).last

    def button(self, action: str, within: Locator) -> Locator:
        return within.locator(f"[data-action-id={action}]")

    def field(self, name: str) -> Locator:
        return self.modal.locator(f"[data-block-id={name}]").get_by_role("textbox")

    async def type_command(self, text: str = "") -> None:
        await self.composer.fill(f"{COMMAND} {text}".strip())
        await self.composer.press("Enter")

    async def ask(self, target: str, reason: str) -> None:
        """Request a reset in one line, and open the conversation with the receipt."""
        await self.type_command(f"{target} {reason}")
        await self.slack.locator(f".tab[data-channel={self.person.direct}]").click()
        await self.message(reason).wait_for()

    async def press(self, action: str, about: str) -> None:
        """Press a button on the newest message about this."""
        await self.button(action, self.message(about)).click()

    async def submit(self) -> None:
        await self.modal.locator("[data-submit]").click()

    async def close(self) -> None:
        await self.modal.locator("[data-close]").click()
        await expect(self.modal).to_have_count(0)

    async def sign_in(self) -> None:
        """Sign in ahead of any request."""
        await self.type_command("sign-in")
        tab = await self.follow_link()
        await tab.get_by_role("button", name=self.person.email).click()
        await self.confirm(tab)
        await expect(self.modal).to_contain_text(f"You are signed in as {self.person.email}. You can close")
        await tab.close()
        await self.close()

    async def follow_link(self) -> Page:
        """Follow the link of the open modal to Microsoft's account picker."""
        async with self.page.context.expect_page() as opened:
            await self.sign_in_link.click()
        return await opened.value

    async def confirm(self, tab: Page) -> None:
        """Say that account and Slack user are the same person."""
        await expect(tab.locator("main")).to_contain_text(self.person.name)
        await tab.get_by_role("button", name="Yes, both are me").click()
        await expect(tab.get_by_role("heading", name="You are signed in")).to_be_visible()
        await self.page.bring_to_front()  # a browser draws a tab in the background rarely


@dataclass(frozen=True, slots=True)
class SandboxPage:
    """Everyone at one page."""

    page: Page

    @property
    def mei(self) -> Column:
        return Column(self.page, MEI)

    @property
    def ken(self) -> Column:
        return Column(self.page, KEN)

    def phone(self, serial: str) -> Locator:
        return self.page.locator("article.phone").filter(has_text=serial)

    async def open(self, url: str) -> None:
        """Open the page; it is ready when people have their Slack and the bot answers."""
        await self.page.goto(url)
        await self.mei.slack.wait_for()
        await expect(self.page.locator("#link")).to_contain_text("Unlatch runs")
