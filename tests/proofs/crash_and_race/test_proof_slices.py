"""Some deaths and rounds, so that the suite notices at once; `make crash` and `make race` do the rest."""

from pathlib import Path

import pytest
from tests.proofs.crash_and_race.crash import campaign
from tests.proofs.crash_and_race.forgeries import Attacks
from tests.proofs.crash_and_race.kill_cases import Case, lose, reset, wait
from tests.proofs.crash_and_race.processes import databases
from tests.proofs.crash_and_race.race import race

CASES = (
    Case([("before move approved to attempting", reset)]),
    Case([("after add_request", reset)]),
    Case([("after slack chat.postMessage card", reset), ("before slack conversations.history", wait)]),
    Case([("after slack chat.postMessage thread", reset), ("after slack chat.postMessage direct", wait)]),
    Case([("after graph reset_passcode", lose), ("after move attempting to uncertain", wait)]),
)
SEED, ROUNDS = 7, 10
MODES = [("sqlite", 1, False), ("postgresql", 2, False), ("postgresql", 2, True)]


@pytest.mark.parametrize(("kind", "cases"), [("sqlite", CASES), ("postgresql", CASES[-2:])])
async def test_a_bot_killed_at_named_points_loses_doubles_and_blocks_nothing(kind, cases):
    with databases(kind) as database_url:
        async with campaign(database_url, "slice") as ran:
            await ran.at_points(cases)
            findings = await ran.settle()
    assert (findings.faults, ran.kills) == ([], sum(len(case.deaths) for case in cases))
    assert findings.seen["resets"] >= 2, "a slice in which nothing happened"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_who_writes_to_the_database_resets_no_phone_and_sees_no_passcode(kind: str):
    with databases(kind) as database_url:
        async with campaign(database_url, "attacks") as ran:
            assert await Attacks(ran.bots, ran.people).run() == []


@pytest.mark.parametrize(("kind", "replicas", "socket_mode"), MODES)
async def test_decisions_at_once_bring_every_request_to_exactly_one_outcome(
    kind: str, replicas: int, socket_mode: bool, tmp_path: Path
):
    with databases(kind) as database_url:
        url = database_url(tmp_path)
        options = {"replicas": replicas, "socket_mode": socket_mode}
        findings = await race(url, tmp_path, seed=SEED, rounds=ROUNDS, **options)
    assert findings.faults == []
    deciders = [findings.seen[f"decided by replica {replica}"] for replica in range(replicas)]
    assert all(deciders), "a replica that decided nothing"
    assert sum(deciders) == ROUNDS
