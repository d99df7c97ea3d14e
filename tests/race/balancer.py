"""The way from Slack to the replicas: every delivery goes to the replica that its round has chosen."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import httpx
from tests.race.plan import Stop


@dataclass
class Trip:
    """One gesture on its way, delivered once for each stop; the first stop's answer is the one Slack sees."""

    stops: Sequence[Stop]
    answers: list[httpx.Response] = field(default_factory=list)
    """Of every stop, in the order of their arrival."""
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    body: bytes = b""


_TRIP: ContextVar[Trip] = ContextVar("_TRIP")


@contextmanager
def going(trip: Trip) -> Iterator[Trip]:
    """What is delivered inside the block goes this way."""
    token = _TRIP.set(trip)
    try:
        yield trip
    finally:
        _TRIP.reset(token)


class Balancer(httpx.AsyncBaseTransport):
    """Takes what Slack signed, as it is, to `urls[stop.replica]`."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = urls
        self._http = httpx.AsyncClient(timeout=10, trust_env=False)
        self._on_the_way: set[asyncio.Task[httpx.Response]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Deliver once for each stop; return when the first has answered."""
        trip = _TRIP.get()
        trip.headers, trip.body = request.headers, await request.aread()
        first, *_ = [self._carry(trip, stop) for stop in trip.stops]
        return await first

    async def again(self, trip: Trip, stop: Stop) -> httpx.Response:
        """Deliver what went this way once more, byte for byte."""
        return await self._carry(trip, stop)

    async def arrived(self) -> None:
        """Wait until nothing is on the way."""
        await asyncio.gather(*self._on_the_way)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.arrived()
        await self._http.aclose()

    def _carry(self, trip: Trip, stop: Stop) -> asyncio.Task[httpx.Response]:
        task = asyncio.create_task(self._post(trip, stop))
        self._on_the_way.add(task)
        task.add_done_callback(self._on_the_way.discard)
        return task

    async def _post(self, trip: Trip, stop: Stop) -> httpx.Response:
        await asyncio.sleep(stop.after)
        headers = {
            name: trip.headers[name] for name in trip.headers if name.startswith(("content-t", "x-slack"))
        }
        url = f"{self._urls[stop.replica]}/slack/events"
        answer = await self._http.post(url, content=trip.body, headers=headers)
        kept = {"content-type": answer.headers.get("content-type", "")}
        trip.answers.append(answer)
        return httpx.Response(answer.status_code, headers=kept, content=answer.content)
