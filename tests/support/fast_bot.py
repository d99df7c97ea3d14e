"""`unlatch serve` with short pauses and leases: `python -m tests.support.fast_bot`."""

import asyncio
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import timedelta
from io import StringIO

from bot import log
from bot.app import serve
from bot.cli import main as unlatch
from bot.settings import read_settings
from tests.support.app_fixture import FAST

SHORT_LEASES = replace(
    FAST,
    lease=timedelta(seconds=4),
    work_timeout=timedelta(seconds=3.8),
    attempt=timedelta(seconds=3.6),
    graph_timeout=timedelta(seconds=3.4),
)
"""What a dead process held is taken over soon; a call that hangs is waited for shortly."""


def main() -> int:
    """Migrate and serve; returns the exit status."""
    settings = read_settings()
    with redirect_stdout(StringIO()):
        unlatch(["migrate"])
    asyncio.run(serve(settings, log.set_up_log(settings.log_level), timing=SHORT_LEASES))
    return 0


if __name__ == "__main__":
    sys.exit(main())
