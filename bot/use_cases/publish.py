"""Publish: bring the messages in Slack up to date with the row. What cannot be shown now is shown later."""

from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog

from bot.domain.errors import Cause, Code, LostRace, Refusal, SlackError, SlackUnavailable
from bot.domain.request import MessageState, ResetRequest, Status
from bot.domain.values import RequestId, utc_text
from bot.store import requests
from bot.store.requests import Claimed
from bot.use_cases.deps import Deps, Notifier

MAX_PAUSE: Final = timedelta(minutes=10)
Published = tuple[datetime | None, MessageState]
"""When to try again, None where everything shows the row; and what Slack shows by then."""

log = structlog.get_logger()


async def publish(deps: Deps, notifier: Notifier, claimed: Claimed) -> Published:
    """Bring Slack up to date.

    That a message is about to be posted is committed before it is, and what is shown, after: whoever finds
    the first without the second looks in Slack before posting again. A message that cannot be shown does not
    keep the others back. Raises LostRace where the lease has run out.
    """
    request, state = claimed.request, claimed.messages
    failures: list[SlackError] = []

    async def show(step: Awaitable[MessageState]) -> SlackError | None:
        nonlocal state
        failed = None
        try:
            state = await _save(deps, claimed, state, await step)
        except SlackError as error:
            failed = error
            failures.append(error)
        if utc_text(deps.now()) >= claimed.until:  # another replica may show something newer by now
            raise LostRace
        return failed

    if state.posting:
        error = await show(notifier.find_posted(request, state))
        if isinstance(error, SlackUnavailable):
            return _later(deps, request, state, failures, searched=False)
        while failures:  # not allowed to look: two messages are better than none
            _log(request, failures.pop())
    if _will_post(request, state):
        state = await _save(deps, claimed, state, replace(state, posting=True))
    first = await _first(deps, request)
    no_card = None
    if _has_card(request) or state.card is not None:
        no_card = await show(notifier.update_card(request, state))
    await show(notifier.update_receipt(request, state, first, no_card))
    await show(notifier.tell_approvers(request, state))
    await show(notifier.tell_requester(request, state))
    if failures:
        return _later(deps, request, state, failures, searched=True)
    return _due_again(deps, request, state, first), replace(state, posting=False, failures=0)


async def _save(deps: Deps, claimed: Claimed, old: MessageState, new: MessageState) -> MessageState:
    if new != old:
        save = partial(requests.save_messages, claimed=claimed, messages=new)
        await deps.database.run(save, can_wait=True)
    return new


async def _first(deps: Deps, request: ResetRequest) -> ResetRequest | None:
    """Return the request that had the target before this one: whoever asked second sees how it ends."""
    match request.cause:
        case Cause(Code.ALREADY_REQUESTED, {"first": first}):
            with suppress(Refusal):  # it was tampered with
                return await deps.get_request(RequestId(first), in_log=False)
    return None


def _due_again(
    deps: Deps, request: ResetRequest, state: MessageState, first: ResetRequest | None
) -> datetime | None:
    """Return when what is shown changes without a move: at once, with the first request, as a button ends."""
    now, reveal_ends = deps.now(), request.reveal_ends(deps.timing.reveal_for)
    if _will_post(request, state):
        return now
    if first is not None and not first.is_over:
        return now + deps.timing.periodic
    return reveal_ends if reveal_ends is not None and now < reveal_ends else None


def _later(
    deps: Deps, request: ResetRequest, state: MessageState, failures: list[SlackError], *, searched: bool
) -> Published:
    """Plan the next try. What was not `searched` for may still have been posted."""
    in_a_row = state.failures + 1
    for error in failures:
        _log(request, error)
    posting = state.posting and not (searched and all(error.is_undone for error in failures))
    state = replace(state, failures=in_a_row, posting=posting)
    if request.is_over and deps.now() - request.changed_at >= deps.timing.publish_for:
        return None, state  # nobody waits for it any more
    return deps.now() + pause_after(failures, in_a_row), state


def pause_after(failures: Sequence[SlackError], in_a_row: int) -> timedelta:
    """Return what Slack asks for, else two seconds, doubled with every failure in a row.

    What passes is not kept waiting by what does not, such as direct messages that are switched off.
    """
    passing = [error for error in failures if isinstance(error, SlackUnavailable)]
    own = min(timedelta(seconds=2 ** min(in_a_row, 5 if passing else 10)), MAX_PAUSE)
    return max(error.retry_after or own for error in passing or failures)


def _will_post(request: ResetRequest, state: MessageState) -> bool:
    """Whether a message is missing: never posted, or deleted by somebody."""
    missing = state.receipt is None or (state.card is None and _has_card(request))
    return missing or request.tells_approvers(state) or request.tells_requester(state)


def _has_card(request: ResetRequest) -> bool:
    """Approvers see only what was verified."""
    return request.status not in (Status.RECEIVED, Status.REFUSED)


def _log(request: ResetRequest, error: SlackError) -> None:
    tell = log.warning if isinstance(error, SlackUnavailable) else log.error  # nothing mends this by itself
    tell("not_published", request=request.id, error=type(error).__name__, **error.as_facts())
