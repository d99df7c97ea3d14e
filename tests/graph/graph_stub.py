"""A Graph that answers what a test says, and keeps what it was asked."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
from bot.domain.secret import Secret
from bot.graph import GraphDevices, graph_client

BASE: Final = "https://graph.example/v1.0"
TOKEN: Final = Secret("the-approvers-token")
NOW: Final = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)

Answer = httpx.Response | Exception


def fixture(name: str) -> dict[str, object]:
    row: dict[str, object] = json.loads((Path(__file__).parent / "data" / f"{name}.json").read_text())
    return row


IPHONE: Final = fixture("iphone_supervised_pending")
ANDROID: Final = fixture("android_cope_done")
WINDOWS: Final = fixture("windows_unsupported")


def ok(body: object) -> httpx.Response:
    return httpx.Response(200, json=body)


def page(*rows: object, next_link: str | None = None) -> httpx.Response:
    return ok({"value": list(rows)} | ({"@odata.nextLink": next_link} if next_link else {}))


class FixedClock:
    def now(self) -> datetime:
        return NOW


class GraphStub:
    """`answers` are used in order, the last one for ever; `slept` holds seconds."""

    def __init__(self, *answers: Answer | Callable[[httpx.Request], Answer]) -> None:
        self._answers = list(answers)
        self.asked: list[httpx.Request] = []
        self.slept: list[float] = []
        self.http = graph_client(httpx.MockTransport(self._answer))
        self.devices = GraphDevices(self.http, BASE, FixedClock(), sleep=self._sleep, jitter=lambda: 0.5)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        self.asked.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.slept.append(seconds)
