"""What people do under load: they do not wait long, try again, and remember what the bot told them."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Sequence

import httpx
from bot.slack.payloads import Action, Field
from bot.slack.wording import CATALOG_EN as ENGLISH
from sandbox.app import Sandbox
from tests.support import user_actions
from tests.support.user_actions import KEN, MEI, NotPossible, T

TOMAS = "serial:59040DLJH001"
GAVE_UP = (NotPossible, TimeoutError, httpx.HTTPError, AssertionError, ValueError)
"""A person did not get on: the bot is dead, or another person was faster. They try again."""


class People(user_actions.People):
    """The people of one sandbox; what they were told is held against the database afterwards."""

    def __init__(self, sandbox: Sandbox, rng: random.Random) -> None:
        super().__init__(sandbox)
        self.rng = rng
        self.leads: Sequence[str] = (KEN,)
        self.targets: Sequence[str] = (TOMAS,)
        """Who approves what, where a story does not say it."""
        self.forms: list[str] = []
        """The forms of requests that closed: acknowledged."""
        self.told: list[tuple[str, str, str]] = []
        """Who was told in a modal that they had approved or denied which request."""
        self._hands: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """A person has one modal open at a time."""

    async def until(self, seen: Callable[[], T | None], seconds: float = 3.5) -> T:
        return await super().until(seen, seconds)

    async def ask_by_form(self, target: str) -> None:
        async with self._hands[MEI]:
            await self.close(MEI)
            await self.command(MEI, "")
            assert await self.title_after(MEI, "") == ENGLISH["ask.title"]
            form = self.modal(MEI)["id"]
            values = {Field.TARGET: target, Field.REASON: "locked out before her flight"}
            if (await self._do(MEI, "submit", view_id=form, values=values)).get("closed"):
                self.forms.append(form)

    async def approve(self, user: str, request: str) -> None:
        async with self._hands[user]:
            await super().approve(user, request)
            self.told.append((user, "approved", request))

    async def deny(self, user: str, request: str) -> None:
        async with self._hands[user]:
            assert await self.open(user, Action.DENY, request=request) == ENGLISH["deny.title"]
            await self.submit(user, **{Field.DENIAL: "not on my watch"})
            if await self.title_after(user, ENGLISH["deny.title"]) == ENGLISH["denied.title"]:
                self.told.append((user, "denied", request))

    async def close_request(self, user: str, request: str) -> None:
        await self.press(user, Action.CLOSE, request=request)
        await self.until(lambda: request not in self.offered(Action.CLOSE))

    async def reveal(self, request: str) -> None:
        async with self._hands[MEI]:
            await self.show_passcode(request)

    async def sign_in_again(self, user: str) -> None:
        async with self._hands[user]:
            await self.command(user, "sign-out")
            await self.sign_in(user)
