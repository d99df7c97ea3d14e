"""`GET /metrics`, as Prometheus reads it. What waits is counted in the database: all replicas say the same.

No label carries what people typed, a name or an address: statuses, lanes, checks and events' names alone.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot.domain.errors import StoreAway
from bot.ports import Backlog

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0)
"""Seconds; Slack gives three."""

Events = Mapping[tuple[str, str], int]
"""How often something was logged, by level and event."""
Checks = Mapping[str, Callable[[], Awaitable[bool]]]


class Metrics:
    """The numbers of one process, and what it finds in the database when it is asked."""

    def __init__(self, events: Events, checks: Checks, backlog: Callable[[], Awaitable[Backlog]]) -> None:
        self._events = events
        self._checks = checks
        self._backlog = backlog
        self._registry = CollectorRegistry()
        self._answered = Histogram(
            "unlatch_acknowledgement_seconds",
            "How long Slack waited for the answer to a delivery.",
            buckets=BUCKETS,
            registry=self._registry,
        )

    def answered(self, seconds: float) -> None:
        """Slack has its answer."""
        self._answered.observe(seconds)

    def route(self) -> Route:
        """Where Prometheus looks."""
        return Route("/metrics", self._metrics, methods=["GET"])

    async def _metrics(self, _: Request) -> Response:
        ready = {name: await check() for name, check in self._checks.items()}
        try:
            found = [*_ready(ready), *_waiting(await self._backlog())]
        except StoreAway:  # which `ready` says
            found = [*_ready(ready)]
        page = CollectorRegistry()
        page.register(_Found([*found, *self._logged()]))
        return Response(generate_latest(self._registry) + generate_latest(page), media_type=TEXT)

    def _logged(self) -> Iterator[Metric]:
        logged = CounterMetricFamily(
            "unlatch_log_events", "Lines of the log, by level and event.", labels=["level", "event"]
        )
        for (level, event), count in sorted(self._events.items()):
            logged.add_metric([level, event], count)
        yield logged


class _Found:
    """A collector of what was looked up already: a registry cannot await."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> list[Metric]:
        return self._found


def _ready(checks: Mapping[str, bool]) -> Iterator[Metric]:
    ready = GaugeMetricFamily("unlatch_ready", "1 where a check of /readyz passes.", labels=["check"])
    for name, passes in checks.items():
        ready.add_metric([name], float(passes))
    yield ready


def _waiting(backlog: Backlog) -> Iterator[Metric]:
    requests = GaugeMetricFamily(
        "unlatch_open_requests", "Requests that are not over, by status.", labels=["status"]
    )
    for status, count in backlog.open_requests.items():
        requests.add_metric([status], count)
    overdue = GaugeMetricFamily(
        "unlatch_overdue_seconds", "How long the oldest due row has waited for a worker.", labels=["lane"]
    )
    for lane, late in backlog.overdue.items():
        overdue.add_metric([lane], late.total_seconds())
    yield requests
    yield overdue
    yield GaugeMetricFamily(
        "unlatch_requests_not_shown", "Requests that Slack did not let us show, so far.", backlog.not_shown
    )
    yield GaugeMetricFamily("unlatch_sign_ins", "Approvers' sign-ins in the vault.", backlog.sign_ins)
