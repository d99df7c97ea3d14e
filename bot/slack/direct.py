"""A direct message to one person, for what no window is open to say."""

from datetime import timedelta
from typing import Final

from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.identifiers import UserId
from bot.slack.calling import answer

WITHIN: Final = timedelta(seconds=10)


class Direct:
    """Slack's direct messages from this app; raises the SlackError tree."""

    def __init__(self, client: AsyncWebClient) -> None:
        self._client = client

    async def say(self, user: UserId, sentence: str) -> None:
        """One of our own sentences; a user id opens the conversation."""
        call = self._client.chat_postMessage(
            channel=user,
            text=sentence,
            parse="none",
            link_names=False,
            unfurl_links=False,
            unfurl_media=False,
        )
        await answer(call, within=WITHIN)
