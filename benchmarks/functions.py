"""How many functions of `bot/`, in how many files, run between a signed command and its acknowledgement."""

import argparse
import asyncio
import sys
from pathlib import Path

from benchmarks.measure import ROOT, environment, measure


async def run(tree: Path, python: str) -> None:
    """Print both numbers."""
    async with environment() as values:
        found = await measure(tree, python, values, "functions")
    print(f"before the acknowledgement: {found['functions']} functions in {found['files']} files")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tree", type=Path, default=ROOT)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("-v", action="store_true", help="show the bot's log")
    chosen = parser.parse_args()
    asyncio.run(run(chosen.tree, chosen.python))
