"""Execute, before the one POST: a database that was turned back is not believed alone."""

from dataclasses import replace
from datetime import timedelta
from itertools import repeat

import pytest
from bot.domain.audit import Event
from bot.domain.errors import (
    ApproverRefused,
    Cause,
    Code,
    DeviceRefused,
    NotExecuted,
    OutcomeUnknown,
    StoreUnavailable,
    UnknownPath,
)
from bot.domain.request import Status
from tests.support.builders import LEOS_PHONE
from tests.support.fakes import Answer


async def test_a_device_that_was_reset_after_the_review_is_not_reset_again(bot):
    request_id = await bot.approved()
    bot.clock.advance(seconds=10)
    bot.intune.show(LEOS_PHONE.id, "done")
    row = await bot.advance(request_id)
    assert (row.status, bot.intune.posts) == (Status.PENDING, [])
    assert row.cause.code is Code.RECENTLY_RESET
    assert (await bot.entry(Event.REOPENED)).facts["cause"] == "recently_reset"


async def test_the_reset_that_the_approver_saw_is_no_later_one_though_intune_rounds_its_start(bot):
    bot.intune.show(LEOS_PHONE.id, "done")
    bot.clock.advance(bot.deps.timing.recently + timedelta(seconds=1))
    request_id = await bot.approved()
    [shown] = bot.intune.shown[LEOS_PHONE.id]
    bot.intune.shown[LEOS_PHONE.id] = [replace(shown, started_at=shown.started_at + timedelta(seconds=1))]
    assert (await bot.advance(request_id)).status is Status.SENT


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotExecuted(), Status.APPROVED),
        (OutcomeUnknown(), Status.APPROVED),
        (ApproverRefused(), Status.PENDING),
        (DeviceRefused(), Status.FAILED),
    ],
    ids=lambda given: type(given).__name__,
)
async def test_where_intune_cannot_be_looked_at_nothing_is_sent_and_nothing_is_in_doubt(bot, error, status):
    request_id = await bot.approved()
    bot.intune.reading_fails = error
    row = await bot.advance(request_id)
    assert (row.status, row.attempt, bot.intune.posts) == (status, None, [])


@pytest.mark.parametrize(
    ("written", "attempts"),
    [([False], 0), ([StoreUnavailable()], 0), ([True, False], 1), ([True, StoreUnavailable()], 1)],
    ids=["no disk", "no database", "no disk for the attempt", "no database for the attempt"],
)
async def test_no_call_leaves_before_the_attempt_is_known_outside_the_database(bot, written, attempts):
    request_id = await bot.approved()
    bot.heads_written = iter(written)
    row = await bot.advance(request_id)
    assert (row.status, row.attempts, bot.intune.posts) == (Status.APPROVED, attempts, [])
    bot.heads_written = repeat(True)
    bot.clock.advance(bot.deps.timing.send_retry)
    assert (await bot.advance(request_id)).status is Status.SENT


async def test_where_there_is_one_path_alone_it_is_not_tried_twice(bot):
    request_id = await bot.pending(target=f"id:{LEOS_PHONE.id}")
    await bot.approve(request_id)
    bot.intune.answers.append(Answer(error=UnknownPath(status=400)))
    row = await bot.advance(request_id)
    assert (row.status, row.cause.code) == (Status.FAILED, Code.UNKNOWN_PATH)
    assert (len(bot.intune.posts), row.attempts) == (1, 1)


async def test_where_the_log_cannot_be_kept_outside_people_are_told_so_and_not_that_microsoft_is_away(bot):
    request_id, bot.heads_written = await bot.approved(), repeat(False)
    waiting = await bot.advance(request_id)
    assert (waiting.status, (await bot.events())[-1]) == (Status.APPROVED, Event.APPROVED)
    bot.clock.advance(bot.deps.timing.send_for - bot.deps.timing.send_retry)
    row = await bot.advance(request_id)
    assert (row.status, row.cause, bot.intune.posts) == (Status.PENDING, Cause(Code.HEAD_NOT_KEPT), [])
