"""The windows: accepted by Slack, exact about what will happen, and the passcode's sends nothing back."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
import slack_json as slack
import slack_rows as rows
from bot.domain.device import Device, Effect, Platform, effect_of_reset
from bot.domain.identifiers import DeviceId, UserId
from bot.domain.request import REASON_LIMIT
from bot.domain.secret import Secret
from bot.domain.why import Code, Why
from bot.ports import Invitation
from bot.resets.review import Choice
from bot.slack import ids, modals, replies
from bot.slack.about import About
from bot.slack.message import View
from bot.slack.wording import ENGLISH
from hypothesis import given
from hypothesis import strategies as st
from test_slack_messages import nasty

CODE = "GX3ZCQ2ND"
URL = "https://unlatch.contoso.com/sign-in/abc"


def _android(number: int = 0, enrollment: str = "androidEnterpriseFullyManaged") -> Device:
    device = replace(rows.iphone(), platform=Platform.ANDROID, enrollment=enrollment)
    return replace(device, id=DeviceId(f"device-{number}"), name=f"Pixel {number}")


def _choice(device: Device) -> Choice:
    return Choice(device, effect_of_reset(device))


def _fleet(count: int) -> View:
    return modals.review_form(rows.review_of(*(_choice(_android(n)) for n in range(count))), ENGLISH)


def _sign_in(code: str | None = None, **why: bool) -> View:
    """Ken’s way to Microsoft."""
    invitation = Invitation(URL, None if code is None else Secret(code))
    return modals.sign_in(invitation, UserId("U0KEN"), ENGLISH.signing_in(**why), ENGLISH)


def _every_window() -> dict[str, View]:
    laptop = Choice(
        rows.iphone(name="Ada’s PC"), Why(Code.WRONG_PLATFORM, {"device": "PC", "system": "Windows"})
    )
    return {
        "ask": modals.ask_form(ENGLISH),
        "ask again": modals.ask_form(ENGLISH, target="ada", reason="r", ticket="t", notice="Please say why."),
        "loading": modals.loading(ENGLISH),
        "told": modals.told(ENGLISH.refused_title, "This did not work.", ENGLISH),
        "sign in": _sign_in(),
        "sign in again": _sign_in(claims=True),
        "sign in freshly": _sign_in(stale=True),
        "sign in by code": _sign_in(CODE),
        "signed in": modals.signed_in(rows.review_of().account, ENGLISH),
        "review": modals.review_form(rows.review_of(_choice(rows.iphone()), laptop), ENGLISH),
        "two": _fleet(2),
        "eleven": _fleet(11),
        "hundred": _fleet(100),
        "more": _fleet(101),
        "approved": modals.approved(rows.approved(), ENGLISH),
        "arrived": modals.approved(rows.done(), ENGLISH),
        "deny": modals.deny_form(rows.pending(), ENGLISH),
        "passcode": modals.passcode(rows.done(Effect.NEW_PASSCODE), Secret("4b#A"), ENGLISH),
    }


@pytest.mark.parametrize("name", _every_window())
def test_slack_accepts_every_window(name: str) -> None:
    window = _every_window()[name]

    slack.accepted(window)
    assert slack.calls_nobody(window)


@pytest.mark.parametrize("name", _every_window())
def test_a_window_carries_a_request_and_its_round_or_nothing(name: str) -> None:
    carried = _every_window()[name].get("private_metadata")

    if carried is not None:
        about = About.read(carried)
        assert (about.request, about.written()) == (rows.REQUEST_ID, carried)
        assert about.round > 0


# The form


def test_what_was_typed_is_still_there_after_a_mistake() -> None:
    form = modals.ask_form(
        ENGLISH, target="ada", reason="locked out", ticket="INC-1", notice="No such target."
    )

    typed = {block["block_id"]: _field(block).get("initial_value") for block in slack.elements(form, "input")}
    assert typed == {ids.TARGET: "ada", ids.REASON: "locked out", ids.TICKET: "INC-1"}
    assert "No such target." in slack.everything(form)


def test_a_reason_that_is_too_long_can_be_shortened_instead_of_typed_anew() -> None:
    reason = "r" * (REASON_LIMIT + 500)

    field = _input(modals.ask_form(ENGLISH, reason=reason), ids.REASON)

    assert field["initial_value"] == reason
    assert field["max_length"] == len(reason)


@given(target=nasty, reason=nasty, ticket=nasty)
def test_slack_accepts_the_form_whatever_was_typed(target: str, reason: str, ticket: str) -> None:
    slack.accepted(modals.ask_form(ENGLISH, target=target, reason=reason, ticket=ticket))


def test_only_the_ticket_may_stay_empty() -> None:
    optional = {
        block["block_id"]: block["optional"] for block in slack.elements(modals.ask_form(ENGLISH), "input")
    }

    assert optional == {ids.TARGET: False, ids.REASON: False, ids.TICKET: True}


# The review


@pytest.mark.parametrize(
    "device",
    [rows.iphone(), _android(), _android(enrollment="androidEnterpriseDedicatedDevice")],
    ids=lambda device: device.enrollment,
)
def test_the_approver_sees_what_will_happen_on_which_device_as_whom(device: Device) -> None:
    shown = slack.everything(modals.review_form(rows.review_of(_choice(device)), ENGLISH))

    assert ENGLISH.effect(effect_of_reset(device)) in shown
    for fact in (
        device.name,
        "ada@contoso.com",
        "Ada Lindqvist",
        device.serial,
        device.model,
        "compliant",
        "18.1",
    ):
        assert fact in shown
    assert "This is done as *ken@contoso.com*" in shown
    assert "<@U0MEI> asked" in shown
    assert "locked out, on the phone with her" in shown
    assert "INC-1024" in shown


def test_a_single_device_is_chosen_already() -> None:
    chosen = _choices(_fleet(1))["initial_option"]

    assert isinstance(chosen, dict)
    assert chosen["value"] == "device-0"


@pytest.mark.parametrize(
    ("count", "kind"), [(2, "radio_buttons"), (10, "radio_buttons"), (11, "static_select")]
)
def test_of_several_devices_none_is_chosen(count: int, kind: str) -> None:
    choices = _choices(_fleet(count))

    assert choices["type"] == kind
    assert "initial_option" not in choices
    assert len(_options(choices)) == count


def test_more_devices_than_slack_can_list_cannot_be_submitted() -> None:
    window = _fleet(101)

    assert "submit" not in window
    assert "101 devices match" in slack.everything(window)


def test_a_device_that_cannot_be_reset_is_shown_with_its_reason_and_cannot_be_chosen() -> None:
    why = Why(Code.WRONG_PLATFORM, {"device": "Ada’s PC", "system": "Windows 11"})
    window = modals.review_form(
        rows.review_of(Choice(rows.iphone(name="Ada’s PC"), why), _choice(rows.iphone())), ENGLISH
    )

    assert "Ada’s PC runs Windows 11" in slack.everything(window)
    assert [option["text"] for option in _options(_choices(window))] == [
        {"type": "plain_text", "text": "Ada’s iPhone, F2LXK1ABCD, iPhone 15", "emoji": False}
    ]


@pytest.mark.parametrize(
    ("ago", "warned"), [(timedelta(hours=7), False), (timedelta(hours=9), True), (timedelta(days=40), True)]
)
def test_the_approver_is_warned_of_a_device_that_has_been_silent(ago: timedelta, warned: bool) -> None:
    device = replace(rows.iphone(), last_sync_at=rows.NOW - ago)

    shown = slack.everything(modals.review_form(rows.review_of(_choice(device)), ENGLISH))

    assert ("waits until it comes online" in shown) is warned
    assert f"<!date^{int((rows.NOW - ago).timestamp())}" in shown


def test_the_approver_is_warned_of_a_device_that_never_checked_in() -> None:
    device = replace(rows.iphone(), last_sync_at=None)

    assert "never." in slack.everything(modals.review_form(rows.review_of(_choice(device)), ENGLISH))


def test_a_phone_of_somebody_else_shows_its_owner() -> None:
    device = rows.iphone(owner_name="", owner_upn="", owner_email="")

    assert "*Owner*\nnot known" in slack.everything(
        modals.review_form(rows.review_of(_choice(device)), ENGLISH)
    )


@given(text=nasty)
def test_nothing_that_intune_says_breaks_the_review(text: str) -> None:
    device = rows.iphone(
        name=text, model=text, serial=text, owner_name=text, compliance=text, os_version=text, enrollment=text
    )
    why = Why(Code.NOT_MANAGED, {"device": text, "state": text})
    window = modals.review_form(
        rows.review_of(Choice(device, Effect.REMOVES_PASSCODE), Choice(device, why)), ENGLISH
    )

    slack.accepted(window)
    assert slack.calls_nobody(window)


def test_a_hundred_devices_with_long_names_fit() -> None:
    devices = [replace(_android(n), name="<!channel>" * 9000, serial="é" * 4000) for n in range(60)]
    blocked = [Choice(device, Why(Code.NOT_MANAGED, {"device": device.name})) for device in devices]

    slack.accepted(modals.review_form(rows.review_of(*map(_choice, devices), *blocked), ENGLISH))


# The passcode


@given(code=st.text(min_size=1, max_size=40))
def test_the_passcode_is_shown_exactly_and_sent_back_by_nothing(code: str) -> None:
    window = modals.passcode(rows.done(Effect.NEW_PASSCODE), Secret(code), ENGLISH)

    slack.accepted(window)
    assert set(window) == {"type", "title", "close", "blocks"}
    kinds = {str(block["type"]) for block in window["blocks"]}  # type: ignore[attr-defined]  # a view's blocks
    assert kinds == {"rich_text", "section", "context"}
    assert "accessory" not in json.dumps(window)
    shown = next(slack.elements(window, "rich_text_preformatted"))["elements"]
    assert shown == [{"type": "text", "text": code}]


@pytest.mark.parametrize(
    ("code", "spelled"),
    [("4711", "4 · 7 · 1 · 1"), ("aB#", "small a · capital B · number sign"), ("-", "hyphen-minus")],
)
def test_the_passcode_is_spelled_for_the_phone(code: str, spelled: str) -> None:
    shown = slack.everything(modals.passcode(rows.done(Effect.NEW_PASSCODE), Secret(code), ENGLISH))

    assert spelled in shown


def test_whoever_sees_the_passcode_reads_that_it_is_on_the_record() -> None:
    shown = slack.everything(modals.passcode(rows.done(Effect.NEW_PASSCODE), Secret("4711"), ENGLISH))

    assert "on the record" in shown
    assert "Ada’s iPhone" in shown


# The rest


def test_the_link_to_microsoft_is_a_button_that_reports_nothing_but_its_press() -> None:
    button = next(slack.elements(_sign_in(), "button"))

    assert button["url"] == URL
    assert button["action_id"] == ids.SIGN_IN
    assert "value" not in button


def test_a_device_code_is_shown_with_whom_it_signs_in_and_what_never_to_do() -> None:
    shown = slack.everything(_sign_in(CODE))

    assert CODE in json.dumps(_sign_in(CODE))
    assert "<@U0KEN>" in shown
    assert "Never type a code that somebody sends you" in shown
    assert next(slack.elements(_sign_in(CODE), "button"))["url"] == URL
    assert "Never type a code" not in slack.everything(_sign_in())


def test_the_window_says_why_it_asks_for_a_sign_in() -> None:
    assert "once more" in slack.everything(_sign_in(claims=True))
    assert "fresh sign-in" in slack.everything(_sign_in(stale=True))


def test_a_denial_needs_a_reason() -> None:
    block = next(slack.elements(modals.deny_form(rows.pending(), ENGLISH), "input"))

    assert block["block_id"] == ids.DENIAL
    assert block["optional"] is False


def test_a_second_press_of_the_approver_shows_how_it_went_on() -> None:
    assert "the device has carried it out" in slack.everything(modals.approved(rows.done(), ENGLISH))


def test_the_answers_to_the_command_call_nobody() -> None:
    every = list(rows.in_every_status())
    for text in (
        replies.help_text(ENGLISH),
        replies.not_stored(ENGLISH),
        replies.asked(rows.received("<!channel>"), ENGLISH),
        replies.status(every, ENGLISH),
        replies.status([], ENGLISH),
        replies.signed_out(True, ENGLISH),
        replies.signed_out(False, ENGLISH),
    ):
        assert 0 < len(text) <= 4000
        assert slack.calls_nobody({"type": "mrkdwn", "text": text})


def test_the_own_requests_are_listed_with_their_state() -> None:
    text = replies.status([rows.pending(), rows.done()], ENGLISH)

    assert "4F2A1C, ada@contoso.com: *waiting for an approver*." in text
    assert "4F2A1C, ada@contoso.com: *done*." in text


def _field(block: dict[str, object]) -> dict[str, object]:
    element = block["element"]
    assert isinstance(element, dict)
    return element


def _input(form: View, block_id: str) -> dict[str, object]:
    return next(_field(block) for block in slack.elements(form, "input") if block["block_id"] == block_id)


def _choices(window: View) -> dict[str, object]:
    return _input(window, ids.DEVICE)


def _options(choices: dict[str, object]) -> list[dict[str, object]]:
    options = choices["options"]
    assert isinstance(options, list)
    return options
