"""Where approvals ask for a fresh sign-in: no older one reviews, and none that grew old approves."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from bot.domain.errors import SignInNeeded
from bot.domain.policy import Rules
from bot.domain.sign_in import FRESH_FOR
from tests.fakes.clock import NOON
from tests.fakes.desk import StaffedDesk, a_desk
from tests.fakes.people import APPROVER_CHANNEL, CHANNEL, KEN
from tests.fakes.sign_ins import account_of

SECOND = timedelta(seconds=1)


def a_strict_desk(proved_at: datetime | None) -> StaffedDesk:
    """Ken is signed in, and last proved to Microsoft who he is at `proved_at`."""
    rules = Rules(approver_channel=CHANNEL, requesters=(APPROVER_CHANNEL,), fresh_within=FRESH_FOR)
    desk = a_desk(rules=rules)
    desk.sign_ins.accounts[KEN.id] = replace(account_of(KEN), authenticated_at=proved_at)
    return desk


@pytest.mark.parametrize("proved_at", [None, NOON - FRESH_FOR - SECOND], ids=["not said", "long ago"])
async def test_without_a_fresh_sign_in_nothing_is_shown(proved_at):
    desk = a_strict_desk(proved_at)
    request_id = await desk.pending()

    with pytest.raises(SignInNeeded) as needed:
        await desk.review(request_id)

    assert needed.value.stale
    assert desk.graph.looked_for == []


async def test_a_sign_in_of_ten_minutes_ago_is_fresh():
    desk = a_strict_desk(NOON - FRESH_FOR)

    assert (await desk.review(await desk.pending())).account.oid == "oid-Ken"


async def test_a_sign_in_that_grew_old_during_the_review_does_not_approve():
    desk = a_strict_desk(NOON)
    request_id = await desk.pending()
    await desk.review(request_id)
    desk.clock.pass_(FRESH_FOR + SECOND)

    with pytest.raises(SignInNeeded) as needed:
        await desk.approve(request_id)

    assert needed.value.stale
    assert desk.row(request_id).approval is None
    assert desk.graph.resets == []
    signed_in = replace(account_of(KEN), authenticated_at=desk.clock.now())
    desk.sign_ins.accounts[KEN.id] = signed_in
    await desk.approve(request_id)


async def test_unless_it_is_asked_for_any_sign_in_that_lasts_will_do():
    desk = a_desk()

    assert (await desk.review(await desk.pending())).account.authenticated_at is None
