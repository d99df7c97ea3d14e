"""The modals: accepted by Slack, exact about what will happen, and the passcode's sends nothing back."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from bot.domain.device import Device, FoundDevices, Platform, effect_of_reset
from bot.domain.errors import Cause, Code, RecentlyReset, SignInNeeded
from bot.domain.request import Status
from bot.domain.values import DeviceId, Secret
from bot.slack import modals
from bot.slack.blocks import NOTHING, View, plain
from bot.slack.payloads import VALUE, Action, Field, Form
from bot.slack.typed import Typed, read_command
from bot.slack.wording import ENGLISH
from bot.use_cases.deps import Admitted
from bot.use_cases.review import Choice, Review
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.builders import KEN, NOON, a_request, account_of
from tests.unit.slack.rows import IPHONE, done, pending
from tests.unit.slack.shown import check_accepted, check_harmless, elements, everything, field, nasty

URL = "https://unlatch.contoso.com/sign-in/abc"
LAPTOP = Choice(IPHONE, Cause(Code.WRONG_PLATFORM, {"device": "Ada’s PC", "system": "Windows 11"}))


def android(number: int = 0, enrollment: str = "androidEnterpriseFullyManaged") -> Device:
    device = replace(IPHONE, platform=Platform.ANDROID, enrollment=enrollment, serial=f"SN{number}")
    return replace(device, id=DeviceId(f"device-{number}"), name=f"Pixel {number}")


def review(*devices: Device, blocked: Sequence[Choice] = (), complete: bool = True) -> View:
    choices = [*(Choice(device, effect_of_reset(device)) for device in devices), *blocked]
    admitted, found = Admitted(person=KEN, rule=""), FoundDevices(complete=complete)
    account = account_of(KEN)
    seen = Review(request=pending(), admitted=admitted, account=account, found=found, choices=choices)
    return modals.review_form(seen, ENGLISH)


def sign_in(need: SignInNeeded | None = None, *, signed_in: bool = False) -> View:
    account = account_of(KEN) if signed_in else None
    why = ENGLISH.sign_in(need, account=account, max_age=timedelta(hours=8))
    return modals.sign_in(URL, why, ENGLISH, lifetime=timedelta(minutes=10))


def passcode(code: str) -> View:
    return modals.passcode(done(), Secret(code), ENGLISH)


REVISION = pending().revision
LOADING = ("device", "request", "passcode", "sign_in", "decision")
EVERY = {
    "ask": modals.ask_form(ENGLISH),
    "ask again": modals.ask_form(ENGLISH, Typed("ada", "ada", "locked out"), notice="No such target."),
    **{f"loading {what}": modals.loading(what, ENGLISH) for what in LOADING},
    "message": modals.message("No device found", "No device found.", ENGLISH),
    "sign in": sign_in(),
    "sign in for claims": sign_in(SignInNeeded("{}")),
    "sign in freshly": sign_in(SignInNeeded(stale=True)),
    "sign in again": sign_in(SignInNeeded(rejected=True)),
    "sign in though signed in": sign_in(signed_in=True),
    "review": review(IPHONE, blocked=[LAPTOP]),
    **{f"{count} devices": review(*map(android, range(count))) for count in (1, 2, 10, 11, 100, 101)},
    "cut": review(IPHONE, complete=False),
    "listed for another": review(replace(IPHONE, listed_for="oid", owner_upn="enrol@contoso.com")),
    "unsure, Apple": review(replace(IPHONE, enrollment="unknown", ownership="unknown")),
    "unsure, Android": review(replace(android(enrollment="userEnrollment"), agent="mdm")),
    "two records": review(IPHONE, replace(IPHONE, id=DeviceId("old-a1b2"), last_sync_at=None)),
    "no owner": review(replace(IPHONE, owner_name="", owner_upn="", owner_email="")),
    "long silent": review(replace(IPHONE, last_sync_at=NOON - timedelta(hours=9))),
    "never seen": review(replace(IPHONE, last_sync_at=None)),
    "reset again": modals.reset_again_form(pending().id, REVISION, IPHONE.id, RecentlyReset(NOON), ENGLISH),
    "approved": modals.approved(a_request(Status.APPROVED), ENGLISH),
    "approved and done": modals.approved(done(), ENGLISH),
    "deny": modals.deny_form(pending(), ENGLISH),
    "passcode": passcode("4b#A"),
}


@pytest.mark.parametrize("view", EVERY.values(), ids=EVERY)
def test_slack_accepts_every_modal_and_it_brings_back_its_request_or_nothing(view: View):
    check_accepted(view)
    check_harmless(view)
    assert NOTHING not in everything(view)
    form = Form.parse({"user": {"id": "U0KEN"}, "view": view | {"id": "V1"}})
    if "private_metadata" in view:
        assert (form.request_id, form.revision) == (pending().id, REVISION)


@pytest.mark.parametrize(
    ("view", "told"),
    [
        (EVERY["ask again"], ["No such target."]),
        (EVERY["sign in"], ["expires in 10 minutes"]),
        (EVERY["sign in for claims"], ["once more"]),
        (EVERY["sign in again"], ["no longer accepts your sign-in"]),
        (EVERY["sign in freshly"], ["fresh sign-in"]),
        (EVERY["sign in though signed in"], ["signed in as ken@contoso.com until <!date^"]),
        (EVERY["review"], ["Ada’s PC runs Windows 11", "as *ken@contoso.com*", "Locked out", "INC-1024"]),
        (EVERY["no owner"], ["*Owner*\nnot known"]),
        (EVERY["cut"], ["list was not read to its end"]),
        (EVERY["listed for another"], ["names another user: Ada Lindqvist enrol@contoso.com"]),
        (EVERY["unsure, Apple"], ["Not sure", "Intune refuses", "ownership not known, enrollment not known"]),
        (EVERY["unsure, Android"], ["Not sure", "has a work profile", "(device administrator)"]),
        (EVERY["review"], ["company-owned, Apple automated enrollment, managed", "Enrolled", "Compliant"]),
        (EVERY["101 devices"], ["101 devices match"]),
        (EVERY["long silent"], ["runs when the device reconnects"]),
        (EVERY["never seen"], ["Never. The reset runs when the device connects."]),
        (EVERY["approved"], ["Leo's Pixel", "ken@contoso.com"]),
        (EVERY["approved and done"], ["The passcode has been reset."]),
        (passcode("4711"), ["Viewing this passcode is logged.", "Ada’s iPhone", "4 · 7 · 1 · 1"]),
        (passcode("aB#"), ["small a · capital B · number sign"]),
        (passcode("-"), ["hyphen-minus"]),
    ],
)
def test_a_modal_tells_what_its_reader_has_to_know(view: View, told: list[str]):
    shown = everything(view)
    assert [each for each in told if each not in shown] == []


def test_only_the_ticket_may_stay_empty():
    optional = {
        str(block["block_id"]): block["optional"]
        for name in ("ask", "review", "reset again", "deny")
        for block in elements(EVERY[name], "input")
    }
    assert set(optional) == set(Field)
    assert [name for name in optional if optional[name]] == [Field.TICKET]


def test_a_second_reset_has_to_be_ticked_and_carries_the_device():
    box = field(EVERY["reset again"], Field.DEVICE)
    assert (box["type"], box["action_id"]) == ("checkboxes", VALUE)
    assert "initial_options" not in box
    assert [option["value"] for option in box["options"]] == [IPHONE.id]


@pytest.mark.parametrize(
    "device", [IPHONE, android(), android(enrollment="androidEnterpriseDedicatedDevice")], ids=str
)
def test_the_approver_sees_what_will_happen_on_which_device(device: Device):
    for shown in map(everything, (review(device), review(device, android(9)))):
        for fact in (ENGLISH.effect(effect_of_reset(device)), device.name, device.serial, device.model):
            assert fact in shown
        for fact in ("ada@contoso.com", "Ada Lindqvist", "Compliant", "18.1", "Requested by <@U0MEI>"):
            assert fact in shown
        assert "reconnects" not in shown  # it did within eight hours


def test_what_decides_comes_first_and_the_rest_after_the_choice():
    shown = [json.dumps(block, ensure_ascii=False) for block in EVERY["listed for another"]["blocks"]]
    order = ["Requested by", "What happens", "runs as", ":warning:", '"device"', "A1B2C3", "Locked out"]
    order += ["More about the device"]
    places = [next(n for n, block in enumerate(shown) if said in block) for said in order]
    assert places == sorted(places)
    assert "Reset for" in shown[places[5]]
    assert "leo@contoso.com" in shown[0]


def test_g07_two_records_of_one_phone_are_told_apart():
    live, old = field(EVERY["two records"], Field.DEVICE)["options"]
    assert [each["text"]["text"][-7:] for each in (live, old)] == ["(…3c4d)", "(…a1b2)"]
    assert live["description"]["text"] == "Online 2026-03-02 05:00 UTC; removes the passcode"
    assert old["description"]["text"] == "Never online; older record of the same serial number"
    two = field(EVERY["2 devices"], Field.DEVICE)["options"]
    assert "older record" not in everything(EVERY["2 devices"])
    assert "…" not in two[0]["text"]["text"], "their names tell them apart"


@pytest.mark.parametrize("count", [1, 2, 10, 11])
def test_a_single_device_is_chosen_already_and_of_several_none(count: int):
    choices = field(EVERY[f"{count} devices"], Field.DEVICE)
    assert choices["type"] == ("radio_buttons" if count <= 10 else "static_select")
    assert [option["value"] for option in choices["options"]] == [f"device-{n}" for n in range(count)]
    assert choices.get("initial_option") == (choices["options"][0] if count == 1 else None)
    assert "submit" not in EVERY["101 devices"]  # Slack lists no more than a hundred
    [option] = field(EVERY["review"], Field.DEVICE)["options"]  # one that cannot be reset is none
    assert option["text"] == plain("Ada’s iPhone, F2LXK1ABCD, iPhone 15")


@settings(max_examples=40)
@given(text=nasty | nasty.map("&lt;@U0KEN|{0}&gt;".format))
def test_nothing_that_was_typed_or_that_intune_says_breaks_a_modal(text: str):
    told = ("name", "model", "serial", "owner_name", "compliance", "os_version", "enrollment")
    device = replace(IPHONE, **dict.fromkeys(told, text))
    blocked = Choice(device, Cause(Code.NOT_MANAGED, {"device": text, "state": text}))
    read = read_command(text)
    form = modals.ask_form(ENGLISH, Typed(read.target, read.shown, text))
    for view in (review(device, blocked=[blocked]), form):
        check_accepted(view)
        check_harmless(view)


def test_many_devices_with_long_names_fit():
    devices = [replace(android(n), name="<!channel>" * 9000, serial="é" * 4000) for n in range(60)]
    blocked = [Choice(device, Cause(Code.NOT_MANAGED, {"device": device.name})) for device in devices]
    view = review(*devices, blocked=blocked)
    check_accepted(view)
    assert "And 40 more devices." in everything(view)


@settings(max_examples=40)
@given(code=st.text(min_size=1, max_size=40))
def test_the_passcode_is_shown_exactly_and_sent_back_by_nothing(code: str):
    view = passcode(code)
    check_accepted(view)
    assert set(view) == {"type", "title", "close", "blocks"}
    assert {block["type"] for block in view["blocks"]} == {"rich_text", "section", "context"}
    assert "accessory" not in json.dumps(view)
    shown = next(elements(view, "rich_text_preformatted"))["elements"]
    assert shown == [{"type": "text", "text": code}]


def test_the_link_to_microsoft_is_a_button_that_carries_nothing_else():
    button = next(elements(sign_in(), "button"))
    assert (button["url"], button["action_id"]) == (URL, Action.SIGN_IN)
    assert "value" not in button
