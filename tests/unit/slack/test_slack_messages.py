"""The card and the receipt: complete, honest about the state, and harmless whatever was typed."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from bot.domain.errors import Cause, Code
from bot.domain.request import MAX_REASON, ResetRequest, Status
from bot.domain.target import Target, TargetKind
from bot.slack.blocks import NOTHING, Message
from bot.slack.messages import card, receipt, thread_line
from bot.slack.payloads import Action
from bot.slack.wording import ENGLISH
from hypothesis import given, settings
from tests.support.builders import KEN, MEI, a_request
from tests.unit.slack.rows import EVERY, IPHONE, done, failed, pending
from tests.unit.slack.shown import buttons, check_accepted, check_harmless, elements, everything, nasty, texts

HOUR = timedelta(hours=1)
every_row = pytest.mark.parametrize("row", EVERY, ids=lambda row: row.status)


def a_receipt(row: ResetRequest) -> Message:
    return receipt(row, ENGLISH, reveal_for=HOUR)


def check(row: ResetRequest) -> None:
    for message in (card(row, ENGLISH, ["S0ONCALL"]), a_receipt(row)):
        check_accepted(message)
        check_harmless(message)


@every_row
def test_buttons_are_there_only_while_they_can_be_pressed_and_say_what_they_do(row: ResetRequest):
    decide = [Action.APPROVE, Action.DENY] if row.status is Status.PENDING else []
    own = [Action.WITHDRAW] if row.status is Status.PENDING else [Action.LINK] * row.waits_for_sign_in
    decide = [Action.APPROVE, Action.CLOSE] if row.needs_a_human else decide
    assert buttons(card(row, ENGLISH)) == [Action.LOOK] * row.can_be_looked_at + decide
    assert buttons(a_receipt(row)) == ([Action.SHOW_PASSCODE] if row.has_passcode else own)
    for button in [*elements(card(row, ENGLISH), "button"), *elements(a_receipt(row), "button")]:
        assert button["value"] == row.id
        assert row.ref in str(button["accessibility_label"])
        assert NOTHING not in str(button["accessibility_label"])


@every_row
def test_a_screen_reader_reads_the_state_first_and_all_that_the_blocks_show(row: ResetRequest):
    for message in (card(row, ENGLISH), a_receipt(row)):
        read = message.text
        assert read.startswith(f"Passcode reset: {ENGLISH.stage(row)}. ")
        for block in elements(message, "mrkdwn"):
            label, _, value = str(block["text"]).rpartition("\n")
            assert value in read
            assert label.strip("*") in read


@every_row
def test_both_messages_are_accepted_and_show_the_request_and_what_became_of_it(row: ResetRequest):
    check(row)
    in_card, in_receipt = everything(card(row, ENGLISH, ["S0ONCALL"])), everything(a_receipt(row))
    assert "Requested by <@U0MEI>" in in_card
    assert ("<!subteam^S0ONCALL>" in in_card) is (row.status is Status.PENDING or row.needs_a_human)
    for shown in (in_card, in_receipt):
        assert NOTHING not in shown
        for told in (ENGLISH.status(row), ENGLISH.because(row), ENGLISH.target(row.target)):
            assert told in shown
        for typed in (row.ref, row.reason, row.ticket or "", row.denial or ""):
            assert typed in shown
        assert row.approval is None or row.approval.device.name in shown
    assert ENGLISH.next_step(row, reveal_for=HOUR) in in_receipt
    if row.approval is not None:
        assert "ken@contoso.com" in in_card
        assert (ENGLISH.effect(row.approval.effect) in in_card) is not row.is_over


def test_a_lost_answer_is_not_tried_again_without_a_warning_nor_closed_without_a_question():
    row = a_request(Status.UNCERTAIN, cause=Cause(Code.NO_ANSWER))
    shown = everything(card(row, ENGLISH))
    assert "Try again" in shown
    assert "Before another try, ask the owner" in shown
    assert ENGLISH.cause(row.cause) not in shown  # the status says it
    [asked] = [each["confirm"] for each in elements(card(row, ENGLISH), "button") if "confirm" in each]
    assert "may still have happened" in asked["text"]["text"]
    assert (asked["confirm"]["text"], asked["deny"]["text"]) == ("Close request", "Keep open")


def test_only_the_receipt_speaks_to_the_requester():
    twice = Cause(Code.ALREADY_REQUESTED, {"ref": "A9F1C7", "by": MEI.id})
    row = a_request(Status.REFUSED, cause=twice)
    assert "You requested it before" in everything(a_receipt(row))
    assert "<@U0MEI> requested it before you" in everything(card(row, ENGLISH))
    ended = everything(receipt(row, ENGLISH, reveal_for=HOUR, first=done()))
    assert f"Request {done().ref}: *done*. Approved by <@U0KEN>" in ended
    assert not re.search("show_passcode|Nothing was reset", ended)


def test_a_reminder_names_the_request_the_requester_the_target_and_until_when():
    target = Target(TargetKind.SERIAL, "F2LX1234ABCD")
    message = thread_line(pending(target=target), ENGLISH, ["S0ONCALL"])
    check_accepted(message)
    for named in ("A1B2C3", "<@U0MEI>", "number F2LX1234ABCD", "2026-03-02 13:00 UTC", "<!subteam^S0ONCALL>"):
        assert named in message.text


def test_a_reason_of_full_length_is_shown_and_read_whole():
    message = card(pending(reason="r" * MAX_REASON), ENGLISH)
    assert "r" * MAX_REASON in message.text
    assert f"*Reason*\n{'r' * MAX_REASON}" in list(texts(message))


def test_a_typed_line_break_cannot_add_a_line_of_its_own():
    row = pending(reason="locked out\nRuns as\nken@contoso.com", ticket="INC-1\nApproved by the CEO")
    for text in texts(card(row, ENGLISH)):
        assert text.count("\n") <= 1


@settings(max_examples=40)
@given(said=nasty, account=nasty, name=nasty, denial=nasty)
def test_nothing_typed_or_said_by_microsoft_mentions_links_or_breaks(said, account, name, denial):
    row = pending(reason=said, ticket=account, target=Target(TargetKind.NAME, name))
    check(row)
    check(replace(row, status=Status.DENIED, denial=denial, decided_by=KEN.id))
    cause = Cause(Code.MICROSOFT_REFUSED_DEVICE, {"message": said, "code": said, "status": said})
    row = failed(cause, replace(IPHONE, name=name, model=name))
    check(replace(row, approval=replace(row.approval, username=account)))


def test_a_hundred_kilobytes_fit():
    flood = "<!channel> & é " * 7000
    check(pending(reason=flood, ticket=flood, denial=flood))
    check(pending(reason="緊" * MAX_REASON, denial="😀" * MAX_REASON))  # Slack counts bytes
    check_accepted(thread_line(pending(), ENGLISH, ["S0ONCALL"] * 300))
