"""The chain's format, which whoever keeps an export stands on: it never changes."""

import hashlib
import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from bot.domain.chain import (
    GENESIS,
    Head,
    Link,
    StoredRow,
    Tip,
    facts_text,
    hash_after,
    linked,
    stored,
    written,
)
from bot.domain.identifiers import RequestId, UserId
from bot.domain.record import Entry, Event

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ROW = StoredRow(
    id=7,
    at="2026-03-02T12:00:00.000000Z",
    event="denied",
    actor="U0KEN",
    request_id=None,
    facts='{"reason": "Er sitzt nebenan – “Leo”"}',
)


def test_the_hash_of_a_row_is_what_it_was_when_the_first_record_was_kept():
    assert hash_after(GENESIS, ROW) == "9dba0e7d2d1c5811b04bd0435d4edac219481550a263d2638a3a92b534606923"


def test_the_hash_can_be_made_by_anybody_who_can_write_json():
    text = (
        GENESIS + '\n[7,"2026-03-02T12:00:00.000000Z","denied","U0KEN",null,'
        '"{\\"reason\\": \\"Er sitzt nebenan – “Leo”\\"}"]'
    )
    assert hash_after(GENESIS, ROW) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("name", [field.name for field in fields(StoredRow)])
def test_no_column_is_left_out_of_the_hash(name):
    other = replace(ROW, **{name: 8 if name == "id" else "something else"})

    assert hash_after(GENESIS, other) != hash_after(GENESIS, ROW)


def test_the_hash_depends_on_everything_before():
    assert hash_after("f" * 64, ROW) != hash_after(GENESIS, ROW)


def test_two_rows_do_not_read_as_one_other():
    """Where columns only followed each other, a border could be moved."""
    one, other = replace(ROW, event="a", actor="bc"), replace(ROW, event="ab", actor="c")

    assert hash_after(GENESIS, one) != hash_after(GENESIS, other)


@pytest.mark.parametrize("value", [b"\x00\xff", 3, "\udcff"])
def test_what_somebody_else_put_into_a_column_has_a_hash_too(value):
    assert hash_after(GENESIS, replace(ROW, actor=value)) != hash_after(GENESIS, ROW)


def test_links_go_on_from_the_tip():
    first, second = linked(Tip(), [ROW, replace(ROW, id=9)])

    assert first == Link(1, 7, hash_after(GENESIS, ROW))
    assert list(linked(Tip(first.seq, first.hash), [replace(ROW, id=9)])) == [second]
    assert list(linked(Tip(), [])) == []


def test_an_entry_is_stored_as_it_is_hashed():
    zone = timezone(timedelta(hours=9))
    entry = Entry(
        event=Event.DENIED,
        at=NOON.astimezone(zone),
        actor=UserId("U0KEN"),
        request_id=RequestId("r"),
        facts={"z": "é", "a": "\x00"},
    )

    assert stored(1, entry) == StoredRow(
        id=1,
        at="2026-03-02T12:00:00.000000Z",
        event="denied",
        actor="U0KEN",
        request_id="r",
        facts='{"a": "\\u0000", "z": "é"}',
    )


def test_facts_that_no_database_takes_are_made_storable():
    assert json.loads(facts_text({"half": "\ud83d"})) == {"half": "?"}


def test_times_are_written_so_that_they_sort():
    later = NOON + timedelta(microseconds=1)

    assert written(NOON) < written(later) == "2026-03-02T12:00:00.000001Z"


def test_a_signature_is_over_every_field_but_itself():
    head = Head(seq=1, hash="h", at="t", key="k", signature="s")

    assert head.signed == b"unlatch audit head\n1\nh\nt\nk\n"
    assert replace(head, signature="other").signed == head.signed
