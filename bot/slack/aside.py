"""A sentence beside the windows: for the one who pressed, at the address that Slack sent with the press."""

import asyncio
from datetime import timedelta
from typing import Final

import aiohttp
from yarl import URL

from bot.domain.errors import CannotShow, SlackAway
from bot.domain.secret import Secret

SLACKS: Final = frozenset(URL(f"https://hooks.{host}") for host in ("slack.com", "slack-gov.com"))
"""Where Slack takes such sentences (docs.slack.dev, "Handling user interaction"; GovSlack)."""


async def say(
    session: aiohttp.ClientSession, address: Secret, text: str, *, api: str, within: timedelta
) -> None:
    """Say `text` to one person; SlackAway where a later try may go well, CannotShow where it will not.

    Whoever has the address can speak in the bot's name, so no error carries it. It is good for thirty
    minutes (as above). It leads to Slack, or to where the Web API is (`api`), else nothing is sent.
    """
    if not _is_slacks(address, api):
        raise CannotShow("not_slacks_address")
    body = {"text": text, "response_type": "ephemeral", "replace_original": False}
    try:
        async with (
            asyncio.timeout(within.total_seconds()),
            session.post(address.reveal(), json=body, allow_redirects=False) as response,
        ):
            status = response.status
    except (aiohttp.ClientError, OSError, ValueError) as error:  # a TimeoutError is an OSError
        raise SlackAway(type(error).__name__) from None
    if status == 429 or status >= 500:
        raise SlackAway(f"http_{status}")
    if status != 200:
        raise CannotShow(f"http_{status}")


def _is_slacks(address: Secret, api: str) -> bool:
    """Read as the client does that would follow it."""
    try:
        origin = URL(address.reveal()).origin()
    except ValueError:
        return False
    return origin in SLACKS or origin == URL(api).origin()
