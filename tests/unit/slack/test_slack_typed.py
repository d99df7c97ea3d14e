"""What people type comes out as what they meant, or back in the form; no markup of Slack's with it."""

import re
import time
from contextlib import nullcontext
from html import unescape

import pytest
from bot.domain.errors import Refusal
from bot.domain.target import parse_target
from bot.slack.typed import read_command, read_form, subcommand
from hypothesis import given
from hypothesis import strategies as st

ADA, KEN = "<mailto:ada@contoso.com|ada@contoso.com>", "<@U0KEN|ken>"
BOTH = "352987101234567"
IMEIS = f"<tel:{BOTH}|{BOTH}>; <tel:{BOTH}|35 298710 123456 7>; <tel:{BOTH}>; <tel:{BOTH}|the black one>; "
IMEIS += f"{BOTH}; 35 298710 123456 7; 35-298710-123456-7; 35.298710.123456.7,"
PAIRS = '„“ „” «» »« ‹› ‘’ ‚‘ \'\' “” "" ”” 「」 „" ``'
OPEN_NAMES = "Ada’s iPhone|James’ X1|KEN’S X1|iPhone von Ken|KEN-PHONE 2|ada_Android_11/3/2026_8:14 AM"
ASKED = {
    # as Slack sends it: the target, the reason
    "S05": {
        ADA: ("ada@contoso.com", ""),
        KEN: ("@ken", ""),
        "<@W0KEN>": ("@W0KEN", ""),
        "person:<@U0KEN|Ken Ito>": ("@Ken Ito", ""),
        f"{KEN} is out, <@U0OTHER|ken> knows": ("@ken", "is out, @ken knows"),
        "<@U0KEN|ken_> is out": ("@ken", "is out"),
        "<mailto:r&amp;d@contoso.com|r&amp;d@contoso.com>": ("r&d@contoso.com", ""),
        "<mailto:o%27brien@contoso.com?subject=x|o'brien@contoso.com> x": ("o'brien@contoso.com", "x"),
    },
    "S09": {
        'name:"Field\u00a0phone" stuck': ("name:Field phone", "stuck"),
        "name:\u00a0PAR-LT-0427": ("name:PAR-LT-0427", ""),
        "ada@contoso.com\u00a0locked out": ("ada@contoso.com", "locked out"),
        f"\u2068{ADA}\u2069\u202flocked out": ("ada@contoso.com", "locked out"),
        "serial:\u200bF2LX1234ABCD\u3000locked": ("serial:F2LX1234ABCD", "locked"),
    },
    "S10": {
        **{f"name:{two[0]}Field phone{two[1]} stuck": ("name:Field phone", "stuck") for two in PAIRS.split()},
        "name:«Field phone», stuck": ("name:Field phone", "stuck"),
        "name:「Field phone」がロック": ("name:Field phone", "がロック"),
        "name:'Ken's iPhone' stuck": ("name:Ken's iPhone", "stuck"),
        "name:‘Ken’s iPhone’ isn’t his": ("name:Ken’s iPhone", "isn’t his"),
        'name:"Leo’s “old” phone" said "no"': ("name:Leo’s “old” phone", 'said "no"'),
        'name:"Field phone " stuck': ("name:Field phone", "stuck"),
        'name:"Ada Jr." stuck': ("name:Ada Jr.", "stuck"),
        'name:"iPad 12.9"" stuck': ('name:iPad 12.9"', "stuck"),
        '"ada@contoso.com" stuck': ("ada@contoso.com", "stuck"),
        f'"{KEN}" stuck': ("@ken", "stuck"),
    },
    "S11": {
        'name:"Ada’s iPhone" cracked': ("name:Ada’s iPhone", "cracked"),
        # it is not clear where the name ends
        **{f"name:{typed} x": (f"name:{typed} x", "") for typed in OPEN_NAMES.split("|")},
        "o’brien@contoso.com locked": ("o'brien@contoso.com", "locked"),
        "o’<mailto:brien@contoso.com|brien@contoso.com> locked": ("o'brien@contoso.com", "locked"),
    },
    "S13": {
        'name:"Van :red_car:" in water :sob: :iphone:': ("name:Van 🚗", "in water :sob: :iphone:"),
        "name::iphone: stuck": ("name:📱", "stuck"),
        'name:":umbrella: :snowman: :email:" x': ("name:☂️ ☃️ ✉️", "x"),
        'name:":flag-de: :wave::skin-tone-3: :+1:" x': ("name:🇩🇪 👋🏼 👍", "x"),
        'name:":female-mechanic: :man-shrugging:" x': ("name:👩\u200d🔧 🤷\u200d♂️", "x"),
        "name:Lab:a:3 x": ("name:Lab:a:3", "x"),
        'name:"ada_10/6/2024_11:27:05 PM :nothing:" x': ("name:ada_10/6/2024_11:27:05 PM :nothing:", "x"),
        "serial:F2LX1234 :iphone:": ("serial:F2LX1234", ":iphone:"),
    },
    "S14": {
        **{f"imei:{typed} locked": (f"imei:{BOTH}", "locked") for typed in IMEIS.split("; ")},
        f"imei:{BOTH} 2 phones": (f"imei:{BOTH}", "2 phones"),
        f"imei:{BOTH}/01 locked": (f"imei:{BOTH}", "locked"),
        "imei:35298710123456 locked": (f"imei:{BOTH}", "locked"),
        "imei:35298710123456 24 hours": (f"imei:{BOTH}", "24 hours"),
        "imei:35\u2009298710\u202f123456\u20097 x": (f"imei:{BOTH}", "x"),
    },
    "S15": {
        **{f"{KEN}{mark} locked out": ("@ken", "locked out") for mark in (*",:.;!，", " –", ",,")},
        **{f"{ADA}{mark} locked": ("ada@contoso.com", "locked") for mark in (*",:、", ". ", " - ")},
        f"{KEN},locked out": ("@ken", "locked out"),
        f"{KEN}'s phone is locked": ("@ken", "phone is locked"),
        f"{KEN}さん 画面": ("@ken", "さん 画面"),
        f"{ADA}画面がロック": ("ada@contoso.com", "画面がロック"),
        f"({KEN}) locked": ("@ken", "locked"),
        f"&lt;{ADA}&gt; locked": ("ada@contoso.com", "locked"),
        "<mailto:ada@contoso.com|Ada Lindqvist> locked": ("ada@contoso.com", "locked"),
        "`ada@contoso.com` locked": ("ada@contoso.com", "locked"),
        "*ada@contoso.com* locked out": ("ada@contoso.com", "locked out"),
        "serial:F2LX1234ABCD, locked": ("serial:F2LX1234ABCD", "locked"),
        "name:PAR-LT-0427: locked": ("name:PAR-LT-0427", "locked"),
    },
    "S17": {
        "<mailto:Ada@Contoso.com|Ada@Contoso.com> Locked out": ("ada@contoso.com", "Locked out"),
        "Serial:F2LX1234ABCD x": ("serial:F2LX1234ABCD", "x"),
        f"Imei:{BOTH} x": (f"imei:{BOTH}", "x"),
        'Name:"Field phone" x': ("name:Field phone", "x"),
    },
    "S19": {
        "ada@contoso.com\u3000画面がロック": ("ada@contoso.com", "画面がロック"),
        "tomas＠contoso.com x": ("tomas@contoso.com", "x"),
        "serial：F2LX1234ABCD x": ("serial:F2LX1234ABCD", "x"),
        "ｉｍｅｉ:３５２９８７１０１２３４５６７ x": (f"imei:{BOTH}", "x"),
        "ｎａｍｅ：＂Field phone＂ x": ("name:Field phone", "x"),
    },
    "links in a reason": {
        f"serial:X77   ask {KEN} in <#C0SUPPORT|support>": ("serial:X77", "ask @ken in #support"),
        f"serial:X77 ask {ADA}": ("serial:X77", "ask ada@contoso.com"),
        "serial:X77 see <https://desk.example/4711>": ("serial:X77", "see https://desk.example/4711"),
        "serial:X77 see <http://desk.example|desk.example>": ("serial:X77", "see desk.example"),
        "serial:X77 <!here> <!subteam^S1|@oncall> know": ("serial:X77", "@here @oncall know"),
        "serial:X77 since <!date^1772452800^{date}|2 March>": ("serial:X77", "since 2 March"),
        "serial:X77 5 &lt; 6 &amp;amp; &lt;@U0KEN|ken&gt;": ("serial:X77", "5 < 6 &amp; <@U0KEN|ken>"),
        "name:<http://van.dev|van.dev> stuck": ("name:van.dev", "stuck"),
        'name:"Tom &amp; &lt;Ann&gt;" why': ("name:Tom & <Ann>", "why"),
        "ada@contoso.com\nlocked out\ntwice": ("ada@contoso.com", "locked out\ntwice"),
    },
}
ROWS = [pytest.param(text, *read, id=f"{row}-{text!a}") for row in ASKED for text, read in ASKED[row].items()]


@pytest.mark.parametrize(("typed", "shown", "reason"), ROWS)
def test_a_command_is_read_as_it_was_meant_and_the_form_would_be_too(typed, shown, reason):
    read = read_command(typed)
    assert (read.shown, read.reason) == (shown, reason)
    assert "U0OTHER" not in read.target
    target = parse_target(read.target)
    again = read_form(read.shown, read.target)  # what the form shows can be sent as it is
    assert parse_target(again) == target


UNCLEAR = f"""
S05 name:{KEN} stuck
S05 serial:{KEN} x
S05 <#C0SUPPORT|support> x
S05 <!subteam^S1|@oncall> x
S05 <!here> x
S10 name:"Field phone stuck
S10 name:„Field phone stuck
S10 name:"iPad 9" of Leo" stuck
S10 name:"Leo "old" phone" stuck
S10 'ada@contoso.com x
S14 imei:35 298710 12345 locked
S15 ada@contoso.com- locked
S15 _ada@contoso.com_ locked
S15 {KEN} mei@contoso.com locked
S15 {ADA}, mei@contoso.com locked
S15 {KEN} and {KEN} locked
S15 serial:F2LX 1234 ABCD locked
S15 serial:F2LX1234- locked
S15 {KEN}{KEN} x
S15 {ADA} &amp; {KEN} x
S15 {ADA} sowie {KEN} x
S15 "ada@contoso.com" and @ken x
S15 {ADA}.locked out
S15 {ADA}s phone
S15 -{ADA} x
S15 serial:f2lx 1234 abcd locked
S15 {KEN}x locked
S15 {ADA}x.y/z locked
S15 <mailto:ada@contoso.com|mei@contoso.com> x
g08 imei:356938035643800 x
g08 imei:35 693803 564380 0 x"""


@pytest.mark.parametrize("line", UNCLEAR.splitlines()[1:])
def test_what_is_not_clear_comes_back_whole_and_without_markup(line):
    _, _, typed = line.partition(" ")
    read = read_command(typed)
    with pytest.raises(Refusal):
        parse_target(read.target)
    assert not re.search(r"<[@#!]|<mailto|\||\bU0", f"{read.shown} {read.reason}")
    words = re.findall(r"[a-z]{2,}", unescape(typed.partition("|")[2]).lower() or typed)
    assert all(word in f"{read.shown} {read.reason}" for word in words)


NAMED = [*((typed, True) for typed in ("@ken", " @ken, ", "person:@ken", KEN, "@ken\u200b"))]
NAMED += [(typed, False) for typed in ("@mei", "ken", "name:@ken", "@ken @mei")]


@pytest.mark.parametrize(("typed", "known"), NAMED)
def test_s05_who_was_mentioned_and_nobody_else_is_known_by_name_in_the_form(typed, known):
    with nullcontext() if known else pytest.raises(Refusal):
        assert parse_target(read_form(typed, read_command(KEN).target)).value == "U0KEN"


@pytest.mark.parametrize(
    ("typed", "target"),
    [
        (ADA, "ada@contoso.com"),
        ("name:Van :red_car:", "name:Van 🚗"),
        ('name:"Van 🚗"', "name:Van 🚗"),
        ("name:Tom & <Ann>", "name:Tom & <Ann>"),
        (f"imei:<tel:{BOTH}>", f"imei:{BOTH}"),
    ],
)
def test_a_form_is_read_as_a_command_is(typed, target):
    assert str(parse_target(read_form(typed))) == target


SAID = {
    "signin": "sign–in|sign‑in|Sign in|sign-in|SignIn.|ｓｉｇｎ－ｉｎ",
    **{"login": "Log in", "logout": "log-out|Log out", "signout": "sign–out|Sign out"},
    **{"help": " HELP!|help", "status": "Status", "helpme": "help me", "": "\u200b \u00a0|?"},
}


@pytest.mark.parametrize(("typed", "names"), [(one, name) for name in SAID for one in SAID[name].split("|")])
def test_s18_a_subcommand_is_known_by_its_letters(typed, names):
    assert subcommand(typed) == names


@given(st.text(alphabet="<>@#!|:&;\"'“”‘’«» \u200b\u200daU0K.,imeinameserial35298710123456", max_size=60))
def test_whatever_is_typed_ends_without_a_crash_and_the_form_reads_what_it_shows(typed):
    read = read_command(typed)
    try:
        target = parse_target(read.target)
    except Refusal:
        return
    assert parse_target(read_form(read.shown, read.target)) == target


@pytest.mark.parametrize(
    "typed", ["<" * 500_000, "<a" * 250_000, "'a " * 150_000, "imei:" + "1 " * 250_000, "*a " * 150_000]
)
def test_half_a_megabyte_is_read_at_once(typed):
    began = time.process_time()
    read_command(typed)
    assert time.process_time() - began < 1
