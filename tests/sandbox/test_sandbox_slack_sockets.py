"""Socket Mode with bare WebSockets, on a real port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import httpx
import pytest
from local_slack import MEI, SUPPORT, Json
from sandbox.app import Sandbox, serve
from sandbox.cast import APP_TOKEN
from sandbox.slack import Outcome

MOST = 10


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with serve(Sandbox()) as served:
        yield served


class Socket:
    """A bare WebSocket client."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def next(self) -> Json:
        message: Json = await self._socket.receive_json(timeout=5)
        return message

    async def ack(self, envelope: Json) -> None:
        await self._socket.send_json({"envelope_id": envelope["envelope_id"]})

    async def closed(self) -> bool:
        message = await self._socket.receive(timeout=5)
        return message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


@asynccontextmanager
async def sockets(sandbox: Sandbox, count: int) -> AsyncIterator[list[Socket]]:
    """This many connections, each after its hello; the eleventh gets none."""
    url, headers = (
        f"{sandbox.base_url}/slack/api/apps.connections.open",
        {"Authorization": f"Bearer {APP_TOKEN}"},
    )
    async with aiohttp.ClientSession() as session:
        opened = []
        for number in range(count):
            async with session.post(url, headers=headers) as response:
                ticket = (await response.json())["url"]
            opened.append(Socket(await session.ws_connect(ticket)))
            if number < MOST:
                assert (await opened[-1].next())["type"] == "hello"
        yield opened


def asking(sandbox: Sandbox) -> asyncio.Task[Outcome]:
    return asyncio.create_task(sandbox.slack.command(MEI, SUPPORT, "/reset-passcode help"))


async def test_each_envelope_goes_to_exactly_one_connection(sandbox):
    async with sockets(sandbox, 2) as both:
        for _ in range(4):
            outcome = asking(sandbox)
            waiting = {asyncio.create_task(socket.next()): socket for socket in both}
            [received], [other] = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            await waiting[received].ack(received.result())
            assert (await outcome).delivered
            assert not other.done()
            other.cancel()
            await asyncio.wait([other])


async def test_the_eleventh_connection_is_too_many(sandbox):
    async with sockets(sandbox, MOST + 1) as opened:
        assert await opened[-1].next() == {"type": "disconnect", "reason": "too_many_websockets"}
        assert await opened[-1].closed()
        assert sandbox.slack.sockets.connections == MOST


async def test_a_ticket_opens_one_socket(sandbox):
    url = f"{sandbox.base_url}/slack/socket?ticket={sandbox.slack.sockets.ticket()}"
    async with aiohttp.ClientSession() as session, session.ws_connect(url):
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(url)


async def test_an_envelope_without_acknowledgement_times_out(sandbox):
    sandbox.slack.be_patient(0.05)
    async with sockets(sandbox, 1):
        outcome = await asking(sandbox)

    assert outcome.notice == '/reset-passcode failed with the error "operation_timeout"'


async def test_a_warned_socket_still_works_and_a_retired_one_gets_nothing(sandbox):
    async with sockets(sandbox, 1) as [socket], httpx.AsyncClient(base_url=sandbox.base_url) as http:
        await http.post("/sandbox/sockets", json={"reason": "warning"})
        assert (await socket.next())["reason"] == "warning"
        outcome = asking(sandbox)
        await socket.ack(await socket.next())
        assert (await outcome).delivered

        await http.post("/sandbox/sockets", json={"reason": "refresh_requested"})
        assert (await socket.next())["reason"] == "refresh_requested"
        assert "dispatch_failed" in (await asking(sandbox)).notice
