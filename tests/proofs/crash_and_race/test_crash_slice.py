"""Some deaths on each database, so that the suite notices at once; `make crash` dies nine hundred times."""

import pytest
from tests.proofs.crash_and_race.crash import campaign
from tests.proofs.crash_and_race.kill_cases import Case, lose, reset, wait
from tests.proofs.crash_and_race.processes import databases

CASES = (
    Case([("before move approved to attempting", reset)]),
    Case([("after add_request", reset)]),
    Case([("after slack chat.postMessage card", reset), ("before slack conversations.history", wait)]),
    Case([("after graph reset_passcode", lose), ("after move attempting to uncertain", wait)]),
)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_bot_killed_at_named_points_loses_doubles_and_blocks_nothing(kind: str):
    with databases(kind) as database_url:
        async with campaign(database_url, "slice") as ran:
            await ran.at_points(CASES)
            findings = await ran.settle()
    assert findings.faults == []
    assert ran.kills == sum(len(case.deaths) for case in CASES)
    assert findings.seen["resets"] >= 2, "a slice in which nothing happened"
