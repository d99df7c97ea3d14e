"""Our acknowledgement of a form and what came of the form travel on two ways, and either may be faster."""

import asyncio
from pathlib import Path

import httpx
from sandbox.app import Sandbox
from tests.whole.installed import KEN, installed

ON_THE_WAY_SECONDS = 0.25


class SlowWayBack(httpx.AsyncBaseTransport):
    """Every answer of the bot takes a while to reach Slack."""

    def __init__(self) -> None:
        self._http = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._http.handle_async_request(request)
        await asyncio.sleep(ON_THE_WAY_SECONDS)
        return answer

    async def aclose(self) -> None:
        await self._http.aclose()


async def test_a_quick_refusal_is_not_covered_by_the_loading_window_of_a_slow_acknowledgement(tmp_path: Path):
    sandbox = Sandbox(action_seconds=0.03, transport=SlowWayBack())
    async with installed(tmp_path, sandbox=sandbox) as there:
        await there.pending()
        await there.pressed(KEN, "deny")
        assert (await there.slack.submit(KEN, {"denial": "the wrong phone"})).delivered
        assert (await there.until(lambda: there.title(KEN) != "One moment")) is True
        assert there.title(KEN) == "Denied", there.words(KEN)
