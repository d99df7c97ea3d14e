"""People under load: they ask, decide, withdraw, sign in and out at random, alone and against each other."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx
from bot.slack import ids
from tests.crash.cases import IPHONE, PIXEL
from tests.crash.town import (
    ACCOUNTS,
    AIKO,
    GUS,
    KEN,
    MEI,
    ON_CALL,
    GaveUp,
    Json,
    Town,
    about,
    direct,
    offered,
)

TARGETS = (
    "ada@contoso.com",
    "serial:59040DLJH001",
    "priya@contoso.com",
    "jonas@contoso.com",
    "serial:G6TX9012JKLM",
    "serial:7XK2P34",
    "nobody@contoso.com",
)
BEHAVIOURS = ("completes", "completes", "completes", "fails", "stays silent")
REASONS = ("warning", "refresh_requested", "refresh_requested", "link_disabled")
OFTEN = 0.9
"""How often people look whether somebody asked for the same already, before they ask."""
ENOUGH = 12
"""Requests that wait at once; more would only be more of the same."""


@dataclass
class Crowd:
    """Everybody, with one pair of hands each."""

    town: Town
    rng: random.Random
    over_sockets: bool = False
    _hands: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def live(self) -> None:
        """Until cancelled."""
        lives = [self._forever(self._ask), self._forever(self._change_of_mind), self._forever(self._weather)]
        if self.over_sockets:
            lives.append(self._forever(self._slack_moves))
        leads = [self._forever(lambda who=who: self._decide(who)) for who in (KEN, AIKO)]
        await asyncio.gather(*lives, *leads, self._forever(self._duel))

    async def _forever(self, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(self.rng.uniform(0.02, 0.3))
            try:
                await act()
            except (GaveUp, httpx.HTTPError):
                continue

    async def _ask(self) -> None:
        state = await self.town.see()
        if len(offered(state, ON_CALL, ids.DENY)) >= ENOUGH:
            return
        free = [target for target in TARGETS if not about(state, ON_CALL, ids.DENY, target)]
        target = self.rng.choice(free or TARGETS if self.rng.random() < OFTEN else TARGETS)
        match self.rng.random():
            case chance if chance < 0.7:
                await self.town.ask(MEI, f"{target} locked out")
            case chance if chance < 0.8:
                await self.town.ask(self.rng.choice((KEN, AIKO, GUS)), f"{target} for a friend")
            case _:
                async with self._of(MEI):
                    await self.town.ask_by_form(MEI, target, "locked out, by the form")

    async def _change_of_mind(self) -> None:
        state = await self.town.see()
        if self.rng.random() < 0.05 and (mine := offered(state, direct(MEI), ids.WITHDRAW)):
            await self.town.withdraw(MEI, self.rng.choice(mine))
        elif done := offered(state, direct(MEI), ids.SHOW_PASSCODE):
            async with self._of(MEI):
                await self.town.reveal(MEI, self.rng.choice(done))

    async def _weather(self) -> None:
        """Phones change their mind, and Intune's admins theirs."""
        await asyncio.sleep(0.5)
        await self.town.phone(self.rng.choice((IPHONE, PIXEL)), self.rng.choice(BEHAVIOURS))
        oid = self.rng.choice(list(ACCOUNTS.values()))
        await self.town.role(oid, may_reset=self.rng.random() < 0.85)

    async def _slack_moves(self) -> None:
        """Slack sends sockets away, with a warning, without one, or cuts them in the middle of everything."""
        await asyncio.sleep(self.rng.uniform(0, 0.7))
        await self.town.sockets(self.rng.choice(REASONS), most=self.rng.choice((1, 1, 2)))

    async def _decide(self, user: str) -> None:
        async with self._of(user):
            if self.rng.random() < 0.04:
                await self.town.ask(user, "sign-out")
            state = await self.town.see()
            if (unclear := offered(state, ON_CALL, ids.CLOSE)) and self.rng.random() < 0.5:
                await self.town.give_up(user, self.rng.choice(unclear))
                return
            request = self._one_of(state)
            act = self.town.deny if self.rng.random() < 0.25 else self.town.approve
            await act(user, request)

    async def _duel(self) -> None:
        """Both leads and Mei go for the same request, and press at the same moment."""
        await asyncio.sleep(self.rng.uniform(0, 1))
        async with self._of(KEN), self._of(AIKO):
            request = self._one_of(await self.town.see())
            windows = await asyncio.gather(*(self.town.review(who, request) for who in (KEN, AIKO)))
            pressed = [
                self.town.submit_review(who, request, window)
                for who, window in zip((KEN, AIKO), windows, strict=True)
            ]
            await asyncio.gather(*pressed, self.town.withdraw(MEI, request), return_exceptions=True)

    def _one_of(self, state: Json) -> str:
        waiting = offered(state, ON_CALL, ids.APPROVE)
        if not waiting:
            raise GaveUp
        return self.rng.choice(waiting)

    def _of(self, user: str) -> asyncio.Lock:
        return self._hands.setdefault(user, asyncio.Lock())
