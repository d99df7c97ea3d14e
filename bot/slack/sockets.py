"""Socket Mode: several sockets to Slack, watched, so that one that Slack closes leaves no gap."""

import asyncio
import logging
from datetime import timedelta
from typing import Final

from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.values import Secret

SOCKETS: Final = 2
"""The SDK closes a socket before it opens the next one; the other one receives meanwhile."""


class Sockets:
    """The sockets of one process."""

    def __init__(self, app: AsyncApp, app_token: Secret, client: AsyncWebClient) -> None:
        logger = logging.getLogger("slack_sdk.unlatch")
        self._handlers = [
            AsyncSocketModeHandler(app, app_token.reveal(), web_client=client, logger=logger)
            for _ in range(SOCKETS)
        ]

    async def open(self, *, within: timedelta = timedelta(seconds=15)) -> None:
        """Connect all. TimeoutError where Slack lets none in: the SDK would try without end."""
        async with asyncio.timeout(within.total_seconds()):
            await asyncio.gather(*(handler.client.connect() for handler in self._handlers))  # type: ignore[no-untyped-call]  # the SDK leaves it untyped

    async def is_open(self) -> bool:
        """Return whether Slack can reach us on at least one socket."""
        return any([await handler.client.is_connected() for handler in self._handlers])

    async def close(self) -> None:
        """Take no more payloads. What was delivered goes on in its background tasks."""
        await asyncio.gather(*(handler.client.close() for handler in self._handlers))  # type: ignore[no-untyped-call]  # as above
