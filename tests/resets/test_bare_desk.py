"""The desk by itself: no worker beside it, ids of its own."""

from dataclasses import fields
from uuid import UUID

from bot.resets.desk import Desk
from tests.fakes.desk import a_desk


async def test_a_desk_needs_no_worker_and_gives_every_call_its_own_guid():
    staffed = a_desk()
    given = {
        name: getattr(staffed.desk, name)
        for name in (each.name for each in fields(Desk))
        if name not in ("new_id", "wake")
    }
    staffed.desk = Desk(**given)

    for _ in range(2):
        await staffed.done()
        staffed.later(hours=1)

    calls = [UUID(post.client_request_id) for post in staffed.graph.posts]
    assert len(set(calls)) == 2
