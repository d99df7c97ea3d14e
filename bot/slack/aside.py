"""A sentence beside the windows: for the one who pressed, at the address that Slack sent with the press."""

import asyncio
from datetime import timedelta

import aiohttp

from bot.domain.errors import CannotShow, SlackAway
from bot.domain.secret import Secret


async def say(session: aiohttp.ClientSession, address: Secret, text: str, *, within: timedelta) -> None:
    """Say `text` to one person; SlackAway where a later try may go well, CannotShow where it will not.

    Whoever has the address can speak in the bot's name, so no error carries it. It is good for thirty
    minutes (docs.slack.dev, "Handling user interaction").
    """
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
