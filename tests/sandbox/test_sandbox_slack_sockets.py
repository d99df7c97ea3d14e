"""Socket Mode with bare WebSockets, on a real port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import httpx
import pytest
from local_slack import MEI, SUPPORT
from sandbox.app import Sandbox, serve
from sandbox.cast import APP_TOKEN
from sandbox.slack import Outcome


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with serve(Sandbox()) as served:
        yield served


class Socket:
    """A bare WebSocket client."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def next(self) -> dict[str, Any]:
        message: dict[str, Any] = await self._socket.receive_json(timeout=5)
        return message

    async def ack(self, envelope: dict[str, Any], payload: Any = None) -> None:
        body = {"envelope_id": envelope["envelope_id"]}
        await self._socket.send_json(body | ({"payload": payload} if payload is not None else {}))

    async def closed(self) -> bool:
        message = await self._socket.receive(timeout=5)
        return message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


@asynccontextmanager
async def sockets(sandbox: Sandbox, count: int) -> AsyncIterator[list[Socket]]:
    async with aiohttp.ClientSession() as session:
        opened = [await _open(sandbox, session) for _ in range(count)]
        try:
            yield [Socket(socket) for socket in opened]
        finally:
            for socket in opened:
                await socket.close()


async def _open(sandbox: Sandbox, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
    url = f"{sandbox.base_url}/slack/api/apps.connections.open"
    async with session.post(url, headers={"Authorization": f"Bearer {APP_TOKEN}"}) as response:
        ticket = (await response.json())["url"]
    return await session.ws_connect(ticket)


def _asking(sandbox: Sandbox) -> asyncio.Task[Outcome]:
    return asyncio.create_task(sandbox.slack.command(MEI, SUPPORT, "/reset-passcode help"))


async def test_each_envelope_goes_to_exactly_one_connection(sandbox):
    async with sockets(sandbox, 2) as both:
        for socket in both:
            await socket.next()

        for _ in range(4):
            asking = _asking(sandbox)
            waiting = [asyncio.create_task(socket.next()) for socket in both]
            done, rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            [received] = done
            await both[waiting.index(received)].ack(received.result())
            assert (await asking).delivered
            for task in rest:
                task.cancel()
            await asyncio.wait(rest)


async def test_the_eleventh_connection_is_too_many(sandbox):
    async with sockets(sandbox, 11) as opened:
        last = await opened[-1].next()
        assert last == {"type": "disconnect", "reason": "too_many_websockets"}
        assert await opened[-1].closed()
        assert sandbox.slack.sockets.connections == 10


async def test_a_ticket_opens_one_socket(sandbox):
    async with aiohttp.ClientSession() as session:
        url = f"{sandbox.base_url}/slack/socket?ticket={sandbox.slack.sockets.ticket()}"
        first = await session.ws_connect(url)
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(url)
        await first.close()


async def test_an_envelope_without_acknowledgement_times_out(sandbox):
    sandbox.slack.be_patient(0.05)
    async with sockets(sandbox, 1) as [socket]:
        await socket.next()

        outcome = await _asking(sandbox)

    assert outcome.notice == '/reset-passcode failed with the error "operation_timeout"'


async def test_a_warned_socket_still_works_and_a_retired_one_gets_nothing(sandbox):
    async with sockets(sandbox, 1) as [socket]:
        await socket.next()
        await sandbox.slack.sockets.disconnect("warning")
        assert (await socket.next())["reason"] == "warning"
        asking = _asking(sandbox)
        await socket.ack(await socket.next())
        assert (await asking).delivered

        await sandbox.slack.sockets.disconnect("refresh_requested")
        assert (await socket.next())["reason"] == "refresh_requested"
        assert "dispatch_failed" in (await _asking(sandbox)).notice


async def test_the_control_api_closes_the_oldest_socket(sandbox):
    async with sockets(sandbox, 2) as (oldest, other), httpx.AsyncClient(base_url=sandbox.base_url) as http:
        for socket in (oldest, other):
            assert (await socket.next())["type"] == "hello"
        answer = await http.post("/sandbox/sockets", json={"reason": "refresh_requested", "most": 1})
        assert (answer.status_code, answer.json()) == (200, {"open": 2})
        assert (await oldest.next())["reason"] == "refresh_requested"
        assert sandbox.slack.sockets.willing == 1
