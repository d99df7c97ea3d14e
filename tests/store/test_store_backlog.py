"""What operators are told of what waits: counted by the database, of open requests alone."""

from dataclasses import replace
from datetime import timedelta

from bot.domain.request import Status
from bot.ports import Lane, Shown
from bot.store import Store, open_store
from kept import LEASE, NOON, PLENTY, a_request, an_entry, moved

SECOND = timedelta(seconds=1)


async def _seen(store: Store) -> None:
    waiting, over, busy = (a_request() for _ in range(3))
    for each in (waiting, over, busy):
        await store.requests.add(each, an_entry(), PLENTY)
    await store.requests.replace(waiting, replace(moved(waiting), status=Status.PENDING))
    await store.requests.replace(over, replace(moved(over), status=Status.REFUSED))
    await store.requests.save_shown(waiting.id, Shown(failures=3))

    before = await store.backlog(now=NOON + SECOND)
    await store.requests.claim(Lane.DRIVE, now=NOON + SECOND, lease=LEASE, limit=5)
    after = await store.backlog(now=NOON + 2 * SECOND)

    assert before.open_requests == {
        Status.RECEIVED: 1,
        Status.PENDING: 1,
        Status.APPROVED: 0,
        Status.SENT: 0,
        Status.UNCERTAIN: 0,
    }
    assert before.overdue == {Lane.DRIVE: SECOND, Lane.SHOW: SECOND}
    assert (before.not_shown, before.sign_ins) == (1, 0)
    assert after.overdue == {Lane.DRIVE: timedelta(0), Lane.SHOW: 2 * SECOND}


async def test_what_waits_is_counted_on_sqlite(sql: Store) -> None:
    await _seen(sql)


async def test_what_waits_is_counted_on_postgresql(postgresql: str) -> None:
    store = open_store(postgresql)
    await _seen(store)
    await store.close()
