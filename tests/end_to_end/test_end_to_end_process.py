"""The real process: what SIGTERM finishes, what it logs and counts."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from bot.slack.wording import CATALOG_EN as ENGLISH
from tests.support.app_fixture import TOMAS
from tests.support.postgres import free_port
from tests.support.served_bot import served
from tests.support.user_actions import PIXEL


async def test_sigterm_waits_for_the_reset_in_flight_and_ends_with_0(tmp_path: Path):
    async with served(tmp_path, socket_mode=True) as it:
        await it.pending(TOMAS)
        await it.people.fault("graph", "latency", "resetPasscode", seconds=1.2, after=True)
        await it.approve()
        await it.people.until(lambda: not it.people.state["faults"])
        ending = asyncio.create_task(it.end())
        with pytest.raises(TimeoutError):  # with nothing in flight it ends at once
            await asyncio.wait_for(asyncio.shield(ending), timeout=0.6)
        assert await ending == 0
        with closing(sqlite3.connect(tmp_path / "unlatch.sqlite3")) as rows:
            assert rows.execute("SELECT status FROM requests").fetchall() == [("sent",)]
        assert [reset["device"] for reset in await it.people.resets()] == [PIXEL]
        assert all(json.loads(line)["event"] for line in it.lines)


@pytest.mark.parametrize("socket_mode", [False, True], ids=["http", "socket"])
async def test_numbers_are_on_a_port_of_their_own_and_name_nobody(tmp_path: Path, socket_mode: bool):
    port = free_port()
    async with (
        served(tmp_path, socket_mode=socket_mode, METRICS_PORT=str(port)) as it,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as scraper,
    ):
        await it.pending("ada@contoso.com locked out")
        text = (await scraper.get("/metrics")).text
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        assert float(values['unlatch_open_requests{status="pending"}']) == 1
        assert float(values['unlatch_ready{check="database"}']) == 1
        assert float(values["unlatch_acknowledgement_seconds_count"]) >= 1
        assert values['unlatch_log_events_total{event="serving",level="info"}'] == "1.0"
        assert "contoso" not in text
        assert (await it.http.get("/metrics")).status_code == 404
        await it.people.until(lambda: ENGLISH["status.pending.title"] in it.people.receipt())
        assert await it.end() == 0
