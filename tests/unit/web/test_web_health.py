"""What operators see: what waits, what is stuck and why, how fast Slack is answered."""

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import product
from typing import Any

import httpx
from bot.domain.errors import StoreUnavailable
from bot.domain.request import Status
from bot.store.requests import Backlog, Queue
from bot.web.health import OK, Metrics, probe_routes
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette

OPEN, COUNTS = {Status.PENDING: 3, Status.UNCERTAIN: 1}, {"not_published": 2, "set_aside": 5, "sign_ins": 4}
OVERDUE = {Queue.ADVANCE: timedelta(seconds=1.5), Queue.PUBLISH: timedelta(0)}
BACKLOG = Backlog(open_requests=OPEN, overdue=OVERDUE, **COUNTS)


def answering(found: object) -> Callable[[], Awaitable[Any]]:
    async def answer() -> object:
        if isinstance(found, Exception):
            raise found
        return found

    return answer


NO_SOCKET = answering({"database": OK, "sockets": "no socket is open"})


async def get(path: str, *routes, method: str = "GET") -> httpx.Response:
    transport = httpx.ASGITransport(Starlette(routes=routes))
    async with httpx.AsyncClient(transport=transport, base_url="http://unlatch") as http:
        return await http.request(method, path)


async def scraped(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Every sample by name and label values, in the order of the labels' names."""
    answer = await get("/metrics", metrics.route())
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.text)
    return {(one.name, ",".join(one.labels.values())): one.value for each in families for one in each.samples}


async def test_o36_ready_says_what_is_wrong_and_alive_does_not_depend_on_it():
    failing = probe_routes(NO_SOCKET)
    ready = await get("/readyz", *failing)
    assert (ready.status_code, ready.json()) == (503, {"database": OK, "sockets": "no socket is open"})
    for method, path in product(("GET", "HEAD"), ("/healthz", "/healthz/", "/")):
        assert (await get(path, *failing, method=method)).status_code == 200
    assert (await get("/readyz", *probe_routes(answering({"database": OK})))).status_code == 200


async def test_prometheus_reads_what_waits_and_what_is_stuck_and_counters_go_on():
    events = Counter({("warning", "not_published"): 7})
    metrics = Metrics(events, NO_SOCKET, answering(BACKLOG))
    metrics.acknowledged(0.003)
    found = await scraped(metrics)
    assert [found["unlatch_open_requests", status] for status in ("pending", "uncertain")] == [3, 1]
    assert found["unlatch_overdue_seconds", Queue.ADVANCE.value] == 1.5
    counted = ("requests_not_published", "requests_set_aside", "sign_ins")
    assert [found[f"unlatch_{name}", ""] for name in counted] == [2, 5, 4]
    assert found["unlatch_log_events_total", "not_published,warning"] == 7
    assert (found["unlatch_ready", "database"], found["unlatch_ready", "sockets"]) == (1, 0)
    assert found["unlatch_acknowledgement_seconds_count", ""] == 1
    assert [found["unlatch_acknowledgement_seconds_bucket", most] for most in ("0.005", "0.002")] == [1, 0]
    events["warning", "not_published"] += 1
    without_the_database = await scraped(Metrics(events, NO_SOCKET, answering(StoreUnavailable())))
    assert without_the_database["unlatch_log_events_total", "not_published,warning"] == 8
    assert ("unlatch_open_requests", "pending") not in without_the_database
