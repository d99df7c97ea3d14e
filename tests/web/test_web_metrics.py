"""What operators read in numbers: what waits, what is stuck, how fast Slack is answered."""

from collections import Counter
from datetime import timedelta

import httpx
from bot.domain.errors import StoreAway
from bot.domain.request import Status
from bot.ports import Backlog, Lane
from bot.web.metrics import Metrics
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette

BACKLOG = Backlog(
    open_requests={Status.PENDING: 3, Status.UNCERTAIN: 1},
    overdue={Lane.DRIVE: timedelta(seconds=1.5), Lane.SHOW: timedelta(0)},
    not_shown=2,
    sign_ins=4,
)


async def _yes() -> bool:
    return True


async def _no() -> bool:
    return False


async def _backlog() -> Backlog:
    return BACKLOG


async def _away() -> Backlog:
    raise StoreAway


async def scraped(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Every sample by name and label values, in the order of the labels' names."""
    transport = httpx.ASGITransport(Starlette(routes=[metrics.route()]))
    async with httpx.AsyncClient(transport=transport, base_url="http://unlatch") as http:
        answer = await http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.text)
    return {(one.name, ",".join(one.labels.values())): one.value for each in families for one in each.samples}


async def test_prometheus_reads_what_waits_and_what_is_stuck():
    metrics = Metrics(Counter({("warning", "not_shown"): 7}), {"database": _yes, "slack": _no}, _backlog)
    metrics.answered(0.003)

    found = await scraped(metrics)

    assert found["unlatch_open_requests", "pending"] == 3
    assert found["unlatch_open_requests", "uncertain"] == 1
    assert found["unlatch_overdue_seconds", "drive"] == 1.5
    assert found["unlatch_requests_not_shown", ""] == 2
    assert found["unlatch_sign_ins", ""] == 4
    assert found["unlatch_log_events_total", "not_shown,warning"] == 7
    assert (found["unlatch_ready", "database"], found["unlatch_ready", "slack"]) == (1, 0)
    assert found["unlatch_acknowledgement_seconds_count", ""] == 1
    assert found["unlatch_acknowledgement_seconds_bucket", "0.005"] == 1
    assert found["unlatch_acknowledgement_seconds_bucket", "0.002"] == 0


async def test_what_is_counted_goes_on_from_one_look_to_the_next():
    events: Counter[tuple[str, str]] = Counter()
    metrics = Metrics(events, {}, _backlog)
    await scraped(metrics)
    events["error", "row_crashed"] += 1

    assert (await scraped(metrics))["unlatch_log_events_total", "row_crashed,error"] == 1


async def test_a_database_that_is_away_leaves_the_other_numbers():
    found = await scraped(Metrics({}, {"database": _no}, _away))

    assert found["unlatch_ready", "database"] == 0
    assert ("unlatch_open_requests", "pending") not in found
