"""One browser, one demo, and a fresh page per test, before which nobody is signed in."""

import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import NamedTuple

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright, expect
from sandbox.app import Sandbox
from sandbox.demo import Bot, sandbox_and_bot
from tests.browser.page import SandboxPage
from tests.support.user_actions import KEN, People

PATIENCE_MS = 15_000
NAMES = ("chromium", "chromium-browser", "google-chrome")
# it has no window, and calls no host by itself
QUIET = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
NO_UPDATES = ("--disable-component-update", "--disable-sync")


class Demo(NamedTuple):
    """A sandbox, and the bot as a process of its own."""

    sandbox: Sandbox
    bot: Bot


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """Debian's Chromium where there is one, Playwright's own otherwise."""
    expect.set_options(timeout=PATIENCE_MS)
    installed = next(filter(None, map(shutil.which, NAMES)), None)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=installed, args=[*QUIET, *NO_UPDATES])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
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
            heard = len(people.private_texts(KEN))
            await people.command(KEN, "sign-out")
            await people.until(lambda: len(people.private_texts(KEN)) > heard)
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
