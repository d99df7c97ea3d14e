"""What was typed: targets and audiences are read strictly; secrets have no text form."""

import copy

import pytest
from bot.domain.errors import BadTarget
from bot.domain.people import Audience, AudienceKind
from bot.domain.secret import Secret
from bot.domain.target import Target, TargetKind, parse_target, person_at
from bot.domain.why import Code, Why
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.people import APPROVER_CHANNEL, CHANNEL

GUID = "1A2B3C4D-1111-2222-3333-444455556666"


@pytest.mark.parametrize(
    ("typed", "kind", "value"),
    [
        ("mei@contoso.com", TargetKind.PERSON, "mei@contoso.com"),
        ("  Mei.O'Hara+x@Sub.Contoso.com ", TargetKind.PERSON, "mei.o'hara+x@sub.contoso.com"),
        ("<mailto:mei@contoso.com|mei@contoso.com>", TargetKind.PERSON, "mei@contoso.com"),
        ("person:mei@contoso.com", TargetKind.PERSON, "mei@contoso.com"),
        ("<@U0LEO>", TargetKind.MENTION, "U0LEO"),
        ("<@W0LEO|leo>", TargetKind.MENTION, "W0LEO"),
        ("serial:R58M-123", TargetKind.SERIAL, "R58M-123"),
        ("SERIAL: R58M123", TargetKind.SERIAL, "R58M123"),
        ("imei:35-693803 564380-9", TargetKind.IMEI, "356938035643809"),
        ("name:“Leo's phone”", TargetKind.NAME, "Leo's phone"),
        ('name:"Leo"', TargetKind.NAME, "Leo"),
        (f"id:{GUID}", TargetKind.ID, GUID.lower()),
        ("app:com_contoso-mail", TargetKind.APP, "com_contoso-mail"),
    ],
)
def test_a_target_is_read_as_people_and_slack_write_it(typed, kind, value):
    assert parse_target(typed) == Target(kind, value)


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "mei",
        "@mei",
        "mei@contoso",
        "mei@contoso.com/managedDevices",
        "mei@contoso.com?$filter=x",
        "mei contoso@x.com",
        "m€i@contoso.com",
        "<@C0LEO>",
        "<@U>",
        "<@U0LEO> please",
        f"<@U{'A' * 300}>",
        "serial:ab",
        "serial:x' or 1 eq 1",
        "serial:",
        "imei:1234567890123",
        "imei:12345678901234567",
        "imei:35693803564380x",
        "name:",
        'name:""',
        "name:a\nb",
        f"name:{'x' * 256}",
        "id:42",
        f"id:{GUID}/wipe",
        "app:../users",
        "mention:U0LEO",
        f"{'x' * 250}@contoso.com",
    ],
)
def test_nothing_else_is_a_target(typed):
    with pytest.raises(BadTarget) as refusal:
        parse_target(typed)

    assert refusal.value.typed == typed.strip()[:255]


@given(st.text(max_size=300))
def test_whatever_is_typed_is_a_short_target_or_refused(typed):
    try:
        kept = parse_target(typed).value
    except BadTarget as refusal:
        kept = refusal.typed or "nothing"

    assert 0 < len(kept) <= 255


@given(st.from_regex(r"(serial|imei|name|id|app):.{1,40}", fullmatch=True) | st.emails())
def test_a_target_written_out_is_read_as_the_same_target(typed):
    try:
        target = parse_target(typed)
    except BadTarget:
        return
    assert parse_target(str(target)) == target


def test_an_address_from_slack_is_read_as_strictly_as_a_typed_one():
    assert person_at("Leo@Contoso.com") == Target(TargetKind.PERSON, "leo@contoso.com")
    for address in ("", "serial:R58M123", "leo@contoso.com/../mei", "<@U0LEO>"):
        with pytest.raises(BadTarget):
            person_at(address)


@pytest.mark.parametrize(
    ("text", "audience"),
    [
        ("workspace", Audience(AudienceKind.WORKSPACE)),
        (f" channel:{CHANNEL} ", APPROVER_CHANNEL),
        ("channel:G0PRIVATE", Audience(AudienceKind.CHANNEL, "G0PRIVATE")),
        ("usergroup:S0ONCALL", Audience(AudienceKind.USERGROUP, "S0ONCALL")),
    ],
)
def test_an_audience_is_read_from_the_setting(text, audience):
    assert Audience.parse(text) == audience


@pytest.mark.parametrize(
    "text",
    [
        "",
        "everybody",
        "channel:",
        "channel",
        "channel:S0ONCALL",
        "usergroup:C0ONCALL",
        "workspace:T0",
        "channel:C0-1",
    ],
)
def test_an_audience_that_means_nothing_is_named_in_the_complaint(text):
    with pytest.raises(ValueError, match="none of channel:C") as complaint:
        Audience.parse(text)

    assert text in str(complaint.value)


def test_a_secret_has_no_text_form():
    secret = Secret("hunter2")

    texts = [repr(secret), str(secret), f"{secret}", f"{secret!r:>30}", "%s" % secret, repr([secret])]  # noqa: UP031  every way counts

    assert [text for text in texts if "hunter2" in text] == []
    assert secret.reveal() == copy.copy(secret).reveal() == "hunter2"


def test_an_exception_with_a_secret_does_not_tell_it():
    assert "hunter2" not in repr(ValueError(Secret("hunter2")))


def test_a_reason_without_facts_has_none_that_could_be_changed():
    with pytest.raises(TypeError):
        Why(Code.SILENT).facts["x"] = "y"  # type: ignore[index]  # that is the point
