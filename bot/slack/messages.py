"""The messages about a request: card, receipt, lines beside them, the answer to `status`. Pure functions."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from bot.domain.errors import Code, SlackError
from bot.domain.request import ResetRequest, Status
from bot.slack import blocks
from bot.slack.blocks import Block, Message, date, escaped, fallback, group, inline, mention
from bot.slack.payloads import Action
from bot.slack.wording import Wording, device_name

_LABELLED: Final = re.compile(r"\*([^*\n]+)\*\n(.*)")


def card(request: ResetRequest, words: Wording, on_call: Sequence[str] = ()) -> Message:
    """What approvers see; buttons only while it has to be decided. `on_call`: user groups to notify."""
    shown = [
        blocks.header(f"{words.text('product')}: {words.stage(request)}"),
        *_sections(f"{asked(request, words)} {words.status(request)}"),
        *requested(request, words),
        *_sections(words.because(request)),
        *approved(request, words),
        *_denial(request, words),
        *_decisions(request, words),
    ]
    if on_call and (request.status is Status.PENDING or request.needs_a_human):
        shown.append(blocks.context(_called(on_call, words)))
    return _message(shown)


def receipt(
    request: ResetRequest,
    words: Wording,
    *,
    reveal_for: timedelta,
    now: datetime | None = None,
    problem: Code | None = None,
    no_card: SlackError | None = None,
    first: ResetRequest | None = None,
) -> Message:
    """What the requester sees in their own direct message: the state, the answer, the next step.

    `problem`, or why there is no card in the channel: why no approver sees the request while it waits.
    `first`: the request that had the target before this one; who asked second sees where it stands. `now`:
    without it, as of the last change.
    """
    shown = [
        blocks.header(f"{words.text('product')}: {words.stage(request)}"),
        *_sections(words.status(request), words.because(request, reader=request.asked_by)),
        *_denial(request, words),
    ]
    if first is not None:
        shown += _sections(words.text("first", ref=first.ref, stands=words.stands(first)))
    if request.approval is not None:
        name = inline(device_name(request.approval.device))
        shown.append(blocks.fields((words.text("device"), name)))
    actions = _own_actions(request, words, now or request.changed_at, reveal_for)
    if request.status is Status.PENDING and (problem or no_card):
        shown += _sections(words.text(f"code.{problem}") if problem else words.no_card(no_card))
    elif request.has_passcode and not actions:
        shown += _sections(words.text(f"code.{Code.REVEAL_EXPIRED}"))
    else:
        shown += _sections(words.next_step(request, reveal_for=reveal_for))
    shown += [*actions, blocks.divider(), *requested(request, words)]
    return _message(shown)


def thread_line(request: ResetRequest, words: Wording, on_call: Sequence[str] = ()) -> Message:
    """What is said under the card: it still waits, waits again, needs a decision, or how it ended."""
    key = "reminder" if request.status is Status.PENDING and request.cause is None else "line.approvers"
    more = words.because(request) or words.status(request)
    text = words.text(key, by=mention(request.asked_by), **_stands(request, words), more=more)
    if on_call and not request.is_over:
        text = f"{text} {_called(on_call, words)}"
    return Message(fallback(text), [blocks.section(text)])


def direct_line(request: ResetRequest, words: Wording, *, reveal_for: timedelta) -> Message:
    """What is said under the receipt: how it ended, or that it needs a decision; and the next step."""
    more = words.because(request, reader=request.asked_by) or words.status(request)
    if (request.status is Status.DONE and request.cause is None) or request.needs_a_human:
        more = words.next_step(request, reveal_for=reveal_for)
    if request.has_passcode and request.cause is None:
        more = f"{more} {words.text('line.button')}"
    text = words.text("line.requester", **_stands(request, words), more=more)
    denial = _denial(request, words)
    aloud = f"{text} {words.text('denial')}: {inline(request.denial or '')}" if denial else text
    return Message(fallback(aloud), [blocks.section(text), *denial])


def _stands(request: ResetRequest, words: Wording) -> dict[str, str]:
    until = date(request.expires_at or request.changed_at)
    return {"stage": words.stage(request), "until": until, **words.names(request)}


def shortened(message: Message, request: ResetRequest, words: Wording) -> Message:
    """The message without what people and vendors wrote: headline, number, state, buttons."""
    kept = [block for block in message.blocks if block["type"] in ("header", "actions")]
    text = words.text("shortened", ref=request.ref, status=words.status(request))
    return Message(f"{words.stage(request)}. {text}", [kept[0], blocks.section(text), *kept[1:]])


def recent(
    requests: Sequence[ResetRequest], words: Wording, *, now: datetime, reveal_for: timedelta, total: int
) -> Message:
    """The requester's latest requests, newest first, each with what can be pressed in its receipt."""
    key = "recent.latest" if total > len(requests) else "recent" if requests else "recent.none"
    lines = [words.text(key, shown=str(len(requests)), total=str(total))]
    shown = [blocks.section(lines[0])]
    for request in requests:
        lines.append(words.text("recent.line", stands=words.stands(request), **words.names(request)))
        shown += [blocks.section(lines[-1]), *_own_actions(request, words, now, reveal_for)]
    return Message(fallback("\n".join(lines)), shown)


# Blocks that modals share


def asked(request: ResetRequest, words: Wording) -> str:
    return words.text("asked", by=mention(request.asked_by), at=date(request.asked_at))


def requested(request: ResetRequest, words: Wording) -> list[Block]:
    """Whose device, the request's number, the ticket, the reason."""
    pairs = [(words.text("for"), words.target(request.target)), (words.text("number"), request.ref)]
    if request.ticket:
        pairs.append((words.text("ticket"), inline(request.ticket)))
    return [blocks.fields(*pairs), blocks.paragraph(words.text("reason"), request.reason)]


def approved(request: ResetRequest, words: Wording) -> list[Block]:
    """Which device, as whom; what the reset does, until it is over."""
    approval = request.approval
    if approval is None:
        return []
    name, account = inline(device_name(approval.device)), inline(approval.username)
    shown = [blocks.fields((words.text("device"), name), (words.text("runs_as"), account))]
    if not request.is_over:
        shown.append(blocks.section(words.text("effect", effect=words.effect(approval.effect))))
    return shown


def _sections(*sentences: str) -> list[Block]:
    return [blocks.section(sentence) for sentence in sentences if sentence]


def _denial(request: ResetRequest, words: Wording) -> list[Block]:
    return [blocks.paragraph(words.text("denial"), request.denial)] if request.denial else []


def _own_actions(request: ResetRequest, words: Wording, now: datetime, reveal_for: timedelta) -> list[Block]:
    if request.waits_for_sign_in:
        return [blocks.actions(_button(Action.LINK, "link", request, words, style="primary"))]
    if request.status is Status.PENDING:
        return [blocks.actions(_button(Action.WITHDRAW, "withdraw", request, words))]
    if (ends := request.reveal_ends(reveal_for)) is not None and now < ends:
        show = _button(Action.SHOW_PASSCODE, "show_passcode", request, words, style="primary")
        return [blocks.actions(show)]
    return []


def _decisions(request: ResetRequest, words: Wording) -> list[Block]:
    look = [_button(Action.LOOK, "look", request, words)] if request.can_be_looked_at else []
    if request.needs_a_human:
        again = _button(Action.APPROVE, "try_again", request, words, style="danger")
        texts = ("give_up.title", "give_up.text", "give_up.submit", "give_up.cancel")
        asked_first = blocks.confirmation(*map(words.text, texts))
        close = _button(Action.CLOSE, "give_up", request, words) | {"confirm": asked_first}
        return [blocks.actions(*look, again, close)]
    if request.status is not Status.PENDING:
        return [blocks.actions(*look)] if look else []
    approve = _button(Action.APPROVE, "approve", request, words, style="primary")
    return [blocks.actions(approve, _button(Action.DENY, "deny", request, words, style="danger"))]


def _button(action: Action, key: str, request: ResetRequest, words: Wording, *, style: str = "") -> Block:
    label = words.text(f"{key}.label", ref=request.ref, target=escaped(words.spoken(request.target)))
    return blocks.button(words.text(key), action_id=action, label=label, value=request.id, style=style)


def _called(on_call: Sequence[str], words: Wording) -> str:
    return words.text("on_call", groups=" ".join(map(group, on_call)))


def _message(shown: Sequence[Block]) -> Message:
    """Add all that the blocks show as one text, the state first: a screen reader reads no block."""
    texts = []
    for block in shown:
        for found in map(block.get, ("text", "fields", "elements")):
            for part in found if isinstance(found, list) else [found]:
                match part:
                    case {"type": "plain_text" | "mrkdwn", "text": str(text)}:
                        labelled = _LABELLED.fullmatch(text)
                        texts.append(f"{labelled[1]}: {labelled[2].rstrip('.')}." if labelled else text)
    texts[0] += "."  # the headline
    return Message(fallback(" ".join(texts)), shown)
