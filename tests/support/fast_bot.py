"""`unlatch serve` with short pauses and leases: `python -m tests.support.fast_bot`."""

import asyncio
import sys
from dataclasses import replace
from datetime import timedelta

from bot import log
from bot.app import serve
from bot.settings import read_settings
from tests.support.app_fixture import FAST

SHORT_LEASES = replace(
    FAST,
    lease=timedelta(seconds=2),
    work_timeout=timedelta(seconds=1.9),
    attempt=timedelta(seconds=1.8),
    graph_timeout=timedelta(seconds=1.7),
)
"""What a dead process held is taken over soon; a call that hangs is waited for shortly."""


def main() -> int:
    settings = read_settings()
    asyncio.run(serve(settings, log.set_up_log(settings.log_level), timing=SHORT_LEASES))
    return 0


if __name__ == "__main__":
    sys.exit(main())
