"""Errands: done every few seconds; one that fails is done again, and one that hangs keeps no other up."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from bot import worker
from bot.domain.errors import StoreAway
from bot.worker import Chore, Worker
from tests.fakes.board import FakeBoard
from tests.fakes.desk import a_desk

SOON = timedelta(milliseconds=1)


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(worker, "LOOK_EVERY", SOON)


@asynccontextmanager
async def running(**errands: Chore):
    them = Worker(a_desk().desk, FakeBoard(), errands=errands)
    task = asyncio.create_task(them.run())
    try:
        yield them
    finally:
        await them.stop()
        await task


def counted(times: int, reached: asyncio.Event, *troubles: Exception) -> Chore:
    """An errand that raises each trouble once, and says when it was done so often."""
    left, done = list(troubles), 0

    async def errand() -> None:
        nonlocal done
        done += 1
        if done >= times:
            reached.set()
        if left:
            raise left.pop(0)

    return errand


@pytest.mark.parametrize("troubles", [(), (StoreAway(), RuntimeError())], ids=["well", "failing twice"])
async def test_an_errand_is_done_again(troubles):
    reached = asyncio.Event()
    async with running(one=counted(4, reached, *troubles)), asyncio.timeout(5):
        await reached.wait()


async def test_an_errand_that_hangs_keeps_no_other_up():
    hanging, reached = asyncio.Event(), asyncio.Event()
    async with running(hangs=hanging.wait, goes_on=counted(3, reached)):
        async with asyncio.timeout(5):
            await reached.wait()
        hanging.set()
