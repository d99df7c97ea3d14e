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

    What was posted is remembered after each message, so that a later failure posts nothing twice. One
    message that cannot be shown does not keep the others back; `stuck` is told of each.
    """
    request, shown = claimed.request, claimed.shown
    failures: list[SlackError] = []
    for part in _parts(board, request, shown):
        try:
            now_shown = await part(request, shown)
        except SlackError as error:
            failures.append(error)
            stuck(request, error)
        else:
            shown = await _remember(desk, request, shown, now_shown)
    failed_in_a_row = shown.failures + 1 if failures else 0
    await _remember(desk, request, shown, replace(shown, failures=failed_in_a_row))
    if not failures or _is_history(desk, request):
        return None
    return desk.clock.now() + pause_after(failures, failed_in_a_row)


def _is_history(desk: Desk, request: ResetRequest) -> bool:
    """Nobody waits to see how this ended: what could not be shown by now is not shown."""
    return request.is_over and desk.clock.now() - request.changed_at >= FORGET_AFTER


def pause_after(failures: list[SlackError], in_a_row: int) -> timedelta:
    """Two seconds, doubled with every failure in a row; never less than Slack asks for."""
    asked = [error.retry_after for error in failures if isinstance(error, SlackAway) and error.retry_after]
    own = min(timedelta(seconds=2 ** min(in_a_row, 10)), LONGEST_PAUSE)
    return max([own, *asked])


def _parts(board: Board, request: ResetRequest, shown: Shown) -> list[Part]:
    """Approvers are bothered only with what passed the checks."""
    passed = request.status not in (Status.RECEIVED, Status.REFUSED)
    card = [board.card] if passed or shown.card is not None else []
    reminder = [board.reminder] if request.status is Status.PENDING else []
    return [*card, board.receipt, *reminder]


async def _remember(desk: Desk, request: ResetRequest, before: Shown, after: Shown) -> Shown:
    if after != before:
        await desk.requests.save_shown(request.id, after)
    return after
