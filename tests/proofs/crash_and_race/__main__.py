"""The proofs `make crash` and `make race`: the real bot, killed, or as two replicas that decide at once.

The last line is `N kills, 0 lost, 0 doubled, 0 stuck` (or `N rounds, …`); the exit status is 1 where any of
these is not 0.
"""

import argparse
import asyncio
import secrets
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.proofs.crash_and_race.checks import Findings
from tests.proofs.crash_and_race.crash import campaign
from tests.proofs.crash_and_race.forgeries import Attacks
from tests.proofs.crash_and_race.kill_cases import cases, cases_over_sockets
from tests.proofs.crash_and_race.processes import databases
from tests.proofs.crash_and_race.race import race

KILLS_EACH = 50
"""Kills of a campaign; then all is checked, and begins again with an empty database."""


def main() -> int:
    chosen = _parser().parse_args()
    print(f"--seed {chosen.seed}", flush=True)
    started = time.monotonic()
    kinds = ("sqlite", "postgresql") if chosen.database == "both" else (chosen.database,)
    # Each database in a process of its own, at the same time.
    with ProcessPoolExecutor(len(kinds), mp_context=get_context("fork")) as pool:
        counts = list(pool.map(partial(_proof, chosen), kinds))
    done, lost, doubled, stuck = map(sum, zip(*counts, strict=True))
    what = "kills" if chosen.proof == "crash" else "rounds"
    print(f"{time.monotonic() - started:.0f} s; --seed {chosen.seed}")
    print(f"{done} {what}, {lost} lost, {doubled} doubled, {stuck} stuck")
    return 1 if lost + doubled + stuck else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.crash_and_race")
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


def _proof(chosen: argparse.Namespace, kind: str) -> list[int]:
    """Return how many kills or rounds there were on this database, and how many lost, doubled and stuck."""
    return asyncio.run(_crash(chosen, kind) if chosen.proof == "crash" else _race(chosen, kind))


async def _crash(chosen: argparse.Namespace, kind: str) -> list[int]:
    """Every named point, over HTTP and over sockets; then random moments, a third of them over sockets."""
    firsts = range(0, 0 if chosen.points_only else chosen.kills, KILLS_EACH)
    campaigns = [(False, "points", [*cases()]), (True, "points", [*cases_over_sockets()])]
    campaigns += [(first // KILLS_EACH % 3 == 2, str(first), []) for first in firsts]
    kills, findings = 0, Findings()
    with databases(kind) as database_url:
        for socket_mode, name, found in campaigns:
            wanted = [case for case in found if chosen.only in case.name]
            seed = f"{chosen.seed}:{name}:{socket_mode}"
            async with campaign(database_url, seed, socket_mode=socket_mode) as ran:
                await ran.at_points(wanted)
                if not found:
                    await ran.at_random(min(KILLS_EACH, chosen.kills - int(name)))
                findings.add(await ran.settle())
                _say(ran.findings, kind, f"{ran.kills} kills over {'sockets' if socket_mode else 'HTTP'}")
                kills += ran.kills
        async with campaign(database_url, f"{chosen.seed}:attacks") as ran:
            attacked = Findings(await Attacks(ran.bots, ran.people).run())
            _say(attacked, kind, "attacks by whoever writes to the database")
            findings.add(attacked)
    return [kills, *findings.counts]


async def _race(chosen: argparse.Namespace, kind: str) -> list[int]:
    """A third of the rounds over sockets, the others over HTTP."""
    findings = Findings()
    over_sockets = chosen.rounds if chosen.socket_mode else chosen.rounds // 3
    replicas = 1 if kind == "sqlite" else 2
    with databases(kind) as database_url:
        for socket_mode, rounds in ((True, over_sockets), (False, chosen.rounds - over_sockets)):
            if rounds:
                with TemporaryDirectory(prefix="unlatch-race-") as name:
                    folder, options = Path(name), {"rounds": rounds, "replicas": replicas}
                    url = database_url(folder)
                    ran = await race(url, folder, seed=chosen.seed, socket_mode=socket_mode, **options)
                _say(ran, kind, f"{rounds} rounds over {'sockets' if socket_mode else 'HTTP'}")
                findings.add(ran)
    return [chosen.rounds, *findings.counts]


def _say(ran: Findings, kind: str, what: str) -> None:
    for fault, sentence in ran.faults:
        print(f"{kind:>10}: {fault}: {sentence}")
    seen = ", ".join(f"{count} {name}" for name, count in sorted(ran.seen.items()))
    print(f"{kind:>10}: {what}: {seen}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
