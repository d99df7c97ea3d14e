"""The bot's long waits, all divided by the same number, so that recovery can be watched in seconds.

A dead process's lease runs out after 90 seconds; here after 3. What the waits are to each other stays: a
lease is longer than a row may be worked on, that is longer than an attempt is waited for, and that is
longer than the call of an attempt may take. How far Intune's clock may be off is not divided: it is no wait.
"""

from datetime import timedelta
from functools import partial

from bot import wiring, worker
from bot.domain.limits import Limits
from bot.domain.request import Timing
from bot.graph import devices
from bot.resets import carry_out, check, show

FASTER = 30
MANY = 100_000
"""Sign-in links an hour: in a season people sign in as often as in a month."""
SETTLE = timedelta(seconds=5)
"""Longer than a lease: an attempt whose process died is looked for at least once."""
SILENT = timedelta(seconds=6)


def hurry(*, lifetime: timedelta | None = None, remind_every: timedelta | None = None) -> None:
    """Shorten every wait of this process; `lifetime` and `remind_every` for a life that ends by the clock."""
    for name in ("LEASE", "BOUND", "AGAIN", "LONGEST_SLEEP"):
        setattr(worker, name, getattr(worker, name) / FASTER)
    devices.RESET_MAY_TAKE = devices.RESET_MAY_TAKE / FASTER  # type: ignore[misc]
    carry_out.PAUSE = carry_out.PAUSE / FASTER  # type: ignore[misc]
    check.PAUSE = check.PAUSE / FASTER  # type: ignore[misc]
    show.LONGEST_PAUSE = timedelta(seconds=1)  # type: ignore[misc]
    attempt = Timing().attempt / FASTER
    if not worker.LEASE > worker.BOUND > attempt > devices.RESET_MAY_TAKE:
        raise AssertionError("the order of the waits is what the guarantees stand on")
    every = remind_every or Timing().remind_every

    class Hurried(Timing):
        """The same life, faster."""

        def __init__(self, **given: timedelta) -> None:
            short = {"attempt": attempt, "send_for": Timing().send_for / FASTER, "settle": SETTLE}
            ends = {"silent_after": SILENT, "remind_every": every}
            super().__init__(**(given | short | ends | ({"lifetime": lifetime} if lifetime else {})))

        def poll_after(self, waited: timedelta) -> timedelta:
            return super().poll_after(waited) / FASTER

    wiring.Timing = Hurried  # type: ignore[misc]
    wiring.Limits = partial(Limits, links=MANY)  # type: ignore[misc,assignment]
