"""People under load: they ask, decide, withdraw, sign in and out at random, alone and against each other."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx
from bot.slack.payloads import Action
from tests.proofs.crash_and_race.kill_cases import IPHONE, PIXEL
from tests.proofs.crash_and_race.user_actions import (
    ACCOUNTS,
    AIKO,
    GUS,
    KEN,
    MEI,
    ON_CALL,
    GaveUp,
    Json,
    People,
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
class Load:
    """Everybody, with one pair of hands each."""

    people: People
    rng: random.Random
    over_sockets: bool = False
    _hands: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def live(self) -> None:
        """Until cancelled."""
        lives = [
            self._forever(self._ask),
            self._forever(self._requester_acts),
            self._forever(self._phones_and_roles),
        ]
        if self.over_sockets:
            lives.append(self._forever(self._slack_moves))
        leads = [self._forever(lambda who=who: self._decide(who)) for who in (KEN, AIKO)]
        await asyncio.gather(*lives, *leads, self._forever(self._decide_at_once))

    async def _forever(self, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(self.rng.uniform(0.02, 0.3))
            try:
                await act()
            except (GaveUp, httpx.HTTPError):
                continue

    async def _ask(self) -> None:
        state = await self.people.see()
        if len(offered(state, ON_CALL, Action.DENY)) >= ENOUGH:
            return
        free = [target for target in TARGETS if not about(state, ON_CALL, Action.DENY, target)]
        target = self.rng.choice(free or TARGETS if self.rng.random() < OFTEN else TARGETS)
        match self.rng.random():
            case chance if chance < 0.7:
                await self.people.ask(MEI, f"{target} locked out")
            case chance if chance < 0.8:
                await self.people.ask(self.rng.choice((KEN, AIKO, GUS)), f"{target} for a friend")
            case _:
                async with self._of(MEI):
                    await self.people.ask_by_form(MEI, target, "locked out, by the form")

    async def _requester_acts(self) -> None:
        state = await self.people.see()
        if self.rng.random() < 0.05 and (mine := offered(state, direct(MEI), Action.WITHDRAW)):
            await self.people.withdraw(MEI, self.rng.choice(mine))
        elif done := offered(state, direct(MEI), Action.SHOW_PASSCODE):
            async with self._of(MEI):
                await self.people.reveal(MEI, self.rng.choice(done))

    async def _phones_and_roles(self) -> None:
        """Phones change their mind, and Intune's admins theirs."""
        await asyncio.sleep(0.5)
        await self.people.phone(self.rng.choice((IPHONE, PIXEL)), self.rng.choice(BEHAVIOURS))
        oid = self.rng.choice(list(ACCOUNTS.values()))
        await self.people.role(oid, may_reset=self.rng.random() < 0.85)

    async def _slack_moves(self) -> None:
        """Slack sends sockets away, with a warning, without one, or cuts them in the middle of everything."""
        await asyncio.sleep(self.rng.uniform(0, 0.7))
        await self.people.sockets(self.rng.choice(REASONS), most=self.rng.choice((1, 1, 2)))

    async def _decide(self, user: str) -> None:
        async with self._of(user):
            if self.rng.random() < 0.04:
                await self.people.ask(user, "sign-out")
            state = await self.people.see()
            if (unclear := offered(state, ON_CALL, Action.CLOSE)) and self.rng.random() < 0.5:
                await self.people.give_up(user, self.rng.choice(unclear))
                return
            request = self._one_of(state)
            act = self.people.deny if self.rng.random() < 0.25 else self.people.approve
            await act(user, request)

    async def _decide_at_once(self) -> None:
        """Both leads and Mei go for the same request, and press at the same moment."""
        await asyncio.sleep(self.rng.uniform(0, 1))
        async with self._of(KEN), self._of(AIKO):
            request = self._one_of(await self.people.see())
            windows = await asyncio.gather(*(self.people.review(who, request) for who in (KEN, AIKO)))
            pressed = [
                self.people.submit_review(who, request, window)
                for who, window in zip((KEN, AIKO), windows, strict=True)
            ]
            await asyncio.gather(*pressed, self.people.withdraw(MEI, request), return_exceptions=True)

    def _one_of(self, state: Json) -> str:
        waiting = offered(state, ON_CALL, Action.APPROVE)
        if not waiting:
            raise GaveUp
        return self.rng.choice(waiting)

    def _of(self, user: str) -> asyncio.Lock:
        return self._hands.setdefault(user, asyncio.Lock())
