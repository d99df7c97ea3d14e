"""A Web API for the tests of what calls it."""

from collections.abc import AsyncIterator

import pytest
from tests.unit.slack.web_api import WebApi, web_api


@pytest.fixture
async def api() -> AsyncIterator[WebApi]:
    async with web_api() as served:
        yield served
