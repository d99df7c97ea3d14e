"""Showing: Slack follows the row; nothing is posted twice, and one broken part keeps no other back."""

from dataclasses import replace
from datetime import timedelta

import pytest
from bot.domain.errors import CannotShow, SlackAway, SlackError, StoreAway
from bot.domain.identifiers import RequestId
from bot.domain.request import Status
from bot.ports import Claimed, Shown
from bot.resets.show import LONGEST_PAUSE, pause_after, show
from tests.fakes.board import FakeBoard
from tests.fakes.desk import StaffedDesk, a_desk, outcome
from tests.fakes.devices import LEOS_LAPTOP
from tests.fakes.people import GUS

Stuck = list[SlackError]


class Killed(BaseException):
    """The process dies here."""


async def shown_after(
    desk: StaffedDesk, board: FakeBoard, request_id: RequestId, stuck: Stuck | None = None
) -> timedelta | None:
    """Bring Slack up to date once, as the worker does; how long until the next try."""
    row = desk.requests.rows[request_id]
    told = [] if stuck is None else stuck
    claimed = Claimed(row.request, row.shown)
    again_at = await show(desk.desk, board, claimed, stuck=lambda _, error: told.append(error))
    return None if again_at is None else again_at - desk.clock.now()


async def test_a_waiting_request_has_a_card_and_a_receipt():
    desk, board = a_desk(), FakeBoard()
    request_id = await desk.pending()

    assert await shown_after(desk, board, request_id) is None
    assert board.posted == ["card", "receipt"]


async def test_showing_the_same_row_again_posts_and_changes_nothing():
    desk, board = a_desk(), FakeBoard()
    request_id = await desk.pending()

    for _ in range(3):
        await shown_after(desk, board, request_id)

    assert (board.posted, board.updated) == (["card", "receipt"], [])


async def test_a_move_changes_both_messages():
    desk, board = a_desk(), FakeBoard()
    request_id = await desk.pending()
    await shown_after(desk, board, request_id)

    await desk.deny(request_id)
    await shown_after(desk, board, request_id)

    assert (board.posted, board.updated) == (["card", "receipt"], ["card", "receipt"])


async def test_approvers_are_not_bothered_with_what_is_not_checked_or_was_refused():
    desk, board = a_desk(), FakeBoard()
    request = await desk.ask(by=GUS)

    await shown_after(desk, board, request.id)
    await desk.drive(request.id)
    await shown_after(desk, board, request.id)

    assert (board.posted, board.updated) == (["receipt"], ["receipt"])


async def test_a_card_that_was_posted_is_told_of_a_refusal_too():
    desk, board = a_desk(), FakeBoard()
    request_id = await desk.pending()
    await shown_after(desk, board, request_id)
    desk.graph.found = [LEOS_LAPTOP]
    await outcome(desk.review(request_id))

    await shown_after(desk, board, request_id)

    assert desk.row(request_id).status is Status.REFUSED
    assert board.updated == ["card", "receipt"]


async def test_a_reminder_is_posted_once_and_only_while_it_waits():
    desk, board = a_desk(), FakeBoard()
    request_id = await desk.pending()
    desk.clock.pass_(desk.desk.timing.remind_every)
    await desk.drive_due()

    for _ in range(2):
        await shown_after(desk, board, request_id)
    assert board.posted == ["card", "receipt", "reminder"]

    desk.clock.pass_(desk.desk.timing.remind_every)
    await desk.drive_due()
    await desk.deny(request_id)
    await shown_after(desk, board, request_id)
    assert board.posted.count("reminder") == 1


@pytest.mark.parametrize("broken", ["card", "receipt", "reminder"])
@pytest.mark.parametrize("trouble", [SlackAway(), CannotShow("not_in_channel")])
async def test_one_part_that_cannot_be_shown_keeps_no_other_back(broken, trouble):
    desk, board = a_desk(), FakeBoard(troubles={broken: trouble})
    request_id = await desk.pending()
    desk.clock.pass_(desk.desk.timing.remind_every)
    await desk.drive_due()
    told: Stuck = []

    again = await shown_after(desk, board, request_id, told)

    assert set(board.posted) == {"card", "receipt", "reminder"} - {broken}
    assert told == [trouble]
    assert again is not None


async def test_what_was_posted_before_a_failure_is_not_posted_again():
    desk, board = a_desk(), FakeBoard(troubles={"receipt": SlackAway()})
    request_id = await desk.pending()
    for _ in range(3):
        await shown_after(desk, board, request_id)

    board.troubles.clear()
    assert await shown_after(desk, board, request_id) is None

    assert board.posted == ["card", "receipt"]


async def test_what_was_posted_is_remembered_before_the_next_part_is_tried():
    desk = a_desk()
    request_id = await desk.pending()
    remembered: list[Shown] = []

    class Watching(FakeBoard):
        async def receipt(self, request, shown):
            remembered.append(desk.requests.rows[request_id].shown)
            return await super().receipt(request, shown)

    await shown_after(desk, Watching(), request_id)

    assert remembered[0].card is not None


async def test_a_database_that_is_away_stops_the_showing():
    desk, board = a_desk(), FakeBoard()
    request_id = await desk.pending()
    desk.record.away = True

    with pytest.raises(StoreAway):
        await shown_after(desk, board, request_id)

    assert board.posted == []


async def test_what_may_have_been_posted_is_looked_for_before_it_is_posted():
    desk = a_desk()
    request_id = await desk.pending()

    class Dying(FakeBoard):
        async def receipt(self, request, shown):
            await super().receipt(request, shown)
            raise Killed

    dying = Dying()
    with pytest.raises(Killed):
        await shown_after(desk, dying, request_id)
    board = FakeBoard(kept=dying.kept)
    await shown_after(desk, board, request_id)

    shown = desk.requests.rows[request_id].shown
    assert (dying.posted, board.posted) == (["card", "receipt"], [])
    assert (shown.card, shown.receipt, shown.posting) == (*dying.kept.values(), False)


async def test_while_slack_cannot_be_searched_nothing_that_may_be_there_is_posted():
    desk, board = a_desk(), FakeBoard(troubles={"find": SlackAway(), "receipt": SlackAway()})
    request_id = await desk.pending()

    pauses = [await shown_after(desk, board, request_id) for _ in range(3)]

    assert board.posted == ["card"]
    assert None not in pauses


async def test_where_searching_is_forbidden_two_messages_are_better_than_none():
    desk, board = a_desk(), FakeBoard(troubles={"find": CannotShow("missing_scope"), "receipt": SlackAway()})
    request_id = await desk.pending()
    await shown_after(desk, board, request_id)
    del board.troubles["receipt"]

    told: Stuck = []
    await shown_after(desk, board, request_id, told)

    assert board.posted == ["card", "receipt"]
    assert [error.code for error in told] == ["missing_scope"]


async def test_a_message_that_somebody_deleted_is_posted_anew_at_once():
    desk = a_desk()
    request_id = await desk.pending()

    class Deleted(FakeBoard):
        async def card(self, _request, shown):
            return replace(shown, card=None)

    await shown_after(desk, FakeBoard(), request_id)
    await desk.deny(request_id)

    assert await shown_after(desk, Deleted(), request_id) == timedelta(0)
    board = FakeBoard()
    assert await shown_after(desk, board, request_id) is None
    assert board.posted == ["card"]


async def test_failures_in_a_row_space_the_tries_and_a_success_forgets_them():
    desk, board = a_desk(), FakeBoard(troubles={"card": SlackAway()})
    request_id = await desk.pending()

    pauses = [await shown_after(desk, board, request_id) for _ in range(12)]

    assert pauses[:4] == [timedelta(seconds=2 ** (n + 1)) for n in range(4)]
    assert pauses[-1] == LONGEST_PAUSE
    board.troubles.clear()
    assert await shown_after(desk, board, request_id) is None
    assert desk.requests.rows[request_id].shown.failures == 0


def test_slack_is_not_asked_again_before_it_said():
    asked = [SlackAway(retry_after=timedelta(minutes=20)), SlackAway(retry_after=timedelta(seconds=1))]

    assert pause_after([*asked, CannotShow()], 1) == timedelta(minutes=20)
    assert pause_after([SlackAway(retry_after=timedelta(seconds=1))], 3) == timedelta(seconds=8)
    assert pause_after([SlackAway()], 1) == timedelta(seconds=2)


def test_tries_never_stop_for_longer_than_ten_minutes_by_themselves():
    assert pause_after([CannotShow()], 10_000) == LONGEST_PAUSE
