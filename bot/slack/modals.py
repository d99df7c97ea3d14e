"""The windows. Pure: values in, a view out."""

import unicodedata

from bot.domain.errors import RecentlyReset
from bot.domain.identifiers import DeviceId, UserId
from bot.domain.people import Account
from bot.domain.request import REASON_LIMIT, TICKET_LIMIT, ResetRequest, Status
from bot.domain.secret import Secret
from bot.domain.target import LONGEST
from bot.ports import Invitation
from bot.slack import ids, parts
from bot.slack.about import About
from bot.slack.message import Block, View
from bot.slack.reviewing import review_form
from bot.slack.text import LABEL_LIMIT, at, cut, inline, mention, plain
from bot.slack.windows import form, input_block, line, lines, window
from bot.slack.wording import Wording

__all__ = [
    "again_form",
    "approved",
    "ask_form",
    "deny_form",
    "loading",
    "passcode",
    "review_form",
    "sign_in",
    "signed_in",
    "told",
]


def ask_form(
    words: Wording, *, target: str = "", reason: str = "", ticket: str = "", notice: str | None = None
) -> View:
    """The form to ask with; `notice` says what was wrong with what is filled in already."""
    whose = line(LONGEST, target, words.target_placeholder)
    blocks = [
        *([parts.said(notice)] if notice else []),
        input_block(ids.TARGET, words.target_label, whose, hint=words.target_hint),
        input_block(ids.REASON, words.reason_label, lines(REASON_LIMIT, reason), hint=words.reason_hint),
        input_block(ids.TICKET, words.ticket_label, line(TICKET_LIMIT, ticket), optional=True),
    ]
    return form(words.ask_title, blocks, words, callback=ids.ASK_FORM, submit=words.ask_submit)


def deny_form(request: ResetRequest, words: Wording) -> View:
    """Why it is denied, which the requester reads."""
    asked = words.fill(words.asks, by=mention(request.asked_by), asked=at(request.asked_at))
    blocks = [
        parts.said(asked),
        *parts.asked_for(request, words),
        input_block(ids.DENIAL, words.denial_label, lines(REASON_LIMIT), hint=words.denial_hint),
    ]
    return form(
        words.deny_title,
        blocks,
        words,
        callback=ids.DENY_FORM,
        submit=words.deny_submit,
        about=About(request.id, request.round),
    )


def again_form(about: About, device: DeviceId, recent: RecentlyReset, words: Wording) -> View:
    """The device was reset a few minutes ago: say so, and go on only if that is meant."""
    option: Block = {"text": plain(words.again_choice, LABEL_LIMIT), "value": cut(device, 150)}
    meant: Block = {"type": "radio_buttons", "options": [option]}
    blocks = [
        parts.said(words.refusal(recent)),
        input_block(ids.DEVICE, words.again_label, meant),
    ]
    return form(
        words.again_title,
        blocks,
        words,
        callback=ids.AGAIN_FORM,
        submit=words.again_submit,
        about=about,
    )


def loading(words: Wording) -> View:
    """Opened at once, filled in a moment: Slack's trigger lives for three seconds."""
    return window(words.loading_title, [parts.said(words.loading)], words)


def told(title: str, sentence: str, words: Wording) -> View:
    """One sentence, and nothing to do but close."""
    return window(title, [parts.said(sentence)], words)


def sign_in(invitation: Invitation, user: UserId, why: str, words: Wording) -> View:
    """The way to Microsoft; this window goes on by itself when the person has signed in."""
    button = parts.button(
        words.sign_in_button,
        action=ids.SIGN_IN,
        reads=words.sign_in_label,
        style="primary",
        url=invitation.url,
    )
    code = invitation.code
    typed = [] if code is None else _code(code, user, words)
    warning = words.sign_in_link_life if code is None else words.sign_in_code_warning
    blocks = [parts.said(why), *typed, parts.actions(button), parts.small(warning)]
    return window(words.sign_in_title, blocks, words)


def _code(code: Secret, user: UserId, words: Wording) -> list[Block]:
    """The code to type at Microsoft, and whom it signs in."""
    sentence = words.fill(words.sign_in_code, person=mention(user))
    return [parts.said(sentence), _verbatim(code)]


def signed_in(account: Account, words: Wording) -> View:
    """The sign-in is done."""
    return told(words.signed_in_title, words.fill(words.signed_in, account=inline(account.username)), words)


def approved(request: ResetRequest, words: Wording) -> View:
    """The approval is stored; where it went on meanwhile, how. The rest is shown on the card."""
    stored = request.status is Status.APPROVED
    blocks = [parts.said(words.approved if stored else words.status(request))]
    if request.approval is not None:
        blocks += parts.carried_out(request.approval, words)
    return window(words.approved_title, blocks, words)


def passcode(request: ResetRequest, code: Secret, words: Wording) -> View:
    """The new passcode. Nothing in here can be pressed or sent: Slack would send the content along."""
    blocks: list[Block] = [
        _verbatim(code),
        parts.typed(words.passcode_spelled, _spelled(code.reveal(), words)),
        parts.said(words.passcode_use(request)),
        parts.small(words.passcode_recorded),
    ]
    return window(words.passcode_title, blocks, words)


def _verbatim(code: Secret) -> Block:
    """A secret as it is, in a box of its own."""
    text: Block = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": code.reveal()}]}
    return {"type": "rich_text", "elements": [text]}


def _spelled(code: str, words: Wording) -> str:
    """A passcode for the phone: 4 · 7 · capital B · small k · number sign."""
    return " · ".join(_spoken(character, words) for character in code)


def _spoken(character: str, words: Wording) -> str:
    if character.isalpha():
        sentence = words.capital if character.isupper() else words.small
        return words.fill(sentence, letter=character)
    return character if character.isdigit() else unicodedata.name(character, character).lower()
