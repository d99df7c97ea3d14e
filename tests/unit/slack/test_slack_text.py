"""People's text is shown as typed, mentions nobody, links nothing, hides nothing, and fits."""

from datetime import datetime, timedelta, timezone

import pytest
from bot.slack.blocks import cut, date, escaped, inline, mention, mrkdwn, plain, text_input, without_markup
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.slack.shown import nasty

MOMENT = datetime(2026, 11, 23, 21, 54, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("<!channel> & <@U0KEN>", "&lt;!channel&gt; &amp; &lt;@U0KEN&gt;"),
        ("&lt;!channel&gt;", "&amp;lt;!channel&amp;gt;"),
        ("in\u202evoice\r\n\t\x00two\u2028three", "invoice two three"),
        ("Zoë 山田 👍, ไม่ใช่, שָׁלוֹם, नमस्ते", "Zoë 山田 👍, ไม่ใช่, שָׁלוֹם, नमस्ते"),
    ],
)
def test_typed_text_is_shown_as_typed_on_one_line(typed: str, shown: str):
    assert escaped(typed) == shown


@given(st.text() | nasty, st.integers(min_value=1, max_value=60))
def test_a_cut_never_leaves_markup_or_half_an_entity_and_never_exceeds_its_limit(typed: str, limit: int):
    short = cut(escaped("&<>" + typed), limit)
    assert len(short) <= limit
    assert not set(short) & set("<>")
    assert short.count("&") == sum(short.count(entity) for entity in ("&amp;", "&lt;", "&gt;"))


def test_a_cut_says_that_something_is_missing_and_leaves_no_half_mention():
    assert (cut("abcdef", 4), cut("abcd", 4)) == ("abc…", "abcd")
    assert cut("asked by <@U0MEI> today", 14) == "asked by…"


@given(st.text() | nasty)
def test_a_sentence_formats_nothing_that_was_typed(typed: str):
    shown = inline(typed)
    assert not set(shown) & set("*~`<>\n")
    assert shown


@pytest.mark.parametrize("typed", ["*bold*", "_slanted_", "~gone~", "`code`", ":fire:", "a _b_ c"])
def test_marks_in_a_sentence_lose_their_meaning_and_an_address_can_be_copied(typed: str):
    assert typed not in inline(typed)
    assert inline("ada_x.lindqvist+1@contoso.com") == "ada_x.lindqvist+1@contoso.com"


def test_no_text_object_is_empty_or_longer_than_slack_takes():
    assert plain("")["text"]
    assert mrkdwn("")["text"]
    assert len(str(plain(escaped("é" * 100_000))["text"])) == 3000


def test_a_time_names_its_instant_and_its_zone_for_clients_that_show_no_local_time():
    assert date(MOMENT) == "<!date^1795467240^{date_short_pretty} {time}|2026-11-23 20:54 UTC>"


def test_a_sentence_for_a_place_without_markup_shows_none():
    marked = f"*Approve* “a&amp;b” with `/x` after {date(MOMENT)}."
    assert without_markup(marked) == "Approve “a&b” with /x after 2026-11-23 20:54 UTC."


def test_only_a_user_id_becomes_a_mention():
    assert mention("U0MEI") == "<@U0MEI>"
    assert mention("U0MEI> <!channel") == "U0MEI&gt; &lt;!channel"


def test_slack_links_nothing_that_we_did_not():
    assert mrkdwn("unlatch.example")["verbatim"] is True


def test_a_field_of_one_line_gets_one_and_text_that_is_too_long_can_be_shortened():
    element = text_input(1000, "r" * 1500, multiline=True)
    assert (element["initial_value"], element["max_length"]) == ("r" * 1500, 1500)
    assert text_input(1000, "two\nlines")["initial_value"] == "two lines"
