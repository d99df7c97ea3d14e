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

from hypothesis import HealthCheck, settings
from tests.proofs.fuzz.test_fuzz import OPENINGS

ROUND = settings(max_examples=100, database=None, deadline=None, suppress_health_check=list(HealthCheck))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="to send the same again")
    chosen, processes = parser.parse_args(), os.cpu_count() or 1
    print(f"--seed {chosen.seed}", flush=True)
    seconds = chosen.minutes * 60 * processes / len(OPENINGS)
    inputs = failures = 0
    with ProcessPoolExecutor(processes) as pool:
        fuzzed = pool.map(partial(fuzz, seconds, chosen.seed), range(len(OPENINGS)))
        for opening, (sent, failure) in zip(OPENINGS, fuzzed, strict=True):
            print(f"{opening.name}: {sent} inputs\n{failure}", end="", flush=True)
            inputs, failures = inputs + sent, failures + bool(failure)
    print(f"{inputs} inputs, {failures} failures")
    return 1 if failures else 0


def fuzz(seconds: float, seed: int, number: int) -> tuple[int, str]:
    """Send to one opening for so long; return how many inputs, and the failure with its shrunk input."""
    end, sent = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        try:
            OPENINGS[number].fuzz(ROUND, seed=seed + sent)
        except Exception as failure:
            return sent, "".join(traceback.format_exception(failure))
        sent += ROUND.max_examples
    return sent, ""


if __name__ == "__main__":
    sys.exit(main())
