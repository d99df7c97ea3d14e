"""One bot per module and mode; each test finds it without requests, sign-ins and modals."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.support.app_fixture import Bot, running_bot

in_both_modes = pytest.mark.parametrize("running", ["http", "socket"], indirect=True, scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(request, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bot]:
    """A bot over HTTP, where the test does not say `in_both_modes`."""
    mode = getattr(request, "param", "http")
    async with running_bot(tmp_path_factory.mktemp(mode), socket_mode=mode == "socket") as bot:
        yield bot


@pytest_asyncio.fixture(loop_scope="module")
async def bot(running: Bot) -> AsyncIterator[Bot]:
    yield running
    await running.clear()
