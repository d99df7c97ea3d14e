"""A campaign: one database, one sandbox, many lives of the bot, killed at named points or random moments."""

import asyncio
import random
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from bot.domain.request import Status
from tests.proofs.crash_and_race.checks import Findings, Kind, Row, check
from tests.proofs.crash_and_race.kill_cases import Case, Story, busy_points
from tests.proofs.crash_and_race.kill_points import KillPoints
from tests.proofs.crash_and_race.launcher import Life
from tests.proofs.crash_and_race.load import Load
from tests.proofs.crash_and_race.people import ACCOUNTS, AIKO, GAVE_UP, KEN, People
from tests.proofs.crash_and_race.processes import Installation, installation

REACHED_SECONDS = 25.0
LATENCY = 0.02
NEAR_A_POINT = 0.6
"""How many of the random deaths are a moment after something that matters; the others are at any time."""
A_MOMENT = 0.03
LONGEST_LIFE = 6.0
KEPT = Path(gettempdir()) / "unlatch-crash-kept"
"""Where the logs, and on SQLite the rows, of a campaign that went wrong are left."""


@dataclass
class Campaign:
    """What is beside each other for a while."""

    bots: Installation
    people: People
    rng: random.Random
    socket_mode: bool
    kills: int = 0
    findings: Findings = field(default_factory=Findings)

    async def at_points(self, cases: Iterable[Case], say: Callable[[str], None] = print) -> None:
        """Die at every named point, one after the other; what one death left is taken up in the next life."""
        for case in cases:
            started = time.monotonic()
            for number, (point, story) in enumerate(case.deaths):
                points = KillPoints(point, case.nth if number == 0 else 1)
                if not await self._die(Life(points=points, **case.life), story):
                    fault = f"the point “{point}” was never reached ({case.name})"
                    self.findings.faults.append((Kind.STUCK, fault))
                    await self.bots.end()
            say(f"{time.monotonic() - started:5.1f} s  {case.name}")

    async def _die(self, life: Life, story: Story) -> bool:
        bot = await self.bots.start(life)
        acting = asyncio.create_task(_again_and_again(story, self.people))
        try:
            async with asyncio.timeout(REACHED_SECONDS):
                await bot.ended.wait()
        except TimeoutError:
            return False
        finally:
            acting.cancel()
            await asyncio.gather(acting, return_exceptions=True)
        self.kills += 1
        return True

    async def at_random(self, kills: int) -> None:
        """Die at any moment while the load is busy."""
        load = Load(self.people, random.Random(self.rng.random()), self.socket_mode)  # noqa: S311  replayed
        acting = asyncio.create_task(load.run())
        points = busy_points()
        try:
            for _ in range(kills):
                if self.rng.random() < NEAR_A_POINT:
                    await self._live_to_a_point(self.rng.choice(points))
                else:
                    await self._live_a_while()
                await self.bots.end()
                self.kills += 1
        finally:
            acting.cancel()
            await asyncio.gather(acting, return_exceptions=True)

    async def _live_a_while(self) -> None:
        await self.bots.start(Life(points=KillPoints(latency=LATENCY)), wait=self.rng.random() < 0.85)
        await asyncio.sleep(self.rng.choice((0.8, 0.8, 2.0)) * self.rng.random())

    async def _live_to_a_point(self, what: str) -> None:
        point, nth = f"{self.rng.choice(('before', 'after'))} {what}", self.rng.choice((1, 1, 2))
        bot = await self.bots.start(Life(points=KillPoints(point, nth, late=A_MOMENT, latency=LATENCY)))
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_LIFE):
                await bot.ended.wait()

    async def settle(self) -> Findings:
        """Let the bot live, let people decide what waits, wait for quiet, and check."""
        await self.bots.start(Life())
        for account in ACCOUNTS.values():
            await self.people.role(account, may_reset=True)
        until = time.monotonic() + 90
        stored = await self.bots.quiet()
        while (waiting := _undecided(stored.rows.values())) and time.monotonic() < until:
            await self._decide(waiting)
            stored = await self.bots.quiet(until - time.monotonic())
        self.findings.add(check(self.bots.sandbox, stored, forms=self.people.forms, told=self.people.told))
        self.findings.faults += await self.bots.faults()
        if self.findings.faults:
            shutil.copytree(self.bots.folder, KEPT / self.bots.folder.name)
        return self.findings

    async def _decide(self, waiting: Sequence[Row]) -> None:
        """Both leads work through what waits for them."""
        shares: dict[str, list[Row]] = {KEN: [], AIKO: []}
        for row in waiting:
            shares[self.rng.choice([who for who in shares if who != row.request.asked_by])].append(row)
        await asyncio.gather(*(self._work_through(who, rows) for who, rows in shares.items()))

    async def _work_through(self, user: str, rows: Sequence[Row]) -> None:
        for row in rows:
            with suppress(*GAVE_UP):
                if row.request.needs_a_human or self.rng.random() < 0.5:
                    await self.people.approve(user, row.request.id)
                else:
                    await self.people.deny(user, row.request.id)


def _undecided(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.request.status in (Status.PENDING, Status.UNCERTAIN)]


async def _again_and_again(story: Story, people: People) -> None:
    while True:
        try:
            await story(people)
        except GAVE_UP:
            await asyncio.sleep(0.02)  # people are no faster


@asynccontextmanager
async def campaign(
    database_url: Callable[[Path], str], seed: str, *, socket_mode: bool = False
) -> AsyncIterator[Campaign]:
    """A new sandbox and an empty database."""
    with TemporaryDirectory(prefix="unlatch-crash-") as name:
        folder = Path(name)
        async with installation(folder, database_url(folder), socket_mode=socket_mode) as bots:
            people = People(bots.sandbox)
            try:
                yield Campaign(bots, people, random.Random(seed), socket_mode)  # noqa: S311  replayed
            finally:
                await people.aclose()
