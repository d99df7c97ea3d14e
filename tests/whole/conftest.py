"""An installed bot in each of the two modes, or in HTTP mode alone."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.whole.installed import Installed, installed


@pytest.fixture(params=["http", "socket"])
async def both(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Installed]:
    """The test runs once in HTTP mode and once in Socket Mode."""
    async with installed(tmp_path, socket_mode=request.param == "socket") as there:
        yield there


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Installed]:
    """HTTP mode."""
    async with installed(tmp_path) as there:
        yield there
