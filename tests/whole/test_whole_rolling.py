"""A later release's migration runs while people ask and decide: they notice nothing, on either database."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from bot.domain.request import Status
from bot.store import migrate
from bot.wiring import unlatch
from tests.postgres.cluster import running
from tests.store.to_come import migrate_to_the_next
from tests.whole.installed import KEN, MEI, given, installed


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database that this release has migrated."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/unlatch.sqlite3"
        return
    with running() as cluster:
        url = cluster.url(cluster.create())
        migrate(url)
        yield url


async def test_people_go_on_while_a_later_release_migrates_and_a_replica_starts_again(database_url, tmp_path):
    async with installed(tmp_path, database_url=database_url) as there:
        await there.signed_in()
        request_id = await there.pending("/reset-passcode serial:59040DLJH001 locked out")
        assert await there.review() == "Review the reset"
        migrating = asyncio.create_task(migrate_to_the_next(database_url))
        asked = 0
        while not migrating.done():
            asked += 1
            assert "Got it" in (await there.ask(f"/reset-passcode serial:LOST{asked} locked out")).answer.text
        await migrating
        assert (await there.slack.submit(KEN)).delivered
        await there.reaches(request_id, Status.DONE)
        assert (await there.http.get("/readyz")).status_code == 200
        assert len(await there.rows()) == asked + 1
        settings = given(there.sandbox, 0, tmp_path, socket_mode=False, database_url=database_url)
        async with unlatch(settings) as started_later:
            assert [row.status for row in await started_later.desk.requests.recent(MEI, limit=99)][
                -1
            ] == "done"
