"""A Graph that gives the answers of a test and keeps the requests."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx
import pytest
from bot.domain.device import ActionResult, FoundDevices
from bot.domain.errors import GraphError
from bot.domain.target import Target, parse_target
from bot.domain.values import DeviceId, Secret
from bot.graph.devices import Intune, graph_client
from bot.timing import Timing

BASE: Final = "https://graph.example/v1.0"
TOKEN: Final = Secret("the-approvers-token")
NOW: Final = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
GRACE: Final = parse_target("grace.hopper@contoso.com")
PHONE: Final = DeviceId("c8e4d4ab-9f0b-4f5c-8f5a-7e1d0a2b3c4d")

Headers = Sequence[tuple[str, str]]
Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


DATA: Final = Path(__file__).parent / "data"
IPHONE: Final = json.loads((DATA / "iphone_supervised_pending.json").read_text())
ANDROID: Final = json.loads((DATA / "android_cope_done.json").read_text())
ACCEPTED: Final = httpx.Response(204, headers={"request-id": "r1"})


def ok(body: object) -> httpx.Response:
    return httpx.Response(200, json=body, headers={"request-id": "r1"})


def page(*rows: object, next_link: object = None, of: str = "") -> httpx.Response:
    """`of`: the key of the person below whom Graph says that it lists."""
    context = f"{BASE}/$metadata#users('{of}')/managedDevices(id,userId)"
    link = {"@odata.nextLink": next_link} if next_link is not None else {}
    return ok({"@odata.context": context, "value": list(rows)} | link)


def error_body(code: str, message: str = "") -> dict[str, object]:
    return {"error": {"code": code, "message": message, "innerError": {"request-id": "inner"}}}


def said(status: int, code: str, message: str = "", headers: Headers = ()) -> httpx.Response:
    return httpx.Response(status, json=error_body(code, message), headers=[*headers])


class GraphStub:
    """Gives `answers` in order, the last one again and again; without any it never answers."""

    def __init__(self, *answers: Answer, **timing: timedelta) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.asked = asyncio.Event()
        self.http = graph_client(Timing(**timing), httpx.MockTransport(self._answer))
        self.intune = Intune(self.http, BASE, timing=Timing(**timing), now=lambda: NOW)

    async def find(self, target: Target = GRACE) -> FoundDevices:
        return await self.intune.find(target, TOKEN)

    async def actions(self, device: str = PHONE) -> Sequence[ActionResult]:
        return await self.intune.actions(DeviceId(device), TOKEN)

    async def reset(self, target: Target = GRACE, device: str = PHONE, *, direct: bool = False) -> str:
        options = {"client_request_id": "0b1c", "direct": direct}
        return await self.intune.reset_passcode(target, DeviceId(device), TOKEN, **options)

    async def failed_reset(self, target: Target = GRACE, *, direct: bool = False) -> GraphError:
        with pytest.raises(GraphError) as caught:
            await self.reset(target, direct=direct)
        assert len(self.requests) == 1, "a reset is never sent twice"
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None, "an httpx exception carries the request, with the token"
        return caught.value

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.asked.set()
        await asyncio.sleep(0)
        if not self._answers:
            await asyncio.Event().wait()
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer
