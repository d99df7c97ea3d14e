"""A typed target names one person, device or app, and nothing else reaches Graph."""

import time

import pytest
from bot.domain.errors import Code, Refusal
from bot.domain.target import MAX_TARGET, Target, TargetKind, parse_target, person_at
from hypothesis import given
from hypothesis import strategies as st

GUID = "1A2B3C4D-1111-2222-3333-444455556666"
LONG_ADDRESS = f"{'a' * 240}@contoso.com"


@pytest.mark.parametrize(
    ("typed", "kind", "value"),
    [
        ("mei@contoso.com", TargetKind.PERSON, "mei@contoso.com"),
        ("  Mei.O'Hara+x@Sub.Contoso.com ", TargetKind.PERSON, "mei.o'hara+x@sub.contoso.com"),
        ("<mailto:mei@contoso.com|mei@contoso.com>", TargetKind.PERSON, "mei@contoso.com"),
        (f"<mailto:{LONG_ADDRESS}|{LONG_ADDRESS}>", TargetKind.PERSON, LONG_ADDRESS),
        ("person:mei@contoso.com", TargetKind.PERSON, "mei@contoso.com"),
        ("<@U0LEO>", TargetKind.MENTION, "U0LEO"),
        ("<@W0LEO|leo>", TargetKind.MENTION, "W0LEO"),
        ("serial:R58M-123", TargetKind.SERIAL, "R58M-123"),
        ("SERIAL: R58M123", TargetKind.SERIAL, "R58M123"),
        ("imei:35-693803 564380-9", TargetKind.IMEI, "356938035643809"),
        ("name:“Leo's phone”", TargetKind.NAME, "Leo's phone"),
        ("name:Leo’s “phone”", TargetKind.NAME, "Leo’s “phone”"),
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
        *("", "mei", "@mei", "mei@contoso", "mei contoso@x.com", "m€i@contoso.com"),
        *("mei@contoso.com/managedDevices", "mei@contoso.com?$filter=x", f"{'x' * 250}@contoso.com"),
        *("<@C0LEO>", "<@U>", "<@U0LEO> please", f"<@U{'A' * 300}>", "mention:U0LEO"),
        *("serial:", "serial:ab", "serial:x' or 1 eq 1"),
        *("imei:1234567890123", "imei:12345678901234567", "imei:35693803564380x"),
        *("name:", 'name:""', "name:a\nb", f"name:{'x' * 256}"),
        *("id:42", f"id:{GUID}/wipe", "app:../users"),
    ],
)
def test_nothing_else_is_a_target(typed):
    with pytest.raises(Refusal) as refusal:
        parse_target(typed)
    assert refusal.value.code is Code.BAD_TARGET
    assert refusal.value.facts == {"typed": typed.strip()[:255]}


def parsed(typed: str) -> Target | None:
    try:
        return parse_target(typed)
    except Refusal as refusal:
        kept = refusal
    assert kept.code is Code.BAD_TARGET
    assert len(kept.facts["typed"]) <= MAX_TARGET
    return None


@given(
    st.text(max_size=300) | st.from_regex(r"(serial|imei|name|id|app):.{1,40}", fullmatch=True) | st.emails()
)
def test_a_target_that_is_written_out_is_read_as_the_same_target(typed):
    target = parsed(typed)
    assert target is None or (0 < len(target.value) <= MAX_TARGET)
    if target is not None and target.kind is not TargetKind.MENTION:
        assert parse_target(str(target)) == target


@pytest.mark.parametrize("typed", ["<mailto:" * 60_000, "<mailto:x|" * 50_000, "@" * 500_000, "a." * 250_000])
def test_half_a_megabyte_of_a_target_is_refused_at_once(typed):
    began = time.process_time()
    assert parsed(typed) is None
    assert time.process_time() - began < 0.2


def test_an_address_from_slack_is_read_as_strictly_as_a_typed_one():
    assert person_at("Leo@Contoso.com") == Target(TargetKind.PERSON, "leo@contoso.com")
    for address in ("", "serial:R58M123", "leo@contoso.com/../mei", "<@U0LEO>"):
        with pytest.raises(Refusal):
            person_at(address)
