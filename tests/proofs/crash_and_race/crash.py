"""A campaign: one database, one sandbox, many lives of the bot, killed at named points or random moments."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from bot.domain.request import ResetRequest, Status
from tests.proofs.crash_and_race.checks import Findings, check
from tests.proofs.crash_and_race.forgeries import forge
from tests.proofs.crash_and_race.kill_cases import BUSY, BUSY_POINTS, TARGETS, Case, Story
from tests.proofs.crash_and_race.kill_points import Death
from tests.proofs.crash_and_race.people import GAVE_UP, People
from tests.proofs.crash_and_race.processes import Installation, Life, installation
from tests.support.user_actions import AIKO, IPHONE, KEN, PIXEL

LATENCY = 0.02
NEAR_A_POINT = 0.6
"""How many of the random deaths are a moment after something that matters; the others are at any time."""
A_MOMENT = 0.03
PAIRS_OF_HANDS = 8
WAITING = (Status.PENDING, Status.UNCERTAIN)
BEHAVIOURS = ("completes", "completes", "completes", "fails", "stays silent")


@dataclass
class Campaign:
    bots: Installation
    people: People
    kills: int = 0
    findings: Findings = field(default_factory=Findings)

    @property
    def rng(self) -> random.Random:
        return self.people.rng

    async def at_points(self, cases: Iterable[Case]) -> None:
        """Die at every named point, one after the other; what one death left is taken up in the next life."""
        for case in cases:
            await self._forge()
            for number, (point, story) in enumerate(case.deaths):
                death = Death(at=point, nth=case.nth if number == 0 else 1)
                async with self._acting(story):
                    if await self._dies_within(25, Life(death=death, **case.life)):
                        self.kills += 1
                    else:
                        fault = f"the point “{point}” was never reached ({case.name})"
                        self.findings.faults.append(("stuck", fault))
                        await self.bots.end()
            print(case.name, flush=True)

    async def at_random(self, kills: int) -> None:
        """Die at any moment, or a moment after something that matters, while everybody is busy."""
        self.people.leads, self.people.targets = (KEN, AIKO), TARGETS
        async with self._acting(*[lambda people: people.rng.choice(BUSY)(people)] * PAIRS_OF_HANDS):
            for _ in range(kills):
                await self._forge()
                await self.people.phone(self.rng.choice((IPHONE, PIXEL)), self.rng.choice(BEHAVIOURS))
                if self.rng.random() < NEAR_A_POINT:
                    point = f"{self.rng.choice(('before', 'after'))} {self.rng.choice(BUSY_POINTS)}"
                    death = Death(at=point, nth=self.rng.choice((1, 1, 2)), late=A_MOMENT, latency=LATENCY)
                    await self._dies_within(6, Life(death=death))
                else:
                    life = Life(death=Death(latency=LATENCY))
                    await self.bots.start(life, wait=self.rng.random() < 0.85)
                    await asyncio.sleep(self.rng.choice((0.8, 0.8, 2.0)) * self.rng.random())
                await self.bots.end()
                self.kills += 1

    async def _forge(self) -> None:
        self.bots.forged |= await forge(self.bots.database, self.rng)

    @asynccontextmanager
    async def _acting(self, *stories: Story) -> AsyncIterator[None]:
        """Let people act these stories out beside what is done in the block, again and again."""
        acting = asyncio.gather(*map(self._again_and_again, stories))
        try:
            yield
        finally:
            acting.cancel()
            with suppress(asyncio.CancelledError):  # any other error of a story is one of the proof
                await acting

    async def _again_and_again(self, story: Story) -> None:
        while True:
            with suppress(*GAVE_UP):
                await story(self.people)
            await asyncio.sleep(self.rng.uniform(0.02, 0.1))  # people are no faster

    async def _dies_within(self, seconds: float, life: Life) -> bool:
        bot = await self.bots.start(life)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await bot.ended.wait()
        return bot.ended.is_set()

    async def settle(self) -> Findings:
        """Let the bot live, let people decide what waits, wait for quiet, and check."""
        await self.bots.start(Life())
        for user in (KEN, AIKO):
            await self.people.role(user, may_reset=True)
        until = time.monotonic() + 90
        stored = await self.bots.quiet()
        while time.monotonic() < until:
            waiting = [row for row in stored.rows.values() if row.status in WAITING]
            if not waiting:
                break
            await asyncio.gather(*map(self._decide, waiting))
            stored = await self.bots.quiet(until - time.monotonic())
        self.findings.add(check(self.bots.sandbox, stored, forms=self.people.forms, told=self.people.told))
        self.findings.faults += await self.bots.faults()
        self.bots.keep_logs(self.findings)
        return self.findings

    async def _decide(self, row: ResetRequest) -> None:
        act = self.people.approve if row.needs_a_human or self.rng.random() < 0.5 else self.people.deny
        with suppress(*GAVE_UP):
            await act(self.rng.choice((KEN, AIKO)), row.id)


@asynccontextmanager
async def campaign(
    database_url: Callable[[Path], str], seed: str, *, socket_mode: bool = False
) -> AsyncIterator[Campaign]:
    """A new sandbox and an empty database."""
    with TemporaryDirectory(prefix="unlatch-crash-") as name:
        folder = Path(name)
        async with (
            installation(folder, database_url(folder), socket_mode=socket_mode) as bots,
            aclosing(People(bots.sandbox, random.Random(seed))) as people,  # noqa: S311  replayed
        ):
            yield Campaign(bots, people)
