"""Socket Mode: several sockets to Slack, watched, so that one that Slack closes leaves no gap."""

import asyncio
import logging
from datetime import timedelta
from typing import Final

from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.secret import Secret

SOCKETS: Final = 2
"""The SDK closes a socket before it opens the next one; the other one receives meanwhile."""
CONNECT: Final = timedelta(seconds=15)


class Sockets:
    """The sockets of one process."""

    def __init__(self, app: AsyncApp, app_token: Secret, client: AsyncWebClient) -> None:
        self._handlers = [
            AsyncSocketModeHandler(
                app, app_token.reveal(), web_client=client, logger=logging.getLogger("slack_sdk.unlatch")
            )
            for _ in range(SOCKETS)
        ]

    async def open(self) -> None:
        """Connect all; raises TimeoutError where Slack lets none in, since the SDK would try for ever."""
        async with asyncio.timeout(CONNECT.total_seconds()):
            await asyncio.gather(*(handler.client.connect() for handler in self._handlers))  # type: ignore[no-untyped-call]  # the SDK leaves it untyped

    async def is_open(self) -> bool:
        """Whether Slack can reach us on at least one socket."""
        return any([await handler.client.is_connected() for handler in self._handlers])

    async def close(self) -> None:
        """Take no more deliveries. What was delivered goes on in its own tasks."""
        await asyncio.gather(*(handler.client.close() for handler in self._handlers))  # type: ignore[no-untyped-call]  # as above
