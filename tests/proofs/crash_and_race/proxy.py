"""The ways from Slack to the replicas: a round chooses how often and when, and over HTTP also where to."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpx
from sandbox.slack.delivery import Ack, Envelope
from sandbox.slack.sockets import Sockets
from tests.proofs.crash_and_race.race_plan import Stop


@dataclass
class Delivery:
    """One gesture on its way, delivered once for each stop; the first stop's answer is the one Slack sees."""

    stops: Sequence[Stop]
    answers: list[str] = field(default_factory=list)
    """The texts of every stop's answer, in the order of their arrival."""
    envelope: Envelope | None = None
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    body: bytes = b""


_DELIVERY: ContextVar[Delivery] = ContextVar("_DELIVERY")


@contextmanager
def delivering(delivery: Delivery) -> Iterator[Delivery]:
    """What is delivered inside the block goes this way."""
    token = _DELIVERY.set(delivery)
    try:
        yield delivery
    finally:
        _DELIVERY.reset(token)


class Proxy:
    """What is on its way."""

    def __init__(self) -> None:
        self._on_the_way: set[asyncio.Task[object]] = set()

    async def again(self, delivery: Delivery, stop: Stop) -> str:
        """Deliver what went this way once more, as it was; returns the text of the answer."""
        await self._carry(delivery, stop)
        return delivery.answers[-1]

    async def arrived(self) -> None:
        """Wait until nothing is on the way."""
        await asyncio.gather(*self._on_the_way)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.arrived()

    def _carry(self, delivery: Delivery, stop: Stop) -> asyncio.Task[Any]:
        task = asyncio.create_task(self._deliver(delivery, stop))
        self._on_the_way.add(task)
        task.add_done_callback(self._on_the_way.discard)
        return task

    async def _deliver(self, delivery: Delivery, stop: Stop) -> object:
        raise NotImplementedError


class HttpProxy(Proxy, httpx.AsyncBaseTransport):
    """Takes what Slack signed, as it is, to `urls[stop.replica]`."""

    def __init__(self, urls: Sequence[str]) -> None:
        super().__init__()
        self._urls = urls
        self._http = httpx.AsyncClient(timeout=10, trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Deliver once for each stop; return when the first has answered."""
        delivery = _DELIVERY.get()
        delivery.headers, delivery.body = request.headers, await request.aread()
        first, *_ = [self._carry(delivery, stop) for stop in delivery.stops]
        answer: httpx.Response = await first
        return answer

    async def aclose(self) -> None:
        """Close the connections."""
        await super().aclose()
        await self._http.aclose()

    async def _deliver(self, delivery: Delivery, stop: Stop) -> httpx.Response:
        await asyncio.sleep(stop.after)
        headers = {
            name: delivery.headers[name]
            for name in delivery.headers
            if name.startswith(("content-t", "x-slack"))
        }
        url = f"{self._urls[stop.replica]}/slack/events"
        answer = await self._http.post(url, content=delivery.body, headers=headers)
        kept = {"content-type": answer.headers.get("content-type", "")}
        delivery.answers.append(answer.text)
        return httpx.Response(answer.status_code, headers=kept, content=answer.content)


class SocketProxy(Proxy):
    """Socket Mode: Slack chooses one of all sockets of all replicas, as it likes."""

    def __init__(self, sockets: Sockets) -> None:
        super().__init__()
        self._send = sockets.carry
        sockets.carry = self.carry  # type: ignore[method-assign]

    async def carry(self, envelope: Envelope) -> Ack:
        """Deliver once for each stop; return when the first is acknowledged."""
        delivery = _DELIVERY.get()
        delivery.envelope = envelope
        first, *_ = [self._carry(delivery, stop) for stop in delivery.stops]
        ack: Ack = await first
        return ack

    async def _deliver(self, delivery: Delivery, stop: Stop) -> Ack:
        assert delivery.envelope is not None
        await asyncio.sleep(stop.after)
        ack = await self._send(delivery.envelope)
        delivery.answers.append(str(ack.body.get("text", "")) if isinstance(ack.body, dict) else ack.body)
        return ack
