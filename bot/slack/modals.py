"""The modals. Pure: values in, a view out."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from bot.domain.device import Device
from bot.domain.errors import Cause, RecentlyReset
from bot.domain.request import MAX_REASON, MAX_TICKET, ResetRequest, Status
from bot.domain.target import MAX_TARGET
from bot.domain.values import DeviceId, RequestId, Secret, dig
from bot.slack import blocks
from bot.slack.blocks import Block, View, cut, date, escaped, inline, input_block, labelled
from bot.slack.messages import approved as approval_blocks
from bot.slack.messages import asked, requested
from bot.slack.payloads import Action, Callback, Field, private_metadata
from bot.slack.typed import NOTHING, Typed
from bot.slack.wording import Wording, device_name, model_of, system_of
from bot.use_cases.review import Choice, Review

OFFLINE_AFTER: Final = timedelta(hours=8)
"""Intune's devices check in about every eight hours."""
_MAX_DETAILED: Final = 20
_FACT: Final = 300
"""Characters of each fact that Intune tells: with 20 devices a modal stays far below Slack's 250 kB."""


def message(title: str, sentence: str, words: Wording) -> View:
    """One sentence, and nothing to do but close."""
    return blocks.modal(title, [blocks.section(sentence)], close=words.text("close"))


def sentence(view: View) -> str:
    """Return the first sentence of a modal, for where it cannot be shown."""
    return str(dig(view, "blocks", 0, "text", "text") or "")


def loading(what: str, words: Wording) -> View:
    """Opened at once and filled in a moment, since a trigger lives for three seconds."""
    return message(words.text("loading.title"), words.text(f"loading.{what}"), words)


def ask_form(words: Wording, typed: Typed = NOTHING, *, notice: str = "") -> View:
    """The form to request a reset; `notice` says what was wrong with what is filled in already."""
    placeholder = words.text("ask.target.placeholder")
    mention = typed.target[:MAX_TARGET] if typed.target.startswith("<@") else ""
    whose = blocks.text_input(MAX_TARGET, typed.shown, placeholder=placeholder)
    why = blocks.text_input(MAX_REASON, typed.reason, multiline=True)
    shown = [
        *([blocks.section(notice)] if notice else []),
        input_block(Field.TARGET, words.text("ask.target"), whose, hint=words.text("ask.target.hint")),
        input_block(Field.REASON, words.text("ask.reason"), why, hint=words.text("ask.reason.hint")),
        input_block(Field.TICKET, words.text("ask.ticket"), blocks.text_input(MAX_TICKET), optional=True),
    ]
    return _form("ask", shown, words, Callback.ASK, mention)


def deny_form(request: ResetRequest, words: Wording, denial: str = "", *, notice: str = "") -> View:
    """Why it is denied, which the requester reads; `notice`: why what is filled in was not taken."""
    why = blocks.text_input(MAX_REASON, denial, multiline=True)
    shown = [
        *([blocks.section(notice)] if notice else []),
        blocks.section(asked(request, words)),
        *requested(request, words),
        input_block(Field.DENIAL, words.text("deny.reason"), why, hint=words.text("deny.reason.hint")),
    ]
    return _form("deny", shown, words, Callback.DENY, private_metadata(request.id, request.revision))


def reset_again_form(
    request_id: RequestId, revision: int, device: DeviceId, recent: RecentlyReset, words: Wording
) -> View:
    """The device was reset a few minutes ago: reset it again only if that is meant."""
    box: Block = {"type": "checkboxes", "options": [blocks.option(words.text("again.option"), device)]}
    meant = input_block(Field.DEVICE, words.text("again.confirm"), box)
    shown = [blocks.section(words.error(recent)), meant]
    metadata = private_metadata(request_id, revision)
    return _form("again", shown, words, Callback.AGAIN, metadata, title=words.title(recent))


def sign_in(url: str, why: str, words: Wording, *, lifetime: timedelta, title: str = "") -> View:
    """The way to Microsoft; the same modal continues after the sign-in. `title`: of a refusal."""
    text, label = words.text("sign_in.again" if title else "sign_in.button"), words.text("sign_in.label")
    button = blocks.button(text, action_id=Action.SIGN_IN, label=label, url=url, style="primary")
    link = words.text("sign_in.link", minutes=str(lifetime // timedelta(minutes=1)))
    shown = [blocks.section(why), blocks.actions(button), blocks.context(link)]
    return blocks.modal(title or words.text("sign_in.title"), shown, close=words.text("close"))


def approved(request: ResetRequest, words: Wording) -> View:
    """The approval is stored; where it went on meanwhile, how. Everything later is on the card."""
    stored = request.status is Status.APPROVED
    shown = [blocks.section(words.text("approved") if stored else words.status(request))]
    shown += approval_blocks(request, words)
    return blocks.modal(words.text("approved.title"), shown, close=words.text("close"))


def passcode(request: ResetRequest, code: Secret, words: Wording) -> View:
    """The new passcode. Nothing in here can be pressed or submitted: Slack would send the content back."""
    approval = request.approval
    spelled = " · ".join(_spelled(character, words) for character in code.reveal())
    shown = [blocks.preformatted(code), blocks.paragraph(words.text("passcode.spelled"), spelled)]
    if approval is not None:
        use = words.text(f"effect.{approval.effect}.use", device=inline(approval.device.name))
        shown.append(blocks.section(use))
    shown.append(blocks.context(words.text("passcode.logged")))
    return blocks.modal(words.text("passcode.title"), shown, close=words.text("close"))


def _spelled(character: str, words: Wording) -> str:
    """A character as one says it: 4, capital B, small k, number sign."""
    if character.isalpha():
        return words.text("passcode.capital" if character.isupper() else "passcode.small", letter=character)
    return character if character.isdigit() else unicodedata.name(character, character).lower()


# The review


def review_form(review: Review, words: Wording) -> View:
    """Who asks and why, what will happen, as whom, on which device; then more about the devices."""
    request, possible = review.request, review.resettable
    impossible = [choice.effect for choice in review.choices if isinstance(choice.effect, Cause)]
    whose = words.text("review.for", target=words.target(request.target))
    shown = [blocks.section(f"{asked(request, words)} {whose}")]
    if not 0 < len(possible) <= blocks.MAX_OPTIONS:
        shown.append(blocks.section(words.text("review.too_many", count=str(len(review.choices)))))
        return blocks.modal(words.text("review.title"), shown, close=words.text("close"))
    if request.needs_a_human:
        shown.append(blocks.section(words.status(request)))
    if len(possible) == 1:
        shown.append(blocks.section(words.text("effect", effect=words.effect(possible[0].effect))))
    shown += [
        blocks.section(words.text("review.runs_as", account=inline(review.account.username))),
        *_warnings(review, words),
        input_block(Field.DEVICE, words.text("review.device"), _choices(possible, words)),
        *requested(request, words),
    ]
    for choice in possible[:_MAX_DETAILED]:
        shown += [blocks.divider(), _details(choice, len(possible), review, words)]
    if len(possible) > _MAX_DETAILED:
        shown.append(blocks.context(words.text("review.details_left_out", count=str(_MAX_DETAILED))))
    for cause in impossible[:_MAX_DETAILED]:
        shown.append(blocks.context(words.text("review.not_possible", why=words.cause(cause))))
    if left := len(impossible[_MAX_DETAILED:]):
        shown.append(blocks.context(words.text("review.not_shown", count=str(left))))
    return _form("review", shown, words, Callback.APPROVE, private_metadata(request.id, request.revision))


def _choices(possible: Sequence[Choice], words: Wording) -> Block:
    """A single device is chosen already; of several none is, so that nobody approves the first by habit."""
    alike = Counter(_named(choice.device) for choice in possible)
    serials: set[str] = set()
    options = []
    for choice in possible:
        device, name = choice.device, _named(choice.device)
        if alike[name] > 1:
            name = f"{cut(name, blocks.BUTTON_LIMIT - 8)} (…{escaped(device.id[-4:])})"
        about = words.text(f"effect.{choice.effect}.short")
        if len(possible) > 1:
            online = words.text("review.offline")
            if device.last_sync_at:  # Slack shows no time in the reader's zone here
                online = words.text("review.online", at=f"{device.last_sync_at:%Y-%m-%d %H:%M} UTC")
            about = f"{online}; {words.text('review.older') if device.serial in serials else about}"
        serials |= {device.serial} - {""}
        options.append(blocks.option(name, device.id, about))
    if len(options) > blocks.MAX_RADIO_BUTTONS:
        placeholder = blocks.plain(words.text("review.device.placeholder"), blocks.HEADER_LIMIT)
        return {"type": "static_select", "options": options, "placeholder": placeholder}
    radios: Block = {"type": "radio_buttons", "options": options}
    return radios | ({"initial_option": options[0]} if len(options) == 1 else {})


def _named(device: Device) -> str:
    named = filter(None, (device.name, device.serial, device.model))
    return cut(escaped(", ".join(named)), blocks.BUTTON_LIMIT)


def _warnings(review: Review, words: Wording) -> list[Block]:
    """What is not as it looks: a list that was cut, a device that Intune names somebody else's."""
    shown = [] if review.found.complete else [blocks.context(words.text("review.cut"))]
    for choice in review.resettable[:_MAX_DETAILED]:
        if choice.device.listed_for:
            names = {"device": inline(choice.device.name), "owner": inline(_owner(choice.device, words))}
            shown.append(blocks.context(words.text("review.other_owner", **names)))
    return shown


def _owner(device: Device, words: Wording) -> str:
    owner = " ".join(filter(None, (device.owner_name, device.owner_upn or device.owner_email)))
    return owner or words.text("review.unknown")


def _details(choice: Choice, of: int, review: Review, words: Wording) -> Block:
    """What Intune says of one device; of several, also what a reset does to this one."""
    device = choice.device
    # The row changes with every reminder, so its own time is close enough to now to tell an offline device.
    at, seen = device.last_sync_at, words.text("review.last_seen.never")
    if at is not None:
        is_late = review.request.changed_at - at > OFFLINE_AFTER
        seen = words.text("review.last_seen.long_ago", at=date(at)) if is_late else date(at)
    facts = [labelled(label, inline(fact, _FACT)) for label, fact in _facts(device, words)]
    facts.insert(0, labelled(words.text("review.last_seen"), seen))
    if device.enrolled_at is not None:
        facts.append(labelled(words.text("review.enrolled"), date(device.enrolled_at)))
    effect = words.text("effect", effect=words.effect(choice.effect))
    text = words.text("review.more") if of == 1 else f"*{inline(device_name(device), _FACT)}*\n{effect}"
    return blocks.section(text, facts)


def _facts(device: Device, words: Wording) -> list[tuple[str, str]]:
    kinds = {"ownership": device.ownership, "enrollment": device.enrollment, "state": device.management_state}
    managed = [words.enum(name, value) for name, value in kinds.items()]
    facts = {
        "device": device.name,
        "review.owner": _owner(device, words),
        "review.system": system_of(device),
        "review.model": model_of(device),
        "review.serial": device.serial,
        "review.compliance": words.enum("compliance", device.compliance),
        "review.management": ", ".join(filter(None, managed)),
    }
    return [(words.text(key), fact or words.text("review.unknown")) for key, fact in facts.items()]


def _form(
    name: str, shown: Sequence[Block], words: Wording, callback: Callback, metadata: str, title: str = ""
) -> View:
    title, submit = title or words.text(f"{name}.title"), words.text(f"{name}.submit")
    about = {"callback_id": str(callback), "private_metadata": metadata}
    return blocks.modal(title, shown, close=words.text("cancel"), submit=submit, **about)
