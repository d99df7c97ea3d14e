"""Every bad moment of every vendor, at every step of the main job: it ends as promised, nobody is left alone.

All cells are lived side by side before the first test: they mostly wait.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, nullcontext
from datetime import timedelta
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.whole.brisk import briskly, patient_slack, waiting_at_most
from tests.whole.installed import installed
from tests.whole.moments import Call, Fault, Lane, Lived

WE_WAIT = 2.5
"""Seconds for an answer."""
TOO_LATE = Fault("latency", seconds=3.5)
BUSY, BUSY_FOR_A_WHILE = Fault("429"), Fault("429", retry_after=1)
DOWN = Fault("5xx")
CUT_BEFORE, CUT_AFTER = Fault("reset before"), Fault("reset after")
HALF = Fault("truncated")
FAULTS = (TOO_LATE, BUSY, BUSY_FOR_A_WHILE, DOWN, CUT_BEFORE, CUT_AFTER, HALF)

UNNOTICED: frozenset[Fault] = frozenset()
LOOKUP = frozenset(FAULTS) - {CUT_BEFORE, CUT_AFTER}
"""A press that has to look something up is refused, and says so; a broken connection is tried again."""
WINDOW = frozenset(FAULTS) - {CUT_BEFORE}
"""A window that Slack does not open is not opened later: the person is told. A cut one is tried at once."""
READ = frozenset(FAULTS) - {BUSY, BUSY_FOR_A_WHILE, DOWN}
"""Graph is asked again where it says that it is busy."""
ENTRA = frozenset(FAULTS)

TOLD: Mapping[Call, frozenset[Fault]] = {
    Call("ask", "slack", "users.info"): UNNOTICED,
    Call("ask", "slack", "conversations.members"): UNNOTICED,
    Call("ask", "slack", "chat.postMessage"): UNNOTICED,
    Call("ask", "slack", "chat.postMessage", skip=1): UNNOTICED,
    Call("ask", "slack", "chat.update"): UNNOTICED,
    Call("sign in", "slack", "views.open"): WINDOW,
    Call("sign in", "slack", "users.info"): LOOKUP,
    Call("sign in", "entra", "/token"): ENTRA,
    Call("sign in", "slack", "views.update"): UNNOTICED,
    Call("review", "slack", "views.open"): WINDOW,
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
    Call("reveal", "slack", "views.open"): WINDOW,
    Call("reveal", "entra", "/token"): ENTRA,
    Call("reveal", "graph", "GET /graph"): READ,
    Call("reveal", "slack", "views.update"): UNNOTICED,
}
"""By the call that goes wrong: where people notice, because they are told to try again."""
RESET: Mapping[Fault, Sequence[str]] = {
    TOO_LATE: ("Unknown", "found on the device"),
    BUSY: ("NeverLeft", "accepted"),
    BUSY_FOR_A_WHILE: ("NeverLeft", "accepted"),
    DOWN: ("Unknown", "not found on the device", "accepted"),
    CUT_BEFORE: ("Unknown", "not found on the device", "accepted"),
    CUT_AFTER: ("Unknown", "found on the device"),
    HALF: ("Unknown", "found on the device"),
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
def lived() -> Mapping[Cell, Lived | Exception]:
    """What came of every cell."""
    return asyncio.run(_all())


async def _all() -> Mapping[Cell, Lived | Exception]:
    found: dict[Cell, Lived | Exception] = {}
    async with AsyncExitStack() as stack:
        stack.enter_context(briskly())
        stack.enter_context(patient_slack())
        lanes = [(await _lane(stack, late=late, entra=entra), cells) for late, entra, cells in _shares()]
        await asyncio.gather(*(_live(lane, cells, found) for lane, cells in lanes))
    return found


def _shares() -> Iterator[tuple[bool, bool, Iterator[Cell]]]:
    """Those that share a list of cells take the next one when the last is over."""
    for late, entra, lanes in ((True, False, 3), (True, True, 1), (False, False, 4), (False, True, 1)):
        cells = iter([c for c in CELLS if ((c[1] is TOO_LATE), c[0].to == "entra") == (late, entra)])
        yield from [(late, entra, cells)] * lanes


async def _lane(stack: AsyncExitStack, *, late: bool, entra: bool) -> Lane:
    """A bot of its own; `late`: it does not wait long, `entra`: every token has to be refreshed."""
    folder = Path(stack.enter_context(TemporaryDirectory()))
    with waiting_at_most(WE_WAIT) if late else nullcontext():
        there = await stack.enter_async_context(installed(folder, asks_per_hour=1000))
    there.sandbox.entra.token_lifetime = timedelta(minutes=2) if entra else None
    lane = Lane(there)
    await lane.ready()
    return lane


async def _live(lane: Lane, cells: Iterator[Cell], found: dict[Cell, Lived | Exception]) -> None:
    for cell in cells:
        try:
            found[cell] = await lane.live(*cell)
        except (AssertionError, TimeoutError) as left_alone:
            found[cell] = left_alone


@pytest.mark.parametrize(("call", "fault"), CELLS, ids=str)
def test_it_ends_as_promised(call, fault, lived):
    cell = lived[call, fault]
    assert isinstance(cell, Lived), cell
    assert cell.struck == 1, "nothing went wrong"
    assert len(cell.told) == (fault in TOLD[call]), cell.told
    assert cell.status == ENDS[call.step]
    if call.step in ("submit", "follow"):
        answers = RESET[fault] if call.match == "resetPasscode" else ("accepted",)
        assert tuple(cell.answers) == answers
        assert (cell.resets, cell.approvals) == (1, 1 + answers.count("not found on the device"))
    else:
        assert cell.resets == 0
    assert cell.saw_passcode == (call.step == "reveal")
