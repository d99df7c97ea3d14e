"""Leavers: whoever has left the workspace is signed out, also where they press nothing any more."""

from contextlib import suppress
from datetime import timedelta
from typing import Final

from bot.domain.errors import CouldNotVerify
from bot.domain.people import Actor
from bot.resets.desk import Desk

LOOK_EVERY: Final = timedelta(hours=1)
AT_ONCE: Final = 20
"""Slack allows a hundred lookups a minute; people who work with the bot come first."""


async def look_for_leavers(desk: Desk) -> None:
    """Look up the signed-in people whom nobody has looked up for an hour, a few at a time.

    Replicas share them out. Where Slack does not say who somebody is, the next look is an hour later: every
    press looks them up anew anyway.
    """
    since = desk.clock.now() - LOOK_EVERY
    for user in await desk.sign_ins.unseen(since=since, limit=AT_ONCE):
        with suppress(CouldNotVerify):
            await desk.member(Actor(user=user, team=None))
