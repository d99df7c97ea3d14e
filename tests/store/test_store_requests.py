"""What every store of requests promises about asks and moves."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from bot.domain.errors import LostRace, UnknownRequest
from bot.domain.identifiers import ChannelId, RequestId
from bot.domain.record import Event
from bot.domain.request import ResetRequest, Status
from bot.domain.target import Target, TargetKind
from bot.ports import Lane, MessageRef, Shown
from kept import AIKO, KEN, NOON, PLENTY, Kept, a_request, an_entry, moved

HOUR = timedelta(hours=1)


async def test_what_was_added_is_there_for_every_process(kept: Kept) -> None:
    asked = a_request()

    assert await kept.requests.add(asked, an_entry(asked), PLENTY) == asked

    assert await kept.elsewhere.get(asked.id) == asked
    assert await kept.events() == ["asked"]


async def test_an_unknown_id_is_said_to_be_unknown(kept: Kept) -> None:
    with pytest.raises(UnknownRequest):
        await kept.requests.get(RequestId("f" * 32))


async def test_a_second_delivery_finds_the_first_ones_row_and_leaves_no_second_record(kept: Kept) -> None:
    first = a_request()
    again = replace(a_request(), delivery=first.delivery)
    await kept.requests.add(first, an_entry(first), PLENTY)
    accepted = moved(first)
    await kept.requests.replace(first, accepted)

    assert await kept.elsewhere.add(again, an_entry(again), PLENTY) == accepted

    assert await kept.events() == ["asked"]
    with pytest.raises(UnknownRequest):
        await kept.requests.get(again.id)


async def test_deliveries_at_once_make_one_row(kept: Kept) -> None:
    asked = a_request()
    copies = [replace(a_request(), delivery=asked.delivery) for _ in range(4)]
    places = [kept.requests, kept.elsewhere] * 2

    rows = await asyncio.gather(*(p.add(c, an_entry(c), PLENTY) for p, c in zip(places, copies, strict=True)))

    assert len({row.id for row in rows}) == 1
    assert await kept.events() == ["asked"]


async def test_of_two_movers_at_once_one_wins_and_one_record_is_left(kept: Kept) -> None:
    asked = a_request()
    await kept.requests.add(asked, an_entry(asked), PLENTY)
    by_ken = replace(moved(asked), decided_by=KEN)
    by_aiko = replace(moved(asked), decided_by=AIKO)

    outcomes = await asyncio.gather(
        kept.requests.replace(asked, by_ken, an_entry(asked, Event.APPROVED)),
        kept.elsewhere.replace(asked, by_aiko, an_entry(asked, Event.APPROVED)),
        return_exceptions=True,
    )

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["LostRace", "NoneType"]
    winner = by_ken if outcomes[0] is None else by_aiko
    assert await kept.requests.get(asked.id) == winner
    assert await kept.events() == ["asked", "approved"]


async def test_a_move_of_a_row_that_is_not_there_is_a_lost_race(kept: Kept) -> None:
    asked = a_request()

    with pytest.raises(LostRace):
        await kept.requests.replace(asked, moved(asked), an_entry(asked, Event.DENIED))

    assert await kept.events() == []


async def test_a_move_needs_no_record(kept: Kept) -> None:
    asked = a_request()
    await kept.requests.add(asked, an_entry(asked), PLENTY)

    await kept.requests.replace(asked, moved(asked))

    assert await kept.events() == ["asked"]


async def test_recent_is_ones_own_newest_first(kept: Kept) -> None:
    older, newer = a_request(), a_request(after=HOUR)
    for asked in (older, a_request(asked_by=AIKO), newer):
        await kept.requests.add(asked, an_entry(asked), PLENTY)

    assert await kept.requests.recent(KEN, limit=5) == [newer, older]
    assert await kept.requests.recent(KEN, limit=1) == [newer]


async def test_waiting_is_what_is_pending_oldest_first(kept: Kept) -> None:
    newer, older, received = (a_request(after=after) for after in (HOUR, timedelta(0), timedelta(0)))
    newer = replace(newer, target=Target(TargetKind.SERIAL, "another"))
    for asked in (newer, older, received):
        await kept.requests.add(asked, an_entry(asked), PLENTY)
    newer, older = [await _pending(kept, asked) for asked in (newer, older)]

    assert await kept.requests.waiting(limit=5) == [older, newer]
    assert await kept.requests.waiting(limit=1) == [older]


async def test_what_slack_shows_is_remembered_without_a_move(kept: Kept) -> None:
    asked = a_request()
    await kept.requests.add(asked, an_entry(asked), PLENTY)
    shown = Shown(
        card=MessageRef(ChannelId("C1"), "1.2"),
        card_digest="a",
        receipt=MessageRef(ChannelId("D1"), "3.4"),
        receipt_digest="b",
        reminders=2,
        failures=3,
    )

    await kept.requests.save_shown(asked.id, shown)

    [claimed] = await kept.elsewhere.claim(Lane.SHOW, now=NOON, lease=HOUR, limit=5)
    assert claimed.shown == shown
    assert claimed.request == asked


async def test_a_move_keeps_what_slack_shows(kept: Kept) -> None:
    asked = a_request()
    await kept.requests.add(asked, an_entry(asked), PLENTY)
    await kept.requests.save_shown(asked.id, Shown(card_digest="a"))

    await kept.requests.replace(asked, moved(asked))

    [claimed] = await kept.requests.claim(Lane.SHOW, now=NOON, lease=HOUR, limit=5)
    assert claimed.shown.card_digest == "a"


async def test_what_is_noted_is_on_the_record_in_order(kept: Kept) -> None:
    for event in (Event.SIGNED_IN, Event.TRY_REFUSED, Event.SIGNED_OUT):
        await kept.record.note(an_entry(event=event))

    assert await kept.events() == ["signed_in", "try_refused", "signed_out"]


async def _pending(kept: Kept, asked: ResetRequest) -> ResetRequest:
    pending = replace(moved(asked), status=Status.PENDING)
    await kept.requests.replace(asked, pending)
    return pending
