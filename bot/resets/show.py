"""Show: bring the card and the receipt up to date with the row. What cannot be shown now is shown later."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from bot.domain.errors import SlackAway, SlackError
from bot.domain.request import ResetRequest, Status
from bot.ports import Board, Claimed, Shown
from bot.resets.desk import Desk

LONGEST_PAUSE: Final = timedelta(minutes=10)
FORGET_AFTER: Final = timedelta(days=1)

Part = Callable[[ResetRequest, Shown], Awaitable[Shown]]
Stuck = Callable[[ResetRequest, SlackError], None]


async def show(desk: Desk, board: Board, claimed: Claimed, *, stuck: Stuck) -> datetime | None:
    """Bring Slack up to date; returns when to try again, or None when everything shows the row.

    That a message is about to be posted is committed before it is, and where it is, after: whoever finds
    the first without the second looks in Slack before posting again. One message that cannot be shown does
    not keep the others back; `stuck` is told of each.
    """
    request, shown = claimed.request, claimed.shown
    failures: list[SlackError] = []
    if shown.posting:
        try:
            shown = await _remember(desk, request, shown, await board.find(request, shown))
        except SlackAway as error:
            stuck(request, error)
            return await _later(desk, request, shown, [error])
        except SlackError as error:  # we may not look: two messages are better than none
            stuck(request, error)
    if _will_post(request, shown):
        shown = await _remember(desk, request, shown, replace(shown, posting=True))
    for part in _parts(board, request, shown):
        try:
            shown = await _remember(desk, request, shown, await part(request, shown))
        except SlackError as error:
            failures.append(error)
            stuck(request, error)
    if failures:
        return await _later(desk, request, shown, failures)
    await _remember(desk, request, shown, replace(shown, posting=False, failures=0))
    return desk.clock.now() if _will_post(request, shown) else None


def _will_post(request: ResetRequest, shown: Shown) -> bool:
    """Whether a message is missing: never posted, or deleted by somebody."""
    return shown.receipt is None or (shown.card is None and _has_card(request))


async def _later(
    desk: Desk, request: ResetRequest, shown: Shown, failures: list[SlackError]
) -> datetime | None:
    in_a_row = shown.failures + 1
    await _remember(desk, request, shown, replace(shown, failures=in_a_row))
    return None if _is_history(desk, request) else desk.clock.now() + pause_after(failures, in_a_row)


def _is_history(desk: Desk, request: ResetRequest) -> bool:
    """Nobody waits to see how this ended: what could not be shown by now is not shown."""
    return request.is_over and desk.clock.now() - request.changed_at >= FORGET_AFTER


def pause_after(failures: list[SlackError], in_a_row: int) -> timedelta:
    """Two seconds, doubled with every failure in a row; never less than Slack asks for."""
    asked = [error.retry_after for error in failures if isinstance(error, SlackAway) and error.retry_after]
    own = min(timedelta(seconds=2 ** min(in_a_row, 10)), LONGEST_PAUSE)
    return max([own, *asked])


def _has_card(request: ResetRequest) -> bool:
    """Approvers are bothered only with what passed the checks."""
    return request.status not in (Status.RECEIVED, Status.REFUSED)


def _parts(board: Board, request: ResetRequest, shown: Shown) -> list[Part]:
    card = [board.card] if _has_card(request) or shown.card is not None else []
    reminder = [board.reminder] if request.status is Status.PENDING else []
    return [*card, board.receipt, *reminder]


async def _remember(desk: Desk, request: ResetRequest, before: Shown, after: Shown) -> Shown:
    if after != before:
        await desk.requests.save_shown(request.id, after)
    return after
