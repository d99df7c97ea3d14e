"""People under load: they ask, decide, withdraw, sign in and out at random, alone and against each other."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bot.slack.payloads import Action
from tests.proofs.crash_and_race.kill_cases import ADA, IPHONE, PIXEL, TOMAS, WINDOWS
from tests.proofs.crash_and_race.people import (
    ACCOUNTS,
    AIKO,
    GAVE_UP,
    GUS,
    KEN,
    MEI,
    ON_CALL,
    NotPossible,
    People,
)
from tests.support.user_actions import direct_channel

TARGETS = (
    *(ADA, TOMAS, WINDOWS, "priya@contoso.com", "jonas@contoso.com", "serial:G6TX9012JKLM"),
    "nobody@contoso.com",
)
BEHAVIOURS = ("completes", "completes", "completes", "fails", "stays silent")
ENOUGH = 12
"""Requests that wait at once; more would only be more of the same."""


@dataclass
class Load:
    """Everybody, with one pair of hands each."""

    people: People
    rng: random.Random
    socket_mode: bool
    _hands: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def run(self) -> None:
        """Act until cancelled."""
        acts = [self._ask, self._requester_acts, self._phones_and_roles, self._decide_at_once]
        acts += [self._slack_moves] if self.socket_mode else []
        leads = [self._repeat(lambda who=who: self._decide(who)) for who in (KEN, AIKO)]
        await asyncio.gather(*leads, *map(self._repeat, acts))

    async def _repeat(self, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(self.rng.uniform(0.02, 0.3))  # people are no faster
            try:
                await act()
            except GAVE_UP:
                continue

    async def _ask(self) -> None:
        if len(self.people.offered(ON_CALL, Action.DENY)) >= ENOUGH:
            return
        # Mostly they look first whether it was asked for already.
        free = [target for target in TARGETS if not self.people.offered(ON_CALL, Action.DENY, target)]
        target = self.rng.choice(free or TARGETS if self.rng.random() < 0.9 else TARGETS)
        chance = self.rng.random()
        if chance < 0.7:
            await self.people.command(MEI, f"{target} locked out")
        elif chance < 0.8:
            await self.people.command(self.rng.choice((KEN, AIKO, GUS)), f"{target} for a friend")
        else:
            async with self._hands[MEI]:
                await self.people.ask_by_form(MEI, target, "locked out, by the form")

    async def _requester_acts(self) -> None:
        mine = direct_channel(MEI)
        if self.rng.random() < 0.05 and (found := self.people.offered(mine, Action.WITHDRAW)):
            await self.people.withdraw(MEI, self.rng.choice(found))
        elif done := self.people.offered(mine, Action.SHOW_PASSCODE):
            async with self._hands[MEI]:
                await self.people.reveal(MEI, self.rng.choice(done))

    async def _phones_and_roles(self) -> None:
        """Phones change how they behave, and Intune's administrators what they allow."""
        await asyncio.sleep(0.5)
        await self.people.phone(self.rng.choice((IPHONE, PIXEL)), self.rng.choice(BEHAVIOURS))
        account = self.rng.choice(list(ACCOUNTS.values()))
        await self.people.role(account, may_reset=self.rng.random() < 0.85)

    async def _slack_moves(self) -> None:
        """Slack sends sockets away, with a warning, without one, or cuts them in the middle of everything."""
        await asyncio.sleep(self.rng.uniform(0, 0.7))
        reason = self.rng.choice(("warning", "refresh_requested", "refresh_requested", "link_disabled"))
        await self.people.sandbox.slack.sockets.disconnect(reason, most=self.rng.choice((1, 1, 2)))

    async def _decide(self, user: str) -> None:
        async with self._hands[user]:
            if self.rng.random() < 0.04:
                await self.people.command(user, "sign-out")
            unclear = self.people.offered(ON_CALL, Action.CLOSE)
            if unclear and self.rng.random() < 0.5:
                await self.people.close_request(user, self.rng.choice(unclear))
            elif self.rng.random() < 0.25:
                await self.people.deny(user, self._waiting())
            else:
                await self.people.approve(user, self._waiting())

    async def _decide_at_once(self) -> None:
        """Both leads and Mei go for the same request, and press at the same moment."""
        await asyncio.sleep(self.rng.uniform(0, 1))
        async with self._hands[KEN], self._hands[AIKO]:
            request = self._waiting()
            await asyncio.gather(*(self.people.review(who, request) for who in (KEN, AIKO)))
            submitted = [self.people.submit_review(who, request) for who in (KEN, AIKO)]
            await asyncio.gather(*submitted, self.people.withdraw(MEI, request), return_exceptions=True)

    def _waiting(self) -> str:
        waiting = self.people.offered(ON_CALL, Action.APPROVE)
        if not waiting:
            raise NotPossible("nothing waits")
        return self.rng.choice(waiting)
