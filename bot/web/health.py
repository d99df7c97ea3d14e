"""Probes and metrics: is the process alive, can it do its work, and how much waits for it?

What waits is counted in the database, so that all replicas say the same. No label holds what people typed, a
name or an address: only statuses, queues, checks and events.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from bot.domain.errors import StoreError
from bot.store.requests import Backlog

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0)
"""Seconds; Slack waits for three."""
OK: Final = "ok"

Check = Callable[[], Awaitable[Mapping[str, str]]]
"""Answers by the name of each part: OK, or in a few words what is wrong."""


def probe_routes(check: Check) -> list[Route]:
    """`/healthz` answers while the process lives; `/readyz` says what each check found, 503 if one failed."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(_: Request) -> Response:
        found = await check()
        return JSONResponse(dict(found), status_code=200 if set(found.values()) <= {OK} else 503)

    alive = [Route(path, healthz) for path in ("/", "/healthz", "/healthz/")]  # balancers ask for `/` unasked
    return [*alive, *(Route(path, readyz) for path in ("/readyz", "/readyz/"))]


@dataclass(repr=False, eq=False)
class Metrics:
    """`GET /metrics` as Prometheus reads it. `events`: how often something was logged, by level and event."""

    events: Mapping[tuple[str, str], int]
    check: Check
    backlog: Callable[[], Awaitable[Backlog]]

    def __post_init__(self) -> None:
        about = "How long Slack waited for the answer to a delivery."
        self._waits = Histogram("unlatch_acknowledgement_seconds", about, buckets=BUCKETS, registry=None)
        self.acknowledged: Callable[[float], None] = self._waits.observe
        """Record that Slack has its answer after so many seconds."""

    def route(self) -> Route:
        return Route("/metrics", self._metrics, methods=["GET"])

    async def _metrics(self, _: Request) -> Response:
        checks = {name: found == OK for name, found in (await self.check()).items()}
        ready = _gauge("unlatch_ready", "1 where a check of /readyz passes.", "check", checks)
        about = "Lines of the log, by level and event."
        logged = CounterMetricFamily("unlatch_log_events", about, labels=["level", "event"])
        for (level, event), count in sorted(self.events.items()):
            logged.add_metric([level, event], count)
        shown = [*self._waits.collect(), ready, logged]
        with suppress(StoreError):  # unlatch_ready says so
            shown += _of_backlog(await self.backlog())
        self._shown = shown
        return Response(generate_latest(self), media_type=TEXT)

    def collect(self) -> Sequence[Metric]:
        """Return what was looked up just now: Prometheus's client asks for it and cannot await."""
        return self._shown


def _of_backlog(backlog: Backlog) -> Iterator[Metric]:
    about = "Requests that are not over, by status."
    yield _gauge("unlatch_open_requests", about, "status", backlog.open_requests)
    overdue = {queue.value: late.total_seconds() for queue, late in backlog.overdue.items()}
    about = "How long the oldest due row has waited for a worker."
    yield _gauge("unlatch_overdue_seconds", about, "queue", overdue)
    about = "Requests that Slack did not yet show."
    yield GaugeMetricFamily("unlatch_requests_not_published", about, backlog.not_published)
    about = "Requests that are stopped: tampered with, or unreadable."
    yield GaugeMetricFamily("unlatch_requests_set_aside", about, backlog.set_aside)
    yield GaugeMetricFamily("unlatch_sign_ins", "Sign-ins in the vault.", backlog.sign_ins)


def _gauge(name: str, about: str, label: str, values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=[label])
    for value, number in values.items():
        family.add_metric([str(value)], number)
    return family
