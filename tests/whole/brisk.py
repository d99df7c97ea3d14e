"""Shorter pauses of a bot in this process, so that a bad moment is over soon; and a more patient Slack."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import aiohttp
import httpx
import pytest
from bot import connections, wiring
from bot.domain.limits import Limits
from bot.domain.request import Timing
from bot.entra import wire
from bot.graph import devices, http
from bot.resets import carry_out, check, show
from bot.slack import conversation, views
from sandbox.slack import delivery, sockets, tickets

SOON = timedelta(milliseconds=80)
PATIENT = timedelta(seconds=30)


class BriskTiming(Timing):
    """The same life; the device is asked again soon, not looked for in vain for long, and often reset."""

    def __init__(self, **given: timedelta) -> None:
        super().__init__(**(given | {"settle": timedelta(seconds=6), "recently": timedelta(0)}))

    def poll_after(self, waited: timedelta) -> timedelta:
        """Soon."""
        return min(SOON, super().poll_after(waited))


@contextmanager
def briskly() -> Iterator[None]:
    """For bots that are built, and work, inside the block."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name, value in _PAUSES:
            patch.setattr(owner, name, value)
        yield


@contextmanager
def waiting_at_most(seconds: float) -> Iterator[None]:
    """For bots that are built inside the block: no vendor is waited for longer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "SLACK_TIMEOUT", aiohttp.ClientTimeout(total=seconds))
        patch.setattr(http, "TIMEOUT", httpx.Timeout(seconds))
        patch.setattr(wire, "TIMEOUT", httpx.Timeout(seconds))
        yield


@contextmanager
def patient_slack() -> Iterator[None]:
    """Where something else than speed is judged: a busy machine must not look like a press that was lost."""
    with pytest.MonkeyPatch.context() as patch:
        for place in (delivery, sockets):
            patch.setattr(place, "ACK_SECONDS", PATIENT.total_seconds())
        patch.setattr(tickets, "TRIGGER_LIFE", PATIENT)
        yield


_PAUSES: tuple[tuple[Any, str, Any], ...] = (
    (wiring, "Timing", BriskTiming),
    (wiring, "Limits", partial(Limits, links=1000)),
    (check, "PAUSE", SOON),
    (carry_out, "PAUSE", SOON),
    (show, "LONGEST_PAUSE", SOON),
    (devices, "FIRST_PAUSE", SOON),
    (views, "PAUSES", (timedelta(0), SOON, SOON)),
    (conversation, "DRAWN_AFTER", SOON),
)
