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
    """One action on its way, delivered once for each stop; the first stop's answer is the one Slack sees."""

    stops: Sequence[Stop]
    answers: list[str] = field(default_factory=list)
    """The texts of every stop's answer, in the order of their arrival."""
    carried: Any = None
    """The request or the envelope."""


DELIVERY: ContextVar[Delivery] = ContextVar("DELIVERY")


@contextmanager
def delivering(stops: Sequence[Stop]) -> Iterator[Delivery]:
    """Deliver what is done inside the block this way; else all goes to replica 0."""
    delivery = Delivery(stops)
    token = DELIVERY.set(delivery)
    try:
        yield delivery
    finally:
        DELIVERY.reset(token)


class Proxy:
    """What is on its way."""

    def __init__(self) -> None:
        self._on_the_way: set[asyncio.Task[Any]] = set()

    async def again(self, delivery: Delivery, stop: Stop) -> str:
        """Deliver what went this way once more, byte for byte; returns the text of the answer."""
        await self._start(delivery, stop)
        return delivery.answers[-1]

    async def arrived(self) -> None:
        """Wait until nothing is on the way."""
        await asyncio.gather(*self._on_the_way)

    async def _deliver_all(self, carried: Any) -> Any:
        """Deliver once for each stop; return the first one's answer."""
        delivery = DELIVERY.get(None) or Delivery([Stop(0)])
        delivery.carried = carried
        first, *_ = [self._start(delivery, stop) for stop in delivery.stops]
        return await first

    def _start(self, delivery: Delivery, stop: Stop) -> asyncio.Task[Any]:
        task = asyncio.create_task(self._deliver(delivery, stop))
        self._on_the_way.add(task)
        task.add_done_callback(self._on_the_way.discard)
        return task

    async def _deliver(self, delivery: Delivery, stop: Stop) -> Any:
        raise NotImplementedError


class HttpProxy(Proxy, httpx.AsyncBaseTransport):
    """Takes what Slack signed, as it is, to `urls[stop.replica]`."""

    def __init__(self, urls: Sequence[str]) -> None:
        super().__init__()
        self._urls = urls
        self._http = httpx.AsyncClient(timeout=60, trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        answer: httpx.Response = await self._deliver_all(request)
        return answer

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _deliver(self, delivery: Delivery, stop: Stop) -> httpx.Response:
        await asyncio.sleep(stop.after)  # the plan says when it arrives
        sent = delivery.carried
        signed = {
            name: value for name, value in sent.headers.items() if name.startswith(("content-t", "x-slack"))
        }
        url = f"{self._urls[stop.replica]}/slack/events"
        answer = await self._http.post(url, content=sent.content, headers=signed)
        delivery.answers.append(answer.text)
        kept = {"content-type": answer.headers.get("content-type", "")}
        return httpx.Response(answer.status_code, headers=kept, content=answer.content)


class SocketProxy(Proxy):
    """Socket Mode: Slack chooses one of all sockets of all replicas, as it likes."""

    def __init__(self, sockets: Sockets) -> None:
        super().__init__()
        self._send = sockets.carry
        sockets.carry = self.carry  # type: ignore[method-assign]

    async def carry(self, envelope: Envelope) -> Ack:
        ack: Ack = await self._deliver_all(envelope)
        return ack

    async def _deliver(self, delivery: Delivery, stop: Stop) -> Ack:
        await asyncio.sleep(stop.after)  # the plan says when it arrives
        ack = await self._send(delivery.carried)
        delivery.answers.append(str(ack.body.get("text", "")) if isinstance(ack.body, dict) else ack.body)
        return ack
