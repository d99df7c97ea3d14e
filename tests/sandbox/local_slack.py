"""The local Slack in this process, with a clock moved by hand, and an app whose answers a test chooses."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import httpx
from sandbox.cast import BOT_TOKEN, DEFAULT_CAST
from sandbox.clock import HandClock
from sandbox.journal import Journal
from sandbox.slack import Slack
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

BASE = "http://127.0.0.1:8080"
START = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
MEI, KEN, AIKO, GUS, OLGA = (person.id for person in DEFAULT_CAST.people)
BOT = DEFAULT_CAST.bot.id
ON_CALL, SUPPORT = "C0ONCALL", "C0SUPPORT"
BOT_AUTH = {"Authorization": f"Bearer {BOT_TOKEN}"}

Json = dict[str, Any]
Reply = Callable[[Json], Awaitable[Response]]


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
        self.reply: Reply = _nothing
        self.asgi = Starlette(routes=[Route("/slack/events", self._receive, methods=["POST"])])

    @property
    def last(self) -> Json:
        """The last delivery: the form of a command, or the payload of an interaction."""
        form: Json = dict(parse_qsl(self.bodies[-1].decode(), keep_blank_values=True))
        if "payload" in form:
            payload: Json = json.loads(form["payload"])
            return payload
        return form

    def says(self, answer: Json | str | int) -> None:
        """Answer with JSON, a text or a bare status from now on."""

        async def reply(_last: Json) -> Response:
            if isinstance(answer, int):
                return Response(status_code=answer)
            return Response(answer) if isinstance(answer, str) else JSONResponse(answer)

        self.reply = reply

    async def _receive(self, request: Request) -> Response:
        self.requests.append(request)
        self.bodies.append(await request.body())
        return await self.reply(self.last)


class LocalSlack:
    """The local Slack, the app that it calls, and a client of its Web API."""

    def __init__(self, **more: Any) -> None:
        self.clock = HandClock(START)
        self.journal = Journal(self.clock)
        self.app = App()
        transport = httpx.ASGITransport(self.app.asgi, raise_app_exceptions=False)
        where = {"base_url": BASE, "bot_url": "http://app.test", "transport": transport}
        self.slack = Slack(DEFAULT_CAST, self.clock, self.journal, **where, **more)
        asgi = httpx.ASGITransport(Starlette(routes=self.slack.routes()))
        self.http = httpx.AsyncClient(transport=asgi, base_url=BASE)

    async def call(self, method: str, **arguments: Any) -> Json:
        """Call the Web API as the bot, with JSON."""
        response = await self.http.post(f"/slack/api/{method}", json=arguments, headers=BOT_AUTH)
        body: Json = response.json()
        return body

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
        body = await self.done("views.open", trigger_id=await self.trigger(user), view=view)
        opened: Json = body["view"]
        return opened


async def _nothing(_last: Json) -> Response:
    return Response()
