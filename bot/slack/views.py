"""Opens and updates windows."""

from datetime import timedelta
from typing import Final

from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.errors import CannotShow
from bot.slack.calling import answer
from bot.slack.message import View

OPEN_WITHIN: Final = timedelta(seconds=2.5)
"""A trigger lives for three seconds from the press, so a slower try has no chance."""
UPDATE_WITHIN: Final = timedelta(seconds=10)


class Views:
    """Slack's views.*; raises the SlackError tree. Views are never logged: one shows a passcode."""

    def __init__(self, client: AsyncWebClient, *, open_within: timedelta = OPEN_WITHIN) -> None:
        self._client = client
        self._open_within = open_within

    async def open(self, trigger_id: str, view: View) -> str:
        """Open a window for who pressed; returns its id. `expired_trigger_id` where that was too long ago."""
        call = self._client.views_open(trigger_id=trigger_id, view=view)
        match await answer(call, within=self._open_within):
            case {"view": {"id": str(view_id)}}:
                return view_id
        raise CannotShow("unexpected_answer")

    async def update(self, view_id: str, view: View) -> None:
        """Show another view in an open window; `not_found` where it was closed."""
        await answer(self._client.views_update(view_id=view_id, view=view), within=UPDATE_WITHIN)
