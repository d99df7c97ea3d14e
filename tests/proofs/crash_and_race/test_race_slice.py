"""Some rounds of simultaneous decisions, so that the suite notices at once; `make race` runs a thousand."""

from pathlib import Path

import pytest
from tests.proofs.crash_and_race.processes import databases
from tests.proofs.crash_and_race.race import race
from tests.proofs.crash_and_race.race_plan import Decision, plan

SEED, ROUNDS = 7, 16
MODES = [("sqlite", 1, False), ("postgresql", 2, False), ("postgresql", 2, True)]


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


def test_a_seed_draws_the_same_rounds_again_and_every_round_has_two_to_eight_decisions():
    drawn = [plan(SEED, number, replicas=2) for number in range(1, 1001)]
    assert drawn == [plan(SEED, number, replicas=2) for number in range(1, 1001)]
    sizes = {one.delivered.total() + (one.expires_after is not None) for one in drawn}
    assert sizes == set(range(2, 9))
    assert {kind for one in drawn for kind in one.submitted} | {Decision.WITHDRAWN, Decision.EXPIRED} == {
        *Decision
    }
