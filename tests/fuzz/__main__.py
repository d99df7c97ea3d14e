"""`make fuzz`: inputs of every kind at every opening, and what none of them may do.

The corpus of what once failed is played first. The last line is `N inputs, 0 failures`.
"""

import argparse
import asyncio
import os
import secrets
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

from tests.fuzz.playing import CORPUS, Tally, drawn, replayed, timed

INPUTS = 200_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Play; returns the exit status."""
    chosen = _parser().parse_args(arguments)
    print(f"{chosen.inputs} inputs, --seed {chosen.seed}", flush=True)
    tally, seconds = timed(lambda: _played(chosen))
    for failure in tally.failures:
        print(f"  {failure}", file=sys.stderr)
    parts = ", ".join(f"{count} {name}" for name, count in sorted(tally.inputs.items()))
    print(f"{parts}; {seconds:.0f} s; --seed {chosen.seed}")
    print(tally)
    return 1 if tally.failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", default=secrets.token_hex(4), help="draws the same inputs again")
    parser.add_argument("--inputs", type=int, default=INPUTS, help="how many are drawn beside the corpus")
    parser.add_argument("--first", type=int, default=0, help="the number of the first one")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    return parser


def _played(chosen: argparse.Namespace) -> Tally:
    tally = Tally()
    asyncio.run(replayed(sorted(CORPUS.glob("*.json")), tally))
    shares = [
        range(chosen.first + n, chosen.first + chosen.inputs, chosen.processes)
        for n in range(chosen.processes)
    ]
    with ProcessPoolExecutor(chosen.processes) as processes:
        for share in processes.map(_share, repeat(chosen.seed), shares):
            tally.inputs += share.inputs
            tally.failures += share.failures
    return tally


def _share(seed: str, numbers: range) -> Tally:
    tally = Tally(Counter())
    asyncio.run(drawn(seed, numbers, tally))
    return tally


if __name__ == "__main__":
    sys.exit(main())
