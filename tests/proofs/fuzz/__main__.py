"""`make fuzz`: inputs at every entry point that no vendor would send; an equal share of the time for each.

The last line is `N inputs, 0 failures`. A failure comes with its input as hypothesis has shrunk it: keep it
as a unit test of the place that it broke.
"""

import argparse
import os
import secrets
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import count, takewhile

from hypothesis import HealthCheck, seed, settings
from tests.proofs.fuzz.test_fuzz import OPENINGS

ROUND = settings(max_examples=100, database=None, deadline=None, suppress_health_check=list(HealthCheck))


def main() -> int:
    """Fuzz; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="draws the same inputs")
    chosen = parser.parse_args()
    processes = os.cpu_count() or 1
    seconds = chosen.minutes * 60 * processes / len(OPENINGS)
    print(f"--seed {chosen.seed}, {seconds:.0f} s for each of {len(OPENINGS)} openings", flush=True)
    inputs = failures = 0
    with ProcessPoolExecutor(processes) as pool:
        fuzzed = pool.map(partial(fuzz, chosen.seed, seconds), range(len(OPENINGS)))
        for opening, (sent, failure) in zip(OPENINGS, fuzzed, strict=True):
            print(f"{opening.name}: {sent} inputs{failure and ', 1 failure'}\n{failure}", end="", flush=True)
            inputs, failures = inputs + sent, failures + bool(failure)
    print(f"{inputs} inputs, {failures} failures")
    return 1 if failures else 0


def fuzz(first_seed: int, seconds: float, number: int) -> tuple[int, str]:
    """Send to one opening for so long; return how many inputs, and the failure with its shrunk input."""
    end, sent = time.monotonic() + seconds, count()
    with OPENINGS[number].fuzzed(ROUND, ran=sent.__next__) as nothing_breaks:
        try:
            for each in takewhile(lambda _: time.monotonic() < end, count(first_seed * 1000)):
                seed(each)(nothing_breaks)()
        except Exception as failure:
            return next(sent), "".join(traceback.format_exception(failure))
    return next(sent), ""


if __name__ == "__main__":
    sys.exit(main())
