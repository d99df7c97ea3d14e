"""A Web API that answers what it is told to, for answers that Slack gives rarely or never."""

import asyncio
from collections.abc import Mapping
from typing import Self

import aiohttp
from aiohttp import web
from slack_sdk.web.async_client import AsyncWebClient


class SlackStub:
    """`answers` by method: bodies in turn, the last one for ever. `hang`: no answer until the end."""

    def __init__(self) -> None:
        self.answers: dict[str, list[web.Response | Mapping[str, object]]] = {}
        self.asked: list[tuple[str, Mapping[str, object]]] = []
        self.hang = False
        self._ended = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/api/{method}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self._session = aiohttp.ClientSession()
        self.client = AsyncWebClient(
            "xoxb-stub", base_url=f"http://{host}:{port}/api/", session=self._session, retry_handlers=[]
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ended.set()
        await self._session.close()
        await self._runner.cleanup()

    async def stop(self) -> None:
        """Nobody listens any more."""
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        body = await request.json() if request.content_type == "application/json" else await request.post()
        self.asked.append((method, {**request.query, **body}))
        if self.hang:
            await self._ended.wait()
        turns = self.answers.get(method, [{"ok": True}])
        answer = turns.pop(0) if len(turns) > 1 else turns[0]
        return answer if isinstance(answer, web.Response) else web.json_response(dict(answer))
