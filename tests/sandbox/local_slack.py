"""The local Slack in this process, with a clock moved by hand, and an app whose answers a test chooses."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import httpx
from sandbox.app import Sandbox
from sandbox.cast import BOT_TOKEN, SUPPORT
from sandbox.clock import HandClock
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.support.user_actions import MEI

START = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
BOT_AUTH = {"Authorization": f"Bearer {BOT_TOKEN}"}

Json = dict[str, Any]


def text(words: str, kind: str = "plain_text") -> Json:
    return {"type": kind, "text": words}


def section(words: str = "words") -> Json:
    return {"type": "section", "text": text(words)}


def button(action_id: str = "approve", value: str = "R1", words: str = "Approve") -> Json:
    return {"type": "button", "action_id": action_id, "value": value, "text": text(words)}


def actions(*elements: Json, block_id: str = "decision") -> Json:
    return {"type": "actions", "block_id": block_id, "elements": list(elements or [button()])}


def field(block_id: str = "reason", **more: Any) -> Json:
    element = {"type": "plain_text_input", "action_id": f"{block_id}_typed"} | more.pop("element", {})
    return {"type": "input", "block_id": block_id, "label": text("Why"), "element": element, **more}


def modal(*blocks: Json, submit: bool = True, **more: Any) -> Json:
    view: Json = {"type": "modal", "title": text("Reset"), "blocks": list(blocks or [field()]), **more}
    return view | {"submit": text("Ask")} if submit else view


class App:
    """The app: keeps what it was sent, and answers with `reply` (an empty 200 at first)."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.bodies: list[bytes] = []
        self.says("")
        self.asgi = Starlette(routes=[Route("/slack/events", self._receive, methods=["POST"])])

    @property
    def last(self) -> Json:
        """The last delivery: the form of a command, or the payload of an interaction."""
        form: Json = dict(parse_qsl(self.bodies[-1].decode(), keep_blank_values=True))
        return dict(json.loads(form["payload"])) if "payload" in form else form

    def says(self, answer: Json | str | int) -> None:
        """Answer with JSON, a text or a bare status from now on."""

        async def reply(_last: Json) -> Response:
            if isinstance(answer, int):
                return Response(status_code=answer)
            return Response(answer) if isinstance(answer, str) else JSONResponse(answer)

        self.reply: Callable[[Json], Awaitable[Response]] = reply

    async def _receive(self, request: Request) -> Response:
        self.requests.append(request)
        self.bodies.append(await request.body())
        return await self.reply(self.last)


class LocalSlack:
    """The local Slack, the app that it calls, and a client of its Web API."""

    def __init__(self, **more: Any) -> None:
        self.clock = HandClock(START)
        self.app = App()
        to_app = httpx.ASGITransport(self.app.asgi, raise_app_exceptions=False)
        sandbox = Sandbox(clock=self.clock, bot_url="http://app.test", transport=to_app, **more)
        self.slack = sandbox.slack
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(sandbox.asgi), base_url=sandbox.base_url)

    async def call(self, method: str, **arguments: Any) -> Json:
        """Call the Web API as the bot, with JSON."""
        answer = await self.http.post(f"/slack/api/{method}", json=arguments, headers=BOT_AUTH)
        return dict(answer.json())

    async def error(self, method: str, **arguments: Any) -> str:
        """The error of a call that must fail."""
        body = await self.call(method, **arguments)
        assert body["ok"] is False, body
        return str(body["error"])

    async def done(self, method: str, **arguments: Any) -> Json:
        """The answer of a call that must succeed."""
        body = await self.call(method, **arguments)
        assert body["ok"] is True, body
        return body

    async def trigger(self, user: str = MEI) -> str:
        """A fresh trigger id: this person types the command."""
        await self.slack.command(user, SUPPORT, "/reset-passcode")
        return str(self.app.last["trigger_id"])

    async def opened(self, view: Json, user: str = MEI) -> Json:
        """Open a modal in front of somebody."""
        return dict((await self.done("views.open", trigger_id=await self.trigger(user), view=view))["view"])
