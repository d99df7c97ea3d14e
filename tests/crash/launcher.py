"""The ordinary `unlatch serve`, with the points planted and the waits shortened from outside.

python -m tests.crash.launcher --die-at "after graph reset" --nth 2
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import timedelta

from bot.cli import main as unlatch
from tests.crash.haste import hurry
from tests.crash.trap import Trap, plant


def launch(arguments: Sequence[str]) -> int:
    """Run the bot; returns its exit status, or does not return."""
    chosen = _parser().parse_args(arguments)
    lifetime, remind = (timedelta(seconds=at) if at else None for at in (chosen.lifetime, chosen.remind))
    hurry(lifetime=lifetime, remind_every=remind)
    plant(Trap(chosen.die_at, chosen.nth, chosen.late, chosen.latency))
    return unlatch(["serve"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.launcher")
    parser.add_argument("--die-at", metavar="POINT", help="such as: before move pending to approved")
    parser.add_argument("--nth", type=int, default=1, help="the how many-th time (default 1)")
    parser.add_argument("--late", type=float, default=0, help="most seconds between the point and the death")
    parser.add_argument("--latency", type=float, default=0, help="most seconds added to each side of a call")
    parser.add_argument("--lifetime", type=float, help="seconds until a request expires")
    parser.add_argument("--remind", type=float, help="seconds between reminders")
    return parser


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
