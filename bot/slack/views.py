"""Opens and updates windows; where none opens, a sentence has to do."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.errors import CannotShow, SlackAway
from bot.domain.secret import Secret
from bot.slack import aside
from bot.slack.calling import answer
from bot.slack.message import View

OPEN_WITHIN: Final = timedelta(seconds=2.5)
"""A trigger lives for three seconds from the press, so a slower try has no chance."""
BROKEN: Final = frozenset({"ClientOSError", "ServerDisconnectedError", "ConnectionResetError"})
"""The connection broke: an idle one that was cut as we used it, most often."""
UPDATE_WITHIN: Final = timedelta(seconds=10)


PAUSES: Final = (timedelta(0), timedelta(seconds=1), timedelta(seconds=3))
"""Before each try. To show a view or a sentence twice does no harm; a window left loading does."""
LONGEST_PAUSE: Final = timedelta(seconds=30)


class Views:
    """Slack's views.*; raises the SlackError tree. Views are never logged: one shows a passcode."""

    def __init__(
        self,
        client: AsyncWebClient,
        *,
        open_within: timedelta = OPEN_WITHIN,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._open_within = open_within
        self._sleep = sleep

    async def open(self, trigger_id: str, view: View) -> str:
        """Open a window for who pressed; returns its id. `expired_trigger_id` where that was too long ago."""
        try:
            return await self._open(trigger_id, view)
        except SlackAway as away:
            if away.code not in BROKEN:
                raise
        return await self._open(trigger_id, view)  # at once: the trigger does not wait

    async def update(self, view_id: str, view: View) -> None:
        """Show another view in an open window; `not_found` where it was closed."""
        await self._patiently(
            lambda: answer(self._client.views_update(view_id=view_id, view=view), within=UPDATE_WITHIN)
        )

    async def say(self, address: Secret, text: str) -> None:
        """Say a sentence to who pressed, at the address that came with the press."""
        session = self._client.session
        if session is None:
            raise CannotShow("no_session")
        api = self._client.base_url
        await self._patiently(lambda: aside.say(session, address, text, api=api, within=UPDATE_WITHIN))

    async def _patiently(self, call: Callable[[], Awaitable[object]]) -> None:
        for pause in PAUSES:
            await self._sleep(pause.total_seconds())
            try:
                await call()
            except SlackAway as away:
                last = away
                await self._sleep(min(away.retry_after or timedelta(0), LONGEST_PAUSE).total_seconds())
            else:
                return
        raise last

    async def _open(self, trigger_id: str, view: View) -> str:
        call = self._client.views_open(trigger_id=trigger_id, view=view)
        match await answer(call, within=self._open_within):
            case {"view": {"id": str(view_id)}}:
                return view_id
        raise CannotShow("unexpected_answer")
