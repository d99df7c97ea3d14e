"""What Slack delivers: signed bodies, and the whole Slack side over real use cases to deliver them to."""

import asyncio
import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import httpx
from bot.domain.errors import SlackError
from bot.domain.values import Secret
from bot.slack.blocks import View
from bot.slack.client import Answers
from bot.slack.handlers import Background, Handlers
from bot.slack.payloads import VALUE
from bot.slack.receiver import bolt_app, http_receiver
from bot.slack.wording import ENGLISH
from bot.store.database import Database
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient
from starlette.applications import Starlette
from starlette.routing import Route
from tests.support import signature
from tests.support.bot import Bot
from tests.support.builders import KEN, MEI, TEAM, TIMING
from tests.support.clock import NOON, Clock
from tests.support.signature import FORM

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
signed = partial(signature.signed, at=NOON, secret=SECRET)
RESPONSE_URL = "https://hooks.slack.com/actions/T0/1/secret"
US = AuthorizeResult(enterprise_id=None, team_id=TEAM, bot_user_id="U0UNLATCH", bot_token="xoxb-1")
COMMAND = {"team_id": TEAM, "user_id": MEI.id, "channel_id": "C0SUPPORT", "command": "/reset-passcode"}
COMMAND |= {"text": "leo@contoso.com locked out", "trigger_id": "1.2.three"}


def command(**changes: str) -> bytes:
    return urlencode(COMMAND | changes).encode()


def interaction(kind: str, user: str, **more: object) -> bytes:
    payload = {"type": kind, "team": {"id": TEAM}, "user": {"id": user, "team_id": TEAM}} | more
    return urlencode({"payload": json.dumps(payload)}).encode()


def press(action: str, value: str, *, user: str = KEN.id) -> bytes:
    button = {"type": "button", "action_id": action, "block_id": "b", "value": value}
    return interaction("block_actions", user, trigger_id="9.9.n", response_url=RESPONSE_URL, actions=[button])


def form(callback: str, *, metadata: str = "", user: str = MEI.id, **typed: str) -> bytes:
    state = {block: {VALUE: {"type": "plain_text_input", "value": text}} for block, text in typed.items()}
    view = {"id": "V0FORM", "type": "modal", "callback_id": callback, "private_metadata": metadata}
    return interaction("view_submission", user, view=view | {"state": {"values": state}})


class Post:
    """Sends to the receiver; `headers` change what Slack would send, None leaves one out."""

    def __init__(self, app: Any, clock: Clock) -> None:
        self._clock = clock
        endpoint = http_receiver(app, Secret(SECRET), lambda: clock.now().timestamp())
        asgi = Starlette(routes=[Route("/slack/events", endpoint, methods=["POST"])])
        transport = httpx.ASGITransport(asgi, raise_app_exceptions=False)
        self._http = httpx.AsyncClient(transport=transport, base_url="http://bot.test")

    async def __call__(self, body: bytes, *, kind: str = FORM, **headers: Any) -> httpx.Response:
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        given = signed(body, at=self._clock.now()) | {"content-type": kind} | changed
        sent = {name: value for name, value in given.items() if value is not None}
        return await self._http.post("/slack/events", content=body, headers=sent)


@dataclass
class FakeSlackClient:
    """Slack's modals and messages. `failing`: of modals; `hanging`: no answer until it is set."""

    opened: list[tuple[str, View]] = field(default_factory=list)
    updated: list[View] = field(default_factory=list)
    responses: list[tuple[str, str]] = field(default_factory=list)
    messages: list[tuple[str, str]] = field(default_factory=list)
    failing: SlackError | None = None
    failing_texts: SlackError | None = None
    hanging: asyncio.Event | None = None
    client: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(problem=""))
    answers: Answers = field(default_factory=Answers)

    async def open_modal(self, trigger_id: str, view: View) -> str:
        await self._answer(self.failing)
        self.opened.append((trigger_id, view))
        return f"V{len(self.opened)}"

    async def update_modal(self, _view_id: str, view: View) -> None:
        await self._answer(self.failing)
        self.updated.append(view)

    async def respond(self, response_url: Secret, text: str) -> None:
        await self._answer(self.failing_texts)
        self.responses.append((response_url.reveal(), text))

    async def send_direct_message(self, user: str, text: str) -> None:
        await self._answer(self.failing_texts)
        self.messages.append((user, text))

    async def _answer(self, failing: SlackError | None) -> None:
        await asyncio.sleep(0)
        if self.hanging is not None:
            await self.hanging.wait()
        if failing is not None:
            raise failing


class SlackSide:
    """Receiver, Bolt and handlers over the use cases on a real database; modals to look into."""

    def __init__(self, database: Database, **rules: object) -> None:
        self.bot = Bot(database)
        self.bot.rules(**rules)
        timing = replace(TIMING, acknowledgement_drawn=timedelta(microseconds=1))
        self.bot.deps = replace(self.bot.deps, timing=timing)
        self.slack = FakeSlackClient()
        self.background = Background()
        self.handlers = Handlers(self.bot.deps, self.slack, self.background, ENGLISH)
        self.answered: list[float] = []
        nowhere = AsyncWebClient(base_url="http://127.0.0.1:9/")
        self.app = bolt_app(nowhere, US, self.handlers, self.answered.append)
        self.post = Post(self.app, self.bot.clock)

    async def settle(self) -> None:
        await self.background.drain(grace=timedelta(seconds=10))

    async def deliver(self, body: bytes) -> httpx.Response:
        """Deliver, and wait for all that comes of it."""
        answer = await self.post(body)
        await self.settle()
        return answer

    def view(self) -> View:
        return self.slack.updated[-1] if self.slack.updated else self.slack.opened[-1][1]

    def title(self) -> str:
        return self.view()["title"]["text"]

    def shown(self) -> str:
        return json.dumps(self.view(), ensure_ascii=False)
