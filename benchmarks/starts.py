"""From exec to the first answer, and memory at rest, beside what the same imports take."""

import asyncio
import time
from pathlib import Path

from benchmarks.figures import Figures, Goal
from benchmarks.processes import PRODUCTION, bot, environment, migrated, resident, server

IMPORTS = "import slack_bolt.async_app, httpx, msal; print(flush=True); input()"
"""What any bot of this kind imports."""
GOALS = [
    Goal(
        what="`unlatch serve`, from exec to listening",
        name="start",
        of="imports",
        unit="s",
        at_most=2,
        kept=3,
    ),
    Goal(what="memory at rest", name="rest", of="imports_rest", unit="MB", at_most=1.83, kept=2.1),
]


async def measure(figures: Figures, folder: Path, rounds: int) -> None:
    """Add `rounds` starts of each."""
    async with server("slack") as slack:
        settings = environment(folder, slack, f"sqlite:///{folder}/starts.sqlite3")
        await migrated(settings)
        for _ in range(rounds):
            began = time.perf_counter()
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(PRODUCTION, "-c", IMPORTS, stdin=pipe, stdout=pipe)
            await process.stdout.readline()  # type: ignore[union-attr]  # a pipe
            figures.add(imports=time.perf_counter() - began, imports_rest=resident(process.pid))
            await process.communicate(b"\n")
            async with bot(settings) as (_, pid, seconds):
                await asyncio.sleep(1)  # the worker's first looks
                figures.add(start=seconds, rest=resident(pid))
