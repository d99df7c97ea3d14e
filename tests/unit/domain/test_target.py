"""A typed target names one person, device or app, and nothing else reaches Graph."""

import time

import pytest
from bot.domain.errors import Code, Refusal
from bot.domain.target import MAX_TARGET, QUOTES, Target, TargetKind, check_digit, parse_target, person_at
from hypothesis import given
from hypothesis import strategies as st

GUID = "1A2B3C4D-1111-2222-3333-444455556666"
LONG_ADDRESS = f"{'a' * 240}@contoso.com"
ADDRESSES = ["ada!field@contoso.com", "ada~lindqvist@contoso.com", "ada^l@contoso.com", "r&d@contoso.com"]
ADDRESSES += ["ada_fabrikam.com#ext#@contoso.onmicrosoft.com", "d'arcy@contoso.com", "ada$1@contoso.com"]
WIDE = {"serial：Ｆ２ＬＸ１２３４": "serial:F2LX1234", "ＮＡＭＥ：Ｆ１": "name:Ｆ１"}
WIDE |= {"imei:٣٥٢٩٨٧١٠١٢٣٤٥٦٧": "imei:352987101234567"}
OPEN_QUOTES = ("name:\"Leo's", "name:„Leo’s phone", "name:'Leo' and 'Mei'", "name:«a» b", "name:'")
OPEN_QUOTES += ("'mei@contoso.com", "serial:”R58M123")
AROUND = ("{}", "person:{}", "<{}>", "({})", "*{}*", "`{}`,", "{}.", "{}，", "{} :")


@pytest.mark.parametrize(
    ("typed", "kind", "value"),
    [
        ("  Mei.O'Hara+x@Sub.Contoso.com ", TargetKind.PERSON, "mei.o'hara+x@sub.contoso.com"),
        (LONG_ADDRESS, TargetKind.PERSON, LONG_ADDRESS),
        ("<@U0LEO>", TargetKind.MENTION, "U0LEO"),
        ("<@W0LEO|leo>", TargetKind.MENTION, "W0LEO"),
        ("serial:R58M-123", TargetKind.SERIAL, "R58M-123"),
        *((typed, TargetKind.SERIAL, "R58M123") for typed in ("SERIAL: R58M123", "serial: R58M123, ")),
        ("imei:35-693803 564380-9", TargetKind.IMEI, "356938035643809"),
        ("name:“Leo's phone”", TargetKind.NAME, "Leo's phone"),
        ("name:Leo’s “phone”", TargetKind.NAME, "Leo’s “phone”"),
        ('name:"Leo"', TargetKind.NAME, "Leo"),
        *((f"id:{guid}", TargetKind.ID, GUID.lower()) for guid in (GUID, f"{{{GUID}}}")),
        ("app:com_contoso-mail", TargetKind.APP, "com_contoso-mail"),
        ("mailto:Mei@contoso.com", TargetKind.PERSON, "mei@contoso.com"),
        *((around.format("mei@contoso.com"), TargetKind.PERSON, "mei@contoso.com") for around in AROUND),
        *((f"imei:35693803564380{more}", TargetKind.IMEI, "356938035643809") for more in ("", "9", "12")),
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
        *("name:", 'name:""', "name:\u200b\u00a0", f"name:{'x' * 256}", f"name:{'ﷺ' * 20}", "name:@leo"),
        *("id:42", f"id:{GUID}/wipe", f"id:{'0' * 8}-0000-0000-0000-{'0' * 12}", "app:../users"),
        *("$a@contoso.com", "a/b@contoso.com", "<mailto:a@b.co|a@b.co>"),
    ],
)
def test_nothing_else_is_a_target(typed):
    with pytest.raises(Refusal) as refusal:
        parse_target(typed)
    assert refusal.value.code is Code.BAD_TARGET
    assert refusal.value.facts == {"typed": typed.strip()[:255]}


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        *((typed, "quote") for typed in OPEN_QUOTES),
        *((f"imei:35693803564380{digit}", "check_digit") for digit in range(9)),
        ("imei:35-693803-546380-9", "check_digit"),
    ],
)
def test_first_use_30_what_is_mistyped_for_sure_says_so(typed, problem):
    with pytest.raises(Refusal) as refusal:
        parse_target(typed)
    assert refusal.value.facts == {"typed": typed, "problem": problem}


@pytest.mark.parametrize("pair", [one + other for one, others in QUOTES.items() for other in others])
@pytest.mark.parametrize("name", ["Field phone", "Ada's iPhone", "Ada’s iPhone", "a"])
def test_s10_the_quotes_of_every_language_are_no_part_of_a_name(pair, name):
    assert parse_target(f"name:{pair[0]}{name}{pair[1]}") == Target(TargetKind.NAME, name)


SPELLED = {
    "S19": WIDE,
    "S11": {f"o{mark}brien@contoso.com": "o'brien@contoso.com" for mark in "’‘ʼ＇´"},
    "S18": {f"serial:R58M{dash}123": "serial:R58M-123" for dash in "‐‑–—−－"},
    "S09": {f"name:Field{blank}phone": "name:Field phone" for blank in "\u00a0\u202f\u2009\u3000\t\n"}
    | {f"{blank}mei@contoso.com{blank}": "mei@contoso.com" for blank in "\u00a0\u2007\u200b\ufeff"},
    "g09": {address: address for address in ADDRESSES},
}


@pytest.mark.parametrize(("row", "typed"), [(row, typed) for row in SPELLED for typed in SPELLED[row]])
def test_every_spelling_is_read_as_the_plain_one(row, typed):
    assert str(parse_target(typed)) == SPELLED[row][typed]


@pytest.mark.parametrize("imei", ["352987101234567", "490154203237518", "356938035643809", "357911110123459"])
def test_the_check_digit_is_that_of_luhn(imei):
    assert check_digit(imei) == check_digit(imei[:14]) == imei[-1]


def parsed(typed: str) -> Target | None:
    try:
        return parse_target(typed)
    except Refusal as refusal:
        kept = refusal
    assert kept.code is Code.BAD_TARGET
    assert len(kept.facts["typed"]) <= MAX_TARGET
    return None


@given(
    st.text(max_size=300)
    | st.from_regex(r"(serial|imei|name|id|app):.{1,40}", fullmatch=True)
    | st.emails()
    | st.text(alphabet="\"'“”„«» ab.\u200d:", max_size=12).map("name:{}".format)
)
def test_a_target_that_is_written_out_is_read_as_the_same_target(typed):
    target = parsed(typed)
    assert target is None or (0 < len(target.value) <= MAX_TARGET)
    if target is not None and target.kind is not TargetKind.MENTION:
        assert parse_target(str(target)) == target


@pytest.mark.parametrize("typed", ["<mailto:" * 60_000, "'a" * 250_000, "@" * 500_000, "a." * 250_000])
def test_half_a_megabyte_of_a_target_is_refused_at_once(typed):
    began = time.process_time()
    assert parsed(typed) is None
    assert time.process_time() - began < 0.2


def test_an_address_from_slack_is_read_as_strictly_as_a_typed_one():
    assert person_at("Leo@Contoso.com") == Target(TargetKind.PERSON, "leo@contoso.com")
    for address in ("", "serial:R58M123", "leo@contoso.com/../mei", "<@U0LEO>"):
        with pytest.raises(Refusal):
            person_at(address)
