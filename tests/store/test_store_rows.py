"""What goes in comes out: every field, to the microsecond, whatever people typed, and across versions."""

import asyncio
import json
import shutil
import tempfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType

import pytest
from bot.domain.device import Device, Effect, Platform
from bot.domain.request import Approval, Attempt, ResetRequest, Status
from bot.domain.target import Target, TargetKind
from bot.domain.why import Code, Why
from bot.ports import Lane
from bot.store import Store
from hypothesis import given, settings
from hypothesis import strategies as st
from kept import NOON, PLENTY, a_request, an_entry, opened
from sqlalchemy import text
from sqlalchemy.exc import StatementError

TIMES = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001, RUF100  hypothesis wants naive bounds
WORDS = st.text(st.characters(codec="utf-8"), max_size=60)
SMALL = st.integers(min_value=0, max_value=10**6)
MAYBE_TIME = st.none() | TIMES
MAYBE_WORDS = st.none() | WORDS
DEVICES = st.builds(
    Device,
    **{name: WORDS for name, hint in Device.__annotations__.items() if hint is str},
    id=WORDS,
    platform=st.sampled_from(Platform),
    personal=st.booleans(),
    last_sync_at=MAYBE_TIME,
)
APPROVAL = {
    "by": WORDS,
    "oid": WORDS,
    "username": WORDS,
    "at": TIMES,
    "device": DEVICES,
    "effect": st.sampled_from(Effect),
    "previous_reset_at": MAYBE_TIME,
}
APPROVALS = st.builds(Approval, **APPROVAL)
ATTEMPTS = st.builds(Attempt, number=SMALL, started_at=TIMES, client_request_id=WORDS, seen_at=MAYBE_TIME)
WHYS = st.builds(Why, st.sampled_from(Code), st.dictionaries(WORDS, WORDS).map(MappingProxyType))
FIELDS = {
    "id": st.uuids().map(lambda guid: guid.hex),
    "delivery": st.uuids().map(str),
    "team": WORDS,
    "asked_by": WORDS,
    "asked_by_team": MAYBE_WORDS,
    "asked_at": TIMES,
    "target": st.builds(Target, st.sampled_from(TargetKind), WORDS),
    "reason": WORDS,
    "ticket": MAYBE_WORDS,
    "status": st.sampled_from(Status),
    "version": SMALL,
    "changed_at": TIMES,
    "next_at": MAYBE_TIME,
    "expires_at": MAYBE_TIME,
    "reminders": SMALL,
    "decided_by": MAYBE_WORDS,
    "decided_at": MAYBE_TIME,
    "denial": MAYBE_WORDS,
    "approval": st.none() | APPROVALS,
    "attempt": st.none() | ATTEMPTS,
    "attempts": SMALL,
    "why": st.none() | WHYS,
    "holds": MAYBE_WORDS,
}


def test_every_field_of_a_request_is_tried() -> None:
    assert set(FIELDS) == set(ResetRequest.__annotations__)
    assert set(APPROVAL) == set(Approval.__annotations__)


async def _round_trip(migrated: Path, requests: list[ResetRequest]) -> list[ResetRequest]:
    with tempfile.TemporaryDirectory() as place:
        store = opened(Path(shutil.copy(migrated, place)))
        try:
            for request in requests:
                await store.requests.add(request, an_entry(), PLENTY)
            return [await store.requests.get(request.id) for request in requests]
        finally:
            await store.close()


@settings(max_examples=40, deadline=None)
@given(
    requests=st.lists(
        st.builds(ResetRequest, **FIELDS),
        min_size=5,
        max_size=10,
        unique_by=(
            lambda each: each.open_target or each.id,
            lambda each: each.id if each.holds is None else each.holds,
        ),
    )
)
def test_any_request_comes_back_as_it_was(migrated: Path, requests: list[ResetRequest]) -> None:
    assert asyncio.run(_round_trip(migrated, requests)) == requests


@pytest.mark.parametrize("microsecond", [0, 1, 123456, 999999])
async def test_times_come_back_aware_in_utc_to_the_microsecond(sql: Store, microsecond: int) -> None:
    at = NOON.replace(microsecond=microsecond)
    asked = a_request(after=at - NOON)
    await sql.requests.add(asked, an_entry(asked), PLENTY)

    found = await sql.requests.get(asked.id)

    assert found.asked_at == at
    assert found.asked_at.tzinfo is not None
    assert found.asked_at.utcoffset() == timedelta(0)


async def test_times_of_other_zones_sort_with_the_rest(sql: Store) -> None:
    asked = a_request()
    await sql.requests.add(asked, an_entry(asked), PLENTY)

    early = (NOON - timedelta(seconds=1)).astimezone(timezone(timedelta(hours=9)))
    late = NOON.astimezone(timezone(timedelta(hours=-9)))

    assert await sql.requests.claim(Lane.DRIVE, now=early, lease=timedelta(1), limit=1) == []
    assert len(await sql.requests.claim(Lane.DRIVE, now=late, lease=timedelta(1), limit=1)) == 1


async def test_a_time_without_a_zone_is_refused(sql: Store) -> None:
    with pytest.raises(StatementError, match="zone"):
        await sql.requests.claim(Lane.DRIVE, now=NOON.replace(tzinfo=None), lease=timedelta(1), limit=1)


APPROVED = {
    "by": "U0AIKO",
    "oid": "o-1",
    "username": "aiko@contoso.com",
    "at": "2026-03-02T12:00:00.000001+00:00",
    "device": {"id": "d-1", "name": "Mei's phone", "platform": "iOS", "colour": "of a later version"},
    "effect": "removes_passcode",
    "mood": "of a later version",
}


async def test_a_row_of_another_version_is_read_with_what_is_known(sql: Store) -> None:
    asked = a_request()
    await sql.requests.add(asked, an_entry(asked), PLENTY)
    await _set(
        sql, asked, approval=json.dumps(APPROVED), why='{"code":"silent","facts":{"days":"1"},"more":[]}'
    )

    found = await sql.requests.get(asked.id)

    assert found.approval is not None
    assert found.approval.device.name == "Mei's phone"
    assert found.approval.at == NOON + timedelta(microseconds=1)
    assert found.approval.previous_reset_at is None
    assert found.why == Why(Code.SILENT, {"days": "1"})


@pytest.mark.parametrize(
    "change", [{"status": "of_a_later_version"}, {"why": '{"code":"later","facts":{}}'}, {"approval": "{"}]
)
async def test_a_row_that_cannot_be_read_stands_in_nobodys_way(sql: Store, change: dict[str, str]) -> None:
    strange, plain = a_request(), a_request()
    for asked in (strange, plain):
        await sql.requests.add(asked, an_entry(asked), PLENTY)
    await _set(sql, strange, **change)

    claimed = await sql.requests.claim(Lane.DRIVE, now=NOON, lease=timedelta(1), limit=1)
    claimed = [*claimed, *await sql.requests.claim(Lane.DRIVE, now=NOON, lease=timedelta(1), limit=1)]

    assert [row.request for row in claimed] == [plain]
    assert plain in await sql.requests.recent(plain.asked_by, limit=9)


async def _set(store: Store, request: ResetRequest, **columns: str) -> None:
    changes = ", ".join(f"{name} = :{name}" for name in columns)
    async with store.engine.begin() as connection:
        await connection.execute(
            text(f"UPDATE requests SET {changes} WHERE id = :id"),  # noqa: S608  this test's own names
            {**columns, "id": request.id},
        )
