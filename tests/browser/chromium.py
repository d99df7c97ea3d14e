"""The browser: Debian's Chromium where there is one, Playwright's own otherwise."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from playwright.async_api import Browser, async_playwright

# it has no window, and calls no host by itself
QUIET: Final = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
NO_UPDATES: Final = ("--disable-component-update", "--disable-sync")
NAMES: Final = ("chromium", "chromium-browser", "google-chrome")


@asynccontextmanager
async def chromium_browser() -> AsyncIterator[Browser]:
    """Run a browser."""
    installed = next(filter(None, map(shutil.which, NAMES)), None)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=installed, args=[*QUIET, *NO_UPDATES])
        try:
            yield browser
        finally:
            await browser.close()
