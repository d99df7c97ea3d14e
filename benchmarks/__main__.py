"""`python -m benchmarks [--quick] [NAME…]`: measure, print the table, write `results.json`.

The exit status is 1 where a goal, or what is kept instead, is missed by more than the noise of the run.
"""

import argparse
import asyncio
import json
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.postgres import running as postgresql

from benchmarks import acknowledgements, devices, history, record, starts, whole_job
from benchmarks.chart import chart
from benchmarks.figures import Figures, as_json, table

RESULTS = Path(__file__).with_name("results.json")
CHART = Path(__file__).parents[1] / "docs" / "pictures" / "performance.svg"
MODULES = (starts, acknowledgements, history, whole_job, devices, record)
GOALS = {module.__name__.rpartition(".")[2]: module.GOALS for module in MODULES}


async def measure(names: list[str], rounds: int, share: float) -> Figures:
    figures = Figures()
    with TemporaryDirectory(prefix="unlatch-benchmark-") as name, postgresql(durable=True) as cluster:
        folder = Path(name)
        if "starts" in names:
            await starts.measure(figures, folder, rounds)
        if "acknowledgements" in names:
            await acknowledgements.measure(figures, folder, cluster, rounds, share)
        if "history" in names:
            await history.measure(figures, folder, rounds, share)
        if "whole_job" in names:
            await whole_job.measure(figures, rounds)
        if "devices" in names:
            await devices.measure(figures, rounds)
        if "record" in names:
            await record.measure(figures, folder, cluster, rounds, share)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(GOALS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="one short round, and no file")
    chosen = parser.parse_args()
    chosen.names = chosen.names or list(GOALS)
    began = time.monotonic()
    rounds, share = (1, 0.2) if chosen.quick else (5, 1.0)
    figures = asyncio.run(measure(chosen.names, rounds, share))
    lines = list(figures.lines(goal for name in chosen.names for goal in GOALS[name]))
    print(table(lines))
    print(f"{time.monotonic() - began:.0f} s")
    if not chosen.quick:
        about = {"at": f"{datetime.now(UTC):%Y-%m-%d}", "python": platform.python_version(), "rounds": rounds}
        RESULTS.write_text(json.dumps(as_json(figures, lines, about), indent=1) + "\n")
        CHART.write_text(chart(lines))
    return 1 if any(line.misses(kept=True) for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
