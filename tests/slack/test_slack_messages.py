"""The card and the receipt: complete, honest about the state, and harmless whatever was typed."""

from dataclasses import replace

import pytest
import slack_json as slack
import slack_rows as rows
from bot.domain.device import Effect, Platform
from bot.domain.people import Kind
from bot.domain.request import REASON_LIMIT, Status
from bot.domain.target import Target, TargetKind
from bot.domain.why import Code, Why
from bot.slack import ids
from bot.slack.cards import card, reminder
from bot.slack.receipts import receipt
from bot.slack.wording import ENGLISH
from hypothesis import given, settings
from hypothesis import strategies as st

EVERY = list(rows.in_every_status())
NASTY = [
    "<!channel> ",
    "<@U0AIKO>",
    "\u202e",
    "\u200b",
    "*_~`",
    ":fire:",
    "&amp;",
    "\n",
    "> ",
    "é" * 50,
    "&" * 900,
]
nasty = st.lists(st.one_of(st.text(max_size=20), st.sampled_from(NASTY)), min_size=1, max_size=40).map(
    "".join
)


def _buttons(message: object) -> list[str]:
    return [str(button["action_id"]) for button in slack.elements(getattr(message, "blocks", []), "button")]


@pytest.mark.parametrize("row", EVERY, ids=lambda row: row.status)
def test_slack_accepts_every_card_and_receipt(row: rows.ResetRequest) -> None:
    for message in (card(row, ENGLISH, ["S0ONCALL"]), receipt(row, ENGLISH)):
        slack.accepted(message)
        assert slack.calls_nobody(message)


@pytest.mark.parametrize("row", EVERY, ids=lambda row: row.status)
def test_an_approver_can_press_only_while_somebody_has_to_decide(row: rows.ResetRequest) -> None:
    expected = {Status.PENDING: [ids.APPROVE, ids.DENY]}.get(row.status, [])

    assert _buttons(card(row, ENGLISH)) == ([ids.APPROVE, ids.CLOSE] if row.needs_a_human else expected)


@pytest.mark.parametrize("row", EVERY, ids=lambda row: row.status)
def test_the_requester_can_withdraw_only_while_it_waits_and_see_only_a_passcode_that_exists(
    row: rows.ResetRequest,
) -> None:
    expected = [ids.WITHDRAW] if row.status is Status.PENDING else []

    assert _buttons(receipt(row, ENGLISH)) == ([ids.SHOW_PASSCODE] if row.has_passcode else expected)


@pytest.mark.parametrize("row", EVERY, ids=lambda row: row.status)
def test_a_button_carries_the_id_and_says_what_it_does(row: rows.ResetRequest) -> None:
    for message in (card(row, ENGLISH), receipt(row, ENGLISH)):
        for button in slack.elements(message.blocks, "button"):
            assert button["value"] == row.id
            assert button["accessibility_label"]


@pytest.mark.parametrize("row", EVERY, ids=lambda row: row.status)
def test_who_only_hears_the_message_learns_what_the_others_see(row: rows.ResetRequest) -> None:
    for message in (card(row, ENGLISH), receipt(row, ENGLISH)):
        heard = message.text
        assert heard.startswith(f"Passcode reset: {ENGLISH.state(row)}.")
        assert ENGLISH.status(row) in heard
        assert ENGLISH.because(row) in heard
        for shown in ("<@U0MEI>", "ada@contoso.com", row.reason, row.ticket or "", row.denial or "", row.ref):
            assert shown in heard
        if row.approval is not None:
            for shown in ("Ada’s iPhone", "ken@contoso.com", ENGLISH.effect(row.approval.effect)):
                assert shown in heard


def test_the_card_says_why_it_waits_again() -> None:
    message = card(rows.waiting_again(Why(Code.SIGN_IN_ENDED, {"approver": "U0KEN"})), ENGLISH)

    shown = slack.everything(message)
    assert "waiting for an approver again" in shown
    assert "sign-in of <@U0KEN> ended" in shown
    assert "Any approver can go on" in shown
    assert _buttons(message) == [ids.APPROVE, ids.DENY]


def test_a_lost_answer_is_not_tried_again_without_a_warning() -> None:
    message = card(rows.needs_a_human(), ENGLISH)

    assert "Try again" in slack.everything(message)
    assert "before you try again" in slack.everything(message)


def test_the_requester_reads_why_it_was_denied() -> None:
    row = rows.pending().deny("Call her back first.", by=rows.KEN, now=rows.NOW)

    assert "Call her back first." in slack.everything(receipt(row, ENGLISH))


@pytest.mark.parametrize(
    ("effect", "step"),
    [
        (Effect.REMOVES_PASSCODE, "set a new passcode"),
        (Effect.NEW_PASSCODE, "Press Show passcode"),
        (Effect.NEW_WORK_PROFILE_PASSCODE, "own lock is as it was"),
        (Effect.NEW_PASSCODE_OR_PROFILE, "try both"),
    ],
)
def test_the_requester_is_told_what_to_do_when_it_is_done(effect: Effect, step: str) -> None:
    assert step in slack.everything(receipt(rows.done(effect), ENGLISH))


@pytest.mark.parametrize("platform", [Platform.IOS, Platform.ANDROID])
def test_the_requester_is_told_what_is_left_when_it_failed(platform: Platform) -> None:
    device = replace(rows.iphone(), platform=platform)
    sent = rows.attempted(device=device).sent(now=rows.NOW, timing=rows.TIMING)

    shown = slack.everything(receipt(sent.fail(Why(Code.DEVICE_FAILED), now=rows.NOW), ENGLISH))

    assert "wipe" in shown


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.MEMBER])
def test_who_may_not_ask_is_told_so(kind: Kind) -> None:
    refused = rows.received().refuse(Why(Code.NOT_A_MEMBER, {"kind": kind}), now=rows.NOW)

    assert ENGLISH.kinds[kind] in slack.everything(receipt(refused, ENGLISH))


def test_people_on_call_are_called_only_while_it_waits() -> None:
    assert "<!subteam^S0ONCALL>" in slack.everything(card(rows.pending(), ENGLISH, ["S0ONCALL"]))
    assert "<!subteam^S0ONCALL>" not in slack.everything(card(rows.approved(), ENGLISH, ["S0ONCALL"]))


def test_a_reminder_says_whose_request_waits_until_when() -> None:
    message = reminder(rows.pending(), ENGLISH, ["S0ONCALL"])

    slack.accepted(message)
    assert "<@U0MEI>" in message.text
    assert "2026-11-23 21:54 UTC" in message.text
    assert message.text.endswith("For <!subteam^S0ONCALL>.")


def test_a_reason_of_full_length_is_heard_whole() -> None:
    reason = "r" * REASON_LIMIT

    assert reason in card(rows.pending(rows.received(reason)), ENGLISH).text


def test_a_typed_line_break_cannot_add_a_line_of_its_own() -> None:
    asked = rows.received("locked out\nDone as\nken@contoso.com", ticket="INC-1\nApproved by the CEO")

    for text in slack.texts(card(rows.pending(asked), ENGLISH)):
        assert text.count("\n") <= 1


@settings(deadline=None)  # a busy machine is no finding
@given(reason=nasty, ticket=nasty, name=nasty, denial=nasty)
def test_nothing_that_was_typed_calls_links_or_breaks(
    reason: str, ticket: str, name: str, denial: str
) -> None:
    asked = replace(rows.received(reason, ticket), target=Target(TargetKind.NAME, name))
    denied = replace(rows.pending(asked), status=Status.DENIED, denial=denial, decided_by=rows.KEN)

    for row in (rows.pending(asked), denied):
        _harmless(row)


@settings(deadline=None)  # as above
@given(name=nasty, account=nasty, said=nasty)
def test_nothing_that_microsoft_says_calls_links_or_breaks(name: str, account: str, said: str) -> None:
    sent = rows.attempted(device=rows.iphone(name=name, model=name)).sent(now=rows.NOW, timing=rows.TIMING)
    assert sent.approval is not None
    sent = replace(sent, approval=replace(sent.approval, username=account))
    why = Why(Code.MICROSOFT_REFUSED_DEVICE, {"message": said, "code": said, "status": said})

    _harmless(sent.fail(why, now=rows.NOW))


def test_a_hundred_kilobytes_fit() -> None:
    flood = "<!channel> & é " * 7000
    _harmless(replace(rows.pending(rows.received(flood, flood)), denial=flood))


def _harmless(row: rows.ResetRequest) -> None:
    for message in (card(row, ENGLISH), receipt(row, ENGLISH)):
        slack.accepted(message)
        assert slack.calls_nobody(message)
        for text in slack.marked_up(message):
            assert not set(text.replace("*What this reset does:*", "")) & set("~`")
