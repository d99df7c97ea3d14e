"""A thousand rounds of simultaneous decisions: two processes on one PostgreSQL, or one on SQLite.

A third of them is round_ over sockets, the others over HTTP.
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path
from secrets import randbelow
from tempfile import TemporaryDirectory

from tests.proofs.crash_and_race.race import Tally, race
from tests.support.postgres import running


def main() -> int:
    """Play, print what went wrong and the sum; 1 if anything did."""
    parser = argparse.ArgumentParser(prog="make race", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=randbelow(10**6), help="draws the same rounds again")
    parser.add_argument("--database", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--socket-mode", action="store_true", help="every round over sockets")
    chosen = parser.parse_args()
    print(f"{chosen.rounds} rounds on {chosen.database}, --seed {chosen.seed}", flush=True)
    started = time.monotonic()
    over_sockets = chosen.rounds if chosen.socket_mode else chosen.rounds // 3
    tally = _played(chosen.database, chosen.seed, over_sockets, socket_mode=True)
    tally += _played(chosen.database, chosen.seed, chosen.rounds - over_sockets, socket_mode=False)
    for name, fault in tally.faults:
        print(f"{fault.wrong}: {name}: {fault.what}", file=sys.stderr)
    ends = ", ".join(f"{count} {status}" for status, count in tally.winners.items())
    print(f"{ends}; {time.monotonic() - started:.0f} s; --seed {chosen.seed}", flush=True)
    print(tally)
    return 1 if tally.faults else 0


def _played(database: str, seed: int, rounds: int, *, socket_mode: bool) -> Tally:
    if not rounds:
        return Tally(0, [], {})
    game = {"seed": seed, "rounds": rounds, "socket_mode": socket_mode}
    with TemporaryDirectory(prefix="unlatch-race-") as folder:
        if database == "sqlite":
            url = f"sqlite:///{folder}/unlatch.sqlite3"
            return asyncio.run(race(url, Path(folder), replicas=1, **game))
        with running() as cluster:
            url = cluster.url(cluster.create())
            return asyncio.run(race(url, Path(folder), replicas=2, **game))


if __name__ == "__main__":
    sys.exit(main())
