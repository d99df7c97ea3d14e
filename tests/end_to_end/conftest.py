"""One bot per module and mode; each test finds it without requests, sign-ins and modals."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.support.app_fixture import Bot, running_bot


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http_bot(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bot]:
    async with running_bot(tmp_path_factory.mktemp("http")) as bot:
        yield bot


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["http", "socket"])
async def bot_of_mode(request, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bot]:
    folder = tmp_path_factory.mktemp(request.param)
    async with running_bot(folder, socket_mode=request.param == "socket") as bot:
        yield bot


@pytest_asyncio.fixture(loop_scope="module")
async def bot(http_bot: Bot) -> AsyncIterator[Bot]:
    yield http_bot
    await http_bot.clear()


@pytest_asyncio.fixture(loop_scope="module")
async def both(bot_of_mode: Bot) -> AsyncIterator[Bot]:
    """The bot once over HTTP and once over Socket Mode."""
    yield bot_of_mode
    await bot_of_mode.clear()
