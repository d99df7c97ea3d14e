"""Execute, before the one POST: a database that was turned back is not believed alone."""

from dataclasses import replace
from datetime import timedelta

import pytest
from bot.domain.audit import Event
from bot.domain.errors import (
    ApproverRefused,
    Code,
    DeviceRefused,
    NotExecuted,
    OutcomeUnknown,
    StoreUnavailable,
)
from bot.domain.request import Status
from tests.support.builders import LEOS_PHONE


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


@pytest.mark.parametrize("failure", [False, StoreUnavailable()], ids=["no disk", "no database"])
async def test_no_call_leaves_before_the_attempt_is_known_outside_the_database(bot, failure):
    request_id = await bot.approved()
    bot.head_written = failure
    row = await bot.advance(request_id)
    assert (row.status, bot.intune.posts) == (Status.APPROVED, [])
    bot.head_written = True
    bot.clock.advance(bot.deps.timing.send_retry)
    assert (await bot.advance(request_id)).status is Status.SENT
