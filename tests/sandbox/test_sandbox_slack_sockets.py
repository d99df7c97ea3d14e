"""Socket Mode with bare WebSockets, on a real port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType
from local_slack import MEI, SUPPORT, Json
from sandbox.app import Sandbox, serve
from sandbox.slack import Outcome

MOST = 10


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with serve(Sandbox()) as served:
        yield served


@asynccontextmanager
async def sockets(sandbox: Sandbox, count: int) -> AsyncIterator[list[ClientWebSocketResponse]]:
    """This many connections, each after its hello; the eleventh gets none."""
    async with aiohttp.ClientSession(sandbox.base_url) as session:
        opened = [await session.ws_connect(address(sandbox)) for _ in range(count)]
        for socket in opened[:MOST]:
            assert (await received(socket))["type"] == "hello"
        yield opened


def address(sandbox: Sandbox) -> str:
    return f"/slack/socket?ticket={sandbox.slack.sockets.ticket()}"


async def received(socket: ClientWebSocketResponse) -> Json:
    message: Json = await socket.receive_json(timeout=5)
    return message


async def acknowledge(socket: ClientWebSocketResponse, envelope: Json) -> None:
    await socket.send_json({"envelope_id": envelope["envelope_id"]})


def asking(sandbox: Sandbox) -> asyncio.Task[Outcome]:
    return asyncio.create_task(sandbox.slack.command(MEI, SUPPORT, "/reset-passcode help"))


async def test_each_envelope_goes_to_exactly_one_connection(sandbox):
    async with sockets(sandbox, 2) as both:
        for _ in range(4):
            outcome = asking(sandbox)
            waiting = {asyncio.create_task(received(socket)): socket for socket in both}
            [first], [other] = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            await acknowledge(waiting[first], first.result())
            assert (await outcome).delivered
            assert not other.done()
            other.cancel()
            await asyncio.wait([other])


async def test_the_eleventh_connection_is_too_many(sandbox):
    async with sockets(sandbox, MOST + 1) as opened:
        assert await received(opened[-1]) == {"type": "disconnect", "reason": "too_many_websockets"}
        assert (await opened[-1].receive(timeout=5)).type is WSMsgType.CLOSE
        assert sandbox.slack.sockets.connections == MOST


async def test_a_ticket_opens_one_socket(sandbox):
    url = address(sandbox)
    async with aiohttp.ClientSession(sandbox.base_url) as session, session.ws_connect(url):
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(url)


async def test_an_envelope_without_acknowledgement_times_out(sandbox):
    sandbox.slack.be_patient(0.05)
    async with sockets(sandbox, 1):
        outcome = await asking(sandbox)

    assert outcome.notice == '/reset-passcode failed with the error "operation_timeout"'
