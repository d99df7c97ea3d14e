"""One browser, a demo a file, and a fresh page a test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Error, expect
from sandbox.app import Sandbox
from sandbox.demo import Bot, sandbox_and_bot
from tests.browser.chromium import a_chromium
from tests.browser.seats import Seats

PATIENCE_MS = 15_000
PHONES_TAKE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Demo:
    """A sandbox, and the bot as a process of its own beside it."""

    sandbox: Sandbox
    bot: Bot


@pytest.fixture(scope="session", autouse=True)
def patience() -> None:
    expect.set_options(timeout=PATIENCE_MS)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    async with a_chromium() as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def demo() -> AsyncIterator[Demo]:
    """A file's own, so that what its people may do in an hour is not used up by another file."""
    async with sandbox_and_bot(action_seconds=PHONES_TAKE_SECONDS) as (sandbox, bot):
        yield Demo(sandbox, bot)


@pytest_asyncio.fixture(loop_scope="session")
async def seats(chromium: Browser, demo: Demo) -> AsyncIterator[Seats]:
    context = await chromium.new_context(viewport={"width": 1280, "height": 800})
    async with seated(context, demo) as seats:
        yield seats


@asynccontextmanager
async def seated(context: BrowserContext, demo: Demo) -> AsyncIterator[Seats]:
    """The page in this context. A script that breaks, on whichever page, fails the test."""
    await close_windows(demo.sandbox)
    context.set_default_timeout(PATIENCE_MS)
    broken: list[str] = []
    context.on("weberror", lambda error: broken.append(_told(error.error)))
    page = await context.new_page()
    page.on("console", lambda message: broken.append(message.text) if _is_bad(message) else None)
    seats = Seats(page)
    try:
        await seats.take(demo.sandbox.base_url)
        yield seats
    finally:
        await context.close()
        tell_for_failures(demo)
    assert broken == []


async def close_windows(sandbox: Sandbox) -> None:
    """Slack keeps open what an earlier test left open."""
    for user, views in sandbox.content()["modals"].items():
        if views:
            await sandbox.slack.close(user, all_of_them=True)


def tell_for_failures(demo: Demo) -> None:
    """pytest shows this of tests that failed only."""
    for call in list(demo.sandbox.journal.calls)[-12:]:
        print(call.at.time(), call.to, call.method, call.path, call.status, call.bearer.who, call.note)
    print("\n".join(demo.bot.lines))


def _told(error: Error) -> str:
    return str(error.message)


def _is_bad(message: ConsoleMessage) -> bool:
    return message.type in {"error", "warning"}
