"""A request as one text: what screen readers and notifications read instead of the blocks."""

from collections.abc import Iterator

from bot.domain.request import Approval, ResetRequest
from bot.slack.text import MESSAGE_LIMIT, at, cut, inline, mention
from bot.slack.wording import Wording

_LONG = 1500
_SHORT = 200


def aloud(request: ResetRequest, words: Wording, *more: str) -> str:
    """The state first, then all that the blocks show; `more` is said right after the state."""
    told = [words.headline(request), *more, *_story(request, words)]
    return cut(" ".join(filter(None, told)), MESSAGE_LIMIT)


def _story(request: ResetRequest, words: Wording) -> Iterator[str]:
    yield words.fill(words.asks, by=mention(request.asked_by), asked=at(request.asked_at))
    yield words.status(request)
    yield words.because(request)
    if request.denial:
        yield _named(words.denial, request.denial, _LONG)
    if request.approval is not None:
        yield from _approval(request.approval, words)
    yield _named(words.for_whom, str(request.target), _SHORT)
    yield _named(words.number, request.ref, _SHORT)
    if request.ticket:
        yield _named(words.ticket, request.ticket, _SHORT)
    yield _named(words.reason, request.reason, _LONG)


def _approval(approval: Approval, words: Wording) -> Iterator[str]:
    yield _named(words.device, words.device_name(approval.device), _SHORT)
    yield _named(words.account, approval.username, _SHORT)
    yield words.effect(approval.effect)


def _named(label: str, text: str, limit: int) -> str:
    return f"{label}: {inline(text, limit)}."
