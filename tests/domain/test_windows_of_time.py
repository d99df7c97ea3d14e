"""Windows of time in which one person's tries are counted."""

from datetime import timedelta

from bot.domain.limits import Limits, Quota, asks_of, links_of
from tests.fakes.clock import NOON
from tests.fakes.people import KEN, MEI


def test_a_window_is_the_hour_by_the_clock():
    quota = Quota(key="asks:U0MEI", limit=3)

    for late in (timedelta(0), timedelta(minutes=59, seconds=59)):
        assert quota.window(NOON + late) == NOON
        assert quota.until(NOON + late) == NOON + timedelta(hours=1)
    assert quota.window(NOON + timedelta(hours=1)) == NOON + timedelta(hours=1)


def test_everybody_and_everything_is_counted_apart():
    limits = Limits(asks=2, links=5)

    assert (asks_of(MEI.id, limits).limit, links_of(MEI.id, limits).limit) == (2, 5)
    keys = {asks_of(MEI.id, limits).key, asks_of(KEN.id, limits).key, links_of(MEI.id, limits).key}
    assert len(keys) == 3
