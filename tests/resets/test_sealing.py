"""Sealing: the end of the record is signed when there is something new, and each signature leaves once."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from bot.domain.chain import Head, Tip, written
from bot.domain.errors import StoreAway
from bot.domain.record import Entry, Event
from bot.resets.seal import Sealing, seal
from tests.fakes.clock import HandClock
from tests.fakes.store import FakeChain, FakeRecord


class FakeNotary:
    """Signs with its name."""

    def sign(self, tip: Tip, at: datetime) -> Head:
        return Head(seq=tip.seq, hash=tip.hash, at=written(at), key="fake", signature="fake")


@dataclass
class Desk:
    """A record, and what was shipped of it."""

    record: FakeRecord = field(default_factory=FakeRecord)
    clock: HandClock = field(default_factory=HandClock)
    shipped: list[Head] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chain = FakeChain(self.record)
        self.sealing = Sealing(chain=self.chain, notary=FakeNotary(), ship=self.ship, clock=self.clock)

    async def ship(self, head: Head) -> None:
        await asyncio.sleep(0)
        self.shipped.append(head)

    async def note(self) -> None:
        await self.record.note(Entry(event=Event.ASKED, at=self.clock.now()))


async def test_what_is_new_is_signed_stored_and_shipped():
    desk = Desk()
    await desk.note()
    await desk.note()
    desk.clock.pass_(timedelta(minutes=1))

    head = await seal(desk.sealing)

    tip = await desk.chain.tip()
    assert head == FakeNotary().sign(tip, desk.clock.now())
    assert head.seq == 2
    assert desk.chain.heads == {2: head}
    assert desk.shipped == [head]


async def test_where_nothing_is_new_nothing_is_signed():
    desk = Desk()
    assert await seal(desk.sealing) is None
    await desk.note()
    await seal(desk.sealing)

    assert await seal(desk.sealing) is None

    assert len(desk.shipped) == 1


async def test_of_two_replicas_that_sign_at_once_one_ships():
    desk = Desk()
    await desk.note()

    heads = await asyncio.gather(seal(desk.sealing), seal(desk.sealing))

    assert sum(head is None for head in heads) == 1
    assert len(desk.shipped) == 1


async def test_a_database_that_is_away_has_nothing_shipped():
    desk = Desk()
    await desk.note()
    desk.record.away = True

    with pytest.raises(StoreAway):
        await seal(desk.sealing)

    assert desk.shipped == []
