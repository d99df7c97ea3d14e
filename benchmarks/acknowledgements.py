"""Acknowledgements of signed slash commands: the bot on each database beside bare Bolt, in turns."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
from bot.store.engine import temporary_engine
from sqlalchemy import text
from tests.support.postgres import Cluster

from benchmarks.figures import Figures, Goal
from benchmarks.load import deliver, deliveries, pour
from benchmarks.processes import bot, drained, environment, migrated, resident, server

PACED, ALONE, EIGHT, MANY = "3 a second", "one client, back to back", "8 clients", "64 clients"
LOADS = {
    PACED: ("paced", 1, 12, 1 / 3),
    ALONE: ("alone", 1, 150, 0),
    EIGHT: ("eight", 8, 600, 0),
    MANY: ("many", 64, 2000, 0),
}
"""By what the table says: the name of its figures, how many clients, how many deliveries, seconds between."""
STORM = 3000
"""Deliveries within ten seconds."""
DUE = text("SELECT count(*) FROM requests WHERE status = 'received' OR publish_at IS NOT NULL")
STORED = "acknowledged, stored first, {}, {}: {}"


def _goals(database: str, *limits: tuple[float, float]) -> list[Goal]:
    """`limits`: the goal of each line below, and what is kept meanwhile."""
    name = "SQLite" if database == "sqlite" else "PostgreSQL"

    def goal(load: str, what: str, limit: tuple[float, float]) -> Goal:
        key = f"{LOADS[load][0]}_{what}"
        return Goal(
            what=STORED.format(load, name, what),
            name=f"{database}_{key}",
            of=f"bolt_{key}",
            unit="/s" if what == "rate" else "ms",
            kept=limit[1],
            **{"at_least" if what == "rate" else "at_most": limit[0]},
        )

    what = ((PACED, "p50"), (ALONE, "p50"), (ALONE, "p99"), (EIGHT, "rate"), (MANY, "rate"), (MANY, "p99"))
    return [goal(*each, limit) for each, limit in zip(what, limits, strict=True)]


GOALS = [
    *_goals("sqlite", (0.12, 0.6), (0.2, 0.5), (0.8, 3), (1.42, 0.45), (0.28, 0.2), (6, 6)),
    *_goals("postgresql", (0.25, 0.9), (0.4, 0.8), (1.6, 5), (0.5, 0.25), (0.075, 0.075), (20, 20)),
    Goal(
        what="8 clients while Slack hangs, SQLite: p99",
        name="hanging_p99",
        of="sqlite_eight_p99",
        unit="ms",
        at_most=1.5,
    ),
    Goal(what=f"{STORM} within ten seconds, SQLite: the last answer", name="storm_last", unit="s", at_most=3),
    Goal(what="memory after it", name="storm_loaded", of="storm_idle", unit="MB", at_most=1.3),
    Goal(what="`/reset-passcode help`: p50", name="help_p50", of="early_help_p50", unit="ms", at_most=2),
    Goal(what="64 clients: posted to Slack after the last answer", name="sqlite_drained", unit="s"),
    Goal(
        what="memory after the loads, SQLite", name="sqlite_loaded", of="sqlite_idle", unit="MB", at_most=1.2
    ),
]


async def measure(figures: Figures, folder: Path, cluster: Cluster, rounds: int, share: float) -> None:
    """Add `rounds` rounds of each load; `share`: of its deliveries."""
    async with AsyncExitStack() as stack:
        slack = await stack.enter_async_context(server("slack"))
        ports = {name: await stack.enter_async_context(server(name)) for name in ("bolt", "early")}
        urls = {"sqlite": f"sqlite:///{folder}/acks.sqlite3", "postgresql": cluster.url(cluster.create())}
        pids: dict[str, int] = {}
        for name, url in urls.items():
            settings = environment(folder, slack, url)
            await migrated(settings)
            ports[name], pids[name], _ = await stack.enter_async_context(bot(settings))
            await deliver(ports[name], deliveries(5), clients=1)  # what is only made once
        await drained(slack)
        figures.add(sqlite_idle=resident(pids["sqlite"]))
        for _ in range(rounds):
            for load in LOADS:
                for name, port in ports.items():
                    await _load(figures, name, port, load, share)
                    if name in pids and load == MANY:
                        figures.add(**{f"{name}_drained": await drained(slack)})
                    elif name in pids:
                        await drained(slack)
            await _helps(figures, ports, share)
            await _hanging(figures, ports["sqlite"], slack, share)
        figures.add(storm_idle=resident(pids["sqlite"]))
        await _storm(figures, ports["sqlite"], round(STORM * share), 10 * share)
        await drained(slack)
        figures.add(storm_loaded=resident(pids["sqlite"]))
        with temporary_engine(urls["sqlite"], read_only=True) as engine, engine.connect() as connection:
            if left := connection.scalar(DUE):
                raise SystemExit(f"{left} requests are not done.")
        figures.add(sqlite_loaded=resident(pids["sqlite"]))


async def _load(figures: Figures, name: str, port: int, load: str, share: float) -> None:
    key, clients, how_many, pause = LOADS[load]
    done = await deliver(
        port, deliveries(max(clients, round(how_many * share))), clients=clients, pause=pause
    )
    if done.refused:
        raise SystemExit(f"{name} refused {done.refused} deliveries.")
    shown: Mapping[str, float] = {"p50": done.ms(0.5), "p99": done.ms(0.99), "rate": done.rate}
    figures.add(**{f"{name}_{key}_{what}": value for what, value in shown.items()})


async def _storm(figures: Figures, port: int, how_many: int, seconds: float) -> None:
    """More than the disk takes: each is answered, if with a refusal, and what was taken is done."""
    done = await pour(port, list(deliveries(how_many)), seconds=seconds)
    if done.refused:
        raise SystemExit(f"{done.refused} of {how_many} were not answered.")
    figures.add(storm_last=done.ms(1.0) / 1000)


async def _helps(figures: Figures, ports: Mapping[str, int], share: float) -> None:
    for name in ("early", "sqlite"):
        done = await deliver(ports[name], deliveries(round(200 * share), "help"), clients=1)
        figures.add(**{"early_help_p50" if name == "early" else "help_p50": done.ms(0.5)})


async def _hanging(figures: Figures, port: int, slack: int, share: float) -> None:
    """Slack answers nothing meanwhile; the worker's calls wait."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{slack}") as http:
        await http.post("/hang")
        done = await deliver(port, deliveries(round(600 * share)), clients=8)
        await http.post("/hang")
    figures.add(hanging_p99=done.ms(0.99))
    await drained(slack)
