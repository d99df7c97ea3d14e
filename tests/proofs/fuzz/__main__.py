"""`make fuzz`: inputs at every entry point that no vendor would send; an equal share of the time for each.

The last line is `N inputs, 0 failures`. A failure comes with its input as hypothesis has shrunk it: keep that
among the examples of its opening.
"""

import argparse
import os
import secrets
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from typing import Any

from hypothesis import HealthCheck, seed, settings
from tests.proofs.fuzz.ground import played
from tests.proofs.fuzz.openings import OPENINGS, property_of

ROUND = settings(max_examples=500, database=None, deadline=None, suppress_health_check=list(HealthCheck))


def main() -> int:
    """Fuzz; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="draws the same inputs")
    chosen = parser.parse_args()
    processes = os.cpu_count() or 1
    seconds = chosen.minutes * 60 / len(OPENINGS)
    inputs, failures = 0, 0
    print(f"--seed {chosen.seed}, {seconds:.0f} s for each of {len(OPENINGS)} openings", flush=True)
    with ProcessPoolExecutor(processes) as pool:
        for number, opening in enumerate(OPENINGS):
            first = chosen.seed + number * 10**7
            shares = [pool.submit(fuzz, number, first + n * 10**6, seconds) for n in range(processes)]
            sent = sum(share.result()[0] for share in shares)
            found = [failure for share in shares if (failure := share.result()[1])]
            print(f"{opening.name}: {sent} inputs, {len(found)} failures", flush=True)
            print(*found, sep="\n", end="", file=sys.stderr)
            inputs, failures = inputs + sent, failures + len(found)
    print(f"{inputs} inputs, {failures} failures")
    return 1 if failures else 0


class TimeIsUp(BaseException):
    """Ends hypothesis's run; it is no Exception, so it is no failure either."""


def fuzz(number: int, first_seed: int, seconds: float) -> tuple[int, str]:
    """Send to one opening for so long; return how many inputs, and the failure with its shrunk input."""
    opening, end, sent, failing = OPENINGS[number], time.monotonic() + seconds, 0, False
    with played(opening.opened) as play:

        def timed(case: Any) -> None:
            nonlocal sent, failing
            if time.monotonic() >= end and not failing:  # one that fails is shrunk first
                raise TimeIsUp
            sent += 1
            try:
                play(case)
            except Exception:
                failing = True
                raise

        try:
            for each in count(first_seed):
                seed(each)(property_of(opening, timed, ROUND))()
        except TimeIsUp:
            return sent, ""
        except Exception as failure:
            return sent, "".join(traceback.format_exception(failure))
    raise AssertionError("counts for ever")


if __name__ == "__main__":
    sys.exit(main())
