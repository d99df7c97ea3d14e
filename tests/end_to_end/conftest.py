"""A bot for each test: over HTTP, or once in each mode."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.support.app_fixture import Bot, running_bot


@pytest_asyncio.fixture(loop_scope="module")
async def bot(tmp_path: Path) -> AsyncIterator[Bot]:
    async with running_bot(tmp_path) as bot:
        yield bot


@pytest_asyncio.fixture(loop_scope="module", params=["http", "socket"])
async def both(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bot]:
    async with running_bot(tmp_path, socket_mode=request.param == "socket") as bot:
        yield bot
