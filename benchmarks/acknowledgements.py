"""Acknowledged and stored requests a second, in process on SQLite, this tree and another in turn."""

import argparse
import asyncio
import statistics
import sys
from pathlib import Path

from benchmarks.measure import ROOT, environment, measure


async def run(against: Path | None, python: str, *, clients: int, each: int, turns: int) -> None:
    """Print each turn and the ratio of the medians."""
    rates: dict[str, list[float]] = {"this tree": [], "other tree": []}
    async with environment() as values:
        for _ in range(turns):
            trees = {"this tree": (ROOT, sys.executable)}
            if against is not None:
                trees["other tree"] = (against, python)
            for name, (tree, interpreter) in trees.items():
                found = await measure(tree, interpreter, values, "acknowledgements", str(clients), str(each))
                rates[name].append(found["per_second"])
                print(f"{name}: {found}", flush=True)
    this, other = (statistics.median(rate) if rate else 0 for rate in rates.values())
    print(f"{clients} clients: {this:.0f}/s" + (f", {this / other:.1f} × the other tree" if other else ""))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--against-python", default=sys.executable)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--each", type=int, default=20)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("-v", action="store_true", help="show the bots' logs")
    chosen = parser.parse_args()
    asyncio.run(
        run(
            chosen.against,
            chosen.against_python,
            clients=chosen.clients,
            each=chosen.each,
            turns=chosen.turns,
        )
    )
