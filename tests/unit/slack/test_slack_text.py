"""People's text is shown as typed, mentions nobody, links nothing, hides nothing, and fits."""

from datetime import datetime, timedelta, timezone

import pytest
from bot.slack.blocks import cut, date, escaped, inline, mention, mrkdwn, plain, text_input, without_markup
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.slack.shown import nasty

MOMENT = datetime(2026, 11, 23, 21, 54, tzinfo=timezone(timedelta(hours=1)))
SCRIPTS, ADDRESS = "Zoë 山田 👍, ไม่ใช่, שָׁלוֹם, नमस्ते", "ada_x.lindqvist+1@contoso.com"
AT = "<!date^1795467240^{date_short_pretty} at {time}|2026-11-23 20:54 UTC>"
SHOWN = {
    "no mention that was typed": (escaped("<!channel> <@U0KEN>"), "&lt;!channel&gt; &lt;@U0KEN&gt;"),
    "entities as they were typed": (escaped("& &lt;!channel&gt;"), "&amp; &amp;lt;!channel&amp;gt;"),
    "what is visible, on one line": (escaped("in\u202evoice\r\n\t\x00two\u2028three"), "invoice two three"),
    "every script": (escaped(SCRIPTS), SCRIPTS),
    "an address that can be copied": (inline(ADDRESS), ADDRESS),
    "that something is missing": (cut("abcdef", 4), "abc…"),
    "what fits whole": (cut("abcd", 4), "abcd"),
    "no half mention": (cut("asked by <@U0MEI> today", 14), "asked by…"),
    "a user id as a mention": (mention("U0MEI"), "<@U0MEI>"),
    "nothing else as a mention": (mention("U0MEI> <!channel"), "U0MEI&gt; &lt;!channel"),
    "a time with its zone where there is no local time": (date(MOMENT), AT),
    "a place without markup": (without_markup(f"*A* “a&amp;b” `/x` {AT}"), "A “a&b” /x 2026-11-23 20:54 UTC"),
}


@pytest.mark.parametrize(("shown", "wanted"), SHOWN.values(), ids=SHOWN)
def test_a_text_shows(shown: str, wanted: str):
    assert shown == wanted


@given(st.text() | nasty, st.integers(min_value=1, max_value=60))
def test_a_cut_never_leaves_markup_or_half_an_entity_and_never_exceeds_its_limit(typed: str, limit: int):
    short = cut(escaped("&<>" + typed), limit)
    assert len(short) <= limit
    assert not set(short) & set("<>")
    assert short.count("&") == sum(short.count(entity) for entity in ("&amp;", "&lt;", "&gt;"))


@given(st.text() | nasty)
def test_a_sentence_formats_nothing_that_was_typed(typed: str):
    shown = inline(typed)
    assert not set(shown) & set("*~`<>\n")
    assert shown


@pytest.mark.parametrize("typed", ["*bold*", "_slanted_", "~gone~", "`code`", ":fire:", "a _b_ c"])
def test_marks_in_a_sentence_lose_their_meaning(typed: str):
    assert typed not in inline(typed)


def test_no_text_object_is_empty_or_longer_than_slack_takes_or_linked_by_slack():
    assert plain("")["text"]
    assert mrkdwn("")["text"]
    assert len(str(plain(escaped("é" * 100_000))["text"])) == 3000
    assert mrkdwn("unlatch.example")["verbatim"] is True


def test_a_field_of_one_line_gets_one_and_text_that_is_too_long_can_be_shortened():
    element = text_input(1000, "r" * 1500, multiline=True)
    assert (element["initial_value"], element["max_length"]) == ("r" * 1500, 1500)
    assert text_input(1000, "two\nlines")["initial_value"] == "two lines"
