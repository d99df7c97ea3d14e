"""Who trickles, floods or says nothing is hung up on; who waits for an answer is not. Over real sockets."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
import uvicorn
from bot.web import connections
from bot.web.connections import LARGEST_HEAD, MOST_HEADERS, Connection
from bot.web.site import site
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from structlog.testing import capture_logs
from tests.web.guest_server import GuestServer

SHORT = timedelta(seconds=0.3)
SOON = 5.0
"""Seconds after which a test gives up; the bounds in it are far shorter."""
HEAD = b"POST /echo HTTP/1.1\r\nhost: unlatch\r\n"


class Hasty(Connection):
    arrives_within = SHORT
    most_connections = 5


@dataclass
class Port:
    """A served app, and sockets to it."""

    number: int
    answer: asyncio.Event = field(default_factory=asyncio.Event)
    open: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.number)
        self.open.append(writer)
        return reader, writer

    async def sent(self, *parts: bytes) -> bytes:
        """Everything that comes back until the other side hangs up."""
        reader, writer = await self.connect()
        for part in parts:
            writer.write(part)
        return await _to_the_end(reader)

    async def trickled(self, start: bytes, drop: bytes) -> bytes:
        """The same, with one more drop whenever the last one has gone."""
        reader, writer = await self.connect()
        writer.write(start)
        ended = asyncio.create_task(_to_the_end(reader))
        while not ended.done():
            writer.write(drop)
            await asyncio.wait([ended], timeout=SHORT.total_seconds() / 10)
        return await ended


async def _to_the_end(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(SOON):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


@asynccontextmanager
async def served(kind: type[Connection], *, keep_alive: int = 5) -> AsyncIterator[Port]:
    listener = socket.create_server(("127.0.0.1", 0))
    port = Port(listener.getsockname()[1])

    async def echo(request: Request) -> Response:
        return PlainTextResponse(await request.body())

    async def slow(request: Request) -> Response:
        await request.body()
        await port.answer.wait()
        return PlainTextResponse("at last")

    routes = [Route("/echo", echo, methods=["POST"]), Route("/slow", slow, methods=["GET", "POST"])]
    config = uvicorn.Config(
        site(routes, https=False),
        http=kind,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_keep_alive=keep_alive,
        timeout_graceful_shutdown=1,
    )
    server = GuestServer(config)
    serving = asyncio.create_task(server._serve([listener]))  # takes no signals: this process is the test's
    await server.listening.wait()
    try:
        yield port
    finally:
        port.answer.set()
        for writer in port.open:
            writer.close()
        server.should_exit = server.force_exit = True
        await serving


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    async with served(Hasty) as port:
        yield port


TRICKLES = {
    "of headers": (HEAD, b"x: y\r\n"),
    "of one header": (HEAD + b"x: ", b"y"),
    "of a request line": (b"POST /ec", b"h"),
    "of a body": (HEAD + b"content-length: 100000\r\n\r\n", b"x"),
    "of chunks": (HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "of a body that nobody reads": (
        b"POST /nowhere HTTP/1.1\r\nhost: u\r\ncontent-length: 100000\r\n\r\n",
        b"x",
    ),
    "of a second request": (HEAD + b"content-length: 1\r\n\r\nx" + b"POST /echo HT", b"T"),
    "of nothing but line ends": (b"\r\n", b"\r\n"),
}


@pytest.mark.parametrize(("start", "drop"), TRICKLES.values(), ids=TRICKLES)
async def test_a_trickle_is_hung_up_on_however_it_trickles(port, start, drop):
    began = time.monotonic()
    answer = await port.trickled(start, drop)
    assert time.monotonic() - began < SOON / 2
    assert answer == b"" or answer.startswith(
        (b"HTTP/1.1 408", b"HTTP/1.1 404", b"HTTP/1.1 200", b"HTTP/1.1 400")
    )


async def test_a_body_that_does_not_come_in_time_is_a_408_and_no_crash(port, caplog):
    with capture_logs() as logs:
        answer = await port.sent(HEAD + b"content-length: 10\r\n\r\nhalf")
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"connection: close" in answer
    assert (logs, caplog.records) == ([], [])


async def test_a_connection_that_says_nothing_is_closed_after_as_long_as_an_idle_one():
    async with served(Hasty, keep_alive=1) as port:
        assert await port.sent() == b""


async def test_half_a_request_behind_a_whole_one_is_not_waited_for_as_long_as_an_idle_connection():
    async with served(Hasty, keep_alive=60) as port:
        answer = await port.sent(HEAD + b"content-length: 1\r\n\r\nx" + b"POST /echo HT")
    assert answer.startswith(b"HTTP/1.1 200")


async def test_who_waits_for_an_answer_longer_than_a_request_may_take_gets_it(port):
    reader, writer = await port.connect()
    writer.write(b"GET /slow HTTP/1.1\r\nhost: u\r\nconnection: close\r\n\r\n")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), SHORT.total_seconds() * 2)
    port.answer.set()
    assert (await _to_the_end(reader)).endswith(b"at last")


async def test_a_connection_is_used_again_and_idles_longer_than_a_request_may_take(port):
    reader, writer = await port.connect()
    for number in range(3):
        body = f"number {number}".encode()
        writer.write(HEAD + f"content-length: {len(body)}\r\n\r\n".encode() + body)
        assert (await asyncio.wait_for(reader.readuntil(body), SOON)).startswith(b"HTTP/1.1 200")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), SHORT.total_seconds() * 1.5)


async def test_pipelined_requests_are_answered_one_after_the_other(port):
    one = HEAD + b"content-length: 3\r\n\r\none"
    two = HEAD + b"content-length: 3\r\nconnection: close\r\n\r\ntwo"
    answer = await port.sent(one + two)
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.index(b"one") < answer.index(b"two")


FLOODS: dict[str, Callable[[], bytes]] = {
    "many headers": lambda: HEAD + b"".join(b"x-%d: y\r\n" % n for n in range(MOST_HEADERS)) + b"\r\n",
    "a long header": lambda: HEAD + b"x: " + b"y" * LARGEST_HEAD + b"\r\n\r\n",
    "a long path": lambda: b"POST /" + b"e" * LARGEST_HEAD + b" HTTP/1.1\r\nhost: u\r\n\r\n",
    "a header without end": lambda: HEAD + b"x: " + b"y" * LARGEST_HEAD * 3,
    "headers without end": lambda: HEAD + b"x: y\r\n" * LARGEST_HEAD,
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
async def test_a_head_without_measure_is_refused(port, flood):
    answer = await port.sent(flood())
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431")


async def test_a_head_within_measure_with_a_large_body_behind_it_is_answered(port):
    body = b"x" * 200_000
    head = HEAD + b"x: " + b"y" * (LARGEST_HEAD - 1000) + b"\r\nconnection: close\r\n"
    answer = await port.sent(head + b"content-length: %d\r\n\r\n" % len(body), body)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(body)


async def test_one_connection_too_many_is_closed_and_the_others_stay(port):
    kept = [await port.connect() for _ in range(Hasty.most_connections)]
    await asyncio.sleep(0)
    assert await port.sent(HEAD) == b""
    reader, writer = kept[0]
    writer.write(HEAD + b"content-length: 2\r\nconnection: close\r\n\r\nhi")
    assert (await _to_the_end(reader)).endswith(b"hi")


BAD = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a path of bytes": b"GET /\xff\xfe HTTP/1.1\r\nhost: u\r\n\r\n",
    "two lengths": HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\nxx",
    "length and chunks": HEAD + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a length that is none": HEAD + b"content-length: x\r\n\r\n",
    "a negative length": HEAD + b"content-length: -1\r\n\r\n",
    "a tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example\r\n\r\n",
    "a folded header": HEAD + b"x: y\r\n z\r\n\r\n",
    "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("bytes_", BAD.values(), ids=BAD)
async def test_what_is_no_request_is_a_400_or_silence_and_no_crash(port, bytes_, caplog):
    answer = await port.trickled(bytes_, b"")
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 200"))
    assert [record for record in caplog.records if record.exc_info] == []


def test_the_bounds_leave_room_for_slack_and_for_load_balancers():
    assert timedelta(seconds=3) < connections.ARRIVES_WITHIN
    assert connections.MOST_CONNECTIONS >= 500
