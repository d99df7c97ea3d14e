"""One database, one sandbox, many lives of the bot: killed at named points or random moments; then judged."""

import asyncio
import random
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import httpx
from bot.domain.request import Status
from bot.store.database import Database
from tests.proofs.crash_and_race.checks import Findings, Row, Stored, check, read
from tests.proofs.crash_and_race.kill_cases import BUSY, Case, Story
from tests.proofs.crash_and_race.load import Load
from tests.proofs.crash_and_race.processes import ForkServer, Installation, installation
from tests.proofs.crash_and_race.user_actions import ACCOUNTS, AIKO, KEN, GaveUp, People
from tests.support.database import audit_log

REACHED_SECONDS = 25.0
QUIET_SECONDS = 90.0
LATENCY = "0.02"
NEAR_A_POINT = 0.6
"""How many of the random deaths are a moment after something that matters; the others are at any time."""
A_MOMENT = "0.03"
LONGEST_LIFE = 6.0
KEPT = Path(gettempdir()) / "unlatch-crash-kept"
"""Where the logs, and on SQLite the rows, of a campaign_ that went wrong are left."""

Say = Callable[[str], None]


@dataclass
class Campaign:
    """What is beside each other for a while."""

    bots: Installation
    people: People
    database: Database
    rng: random.Random
    socket_mode: bool
    kills: int = 0
    findings: Findings = field(default_factory=Findings)

    async def at_points(self, cases: Sequence[Case], say: Say) -> None:
        """Die at every named point, one after the other; what one death left is taken up in the next life."""
        for case in cases:
            started = time.monotonic()
            for death, story in zip(case.deaths, case.stories, strict=True):
                if not await self._die(death, story, case.arguments):
                    self.findings.stuck.append(f"the point “{death}” was never reached ({case.name})")
                    await self.bots.kill()
            say(f"{time.monotonic() - started:5.1f} s  {case.name}")

    async def _die(self, death: str, story: Story, arguments: Sequence[str]) -> bool:
        bot = await self.bots.start("--die-at", death, *arguments)
        told = asyncio.create_task(_again_and_again(story, self.people))
        try:
            async with asyncio.timeout(REACHED_SECONDS):
                await bot.ended.wait()
        except TimeoutError:
            return False
        finally:
            told.cancel()
            await asyncio.gather(told, return_exceptions=True)
        self.kills += 1
        return True

    async def at_random(self, kills: int) -> None:
        """Die at any moment while the load is busy."""
        load = asyncio.create_task(Load(self.people, _dice(self.rng.random()), self.socket_mode).live())
        try:
            for _ in range(kills):
                if self.rng.random() < NEAR_A_POINT:
                    await self._live_to_a_point()
                else:
                    await self._live_a_while()
                self.kills += 1
        finally:
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)

    async def _live_a_while(self) -> None:
        await self.bots.start("--latency", LATENCY, wait=self.rng.random() < 0.85)
        await asyncio.sleep(self.rng.choice((0.8, 0.8, 2.0)) * self.rng.random())
        await self.bots.kill()

    async def _live_to_a_point(self) -> None:
        point = f"{self.rng.choice(('before', 'after'))} {self.rng.choice(BUSY)}"
        death = ("--die-at", point, "--nth", str(self.rng.choice((1, 1, 2))), "--late", A_MOMENT)
        bot = await self.bots.start("--latency", LATENCY, *death)
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_LIFE):
                await bot.ended.wait()
        await self.bots.kill()

    async def settle(self) -> None:
        """Let the bot live, let people decide what waits, wait for quiet, and check."""
        await self.bots.start()
        for oid in ACCOUNTS.values():
            await self.people.role(oid, may_reset=True)
        until = time.monotonic() + QUIET_SECONDS
        stored = await self._quiet(until)
        while (waiting := _undecided(stored)) and time.monotonic() < until:
            await self._decide(waiting)
            stored = await self._quiet(until)
        self.findings.add(await check(self.people, stored))
        if said := await self.bots.audited():
            self.findings.lost.append(f"the record does not hold: {said}")
        if self.findings.sentences:
            shutil.copytree(self.bots.folder, KEPT / self.bots.folder.name)

    async def _quiet(self, until: float) -> Stored:
        while True:
            stored = await read(self.database)
            if all(row.rests for row in stored.rows) or time.monotonic() > until:
                return stored
            await asyncio.sleep(0.2)

    async def _decide(self, waiting: Sequence[Row]) -> None:
        """Both leads work through what waits for them."""
        shares: dict[str, list[Row]] = {KEN: [], AIKO: []}
        for row in waiting:
            shares[self.rng.choice([who for who in shares if who != row.request.asked_by])].append(row)
        await asyncio.gather(*(self._work_through(who, rows) for who, rows in shares.items()))

    async def _work_through(self, user: str, rows: Sequence[Row]) -> None:
        for row in rows:
            act = self.people.approve if self.rng.random() < 0.5 else self.people.deny
            if row.request.needs_a_human:
                act = self.people.approve
            try:
                await act(user, row.request.id)
            except (GaveUp, httpx.HTTPError):
                continue


def _undecided(stored: Stored) -> list[Row]:
    waits = (Status.PENDING, Status.UNCERTAIN)
    return [row for row in stored.rows if row.request.status in waits]


async def _again_and_again(story: Story, people: People) -> None:
    while True:
        try:
            await story(people)
        except (GaveUp, httpx.HTTPError):
            await asyncio.sleep(0.02)


@asynccontextmanager
async def campaign(
    forks: ForkServer, database_url: Callable[[Path], str], seed: str, *, socket_mode: bool = False
) -> AsyncIterator[Campaign]:
    """A new sandbox and an empty database."""
    with TemporaryDirectory(prefix="unlatch-crash-") as folder:
        url = database_url(Path(folder))
        database = Database(url, audit_log())
        async with installation(forks, Path(folder), url, socket_mode=socket_mode) as bots:
            people = People(bots.sandbox_url)
            try:
                yield Campaign(bots, people, database, _dice(seed), socket_mode)
            finally:
                await people.close()
                await database.close()


def _dice(seed: object) -> random.Random:
    """Chance that a seed replays."""
    return random.Random(str(seed))  # noqa: S311  it decides nothing that has to be secret
