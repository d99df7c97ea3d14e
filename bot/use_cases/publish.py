"""Publish: bring the messages in Slack up to date with the row. What cannot be shown now is shown later."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeAlias

import structlog

from bot.domain.errors import Cause, Code, Refusal, SlackError, SlackUnavailable
from bot.domain.request import MessageState, ResetRequest, Status
from bot.domain.values import RequestId
from bot.store import requests
from bot.store.requests import Claimed
from bot.use_cases.deps import Deps, Notifier

Step: TypeAlias = Callable[[ResetRequest, MessageState], Awaitable[MessageState]]

MAX_PAUSE: Final = timedelta(minutes=10)

log = structlog.get_logger()


async def publish(deps: Deps, notifier: Notifier, claimed: Claimed) -> datetime | None:
    """Bring Slack up to date; returns when to try again, or None when everything shows the row.

    That a message is about to be posted is committed before it is, and where it is, after: whoever finds the
    first without the second looks in Slack before posting again. A message that cannot be shown does not
    keep the others back. Raises LostRace where the lease has run out.
    """
    request, state = claimed.request, claimed.messages
    if state.posting:
        try:
            state = await _save(deps, claimed, state, await notifier.find_posted(request, state))
        except SlackUnavailable as error:
            return await _later(deps, claimed, state, [error])
        except SlackError as error:  # not allowed to look: two messages are better than none
            _log(request, error)
    if _will_post(request, state):
        state = await _save(deps, claimed, state, replace(state, posting=True))
    first = await _first(deps, request)
    steps: list[Step] = [partial(notifier.update_receipt, first=first)]
    if _has_card(request) or state.card is not None:
        steps.insert(0, notifier.update_card)
    if request.status is Status.PENDING:
        steps.append(notifier.post_reminder)
    failures: list[SlackError] = []
    for step in steps:
        try:
            state = await _save(deps, claimed, state, await step(request, state))
        except SlackError as error:
            failures.append(error)
    if failures:
        return await _later(deps, claimed, state, failures)
    state = await _save(deps, claimed, state, replace(state, posting=False, failures=0))
    return _due_again(deps, request, state, first)


async def _first(deps: Deps, request: ResetRequest) -> ResetRequest | None:
    """Return the request that had the target before this one: whoever asked second sees how it ends."""
    match request.cause:
        case Cause(Code.ALREADY_REQUESTED, {"first": first}):
            with suppress(Refusal):  # it was tampered with
                return await deps.get_request(RequestId(first))
    return None


def _due_again(
    deps: Deps, request: ResetRequest, state: MessageState, first: ResetRequest | None
) -> datetime | None:
    if _will_post(request, state):
        return deps.now()
    return None if first is None or first.is_over else deps.now() + deps.timing.periodic


async def _save(deps: Deps, claimed: Claimed, old: MessageState, new: MessageState) -> MessageState:
    if new != old:
        await deps.database.run(lambda tx: requests.save_messages(tx, claimed, new))
    return new


async def _later(
    deps: Deps, claimed: Claimed, state: MessageState, failures: Sequence[SlackError]
) -> datetime | None:
    request, in_a_row = claimed.request, state.failures + 1
    for error in failures:
        _log(request, error)
    await _save(deps, claimed, state, replace(state, failures=in_a_row))
    if request.is_over and deps.now() - request.changed_at >= deps.timing.publish_for:
        return None  # nobody waits for it any more
    return deps.now() + pause_after(failures, in_a_row)


def pause_after(failures: Sequence[SlackError], in_a_row: int) -> timedelta:
    """Return two seconds, doubled with every failure in a row, and never less than Slack asks for."""
    asked = [error.retry_after for error in failures if isinstance(error, SlackUnavailable)]
    own = min(timedelta(seconds=2 ** min(in_a_row, 10)), MAX_PAUSE)
    return max([own, *filter(None, asked)])


def _will_post(request: ResetRequest, state: MessageState) -> bool:
    """Whether a message is missing: never posted, or deleted by somebody."""
    return state.receipt is None or (state.card is None and _has_card(request))


def _has_card(request: ResetRequest) -> bool:
    """Approvers see only what was verified."""
    return request.status not in (Status.RECEIVED, Status.REFUSED)


def _log(request: ResetRequest, error: SlackError) -> None:
    log.warning("not_published", request=request.id, error=type(error).__name__, **error.as_facts())
