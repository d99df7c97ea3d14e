"""Finds a message that we posted by its metadata, after a crash between posting it and remembering where."""

from datetime import datetime, timedelta
from typing import Final

from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.errors import CannotShow
from bot.domain.identifiers import ChannelId
from bot.ports import MessageRef
from bot.slack.calling import answer
from bot.slack.parsing import dig, text_at

SKEW: Final = timedelta(minutes=5)
"""How far Slack's clock may be behind ours."""
PAGES: Final = 10
PAGE: Final = 200


async def find_message(
    client: AsyncWebClient,
    channel: ChannelId,
    *,
    since: datetime,
    about: dict[str, object],
    within: timedelta,
) -> MessageRef | None:
    """The newest message since then whose metadata is `about`, among the last 2,000; None if there is none.

    `within` bounds each call. Raises the SlackError tree.
    """
    cursor = ""
    for _ in range(PAGES):
        call = client.conversations_history(
            channel=channel,
            oldest=f"{(since - SKEW).timestamp():.6f}",
            include_all_metadata=True,
            limit=PAGE,
            cursor=cursor or None,
        )
        page = await answer(call, within=within)
        if ts := _named(page, about):
            return MessageRef(channel, ts)
        cursor = text_at(page, "response_metadata", "next_cursor")
        if not cursor:
            break
    return None


async def direct_channel(client: AsyncWebClient, user: str, *, within: timedelta) -> ChannelId:
    """The conversation between the user and us; raises the SlackError tree."""
    opened = await answer(client.conversations_open(users=[user]), within=within)
    channel = text_at(opened, "channel", "id")
    if not channel:
        raise CannotShow("unexpected_answer")
    return ChannelId(channel)


def _named(page: object, about: dict[str, object]) -> str:
    messages = dig(page, "messages")
    if not isinstance(messages, list):
        return ""
    return next((text_at(found, "ts") for found in messages if dig(found, "metadata") == about), "")
