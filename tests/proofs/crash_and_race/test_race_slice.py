"""Some rounds of simultaneous decisions, so that the suite notices at once; `make race` plays a thousand."""

from pathlib import Path

from tests.proofs.crash_and_race.race import race
from tests.proofs.crash_and_race.race_plan import Kind, plan
from tests.support.postgres import running

SEED = 7
ROUNDS = 20


async def test_two_replicas_on_one_postgresql_bring_every_request_to_exactly_one_outcome(tmp_path: Path):
    with running(durable=False) as cluster:
        url = cluster.url(cluster.create())
        tally = await race(url, tmp_path, seed=SEED, rounds=ROUNDS, replicas=2)
    assert tally.faults == []
    assert str(tally) == f"{ROUNDS} rounds, 0 lost, 0 doubled, 0 stuck"
    assert len(tally.winners) >= 3, "a mix that decides nothing"


async def test_two_replicas_with_two_sockets_each_bring_every_request_to_exactly_one_outcome(tmp_path: Path):
    with running(durable=False) as cluster:
        url = cluster.url(cluster.create())
        tally = await race(url, tmp_path, seed=SEED, rounds=ROUNDS, replicas=2, socket_mode=True)
    assert tally.faults == []
    assert str(tally) == f"{ROUNDS} rounds, 0 lost, 0 doubled, 0 stuck"
    assert len(tally.winners) >= 3, "a mix that decides nothing"


async def test_one_process_on_sqlite_brings_every_request_to_exactly_one_outcome(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/unlatch.sqlite3"
    tally = await race(url, tmp_path, seed=SEED, rounds=ROUNDS, replicas=1)
    assert tally.faults == []
    assert str(tally) == f"{ROUNDS} rounds, 0 lost, 0 doubled, 0 stuck"
    assert len(tally.winners) >= 3, "a mix that decides nothing"


def test_a_seed_draws_the_same_rounds_again_and_every_round_has_two_to_eight_decisions():
    drawn = [plan(SEED, number, replicas=2) for number in range(1, 1001)]
    assert drawn == [plan(SEED, number, replicas=2) for number in range(1, 1001)]
    sizes = {
        sum(map(len, one.submitted.values())) + len(one.withdrawn) + (one.expires_after is not None)
        for one in drawn
    }
    assert sizes == set(range(2, 9))
    assert {kind for one in drawn for kind in one.submitted} == set(Kind) - {Kind.WITHDRAWN, Kind.EXPIRED}
