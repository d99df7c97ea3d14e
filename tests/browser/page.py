"""The sandbox's page: what each person does and sees in their column of it."""

from typing import Final

from playwright.async_api import Locator, Page, expect
from sandbox.cast import KEN, MEI, Person

COMMAND: Final = "/reset-passcode"


class Column:
    """One person's Slack: everything that this person sees, in it the modal on top and the composer."""

    def __init__(self, page: Page, person: Person) -> None:
        self.page, self.person = page, person
        self.slack = page.locator(f"[data-person={person.id}]")
        self.modal = self.slack.get_by_role("dialog")
        self.composer = self.slack.locator(".composer textarea")
        self.sign_in_link = self.button("sign_in", self.modal)

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

    async def close(self) -> None:
        await self.modal.locator("[data-close]").click()
        await expect(self.modal).to_have_count(0)

    async def sign_in(self) -> Page:
        """Follow the link of the open modal, and pick the account: up to the page that asks."""
        async with self.page.context.expect_page() as opened:
            await self.sign_in_link.click()
        tab = await opened.value
        await tab.get_by_role("button", name=self.person.email).click()
        return tab

    async def confirm(self, tab: Page) -> None:
        """Say that account and Slack user are the same person."""
        await expect(tab.locator("main")).to_contain_text(self.person.name)
        await tab.get_by_role("button", name="Yes, both are me").click()
        await expect(tab.get_by_role("heading", name="You are signed in")).to_be_visible()
        await self.page.bring_to_front()  # a browser draws a tab in the background rarely


class SandboxPage:
    """Everyone at one page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.mei, self.ken = Column(page, MEI), Column(page, KEN)

    def phone(self, serial: str) -> Locator:
        return self.page.locator("article.phone").filter(has_text=serial)

    async def open(self, url: str) -> None:
        """Open the page; it is ready when people have their Slack and the bot answers."""
        await self.page.goto(url)
        await self.mei.slack.wait_for()
        await expect(self.page.locator("#link")).to_contain_text("Unlatch runs")
