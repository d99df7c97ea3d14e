"""`make crash`: the real bot, killed at every named point and at random moments, and what that did.

The last line is `N kills, 0 lost, 0 doubled, 0 stuck`; the exit status is 1 where any of these is not 0.
"""

import argparse
import asyncio
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.proofs.crash_and_race.campaign import Campaign, campaign
from tests.proofs.crash_and_race.checks import Findings
from tests.proofs.crash_and_race.kill_cases import Case, cases, cases_over_sockets
from tests.proofs.crash_and_race.processes import ROOT, fork_server
from tests.support.postgres import running

KILLS_EACH = 50
"""Kills; then all is judged, and begins anew with an empty database."""
LAST_LINE = re.compile(r"(\d+) kills, (\d+) lost, (\d+) doubled, (\d+) stuck")

DatabaseUrl = Callable[[Path], str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    chosen = _parser().parse_args(arguments)
    counts = asyncio.run(_both(chosen) if chosen.database == "both" else _one(chosen))
    print("{} kills, {} lost, {} doubled, {} stuck".format(*counts))
    return 1 if any(counts[1:]) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.crash_and_race.crash")
    parser.add_argument(
        "--seed", default=secrets.token_hex(4), help="what people do and when the bot is killed"
    )
    parser.add_argument("--kills", type=int, default=300, help="at random moments, on each database")
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--points-only", action="store_true", help="no random moments")
    parser.add_argument("--only", metavar="TEXT", help="only the points with this in their names")
    return parser


async def _both(chosen: argparse.Namespace) -> list[int]:
    """Each database in a process of its own, side by side."""
    print(f"--seed {chosen.seed}", flush=True)
    counts = await asyncio.gather(*(_beside(name, chosen) for name in ("sqlite", "postgresql")))
    return [sum(column) for column in zip(*counts, strict=True)]


async def _beside(database: str, chosen: argparse.Namespace) -> list[int]:
    more = ["--points-only"] if chosen.points_only else []
    more += ["--only", chosen.only] if chosen.only else []
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.proofs.crash_and_race.crash", "--database", database),
        *("--seed", chosen.seed, "--kills", str(chosen.kills), *more),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    counts = [0, 0, 0, 1]  # without a last line something broke
    while process.stdout is not None and (line := (await process.stdout.readline()).decode().rstrip()):
        if found := LAST_LINE.fullmatch(line):
            counts = [int(count) for count in found.groups()]
        print(f"{database:>10}: {line}", flush=True)
    await process.wait()
    return counts


async def _one(chosen: argparse.Namespace) -> list[int]:
    print(f"--seed {chosen.seed}", flush=True)
    started, kills, findings = time.monotonic(), 0, Findings()
    with _database(chosen.database) as database_url:
        async with fork_server() as forks:
            for socket_mode, found in ((False, cases()), (True, cases_over_sockets())):
                name = f"{chosen.seed}:points:{socket_mode}"
                async with campaign(forks, database_url, name, socket_mode=socket_mode) as campaign_:
                    await campaign_.at_points(_wanted(found, chosen), _say)
                    kills += await _ended(campaign_, findings, started)
            rounds = 0 if chosen.points_only else -(-chosen.kills // KILLS_EACH)
            for number in range(rounds):
                over = number % 3 == 2
                async with campaign(
                    forks, database_url, f"{chosen.seed}:{number}", socket_mode=over
                ) as campaign_:
                    await campaign_.at_random(min(KILLS_EACH, chosen.kills - number * KILLS_EACH))
                    kills += await _ended(campaign_, findings, started)
    return [kills, len(findings.lost), len(findings.doubled), len(findings.stuck)]


def _wanted(found: Sequence[Case], chosen: argparse.Namespace) -> list[Case]:
    return [case for case in found if not chosen.only or chosen.only in case.name]


async def _ended(campaign_: Campaign, findings: Findings, started: float) -> int:
    await campaign_.settle()
    for sentence in campaign_.findings.sentences:
        _say(sentence)
    seen = ", ".join(f"{count} {what}" for what, count in sorted(campaign_.findings.seen.items()))
    over = "sockets" if campaign_.socket_mode else "HTTP"
    _say(f"{campaign_.kills} kills over {over} after {time.monotonic() - started:.0f} s: {seen}")
    findings.add(campaign_.findings)
    return campaign_.kills


@contextmanager
def _database(kind: str) -> Iterator[DatabaseUrl]:
    if kind == "sqlite":
        yield lambda folder: f"sqlite:///{folder}/unlatch.sqlite3"
        return
    with running() as cluster:
        yield lambda _: cluster.url(cluster.create())


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
