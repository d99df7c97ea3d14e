"""The receipt: the requester's own message, which shows at every moment what the request waits for."""

from bot.domain.request import ResetRequest, Status
from bot.slack import ids, parts
from bot.slack.aloud import aloud
from bot.slack.message import Block, Message
from bot.slack.wording import Wording


def receipt(request: ResetRequest, words: Wording) -> Message:
    """What the requester sees: the state, the answer, the next step. A pure function of the row."""
    because = words.because(request)
    blocks: list[Block] = [
        parts.header(f"{words.product}: {words.state(request)}"),
        parts.said(words.status(request)),
        *([parts.said(because)] if because else []),
        *([parts.typed(words.denial, request.denial)] if request.denial else []),
        *_device(request, words),
        *_next(request, words),
        *_buttons(request, words),
        {"type": "divider"},
        *parts.asked_for(request, words),
    ]
    return Message(text=aloud(request, words, words.next_step(request)), blocks=blocks)


def _device(request: ResetRequest, words: Wording) -> list[Block]:
    if request.approval is None:
        return []
    return [parts.fields((words.device, words.device_name(request.approval.device)))]


def _next(request: ResetRequest, words: Wording) -> list[Block]:
    step = words.next_step(request)
    return [parts.said(step)] if step else []


def _buttons(request: ResetRequest, words: Wording) -> list[Block]:
    if request.status is Status.PENDING:
        withdraw = parts.button(
            words.withdraw, action=ids.WITHDRAW, value=request.id, reads=words.withdraw_label
        )
        return [parts.actions(withdraw)]
    if request.has_passcode:
        show = parts.button(
            words.show_passcode,
            action=ids.SHOW_PASSCODE,
            value=request.id,
            reads=words.show_passcode_label,
            style="primary",
        )
        return [parts.actions(show)]
    return []
