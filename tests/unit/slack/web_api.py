"""A Web API that answers what it is told to, for answers that Slack gives rarely or never as well."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from bot.slack.client import WatchedClient
from bot.slack.directory import ApproverChannel
from bot.timing import Timing
from tests.support.builders import CHANNEL
from tests.support.clock import Clock

GARBAGE = [
    web.Response(status=502, text="<html>", content_type="text/html"),
    web.Response(status=200, text="{", content_type="application/json"),
    web.Response(status=200, text="<html>captive portal</html>", content_type="text/html"),
    web.Response(status=500, text="[]", content_type="application/json"),
    web.Response(status=200, text='["ok"]', content_type="application/json"),
    web.Response(status=200, text="ok", content_type="text/plain"),
    web.Response(body=b"\x1f\x8b", content_type="application/gzip"),
]
"""Answers that are not Slack's."""
Answer = web.Response | Mapping[str, object]
CUT = web.Response(reason="cut")
"""The connection is cut instead of an answer."""


def refused(code: str) -> dict[str, object]:
    return {"ok": False, "error": code}


class WebApi:
    """`answers` by method: bodies in turn, the last one from then on, and none until `hang` is set.

    `slept`: how long each pause of the caller should have taken.
    """

    client: WatchedClient
    """Without retries, as in production."""
    stop: Callable[[], Awaitable[None]]

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer | Callable[[], Answer]]] = {}
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.hang: asyncio.Event | None = None
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.slept.append(seconds)

    def methods(self) -> list[str]:
        return [method for method, _ in self.asked]

    async def answer(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        body = await request.json() if request.content_type == "application/json" else await request.post()
        self.asked.append((method, {**request.query, **body}))
        if self.hang is not None:
            await self.hang.wait()
        turns = self.answers.get(method, [{"ok": True}])
        answer = turns.pop(0) if len(turns) > 1 else turns[0]
        if callable(answer):
            answer = answer()
        if answer is CUT and request.transport is not None:
            request.transport.abort()
        if isinstance(answer, web.Response):
            return web.Response(body=answer.body, status=answer.status, headers=answer.headers)
        return web.json_response(dict(answer))


def a_channel(api: WebApi, *, rota: bool = False, clock: Clock | None = None) -> ApproverChannel:
    """The approver channel, fit, and not yet looked at."""
    now = (clock or Clock()).now
    channel = ApproverChannel(api.client, CHANNEL, rota=rota, timing=Timing(), now=now)
    channel.problem = None
    return channel


@asynccontextmanager
async def web_api() -> AsyncIterator[WebApi]:
    api, app = WebApi(), web.Application()
    app.router.add_route("*", "/{method}", api.answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        api.stop = server.close
        base_url = str(server.make_url("/"))
        api.client = WatchedClient("xoxb-1", base_url, session=session, retry_handlers=[])
        yield api
        if api.hang is not None:
            api.hang.set()
