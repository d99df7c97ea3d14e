"""What every store of requests promises about leases: nobody is doubled, nothing is forgotten."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from bot.domain.request import ResetRequest
from bot.ports import Lane, Requests
from kept import LEASE, NOON, PLENTY, Kept, a_request, an_entry, moved

SECOND = timedelta(seconds=1)
BOTH = pytest.mark.parametrize("lane", list(Lane))


async def added(kept: Kept, *, after: timedelta = timedelta(0)) -> ResetRequest:
    asked = a_request(after=after)
    return await kept.requests.add(asked, an_entry(asked), PLENTY)


async def claimed(requests: Requests, lane: Lane, now: datetime, *, limit: int = 9) -> Sequence[ResetRequest]:
    return [row.request for row in await requests.claim(lane, now=now, lease=LEASE, limit=limit)]


@BOTH
async def test_a_row_is_claimed_when_it_is_due_and_not_before(kept: Kept, lane: Lane) -> None:
    asked = await added(kept)

    assert await claimed(kept.requests, lane, NOON - timedelta(microseconds=1)) == []
    assert await claimed(kept.requests, lane, NOON) == [asked]


@BOTH
async def test_the_oldest_are_claimed_first_and_no_more_than_asked_for(kept: Kept, lane: Lane) -> None:
    rows = [await added(kept, after=SECOND * second) for second in (3, 1, 2)]

    assert await claimed(kept.requests, lane, NOON + LEASE, limit=2) == [rows[1], rows[2]]
    assert await claimed(kept.requests, lane, NOON + LEASE, limit=2) == [rows[0]]


@BOTH
async def test_a_lease_is_taken_over_when_it_has_run_out_and_not_before(kept: Kept, lane: Lane) -> None:
    asked = await added(kept)
    await claimed(kept.requests, lane, NOON)

    assert await claimed(kept.elsewhere, lane, NOON + LEASE - timedelta(microseconds=1)) == []
    assert await claimed(kept.elsewhere, lane, NOON + LEASE) == [asked]


@BOTH
async def test_processes_that_claim_at_once_share_the_rows_out(kept: Kept, lane: Lane) -> None:
    rows = [await added(kept) for _ in range(6)]
    places = [kept.requests, kept.elsewhere] * 3

    shares = await asyncio.gather(*(claimed(place, lane, NOON, limit=2) for place in places))

    ids = [request.id for share in shares for request in share]
    assert sorted(ids) == sorted(row.id for row in rows)


@pytest.mark.parametrize(("held", "other"), [(Lane.DRIVE, Lane.SHOW), (Lane.SHOW, Lane.DRIVE)])
async def test_a_lease_in_one_lane_leaves_the_other_free(kept: Kept, held: Lane, other: Lane) -> None:
    asked = await added(kept)
    await claimed(kept.requests, held, NOON)

    assert await claimed(kept.elsewhere, other, NOON) == [asked]
    await kept.elsewhere.release(other, asked, again_at=None)
    assert await claimed(kept.elsewhere, held, NOON) == []


@BOTH
async def test_a_row_without_a_time_is_never_due(kept: Kept, lane: Lane) -> None:
    asked = await added(kept)
    over = moved(asked, next_at=None)
    await kept.requests.replace(asked, over)
    await claimed(kept.requests, Lane.SHOW, NOON)
    await kept.requests.release(Lane.SHOW, over, again_at=None)

    assert await claimed(kept.requests, lane, NOON + timedelta(days=9)) == []
    assert await kept.requests.next_due(lane) is None


@BOTH
async def test_again_at_is_when_an_unmoved_row_is_due_again(kept: Kept, lane: Lane) -> None:
    asked = await added(kept)
    await claimed(kept.requests, lane, NOON)

    await kept.requests.release(lane, asked, again_at=NOON + 9 * SECOND)

    assert await claimed(kept.elsewhere, lane, NOON + 8 * SECOND) == []
    assert [row.id for row in await claimed(kept.elsewhere, lane, NOON + 9 * SECOND)] == [asked.id]


async def test_a_driven_row_that_nobody_moved_is_due_as_before(kept: Kept) -> None:
    asked = await added(kept)
    await claimed(kept.requests, Lane.DRIVE, NOON)

    await kept.requests.release(Lane.DRIVE, asked, again_at=None)

    assert await claimed(kept.elsewhere, Lane.DRIVE, NOON) == [asked]


async def test_a_shown_row_is_not_due_until_it_moves(kept: Kept) -> None:
    asked = await added(kept)
    await claimed(kept.requests, Lane.SHOW, NOON)
    await kept.requests.release(Lane.SHOW, asked, again_at=None)
    assert await claimed(kept.requests, Lane.SHOW, NOON + LEASE) == []
    new = moved(asked, at=NOON + SECOND)

    await kept.elsewhere.replace(asked, new)

    assert await claimed(kept.requests, Lane.SHOW, NOON) == []
    assert await claimed(kept.requests, Lane.SHOW, NOON + SECOND) == [new]


@pytest.mark.parametrize("again_at", [None, NOON + timedelta(hours=1)])
async def test_a_move_made_while_slack_was_told_is_shown_too(kept: Kept, again_at: datetime | None) -> None:
    asked = await added(kept)
    await claimed(kept.requests, Lane.SHOW, NOON)
    new = moved(asked, at=NOON + SECOND)
    await kept.elsewhere.replace(asked, new)

    await kept.requests.release(Lane.SHOW, asked, again_at=again_at)

    assert await claimed(kept.elsewhere, Lane.SHOW, NOON + SECOND) == [new]


@pytest.mark.parametrize("again_at", [None, NOON + timedelta(hours=1)])
async def test_a_move_made_while_a_row_was_driven_says_when_it_is_due(
    kept: Kept, again_at: datetime | None
) -> None:
    asked = await added(kept)
    await claimed(kept.requests, Lane.DRIVE, NOON)
    new = moved(asked, next_at=NOON + 5 * SECOND)
    await kept.elsewhere.replace(asked, new)

    await kept.requests.release(Lane.DRIVE, asked, again_at=again_at)

    assert await claimed(kept.elsewhere, Lane.DRIVE, NOON + 4 * SECOND) == []
    assert await claimed(kept.elsewhere, Lane.DRIVE, NOON + 5 * SECOND) == [new]


@BOTH
async def test_a_move_does_not_double_who_is_at_work(kept: Kept, lane: Lane) -> None:
    asked = await added(kept)
    await claimed(kept.requests, lane, NOON)

    await kept.elsewhere.replace(asked, moved(asked, next_at=NOON))

    assert await claimed(kept.elsewhere, lane, NOON + LEASE - SECOND) == []


@BOTH
async def test_a_move_of_a_row_whose_holder_died_is_taken_up_when_the_lease_runs_out(
    kept: Kept, lane: Lane
) -> None:
    asked = await added(kept)
    await claimed(kept.requests, lane, NOON)
    new = moved(asked, next_at=NOON)
    await kept.elsewhere.replace(asked, new)

    assert await kept.elsewhere.next_due(lane) == NOON + LEASE
    assert await claimed(kept.elsewhere, lane, NOON + LEASE) == [new]


@BOTH
async def test_a_holder_that_comes_back_late_does_not_end_the_lease_of_who_took_over(
    kept: Kept, lane: Lane
) -> None:
    asked = await added(kept)
    await claimed(kept.requests, lane, NOON)
    late = NOON + LEASE
    await claimed(kept.elsewhere, lane, late)

    await kept.requests.release(lane, asked, again_at=late + SECOND)

    assert await claimed(kept.requests, lane, late + 2 * SECOND) == []
    assert await kept.requests.next_due(lane) == late + LEASE


@BOTH
async def test_a_holder_that_is_late_ends_its_lease_where_nobody_took_over(kept: Kept, lane: Lane) -> None:
    asked = await added(kept)
    await claimed(kept.requests, lane, NOON)

    await kept.requests.release(lane, asked, again_at=NOON + 2 * LEASE)

    assert await kept.elsewhere.next_due(lane) == NOON + 2 * LEASE


@BOTH
async def test_next_due_is_the_first_time_at_which_a_row_is_due_and_free(kept: Kept, lane: Lane) -> None:
    assert await kept.requests.next_due(lane) is None
    await added(kept)
    later = await added(kept, after=5 * SECOND)

    assert await kept.requests.next_due(lane) == NOON
    await claimed(kept.requests, lane, NOON)
    assert await kept.requests.next_due(lane) == later.changed_at
    await claimed(kept.requests, lane, NOON + 5 * SECOND)
    assert await kept.requests.next_due(lane) == NOON + LEASE
