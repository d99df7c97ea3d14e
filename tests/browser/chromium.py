"""The browser: Debian's Chromium where there is one, Playwright's own otherwise."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from playwright.async_api import Browser, async_playwright

QUIET: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NAMES: Final = ("chromium", "chromium-browser", "google-chrome")


@asynccontextmanager
async def a_chromium() -> AsyncIterator[Browser]:
    """A running browser without windows that talks to nobody by itself."""
    installed = next(filter(None, map(shutil.which, NAMES)), None)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=installed, args=QUIET)
        try:
            yield browser
        finally:
            await browser.close()
