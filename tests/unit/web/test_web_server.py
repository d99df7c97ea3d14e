"""The web server: whatever strangers do with connections, Slack's delivery is answered. Over real sockets."""

import asyncio
import resource
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from bot.log import set_up_log
from bot.web import app as web
from bot.web.app import BACKLOG, Bounds, listen, serving, web_app
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

ROOT = Path(__file__).parents[3]

HEAD = b"POST /echo HTTP/1.1\r\nhost: unlatch\r\n"
GET_SLOW = b"GET /slow HTTP/1.1\r\nhost: unlatch\r\n\r\n"
DELIVERY = HEAD + b"content-length: 7\r\n\r\npayload"
SOON = 5.0


@dataclass
class Port:
    number: int
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    open: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self, start: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.number)
        self.open.append(writer)
        writer.write(start)
        return reader, writer

    async def exchange(self, sent: bytes) -> bytes:
        """Everything that comes back until the server closes."""
        reader, _ = await self.connect(sent)
        return await to_the_end(reader)

    async def deliver(self) -> float:
        """Deliver as Slack does; returns the seconds until the answer."""
        began = time.monotonic()
        answer = await self.exchange(DELIVERY)
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"payload")
        return time.monotonic() - began

    async def close(self) -> None:
        for writer in self.open:
            writer.transport.abort()
        await asyncio.sleep(0)


async def to_the_end(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(SOON):
        with suppress(ConnectionError):
            return await reader.read()
    return b""


async def trickle(writer: asyncio.StreamWriter, drop: bytes) -> None:
    with suppress(ConnectionError):
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(0.02)  # the attack itself


def echo_app(go_on: asyncio.Event) -> ASGIApp:
    """`/echo` returns the body, and in a header who called; `/slow` answers when `go_on` is set."""

    async def echo(request: Request) -> Response:
        peer = f"{request.client and request.client.host} {request.url.scheme}"
        return PlainTextResponse(await request.body(), headers={"x-peer": peer})

    async def slow(_: Request) -> Response:
        await go_on.wait()
        return PlainTextResponse("at last")

    return web_app([Route("/echo", echo, methods=["POST"]), Route("/slow", slow)], https=False)


@asynccontextmanager
async def served(bounds: Bounds, *, grace: float = 1.0) -> AsyncIterator[Port]:
    sock = listen("127.0.0.1", 0)
    port = Port(sock.getsockname()[1])
    try:
        async with serving(echo_app(port.go_on), sock, grace=timedelta(seconds=grace), bounds=bounds):
            yield port
    finally:
        await port.close()


TRICKLES = {
    "silence": (b"", b""),
    "headers": (HEAD, b"x: y\r\n"),
    "a request line": (b"POST /ec", b"h"),
    "a body": (HEAD + b"content-length: 90000\r\n\r\n", b"x"),
    "chunks": (HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "a request that waits for ever": (GET_SLOW, b""),
}


async def test_a_connection_ends_after_its_lifetime_whatever_trickles_in():
    async def trickled(start: bytes, drop: bytes) -> bytes:
        reader, writer = await port.connect(start)
        trickling = asyncio.create_task(trickle(writer, drop))
        answer = await to_the_end(reader)  # SOON is far more than the lifetime
        trickling.cancel()
        return answer

    async with served(Bounds(lifetime=timedelta(seconds=0.3))) as port:
        answers = await asyncio.gather(*(trickled(*trick) for trick in TRICKLES.values()))
    accepted = {name for name, answer in zip(TRICKLES, answers, strict=True) if b"HTTP/1.1 200" in answer}
    assert accepted == set()


NOT_A_REQUEST = {
    "too much body": HEAD + b"content-length: 10000000\r\n\r\n" + b"x" * 200_000,
    "too many chunks": HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 30_000,
    "a header without end": HEAD + b"x: " + b"y" * 200_000,
    "too many requests": DELIVERY * 3_000,
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two lengths": HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\nx",
    "a length and chunks": HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example\r\n\r\n",
    "an upgrade": b"GET / HTTP/1.1\r\nhost: u\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
}


async def test_a_connection_that_sends_too_much_or_no_request_or_leaves_early_ends_without_a_crash(caplog):
    async with served(Bounds(received=100_000)) as port:  # a minute of life: only the bound can end it
        _, leaving = await port.connect(HEAD + b"content-length: 9\r\n\r\nx")
        await port.deliver()
        leaving.transport.abort()
        answers = await asyncio.gather(*(port.exchange(sent) for sent in NOT_A_REQUEST.values()))
        await port.deliver()
    for name, answer in zip(NOT_A_REQUEST, answers, strict=True):
        assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 200")), name
    assert [record for record in caplog.records if record.exc_info] == []


async def test_o35_a_connection_carries_one_request_and_no_word_of_its_peer_on_who_it_is():
    forged = b"x-forwarded-for: 1.2.3.4\r\nx-forwarded-proto: https\r\n"
    async with served(Bounds()) as port:
        answer = await port.exchange(DELIVERY.replace(b"\r\n\r\n", b"\r\n" + forged + b"\r\n") + DELIVERY)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"connection: close" in answer.lower()
    assert b"x-peer: 127.0.0.1 http\r\n" in answer


async def test_where_too_many_are_open_the_oldest_makes_room():
    async with served(Bounds(connections=5)) as port:
        oldest, *others = [await port.connect(HEAD) for _ in range(5)]
        await port.deliver()
        assert await to_the_end(oldest[0]) == b""
        for reader, writer in others:
            writer.write(b"content-length: 1\r\n\r\nx")
            assert (await to_the_end(reader)).startswith(b"HTTP/1.1 200")


async def test_a_request_that_is_being_answered_does_not_make_room_for_who_says_nothing():
    async with served(Bounds(connections=3)) as port:
        answered, _ = await port.connect(GET_SLOW)
        silent = [await port.connect(b"") for _ in range(4)]
        assert await to_the_end(silent[0][0]) == b""
        port.go_on.set()
        assert (await to_the_end(answered)).endswith(b"at last")


async def test_two_listeners_of_one_process_do_not_make_room_for_each_other():
    async with served(Bounds(connections=2)) as one, served(Bounds(connections=2)) as other:
        kept, _ = await one.connect(GET_SLOW)
        for _ in range(4):
            await other.deliver()
        one.go_on.set()
        assert (await to_the_end(kept)).endswith(b"at last")


def test_the_bounds_leave_descriptors_for_a_burst_that_is_accepted_at_once():
    assert Bounds().connections + 3 * BACKLOG <= 1024
    assert Bounds().connections >= 4 * BACKLOG


@pytest.mark.parametrize("is_late", [False, True], ids=["finishes what is under way", "cancels what is late"])
async def test_o39_stopping_closes_what_is_idle_or_trickles_and(is_late):
    async with asyncio.timeout(SOON), served(Bounds(), grace=0.5 if is_late else SOON) as port:
        unsent = [await port.connect(HEAD + end) for end in (b"", b"content-length: 9\r\n\r\nx")]
        slow, _ = await port.connect(GET_SLOW)
        await port.deliver()
        if not is_late:
            asyncio.get_running_loop().call_later(0.2, port.go_on.set)
    assert (await to_the_end(slow)).endswith(b"at last") is not is_late
    assert [await to_the_end(reader) for reader, _ in unsent] == [b"", b""]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::"])
def test_accepted_sockets_send_at_once_on_every_kind_of_address_and_a_taken_port_is_an_os_error(host):
    with listen(host, 0) as sock:
        with pytest.raises(OSError, match="in use"):
            listen(host, sock.getsockname()[1])
        clients = {"::": ["127.0.0.1", "::1"]}.get(host, [host])
        for client in clients:
            with socket.create_connection((client, sock.getsockname()[1])):
                accepted, _ = sock.accept()
                with accepted:
                    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def serve() -> None:
    """What the process does: it prints its port and its descriptors, and serves until it is killed."""
    set_up_log("info")
    sock = listen("127.0.0.1", 0)
    async with serving(echo_app(asyncio.Event()), sock, grace=timedelta(seconds=1)):
        print(sock.getsockname()[1], resource.getrlimit(resource.RLIMIT_NOFILE)[0], flush=True)
        await asyncio.Event().wait()


@asynccontextmanager
async def process(limit: str) -> AsyncIterator[tuple[Port, asyncio.subprocess.Process, int]]:
    """A server with this `ulimit`: its port, the process, and the descriptors that it allows itself."""
    serve = "import asyncio; from tests.unit.web.test_web_server import serve; asyncio.run(serve())"
    program = f"ulimit {limit}; exec {sys.executable} -c '{serve}'"
    pipe = asyncio.subprocess.PIPE
    started = await asyncio.create_subprocess_exec("bash", "-c", program, cwd=ROOT, stdout=pipe, stderr=pipe)
    number, descriptors = map(int, (await started.stdout.readline()).split())
    port = Port(number)
    try:
        yield port, started, descriptors
    finally:
        await port.close()
        if started.returncode is None:
            started.kill()
            await started.communicate()


ATTACKS = {
    "1,000 idle": (1_000, b"", "-Sn 256", web.DESCRIPTORS),  # a low limit is raised
    "3,000 idle with 1,024 descriptors": (3_000, b"", "-n 1024", 1024),
    "500 slow heads": (500, HEAD, "-Sn 2048", 2048),
}


@pytest.mark.parametrize(("many", "start", "limit", "raised_to"), ATTACKS.values(), ids=ATTACKS)
async def test_deliveries_are_answered_and_the_log_stays_quiet_during(many, start, limit, raised_to):
    """They connect at once, so that one turn of the server's event loop finds as many as may wait."""
    async with process(limit) as (port, server, descriptors):
        assert descriptors == raised_to
        pairs = await asyncio.gather(*(port.connect(start) for _ in range(many)))
        trickles = asyncio.gather(*(trickle(writer, b"x: y\r\n") for _, writer in pairs if start))
        waited = [await port.deliver() for _ in range(30)]
        trickles.cancel()
        await asyncio.gather(trickles, return_exceptions=True)
        server.terminate()
        _, log = await asyncio.wait_for(server.communicate(), SOON)
    assert max(waited) < 3  # Slack waits no longer
    assert len(log.splitlines()) <= 5, log[:2000]
