"""The ordinary `unlatch serve` in a forked process, with kill points planted and every duration shortened.

A dead process's lease runs out after 90 seconds; here after 3. What the durations are to each other stays:
`Timing` refuses any other order. How far Intune's clock may be off is not shortened: it is no wait.
"""

import asyncio
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from bot import app, log
from bot.settings import read_settings
from bot.timing import Timing
from tests.proofs.crash_and_race.kill_points import KillPoints, plant

MANY = 100_000
"""Sign-in links an hour: in a campaign people sign in as often as in a month."""
SHORTENED = ("lease", "work_timeout", "attempt", "graph_timeout", "send_for", "send_retry", "verify_retry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """How one process of the bot lives, and where it dies. Times in seconds."""

    points: KillPoints = field(default_factory=KillPoints)
    lifetime: float = 3600
    """Until a request expires."""
    remind: float = 900
    faster: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class FastTiming(Timing):
    """The same life, faster."""

    second: timedelta
    """How long a second lasts."""

    def poll_after(self, waited: timedelta) -> timedelta:
        """Return the real pause, shortened."""
        return Timing.poll_after(self, waited) * (self.second / timedelta(seconds=1))


def shortened(life: Life) -> Timing:
    """Return the real durations, shortened; views are opened late, as the sandbox's Slack allows."""
    real = Timing()
    return FastTiming(
        **{name: getattr(real, name) / life.faster for name in (*SHORTENED, "retry", "idle")},
        settle=timedelta(seconds=150) / life.faster,  # longer than a lease: a lost attempt is looked for
        silent_after=timedelta(seconds=180) / life.faster,
        remind_every=timedelta(seconds=life.remind),
        trigger_timeout=timedelta(seconds=20),
        second=timedelta(seconds=1) / life.faster,
    )


def launch(environment: Mapping[str, str], log_file: Path, life: Life) -> None:
    """Run the bot in this process until SIGTERM, or until it dies; its last line says what it committed."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    output = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(log_file.parent)
    plant(life.points)
    settings = read_settings()
    settings = settings.model_copy(update={"request_lifetime": timedelta(seconds=life.lifetime)})
    rules = app.rules
    app.rules = lambda *given: replace(rules(*given), links_per_hour=MANY)
    asyncio.run(app.serve(settings, log.set_up_log(settings.log_level), timing=shortened(life)))
    os.write(1, json.dumps({"committed": life.points.committed}).encode() + b"\n")


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)
