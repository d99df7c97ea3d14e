"""The private answers to the slash command, as Slack's mrkdwn text."""

from collections.abc import Sequence

from bot.domain.request import ResetRequest
from bot.slack.text import MESSAGE_LIMIT, cut, inline
from bot.slack.wording import Wording


def help_text(words: Wording) -> str:
    """What can be typed."""
    return words.help


def asked(request: ResetRequest, words: Wording) -> str:
    """The ask is stored."""
    return words.fill(words.asked, target=inline(str(request.target)), ref=request.ref)


def not_stored(words: Wording) -> str:
    """The ask is not stored."""
    return words.not_stored


def status(requests: Sequence[ResetRequest], words: Wording) -> str:
    """The person's latest requests, newest first, and where each stands."""
    if not requests:
        return words.no_requests
    return cut("\n".join([words.recent, *(_line(request, words) for request in requests)]), MESSAGE_LIMIT)


def signed_out(forgotten: bool, words: Wording) -> str:
    """The sign-out is done, or there was nothing to do."""
    return words.signed_out if forgotten else words.was_signed_out


def _line(request: ResetRequest, words: Wording) -> str:
    target = inline(str(request.target), 100)
    return f"• {request.ref}, {target}: *{words.state(request)}*. {words.status(request)}"
