"""The ordinary `unlatch serve`, with the kill points planted and every duration shortened.

A dead process's lease runs out after 90 seconds; here after 3. What the durations are to each other stays:
`Timing` refuses any other order. How far Intune's clock may be off is not shortened: it is no wait.
"""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from bot import app, log
from bot.settings import read_settings
from bot.timing import Timing
from tests.proofs.crash_and_race.kill_points import KillPoints, plant

FASTER = 30
MANY = 100_000
"""Sign-in links an hour: in a campaign people sign in as often as in a month."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FastTiming(Timing):
    """The same life, faster."""

    def poll_after(self, waited: timedelta) -> timedelta:
        """Return a thirtieth of the real pause."""
        return Timing.poll_after(self, waited) / FASTER


def fast() -> Timing:
    """Return the real durations, shortened."""
    real = Timing()
    shortened = (
        *("lease", "work_timeout", "attempt", "graph_timeout", "send_for", "send_retry", "verify_retry"),
        *("retry", "idle"),
    )
    return FastTiming(
        **{name: getattr(real, name) / FASTER for name in shortened},
        settle=timedelta(seconds=5),  # longer than a lease: a lost attempt is looked for at least once
        silent_after=timedelta(seconds=6),
    )


def launch(arguments: Sequence[str]) -> int:
    """Run the bot; returns its exit status, or does not return."""
    chosen = _parser().parse_args(arguments)
    settings, timing, rules = read_settings(), fast(), app.rules
    if chosen.remind:
        timing = replace(timing, remind_every=timedelta(seconds=chosen.remind))
    if chosen.lifetime:
        settings = settings.model_copy(update={"request_lifetime": timedelta(seconds=chosen.lifetime)})
    app.rules = lambda *given: replace(rules(*given), links_per_hour=MANY)
    plant(KillPoints(chosen.die_at, chosen.nth, chosen.late, chosen.latency))
    asyncio.run(app.serve(settings, log.set_up_log(settings.log_level), timing=timing))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="launcher")
    parser.add_argument("--die-at", metavar="POINT", help="such as: before move pending to approved")
    parser.add_argument("--nth", type=int, default=1, help="the how many-th time (default 1)")
    parser.add_argument("--late", type=float, default=0, help="most seconds between the point and the death")
    parser.add_argument("--latency", type=float, default=0, help="most seconds added to each side of a call")
    parser.add_argument("--lifetime", type=float, help="seconds until a request expires")
    parser.add_argument("--remind", type=float, help="seconds between reminders")
    return parser
