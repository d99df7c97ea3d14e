"""A slice of `make fuzz`: the first inputs at every entry point."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

import hypothesis
import pytest
from hypothesis import given, settings
from hypothesis.strategies import SearchStrategy
from structlog.testing import capture_logs
from tests.proofs.fuzz import answers, incoming

SLICE = settings(max_examples=30, derandomize=True, database=None, deadline=None)
SLOW: Final = 1.5
"""Seconds of this process's own time for one input; a page of text takes some milliseconds."""


class Opening(NamedTuple):
    """An entry point. `send` sends one input, and fails where something happens that never may."""

    name: str
    inputs: SearchStrategy[Any]
    send: Callable[[Any], Awaitable[object]]

    def fuzz(self, chosen: settings, *, seed: int | None = None) -> None:
        """Send inputs; fails with the one that broke something, as small as it may be."""

        @chosen
        @given(sent=self.inputs)
        def nothing_breaks(sent: Any) -> None:
            asyncio.run(watched(self.send(sent)))

        (nothing_breaks if seed is None else hypothesis.seed(seed)(nothing_breaks))()


OPENINGS: Final = (
    Opening("receiver", incoming.receiver, incoming.deliver),
    Opening("commands", incoming.commands, incoming.deliver),
    Opening("presses", incoming.presses, incoming.deliver),
    Opening("forms", incoming.forms, incoming.deliver),
    Opening("sign-in pages", incoming.visits, incoming.visit),
    Opening("settings", incoming.environments, incoming.start),
    Opening("answers of Slack", answers.slack, answers.call_slack),
    Opening("answers of Entra", answers.entra, answers.sign_in),
    Opening("answers of Graph", answers.graph, answers.reset),
)

PUBLIC = "approver_channel_refused"
"""Rightly so: an answer in which `is_private` is missing."""


async def watched(sending: Awaitable[object]) -> None:
    """Fail where the bot logs a crash, a library or asyncio an error, or where it takes long."""
    found: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: found.append(f"{record.name}: {record.getMessage()[:500]}")
    logging.getLogger().addHandler(handler)
    began = time.process_time()
    try:
        with capture_logs() as lines:
            await asyncio.wait_for(sending, 20)
    finally:
        logging.getLogger().removeHandler(handler)
    took = time.process_time() - began
    found += [
        str(line) for line in lines if line["log_level"] in ("error", "critical") and line["event"] != PUBLIC
    ]
    assert not found
    assert took < SLOW, f"it took {took:.1f} s"


@pytest.mark.parametrize("opening", OPENINGS, ids=lambda opening: opening.name)
def test_inputs_that_no_vendor_sends_break_nothing(opening: Opening):
    opening.fuzz(SLICE)


async def test_the_fuzz_gets_as_far_as_a_passcode_where_graph_answers_well():
    assert (await answers.reset((answers.NOTHING_ODD, answers.TARGETS[0]))).call == "nothing more"
