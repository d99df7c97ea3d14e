"""The local Slack, served, and a client of it without retries, as in production."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from sandbox.app import Sandbox, serve
from sandbox.cast import BOT_TOKEN
from sandbox.clock import HandClock
from sandbox.slack.local_slack import Slack
from slack_rows import NOW
from slack_sdk.web.async_client import AsyncWebClient
from slack_stub import SlackStub


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Served on a free port."""
    async with serve(Sandbox(clock=HandClock(NOW))) as served:
        yield served


@pytest.fixture
def slack(sandbox: Sandbox) -> Slack:
    """Its Slack."""
    return sandbox.slack


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[AsyncWebClient]:
    """A client of the local Slack."""
    async with aiohttp.ClientSession() as session:
        yield AsyncWebClient(
            BOT_TOKEN, base_url=f"{sandbox.base_url}/slack/api/", session=session, retry_handlers=[]
        )


@pytest.fixture
async def stub() -> AsyncIterator[SlackStub]:
    """A Slack that answers what the test says."""
    async with SlackStub() as served:
        yield served
