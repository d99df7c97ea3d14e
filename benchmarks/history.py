"""A long history, and many requests that wait, beside a database that is almost empty. On SQLite."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from itertools import chain
from pathlib import Path

from bot.store.engine import temporary_engine
from bot.store.tables import audit, requests
from tests.support.bulk import HISTORY, RECORD, multiply

from benchmarks.figures import Figures, Goal
from benchmarks.load import deliver, deliveries
from benchmarks.processes import bot, cpu, drained, environment, migrated, resident, server

ROWS, WAITING = 1_000_000, 100_000
PEOPLE = [f"U{number}" for number in range(1, 31)]
"""Each asked for a thousandth of the history."""
AGED = HISTORY | {"asked_at": "'2020-01-01T00:00:00.000000Z'"}
PENDING = AGED | {"status": "'pending'", "asked_by": "'W' || i", "next_at": "'2999-01-01T00:00:00.000000Z'"}
IDLE = 5.0
"""Seconds in which an idle process is watched."""
GOALS = [
    *(
        Goal(
            what=f"{ROWS:,} requests of history: {what}",
            name=f"long_{key}",
            of=f"short_{key}",
            unit="ms",
            at_most=1.2,
        )
        for key, what in (
            ("ack", "acknowledged, one client: p50"),
            ("status", "`/reset-passcode status`: p50"),
        )
    ),
    Goal(
        what=f"{WAITING:,} that wait: from exec to listening",
        name="waiting_start",
        of="empty_start",
        unit="s",
        at_most=1.2,
        kept=1.4,
    ),
    Goal(what=f"{WAITING:,} that wait: more memory at rest", name="waiting_more", unit="MB", at_most=5),
    Goal(what=f"{WAITING:,} that wait: CPU at rest", name="waiting_cpu", unit="%", at_most=1),
]


async def measure(figures: Figures, folder: Path, rounds: int, share: float) -> None:
    """Add `rounds` rounds of each; `share`: of the rows."""
    async with server("slack") as slack:
        names = ("short", "long", "empty", "waiting")
        kept = {name: environment(folder, slack, f"sqlite:///{folder}/{name}.sqlite3") for name in names}
        for settings in kept.values():
            await migrated(settings)
            async with bot(settings) as (port, _, _):
                await deliver(port, deliveries(1), clients=1)
                await drained(slack)
        for name, own, rows in (("long", AGED, ROWS), ("waiting", PENDING, WAITING)):
            await asyncio.to_thread(_fill, kept[name]["DATABASE_URL"], own, round(rows * share))
        for _ in range(rounds):
            await _at_rest(figures, kept)
        async with AsyncExitStack() as stack:
            ports = {name: (await stack.enter_async_context(bot(kept[name])))[0] for name in names[:2]}
            for port in ports.values():  # who they are is looked up once
                await deliver(port, _of_people(""), clients=1)
                await drained(slack)
            for _ in range(rounds):
                for name, port in ports.items():
                    acks = await deliver(port, deliveries(100), clients=1)
                    await drained(slack)
                    status = await deliver(port, _of_people("status"), clients=1)
                    figures.add(**{f"{name}_ack": acks.ms(0.5), f"{name}_status": status.ms(0.5)})


def _of_people(text: str) -> Iterator[bytes]:
    return chain.from_iterable(deliveries(1, text, user) for user in PEOPLE)


def _fill(url: str, own: dict[str, str], rows: int) -> None:
    with temporary_engine(url) as engine, engine.begin() as connection:
        multiply(connection, requests, own, rows)
        multiply(connection, audit, RECORD, rows)


async def _at_rest(figures: Figures, kept: Mapping[str, Mapping[str, str]]) -> None:
    memory: dict[str, float] = {}
    for name in ("empty", "waiting"):
        async with bot(kept[name]) as (_, pid, seconds):
            await asyncio.sleep(2)  # the worker's first looks
            before = cpu(pid)
            await asyncio.sleep(IDLE)
            memory[name] = resident(pid)
            figures.add(**{f"{name}_start": seconds, f"{name}_cpu": (cpu(pid) - before) / IDLE * 100})
    figures.add(waiting_more=memory["waiting"] - memory["empty"])
