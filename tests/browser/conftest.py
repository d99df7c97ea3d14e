"""One browser, one demo, and a fresh page per test, before which nobody is signed in; what is done there."""

import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Final, NamedTuple

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Locator, Page, async_playwright, expect
from sandbox.app import Sandbox
from sandbox.cast import KEN, MEI, Person
from sandbox.demo import Bot, sandbox_and_bot
from tests.support.user_actions import People

COMMAND: Final = "/reset-passcode"


class Column:
    """One person's Slack: everything that this person sees, in it the modal on top and the composer."""

    def __init__(self, page: Page, person: Person) -> None:
        self.page, self.person = page, person
        self.slack = page.locator(f"[data-person={person.id}]")
        self.modal = self.slack.get_by_role("dialog")
        self.submit = self.modal.locator("[data-submit]")
        self.composer = self.slack.locator(".composer textarea")
        self.sign_in_link = self.button("sign_in", self.modal)

    def message(self, words: str) -> Locator:
        """The newest message of the open conversation with these words in it."""
        return self.slack.locator("article.message").filter(has_text=words).last

    def button(self, action: str, within: Locator) -> Locator:
        return within.locator(f"[data-action-id={action}]")

    def field(self, name: str) -> Locator:
        return self.modal.locator(f"[data-block-id={name}]").get_by_role("textbox")

    async def shows(self, words: str, text: str) -> None:
        await expect(self.message(words)).to_contain_text(text)

    async def say(self, text: str) -> None:
        await self.composer.fill(text)
        await self.composer.press("Enter")

    async def type_command(self, text: str = "") -> None:
        await self.say(f"{COMMAND} {text}".strip())

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
        await tab.close()
        await self.page.bring_to_front()  # a browser draws a tab in the background rarely


class SandboxPage:
    def __init__(self, page: Page) -> None:
        self.page = page
        self.mei, self.ken = Column(page, MEI), Column(page, KEN)

    def phone(self, serial: str) -> Locator:
        return self.page.locator("article.phone").filter(has_text=serial)

    async def open(self, url: str) -> None:
        """Open the page; it is ready when people have their Slack and the bot answers."""
        await self.page.goto(url)
        await self.mei.slack.wait_for()
        await expect(self.page.locator("#link")).to_contain_text("Bot running")


PATIENCE_MS = 45_000
NAMES = ("chromium", "chromium-browser", "google-chrome")
# it has no window, and calls no host by itself
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


class Demo(NamedTuple):
    sandbox: Sandbox
    bot: Bot


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """Debian's Chromium where there is one, Playwright's own otherwise."""
    expect.set_options(timeout=PATIENCE_MS)
    installed = next(filter(None, map(shutil.which, NAMES)), None)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=installed, args=QUIET)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def demo() -> AsyncIterator[Demo]:
    async with sandbox_and_bot(action_seconds=1.0) as both:
        yield Demo(*both)


@pytest_asyncio.fixture(loop_scope="session")
async def shown(chromium: Browser, demo: Demo) -> AsyncIterator[SandboxPage]:
    local = {"locale": "en-GB", "timezone_id": "Asia/Tokyo"}
    context = await chromium.new_context(viewport={"width": 1280, "height": 800}, **local)
    async with shown_in(context, demo) as page:
        yield page


@asynccontextmanager
async def shown_in(context: BrowserContext, demo: Demo) -> AsyncIterator[SandboxPage]:
    """The page in this context, nothing open, nobody signed in. A script that breaks fails the test."""
    async with aclosing(People(demo.sandbox)) as people:
        for user in people.state["modals"]:
            await people.close(user)
        if people.calls("/token"):  # somebody signed in: else nothing is said, which pictures would show
            await people.hear(KEN.id, "sign-out")
    context.set_default_timeout(PATIENCE_MS)
    broken: list[str] = []
    context.on("weberror", lambda error: broken.append(error.error.message))
    page = await context.new_page()
    page.on("console", lambda said: broken.append(said.text) if said.type in {"error", "warning"} else None)
    shown = SandboxPage(page)
    try:
        await shown.open(demo.sandbox.base_url)
        yield shown
    finally:
        await context.close()
        print("\n".join(demo.bot.lines))  # pytest shows it of a test that failed
    assert broken == []
