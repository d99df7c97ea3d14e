"""People's text is shown as typed, calls nobody, links nothing, hides nothing, and fits."""

from datetime import datetime, timedelta, timezone

import pytest
from bot.slack.text import at, cut, escaped, inline, mention, mrkdwn, plain
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("<!channel> & <@U0KEN>", "&lt;!channel&gt; &amp; &lt;@U0KEN&gt;"),
        ("&lt;!channel&gt;", "&amp;lt;!channel&amp;gt;"),
        ("one\ntwo\r\n\tthree\u2028four", "one two three four"),
        ("in\u202evoice\u202c", "invoice"),
        ("a\u200bd\u2060a\ufeff", "ada"),
        ("\u2066x\u2069 \U000e0041", "x"),
        ("\x00\x07\x1b[31mred", "[31mred"),
        ("\ud800half", "half"),
        ("  Ada Lindqvist  ", "Ada Lindqvist"),
        ("Zoë 山田 👍", "Zoë 山田 👍"),
    ],
)
def test_typed_text_is_shown_as_typed_on_one_line(typed: str, shown: str) -> None:
    assert escaped(typed) == shown


@given(st.text(), st.integers(min_value=1, max_value=60))
def test_a_cut_never_leaves_half_an_entity_and_never_exceeds_its_limit(typed: str, limit: int) -> None:
    short = cut(escaped("&<>" + typed), limit)

    assert len(short) <= limit
    assert short.count("&") == sum(short.count(entity) for entity in ("&amp;", "&lt;", "&gt;"))


def test_a_cut_says_that_something_is_missing() -> None:
    assert cut("abcdef", 4) == "abc…"
    assert cut("abcd", 4) == "abcd"


def test_a_cut_never_leaves_half_a_mention() -> None:
    assert cut("asked by <@U0MEI> today", 14) == "asked by…"


@given(st.text())
def test_a_sentence_formats_nothing_that_was_typed(typed: str) -> None:
    shown = inline(typed)

    assert not set(shown) & set("*~`<>\n")
    assert shown


def test_an_address_in_a_sentence_can_still_be_copied() -> None:
    assert inline("ada_x.lindqvist+1@contoso.com") == "ada_x.lindqvist+1@contoso.com"


@pytest.mark.parametrize("typed", ["*bold*", "_slanted_", "~gone~", "`code`", ":fire:", "a _b_ c"])
def test_marks_in_a_sentence_lose_their_meaning(typed: str) -> None:
    assert typed not in inline(typed)


def test_text_of_a_hundred_kilobytes_is_cut() -> None:
    assert len(str(plain(escaped("é" * 100_000))["text"])) == 3000


def test_no_text_object_is_empty() -> None:
    assert plain("")["text"]
    assert mrkdwn("")["text"]


def test_a_time_names_its_instant_and_its_zone_for_those_who_cannot_see_it_in_theirs() -> None:
    moment = datetime(2026, 11, 23, 21, 54, tzinfo=timezone(timedelta(hours=1)))

    assert at(moment) == "<!date^1795467240^{date_short_pretty} {time}|2026-11-23 20:54 UTC>"


def test_only_a_user_id_becomes_a_mention() -> None:
    assert mention("U0MEI") == "<@U0MEI>"
    assert mention("U0MEI> <!channel") == "U0MEI&gt; &lt;!channel"


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("a" + "\u0301" * 500, "a" + "\u0301" * 4),
        ("a" + "\u0301\u200b" * 500 + "b", "a" + "\u0301" * 4 + "b"),
        ("\u20dd" * 9 + "x", "\u20dd" * 4 + "x"),
        ("Việt Nam, ไม่ใช่, שָׁלוֹם, नमस्ते", "Việt Nam, ไม่ใช่, שָׁלוֹם, नमस्ते"),
    ],
    ids=["a pile", "a pile in pieces", "rings", "languages"],
)
def test_accents_cover_no_other_line_and_no_language_loses_any(typed: str, shown: str) -> None:
    assert escaped(typed) == shown


CALLS = ("<!channel>", "<!here>", "<!everyone>", "<!subteam^S0ONCALL>", "<@U0KEN>", "<#C0ONCALL>")
LINKS = (
    "<https://evil.example|https://login.microsoftonline.com>",
    "<mailto:x@evil.example|ada@contoso.com>",
)
APART = ("", "\u200b", "\u202e", "\x00", "\u2060", "\ud800", "&lt;", "\u0301")


@pytest.mark.parametrize("call", [*CALLS, *LINKS])
@pytest.mark.parametrize("between", APART, ids=repr)
def test_no_call_and_no_link_is_put_together_by_what_is_left_out(call: str, between: str) -> None:
    for typed in (call, between.join(call), call.replace("<", f"<{between}"), f"{between}{call}" * 1000):
        for shown in (escaped(typed), inline(typed), cut(escaped(typed), 50)):
            assert "<" not in shown
            assert ">" not in shown
