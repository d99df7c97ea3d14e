"""A served sandbox whose vendors can be made to fail, and clients over real sockets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from microsoft import IPHONE, KEN
from sandbox.app import Sandbox, serve
from sandbox.cast import BOT_TOKEN
from sandbox.faults import Rule, Standing
from sandbox.journal import Call
from sandbox.slack import Message
from slack_office import ON_CALL

BOT_AUTH = {"Authorization": f"Bearer {BOT_TOKEN}"}
RESET = f"/graph/v1.0/deviceManagement/managedDevices/{IPHONE}/resetPasscode"


class FaultDesk:
    """Everything a test touches."""

    def __init__(self, sandbox: Sandbox, http: httpx.AsyncClient) -> None:
        self.sandbox = sandbox
        self.http = http
        self.ken = {"Authorization": f"Bearer {sandbox.entra.access_token(KEN)}"}

    def fails(self, **rule: Any) -> Standing:
        return self.sandbox.faults.add(Rule(**rule))

    async def post(self, **more: Any) -> httpx.Response:
        """chat.postMessage, as the bot."""
        said = {"channel": ON_CALL, "text": "card", **more}
        return await self.http.post("/slack/api/chat.postMessage", json=said, headers=BOT_AUTH)

    async def reset(self, **options: Any) -> httpx.Response:
        """resetPasscode, as Ken."""
        return await self.http.post(RESET, headers=self.ken | options.pop("headers", {}), **options)

    @property
    def resets(self) -> int:
        return len(self.sandbox.intune.resets)

    @property
    def posted(self) -> list[Message]:
        return self.sandbox.slack.messages(ON_CALL)

    @property
    def last_call(self) -> Call:
        return self.sandbox.journal.calls[-1]


@asynccontextmanager
async def a_fault_desk() -> AsyncIterator[FaultDesk]:
    async with (
        serve(Sandbox()) as sandbox,
        httpx.AsyncClient(base_url=sandbox.base_url, timeout=5) as http,
    ):
        yield FaultDesk(sandbox, http)
