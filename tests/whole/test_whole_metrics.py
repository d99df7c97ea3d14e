"""Where the numbers can be read: on a listener of their own, or on everybody's if that is asked for."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from tests.whole.installed import installed
from tests.whole.process import Served, served


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@asynccontextmanager
async def _scraping(port: int) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        yield http


def value(text: str, name: str) -> float:
    [line] = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.rpartition(" ")[2])


async def test_no_numbers_are_shown_unless_somebody_asks_for_them(tmp_path: Path):
    async with installed(tmp_path) as there:
        assert (await there.http.get("/metrics")).status_code == 404
        assert there.bot.metrics is None


async def test_the_process_shows_its_numbers_on_a_port_of_their_own_until_it_ends(tmp_path: Path):
    port = free_port()
    served_: Served
    async with served(tmp_path, METRICS_PORT=str(port)) as served_, _scraping(port) as scraping:
        there = served_.there
        await there.ask()
        await there.until(lambda: there.slack.messages("C0ONCALL"))

        text = (await scraping.get("/metrics")).text

        assert value(text, 'unlatch_open_requests{status="pending"}') == 1
        assert value(text, 'unlatch_ready{check="database"}') == 1
        assert value(text, "unlatch_acknowledgement_seconds_count") >= 1
        assert 'unlatch_log_events_total{event="serving",level="info"} 1.0' in text
        assert (await there.http.get("/metrics")).status_code == 404
        assert "contoso" not in text
        assert await served_.process.stop() == 0
    assert all(json.loads(line) for line in served_.process.lines)


async def test_socket_mode_counts_its_answers_too(tmp_path: Path):
    port = free_port()
    async with served(tmp_path, socket_mode=True, METRICS_PORT=str(port)) as it, _scraping(port) as scraping:
        await it.there.ask()
        await it.there.until(lambda: it.there.slack.messages("C0ONCALL"))

        assert value((await scraping.get("/metrics")).text, "unlatch_acknowledgement_seconds_count") >= 1


async def test_the_public_listener_shows_them_if_that_is_asked_for(tmp_path: Path):
    port = str(free_port())
    async with served(tmp_path, PORT=port, METRICS_PORT=port), _scraping(int(port)) as scraping:
        assert (await scraping.get("/metrics")).status_code == 200
        assert (await scraping.get("/healthz")).status_code == 200
