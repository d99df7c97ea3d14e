"""`unlatch audit verify` over a long log, beside hashing the same rows alone."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

from bot.domain.audit import Entry, Event
from bot.domain.values import UserId
from bot.keys import Keys, new_key
from bot.store.audit_log import AuditLog, hash_after, pages
from bot.store.engine import temporary_engine
from bot.store.migrations import migrate
from tests.support.postgres import Cluster

from benchmarks.figures import Figures, Goal
from benchmarks.processes import BOT, ROOT, kept

ROWS = 100_000
FACTS = {"target": "person:ada@contoso.com", "reason": "Locked out at a customer", "team": "T0CONTOSO"}
GOALS = [
    Goal(
        what=f"`audit verify` of a long log, {kind}",
        name=f"verify_{kind}",
        of="hashing",
        unit="s",
        at_most=2,
        kept=4,
    )
    for kind in ("sqlite", "postgresql")
]


async def measure(figures: Figures, folder: Path, cluster: Cluster, rounds: int, share: float) -> None:
    """Add `rounds` verifications on each database; what the command takes on an empty one is taken off."""
    keys, name = Keys.parse(new_key()), "benchmark"
    urls = {"sqlite": f"sqlite:///{folder}/log.sqlite3", "postgresql": cluster.url(cluster.create())}
    empty = {"sqlite": f"sqlite:///{folder}/one.sqlite3", "postgresql": cluster.url(cluster.create())}
    for kind in urls:
        await asyncio.to_thread(_fill, urls[kind], keys, name, round(ROWS * share))
        await asyncio.to_thread(_fill, empty[kind], keys, name, 2)
    for _ in range(rounds):
        for kind, url in urls.items():
            start = await _verify(empty[kind], keys)
            figures.add(**{f"verify_{kind}": await _verify(url, keys) - start})
        figures.add(hashing=await asyncio.to_thread(_hash, urls["sqlite"]))


def _fill(url: str, keys: Keys, name: str, rows: int) -> None:
    log = AuditLog(keys, name)
    migrate(url, log)
    entry = Entry(event=Event.REVIEWED, at=datetime.now(UTC), actor=UserId("U0MEI"), facts=FACTS)
    with temporary_engine(url) as engine:
        for first in range(0, rows, 1000):
            with engine.begin() as connection:
                head = log.append(connection, [entry] * min(1000, rows - first))
            log.remember(head)


async def _verify(url: str, keys: Keys) -> float:
    began = time.perf_counter()
    command = (*BOT, "audit", "verify", "--database", url, "--public-key", next(iter(keys.public_keys)))
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, env=kept(), cwd=ROOT, stdout=quiet, stderr=quiet)
    if await process.wait():
        raise SystemExit("The log could not be verified.")
    return time.perf_counter() - began


def _hash(url: str) -> float:
    """Return the seconds that hashing every row takes, once they are in memory."""
    with temporary_engine(url, read_only=True) as engine, engine.connect() as connection:
        rows = [row for page in pages(connection) for row in page]
    began, last = time.perf_counter(), ""
    for row in rows:
        last = hash_after(last, row)
    return time.perf_counter() - began
