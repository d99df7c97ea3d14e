"""The window in which an approver reviews the device before deciding."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from bot.domain.device import Device, Effect
from bot.domain.why import Why
from bot.resets.review import Choice, Review
from bot.slack import ids, parts
from bot.slack.about import About
from bot.slack.message import Block, View
from bot.slack.text import FIELD_LIMIT, LABEL_LIMIT, at, cut, escaped, inline, mention, mrkdwn, plain
from bot.slack.windows import form, input_block, window
from bot.slack.wording import Wording

QUIET: Final = timedelta(hours=8)
"""Intune's devices check in about every eight hours."""
_MOST_RADIOS: Final = 10
_MOST_OPTIONS: Final = 100
_MOST_DETAILED: Final = 20
_FACT_LIMIT: Final = 300
"""Of what Intune says of a device: with 20 devices a window stays far below Slack's 250 kB."""


def review_form(review: Review, words: Wording) -> View:
    """Who asks and why, the device, what will happen, and as whom. Several devices: one has to be chosen."""
    possible = [choice for choice in review.choices if isinstance(choice.effect, Effect)]
    impossible = [choice for choice in review.choices if isinstance(choice.effect, Why)]
    asked = words.fill(words.asks, by=mention(review.requester.id), asked=at(review.request.asked_at))
    top = [parts.said(asked), *parts.asked_for(review.request, words)]
    if not 0 < len(possible) <= _MOST_OPTIONS:
        return window(words.review_title, [*top, _too_many(len(review.choices), words)], words)
    blocks: list[Block] = [
        *top,
        *_details(possible, review, words),
        *_not_possible(impossible, words),
        {"type": "divider"},
        input_block(ids.DEVICE, words.choose_device, _choices(possible, words)),
        parts.said(words.fill(words.done_as, account=inline(review.account.username))),
    ]
    return form(
        words.review_title,
        blocks,
        words,
        callback=ids.APPROVE_FORM,
        submit=words.review_submit,
        about=About(review.request.id, review.request.round),
    )


def _too_many(count: int, words: Wording) -> Block:
    return parts.said(words.fill(words.too_many, count=str(count)))


def _details(possible: Sequence[Choice], review: Review, words: Wording) -> list[Block]:
    # The row changes with every reminder, so its own time is close enough to now to tell a silent device.
    now = review.request.changed_at
    shown: list[Block] = []
    for choice in possible[:_MOST_DETAILED]:
        shown += [{"type": "divider"}, _device(choice, now, words)]
    if len(possible) > _MOST_DETAILED:
        shown.append(parts.small(words.fill(words.details_left_out, count=str(_MOST_DETAILED))))
    return shown


def _device(choice: Choice, now: datetime, words: Wording) -> Block:
    """What will happen in bold, then the device."""
    effect = words.fill(words.what_happens, effect=words.outcome(choice.effect))
    seen = mrkdwn(f"*{words.last_seen}*\n{_last_seen(choice.device, now, words)}", FIELD_LIMIT)
    first, *rest = [
        parts.labelled(label, value, _FACT_LIMIT) for label, value in _facts(choice.device, words)
    ]
    return {
        "type": "section",
        "text": mrkdwn(effect),
        "fields": [first, seen, *rest],
    }


def _facts(device: Device, words: Wording) -> list[tuple[str, str]]:
    owner = " ".join(filter(None, (device.owner_name, device.owner_upn or device.owner_email)))
    made = " ".join(filter(None, (device.manufacturer, device.model)))
    belongs = words.personal if device.personal else words.corporate
    return [
        (words.device, device.name),
        (words.owner, owner or words.unknown),
        (words.system, words.system_of(device)),
        (words.model, made or words.unknown),
        (words.serial, device.serial or words.unknown),
        (words.compliance, device.compliance or words.unknown),
        (words.management, ", ".join(filter(None, (belongs, device.enrollment, device.management_state)))),
    ]


def _last_seen(device: Device, now: datetime, words: Wording) -> str:
    if device.last_sync_at is None:
        return words.never_seen
    seen = at(device.last_sync_at)
    return words.fill(words.long_ago, seen=seen) if now - device.last_sync_at > QUIET else seen


def _not_possible(impossible: Sequence[Choice], words: Wording) -> list[Block]:
    shown = [
        parts.small(words.fill(words.cannot_be_reset, why=words.outcome(choice.effect)))
        for choice in impossible[:_MOST_DETAILED]
    ]
    left = len(impossible) - len(shown)
    return [*shown, parts.small(words.fill(words.and_more, count=str(left)))] if left else shown


def _choices(possible: Sequence[Choice], words: Wording) -> Block:
    """A single device is chosen already; of several none is, so that nobody approves the first by habit."""
    options = [_option(choice, words) for choice in possible]
    if len(options) > _MOST_RADIOS:
        placeholder = plain(words.choose_placeholder, LABEL_LIMIT)
        return {"type": "static_select", "options": options, "placeholder": placeholder}
    radios: Block = {"type": "radio_buttons", "options": options}
    return radios | ({"initial_option": options[0]} if len(options) == 1 else {})


def _option(choice: Choice, words: Wording) -> Block:
    device = choice.device
    short = words.effects_in_short[choice.effect] if isinstance(choice.effect, Effect) else ""
    name = escaped(", ".join(filter(None, (device.name, device.serial, device.model))))
    return {
        "text": plain(name, LABEL_LIMIT),
        "value": cut(device.id, 150),
        "description": plain(short, LABEL_LIMIT),
    }
