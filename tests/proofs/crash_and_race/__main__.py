"""The proofs `make crash` and `make race`: the real bot, killed, or as two replicas that decide at once.

The last line is `N kills, 0 lost, 0 doubled, 0 stuck` (or `N rounds, …`); the exit status is 1 where any of
these is not 0.
"""

import argparse
import asyncio
import re
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.proofs.crash_and_race.checks import Findings
from tests.proofs.crash_and_race.crash import Campaign, campaign
from tests.proofs.crash_and_race.kill_cases import cases, cases_over_sockets
from tests.proofs.crash_and_race.processes import ROOT, databases
from tests.proofs.crash_and_race.race import race

MODULE = "tests.proofs.crash_and_race"
KILLS_EACH = 50
"""Kills of a campaign; then all is checked, and begins again with an empty database."""
LAST_LINE = re.compile(r"(\d+) (?:kills|rounds), (\d+) lost, (\d+) doubled, (\d+) stuck")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    chosen = _parser().parse_args(given)
    print(f"--seed {chosen.seed}", flush=True)
    started = time.monotonic()
    if chosen.database == "both":
        counts = asyncio.run(_both([*given, "--seed", chosen.seed]))
    else:
        counts = asyncio.run(_crash(chosen) if chosen.proof == "crash" else _race(chosen))
    what = "kills" if chosen.proof == "crash" else "rounds"
    print(f"{time.monotonic() - started:.0f} s; --seed {chosen.seed}")
    print(f"{counts[0]} {what}, {counts[1]} lost, {counts[2]} doubled, {counts[3]} stuck")
    return 1 if any(counts[1:]) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}")
    proofs = parser.add_subparsers(dest="proof", required=True)
    crash = proofs.add_parser("crash", help="kill the bot at every named point and at random moments")
    crash.add_argument("--kills", type=int, default=300, help="at random moments, on each database")
    crash.add_argument("--points-only", action="store_true", help="no random moments")
    crash.add_argument("--only", default="", metavar="TEXT", help="only points with this in their names")
    race = proofs.add_parser("race", help="let people decide at the same moment on two replicas")
    race.add_argument("--rounds", type=int, default=1000)
    race.add_argument("--socket-mode", action="store_true", help="every round over sockets, not a third")
    for proof, default in ((crash, "both"), (race, "postgresql")):
        proof.add_argument("--database", choices=("sqlite", "postgresql", "both"), default=default)
        proof.add_argument("--seed", default=secrets.token_hex(4), help="what is random, to do it again")
    return parser


async def _both(arguments: Sequence[str]) -> list[int]:
    """Each database in a process of its own, at the same time."""
    names = ("sqlite", "postgresql")
    counts = await asyncio.gather(*(_child(name, [*arguments, "--database", name]) for name in names))
    return [sum(column) for column in zip(*counts, strict=True)]


async def _child(database: str, arguments: Sequence[str]) -> list[int]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", MODULE, *arguments), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    counts = [0, 0, 0, 1]  # without a last line something broke
    async for line in process.stdout:
        text = line.decode().rstrip()
        if found := LAST_LINE.fullmatch(text):
            counts = [int(count) for count in found.groups()]
        print(f"{database:>10}: {text}", flush=True)
    await process.wait()
    return counts


async def _crash(chosen: argparse.Namespace) -> list[int]:
    kills, findings = 0, Findings()

    async def ended(ran: Campaign) -> None:
        nonlocal kills
        findings.add(await ran.settle())
        _say(ran.findings, f"{ran.kills} kills over {'sockets' if ran.socket_mode else 'HTTP'}")
        kills += ran.kills

    with databases(chosen.database) as database_url:
        for socket_mode, found in ((False, cases()), (True, cases_over_sockets())):
            wanted = [case for case in found if chosen.only in case.name]
            name = f"{chosen.seed}:points:{socket_mode}"
            async with campaign(database_url, name, socket_mode=socket_mode) as ran:
                await ran.at_points(wanted, lambda line: print(line, flush=True))
                await ended(ran)
        for first in range(0, 0 if chosen.points_only else chosen.kills, KILLS_EACH):
            over_sockets = first // KILLS_EACH % 3 == 2
            async with campaign(database_url, f"{chosen.seed}:{first}", socket_mode=over_sockets) as ran:
                await ran.at_random(min(KILLS_EACH, chosen.kills - first))
                await ended(ran)
    return [kills, *findings.counts]


async def _race(chosen: argparse.Namespace) -> list[int]:
    """A third of the rounds over sockets, the others over HTTP."""
    findings = Findings()
    over_sockets = chosen.rounds if chosen.socket_mode else chosen.rounds // 3
    replicas = 1 if chosen.database == "sqlite" else 2
    with databases(chosen.database) as database_url:
        for socket_mode, rounds in ((True, over_sockets), (False, chosen.rounds - over_sockets)):
            if rounds:
                with TemporaryDirectory(prefix="unlatch-race-") as name:
                    folder, counts = Path(name), {"rounds": rounds, "replicas": replicas}
                    url = database_url(folder)
                    ran = await race(url, folder, seed=chosen.seed, socket_mode=socket_mode, **counts)
                _say(ran, f"{rounds} rounds over {'sockets' if socket_mode else 'HTTP'}")
                findings.add(ran)
    return [chosen.rounds, *findings.counts]


def _say(findings: Findings, what: str) -> None:
    for kind, sentence in findings.faults:
        print(f"{kind}: {sentence}")
    print(f"{what}: {findings}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
