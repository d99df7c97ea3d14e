"""Each fault of each call to a vendor, at each step of the job: it ends as promised, and people are told.

All cells are lived through side by side before the first test: they mostly wait.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.end_to_end.faults import Call, Fault, Lane, Result
from tests.support.app_fixture import FAST, running_bot

WE_WAIT = timedelta(seconds=2)
CALLS = ("graph_timeout", "slack_timeout", "entra_timeout", "trigger_timeout")
PATIENT = replace(FAST, settle=2 * WE_WAIT)
IMPATIENT = replace(FAST, settle=3 * WE_WAIT, **dict.fromkeys(CALLS, WE_WAIT))
TOO_LATE = Fault("latency", (("seconds", 2.5),))
BUSY, BUSY_FOR_A_WHILE = Fault("429"), Fault("429", (("retry_after", 1),))
DOWN = Fault("5xx")
CUT_BEFORE, CUT_AFTER = Fault("reset before"), Fault("reset after")
HALF = Fault("truncated")
FAULTS = (TOO_LATE, BUSY, BUSY_FOR_A_WHILE, DOWN, CUT_BEFORE, CUT_AFTER, HALF)

UNNOTICED: frozenset[Fault] = frozenset()
LOOKUP = frozenset(FAULTS) - {CUT_BEFORE, CUT_AFTER}
"""A press that has to look something up is refused, and says so; a broken connection is tried again."""
MODAL = frozenset(FAULTS) - {CUT_BEFORE}
"""A modal that Slack does not open is not opened later: the person is told. A cut one is tried at once."""
READ = frozenset({TOO_LATE, HALF})
"""Graph is asked again where it is busy or down, and where the connection breaks."""
ENTRA = frozenset(FAULTS)

TOLD: Mapping[Call, frozenset[Fault]] = {
    Call("ask", "slack", "users.info"): UNNOTICED,
    Call("ask", "slack", "conversations.members"): UNNOTICED,
    Call("ask", "slack", "chat.postMessage"): UNNOTICED,
    Call("ask", "slack", "chat.postMessage", skip=1): UNNOTICED,
    Call("ask", "slack", "chat.update"): UNNOTICED,
    Call("sign in", "slack", "views.open"): MODAL,
    Call("sign in", "slack", "users.info"): LOOKUP,
    Call("sign in", "entra", "/token"): ENTRA,
    Call("sign in", "slack", "views.update"): UNNOTICED,
    Call("review", "slack", "views.open"): MODAL,
    Call("review", "slack", "users.info"): LOOKUP,
    Call("review", "slack", "conversations.members"): LOOKUP,
    Call("review", "entra", "/token"): ENTRA,
    Call("review", "graph", "GET /graph"): READ,
    Call("review", "slack", "views.update"): UNNOTICED,
    Call("submit", "graph", "GET /graph"): READ,
    Call("submit", "graph", "GET /graph", skip=1): READ,
    Call("submit", "entra", "/token"): ENTRA,
    Call("submit", "graph", "resetPasscode"): UNNOTICED,
    Call("submit", "slack", "views.update"): UNNOTICED,
    Call("submit", "slack", "chat.update"): UNNOTICED,
    Call("follow", "graph", "GET /graph", skip=2): UNNOTICED,
    Call("reveal", "slack", "views.open"): MODAL,
    Call("reveal", "entra", "/token"): ENTRA,
    Call("reveal", "graph", "GET /graph"): READ,
    Call("reveal", "slack", "views.update"): UNNOTICED,
}
"""By the call that goes wrong: the faults that people notice, because they are told to try again."""
RESET: Mapping[Fault, Sequence[str]] = {
    TOO_LATE: ("OutcomeUnknown", "found on the device"),
    BUSY: ("NotExecuted", "accepted"),
    BUSY_FOR_A_WHILE: ("NotExecuted", "accepted"),
    DOWN: ("OutcomeUnknown", "not found on the device", "accepted"),
    CUT_BEFORE: ("OutcomeUnknown", "not found on the device", "accepted"),
    CUT_AFTER: ("OutcomeUnknown", "found on the device"),
    HALF: ("OutcomeUnknown", "found on the device"),
}
"""What comes of the reset itself. Not found: a human has decided to try again, so there are two approvals."""
ENDS = {
    "ask": "pending",
    "sign in": "",
    "review": "pending",
    "submit": "done",
    "follow": "done",
    "reveal": "done",
}

Cell = tuple[Call, Fault]
CELLS: Sequence[Cell] = list(product(TOLD, FAULTS))


@pytest.fixture(scope="module")
def results() -> Mapping[Cell, Result | Exception]:
    """What came of every cell."""
    return asyncio.run(run_all())


async def run_all() -> Mapping[Cell, Result | Exception]:
    found: dict[Cell, Result | Exception] = {}

    async def share(lane: Lane, cells: Iterator[Cell]) -> None:
        await lane.prepare()
        for cell in cells:
            try:
                found[cell] = await lane.run(*cell)
            except (AssertionError, TimeoutError) as left_alone:
                found[cell] = left_alone

    async with AsyncExitStack() as stack:
        shares = []
        for timing, lanes in ((PATIENT, 3), (IMPATIENT, 4)):
            mine = [cell for cell in CELLS if (cell[1] is TOO_LATE) == (timing is IMPATIENT)]
            cells = iter(sorted(mine, key=lambda cell: cell[0].to == "entra"))  # it is asked at each use then
            for _ in range(lanes):
                folder = Path(stack.enter_context(TemporaryDirectory()))
                bot = await stack.enter_async_context(running_bot(folder, timing=timing))
                shares.append(share(Lane(bot), cells))
        await asyncio.gather(*shares)
    return found


@pytest.mark.parametrize(("call", "fault"), CELLS, ids=str)
def test_it_ends_as_promised(call: Call, fault: Fault, results: Mapping[Cell, Result | Exception]):
    result = results[call, fault]
    assert isinstance(result, Result), result
    assert result.hits == 1, "nothing went wrong"
    assert len(result.told) == (fault in TOLD[call]), result.told
    assert result.status == ENDS[call.step]
    if call.step in ("submit", "follow"):
        answers = RESET[fault] if call.match == "resetPasscode" else ("accepted",)
        assert tuple(result.answers) == answers
        assert (result.resets, result.approvals) == (1, 1 + answers.count("not found on the device"))
    else:
        assert result.resets == 0
    assert result.saw_passcode == (call.step == "reveal")
