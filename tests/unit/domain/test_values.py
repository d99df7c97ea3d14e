"""Secrets have no text form; text and JSON from elsewhere break neither the reader nor the database."""

import copy
from datetime import UTC, datetime, timedelta, timezone

import pytest
from bot.domain import values
from bot.domain.values import MAX_ACCENTS, Secret, comparable, read_object, text_at, utc_text, visible
from hypothesis import given
from hypothesis import strategies as st

ACCENT = "\u0301"
READ = ['{"a": 1}', b'{"a": 1}', '{"a": 1}'.encode("utf-16")]


def test_a_secret_has_no_text_form():
    secret = Secret("hunter2")
    texts = [
        *(repr(secret), str(secret), f"{secret}", f"{secret!r:>30}", "%s" % secret, repr([secret])),  # noqa: UP031  every way counts
        repr(ValueError(secret)),
    ]
    assert [text for text in texts if "hunter2" in text] == []
    assert secret.reveal() == copy.copy(secret).reveal() == "hunter2"


@given(*[st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=9))]))] * 2)
def test_times_as_text_sort_as_the_times_do_and_are_read_back(one, other):
    try:
        texts = utc_text(one), utc_text(other)
    except OverflowError:  # the first hours of year 1, or the last of 9999
        return
    assert (texts[0] < texts[1], datetime.fromisoformat(texts[0])) == (one < other, one)
    assert len(texts[0]) == 27


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ada’s  iPhone\n", "Ada’s iPhone"),
        ("a\u200bb\u202ec\u2066d\x07e", "abcde"),
        ("no\u00a0break\u3000here", "no break here"),
        ("\u3164\u115fAda", "Ada"),
        *((text, text) for text in (f"e{ACCENT}", "日本語 Ünïcödé", "")),
        (f"e{ACCENT * 50}f", f"e{ACCENT * MAX_ACCENTS}f"),
        (f"e{(ACCENT + chr(0x200B)) * 50}f", f"e{ACCENT * MAX_ACCENTS}f"),
        (f"é{ACCENT * 9} {ACCENT * 9}", f"é{ACCENT * MAX_ACCENTS} {ACCENT * MAX_ACCENTS}"),
        ("a" * 10 * values.MAX_VISIBLE, "a" * values.MAX_VISIBLE),
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_text_is_shown_without_what_hides_turns_round_or_piles_up(text, shown):
    assert visible(text) == shown


SAME = """
Ada's iPhone|Ada’s iPhone|Ada‘s iPhone|Adaʼs iPhone|ADA＇S iPhone|Ada&apos;s iPhone|Ada&#39;s iPhone
Ada "work"|Ada “work”|Ada „work“|ada &quot;Work&quot;
R&D iPad|R&amp;D iPad
José|Jose\u0301
Straße|STRASSE
Van 1|Ｖａｎ\u3000１|Van\u00a0\u202f1
Van ❤️|Van ❤
👩\u200d🔧|👩🔧
PAR-LT-0427|par–lt–0427"""


@pytest.mark.parametrize("names", SAME.splitlines()[1:])
def test_g10_a_name_is_the_same_in_each_of_its_spellings(names):
    one, *others = map(comparable, names.split("|"))
    assert others == [one] * len(others)
    assert comparable(f"{one}s") != one


@pytest.mark.parametrize(
    "text",
    [
        *READ,
        *("", "[]", "null", "7", '"x"', "{", "{'a': 1}", b"\xff\xfe\x00", b'{"a": "\xff"}'),
        '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"a":' * 50_000 + "1" + "}" * 50_000,
        '{"a": ' + "9" * 100_000 + "}",
    ],
    ids=lambda text: str(text[:12]),
)
def test_an_object_is_read_in_any_encoding_of_unicode_and_what_is_none_or_too_deep_is_none(text):
    assert read_object(text) == ({"a": 1} if text in READ else None)


@pytest.mark.parametrize(
    ("path", "text"),
    [(("a", 0), "xyz"), (("a", 1), ""), (("a", "b"), ""), (("b",), ""), (("a", 0, 0), ""), ((), "")],
)
def test_text_somewhere_in_json_is_there_or_empty_and_without_what_no_database_stores(path, text):
    assert text_at({"a": ["x\x00y\ud800z\udfff"]}, *path) == text
