"""The card: what the approver channel sees of a request. A pure function of the row."""

from collections.abc import Sequence

from bot.domain.request import ResetRequest, Status
from bot.slack import ids, parts
from bot.slack.aloud import aloud
from bot.slack.message import Block, Message
from bot.slack.text import at, group, mention
from bot.slack.wording import Wording


def card(request: ResetRequest, words: Wording, on_call: Sequence[str] = ()) -> Message:
    """What approvers see; buttons only while somebody has to decide. `on_call`: user groups to call."""
    asked = words.fill(words.asks, by=mention(request.asked_by), asked=at(request.asked_at))
    blocks = [
        parts.header(f"{words.product}: {words.state(request)}"),
        parts.said(f"{asked} {words.status(request)}"),
        *parts.asked_for(request, words),
        *_why(request, words),
        *(parts.carried_out(request.approval, words) if request.approval else []),
        *_denial(request, words),
        *_decide(request, words),
        *_call(request, on_call, words),
    ]
    return Message(text=aloud(request, words), blocks=blocks)


def reminder(request: ResetRequest, words: Wording, on_call: Sequence[str] = ()) -> Message:
    """What is said under the card of a request that still waits."""
    sentence = words.fill(
        words.reminder,
        by=mention(request.asked_by),
        expires=at(request.expires_at or request.changed_at),
        on_call=_called(on_call, words),
    ).strip()
    return Message(text=sentence, blocks=[parts.said(sentence)])


def _why(request: ResetRequest, words: Wording) -> list[Block]:
    because = words.because(request)
    goes_on = f" {words.anybody_can_go_on}" if request.status is Status.PENDING else ""
    return [parts.said(because + goes_on)] if because else []


def _denial(request: ResetRequest, words: Wording) -> list[Block]:
    return [parts.typed(words.denial, request.denial)] if request.denial else []


def _decide(request: ResetRequest, words: Wording) -> list[Block]:
    if request.needs_a_human:
        again = parts.button(
            words.try_again, action=ids.APPROVE, value=request.id, reads=words.try_again_label, style="danger"
        )
        close = parts.button(words.give_up, action=ids.CLOSE, value=request.id, reads=words.give_up_label)
        return [parts.actions(again, close)]
    if request.status is not Status.PENDING:
        return []
    approve = parts.button(
        words.approve, action=ids.APPROVE, value=request.id, reads=words.approve_label, style="primary"
    )
    deny = parts.button(words.deny, action=ids.DENY, value=request.id, reads=words.deny_label, style="danger")
    return [parts.actions(approve, deny)]


def _call(request: ResetRequest, on_call: Sequence[str], words: Wording) -> list[Block]:
    waits = request.status is Status.PENDING or request.needs_a_human
    return [parts.small(_called(on_call, words))] if on_call and waits else []


def _called(on_call: Sequence[str], words: Wording) -> str:
    return words.fill(words.for_on_call, groups=" ".join(map(group, on_call))) if on_call else ""
