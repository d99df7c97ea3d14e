"""Text and JSON from elsewhere: nothing in it breaks the reader, the database or a pattern."""

import time

import pytest
from bot.domain.errors import BadTarget
from bot.domain.json_objects import read_object
from bot.domain.storable import storable
from bot.domain.target import LONGEST, parse_target


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "null", "7", '"x"', "{", "{'a': 1}", b"\xff\xfe\x00", b'{"a": "\xff"}'),
        '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"a":' * 50_000 + "1" + "}" * 50_000,
        '{"a": ' + "9" * 100_000 + "}",
    ],
    ids=lambda text: str(text[:12]),
)
def test_what_is_no_object_or_is_too_deep_is_none(text):
    assert read_object(text) is None


@pytest.mark.parametrize("text", ['{"a": 1}', b'{"a": 1}', '{"a": 1}'.encode("utf-16")])
def test_an_object_is_read_in_any_encoding_of_unicode(text):
    assert read_object(text) == {"a": 1}


def test_text_without_what_no_database_stores():
    assert storable("a\x00b\ud800c\udfffd \U0001f600") == "abcd \U0001f600"
    storable("\ud83d").encode()


@pytest.mark.parametrize("typed", ["<mailto:" * 60_000, "<mailto:x|" * 50_000, "@" * 500_000, "a." * 250_000])
def test_half_a_megabyte_of_a_target_is_refused_at_once(typed):
    began = time.process_time()
    with pytest.raises(BadTarget) as refused:
        parse_target(typed)
    assert time.process_time() - began < 0.2
    assert len(refused.value.typed) <= LONGEST


def test_the_longest_address_in_slacks_own_link_is_still_read():
    address = f"{'a' * 240}@contoso.com"
    assert parse_target(f"<mailto:{address}|{address}>").value == address
