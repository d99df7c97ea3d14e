"""The real process: what SIGTERM finishes, what a kill leaves behind, what it logs and counts."""

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
from tests.support.served_bot import ServedBot, served
from tests.support.user_actions import MEI, ON_CALL, PIXEL


def statuses(it: ServedBot) -> list[str]:
    with closing(sqlite3.connect(it.folder / "unlatch.sqlite3")) as rows:
        return [status for (status,) in rows.execute("SELECT status FROM requests")]


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
        assert statuses(it) == ["sent"]
        assert [reset["device"] for reset in await it.people.resets()] == [PIXEL]
        assert all(json.loads(line)["event"] for line in it.lines)


async def test_a_request_that_was_acknowledged_survives_a_kill_before_it_was_verified(tmp_path: Path):
    async with served(tmp_path) as it:
        await it.people.fault("slack", "hang", times=None)
        await it.people.command(MEI, TOMAS)
        await it.people.until(lambda: it.people.private_texts(MEI))
        assert "sent for" in it.people.private_texts(MEI)[-1]
        await it.end(kill=True)
        assert statuses(it) == ["received"]
        await it.people.clear_faults()
        await it.start()
        await it.people.until(lambda: it.people.messages(ON_CALL))
        assert len(it.people.messages(ON_CALL)) == 1


async def test_a_reset_whose_answer_died_with_the_process_is_found_on_the_device_and_not_sent_again(
    tmp_path: Path,
):
    async with served(tmp_path) as it:
        await it.pending(TOMAS)
        await it.people.fault("graph", "hang", "resetPasscode", after=True)
        await it.approve()
        await it.people.until(lambda: not it.people.state["faults"])
        await it.end(kill=True)
        assert statuses(it) == ["approved"]
        await it.start()
        await it.people.until(lambda: "The passcode has been reset" in it.people.card())
        assert len(await it.people.resets()) == 1
        assert len(it.people.calls("/resetPasscode")) == 1


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
