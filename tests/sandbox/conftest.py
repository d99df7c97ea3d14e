"""The local Slack, Entra and Intune in this process, fresh for each test, with a clock moved by hand."""

import asyncio
import base64
import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from msal import ConfidentialClientApplication
from sandbox.app import Sandbox
from sandbox.cast import BOT_TOKEN, CLIENT_ID, CLIENT_SECRET, SUPPORT, TENANT_ID
from sandbox.clock import HandClock
from tests.support.user_actions import KEN_ACCOUNT, MEI, Browser, Json

START = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
BOT_AUTH = {"Authorization": f"Bearer {BOT_TOKEN}"}


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
        self.requests: list[httpx.Request] = []
        self.says("")

    @property
    def last(self) -> Json:
        """The last delivery: the form of a command, or the payload of an interaction."""
        form: Json = dict(parse_qsl(self.requests[-1].content.decode(), keep_blank_values=True))
        return dict(json.loads(form["payload"])) if "payload" in form else form

    def says(self, answer: Json | str | int) -> None:
        """Answer with JSON, a text or a bare status from now on."""
        content = {"text": answer} if isinstance(answer, str) else {"json": answer}
        status, content = (answer, {}) if isinstance(answer, int) else (200, content)

        async def reply() -> httpx.Response:
            return httpx.Response(status, **content)

        self.reply: Callable[[], Awaitable[httpx.Response]] = reply

    async def receive(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return await self.reply()


class LocalSlack:
    """The local Slack, the app that it calls, and a client of its Web API."""

    def __init__(self, **more: Any) -> None:
        self.clock = HandClock(START)
        self.app = App()
        to_app = httpx.MockTransport(self.app.receive)
        sandbox = Sandbox(clock=self.clock, bot_url="http://app.test", transport=to_app, **more)
        self.slack = sandbox.slack
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(sandbox.asgi), base_url=sandbox.base_url)

    async def call(self, method: str, **arguments: Any) -> Json:
        answer = await self.http.post(f"/slack/api/{method}", json=arguments, headers=BOT_AUTH)
        return dict(answer.json())

    async def error(self, method: str, **arguments: Any) -> str:
        body = await self.call(method, **arguments)
        assert body["ok"] is False, body
        return str(body["error"])

    async def done(self, method: str, **arguments: Any) -> Json:
        body = await self.call(method, **arguments)
        assert body["ok"] is True, body
        return body

    async def trigger(self, user: str = MEI) -> str:
        """A fresh trigger id: this person types the command."""
        await self.slack.command(user, SUPPORT, "/reset-passcode")
        return str(self.app.last["trigger_id"])

    async def opened(self, view: Json, user: str = MEI) -> Json:
        return dict((await self.done("views.open", trigger_id=await self.trigger(user), view=view))["view"])


BASE = "http://127.0.0.1:8080"
REDIRECT = "http://127.0.0.1:3000/sign-in/callback"
ACTION_TIME = timedelta(seconds=6)
GRAPH = "https://graph.microsoft.com"
READ = f"{GRAPH}/DeviceManagementManagedDevices.Read.All"
RESET = f"{GRAPH}/DeviceManagementManagedDevices.PrivilegedOperations.All"
SCOPES = [READ, RESET]
STEP_UP = '{"access_token": {"acrs": {"essential": true, "value": "c1"}}}'


class Microsoft:
    """Entra, Intune and their clients. `browser` is synchronous, `graph` is not."""

    def __init__(self, *, token_of: str | None = KEN_ACCOUNT) -> None:
        self.clock = HandClock(START)
        sandbox = Sandbox(clock=self.clock, bot_url="http://127.0.0.1:3000", action_seconds=6)
        self.journal, self.entra, self.intune = sandbox.journal, sandbox.entra, sandbox.intune
        self.transport = httpx.ASGITransport(sandbox.asgi)
        self.browser = SyncClient(transport=in_this_process(self.transport), base_url=BASE)
        self.graph = httpx.AsyncClient(transport=self.transport, base_url=f"{BASE}/graph/v1.0/")
        if token_of is not None:
            self.carry(self.entra.access_token(token_of))

    def carry(self, token: str) -> None:
        """Send this token with every Graph call from now on."""
        self.graph.headers["Authorization"] = f"Bearer {token}"

    def msal(self, **options: Any) -> ConfidentialClientApplication:
        arguments = {"client_credential": CLIENT_SECRET, "client_capabilities": ["CP1"]} | options
        arguments |= {"oidc_authority": f"https://127.0.0.1:8080/entra/{TENANT_ID}/v2.0"}
        return ConfidentialClientApplication(CLIENT_ID, http_client=self.browser, **arguments)

    def come_back(self, url: str, oid: str = KEN_ACCOUNT) -> dict[str, str]:
        """Pick an account on a sign-in page ("nobody" cancels): what the browser carries back to the app."""
        return asyncio.run(Browser(httpx.AsyncClient(transport=self.transport)).pick(url, oid))[1]

    def sign_in(self, app: ConfidentialClientApplication, oid: str = KEN_ACCOUNT, **more: Any) -> Json:
        flow = app.initiate_auth_code_flow(SCOPES, REDIRECT, response_mode="form_post", **more)
        return dict(app.acquire_token_by_auth_code_flow(flow, self.come_back(flow["auth_uri"], oid)))

    def redeem(self, code: str, verifier: str, /, **changes: str) -> httpx.Response:
        """Redeem a code by hand; a change to "" leaves the field out."""
        app = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "redirect_uri": REDIRECT}
        form = app | {"grant_type": "authorization_code", "code": code, "code_verifier": verifier} | changes
        return self.token({name: value for name, value in form.items() if value})

    def token(self, form: dict[str, str], **headers: str) -> httpx.Response:
        return self.browser.post(f"/entra/{TENANT_ID}/oauth2/v2.0/token", data=form, headers=headers)


def in_this_process(transport: httpx.ASGITransport) -> httpx.MockTransport:
    """A synchronous way to the application, as MSAL needs it."""

    async def answer(request: httpx.Request) -> httpx.Response:
        given = await transport.handle_async_request(request)
        return httpx.Response(given.status_code, headers=given.headers, content=await given.aread())

    return httpx.MockTransport(lambda request: asyncio.run(answer(request)))


class SyncClient(httpx.Client):
    """What MSAL calls an http_client: it may leave a header None."""

    def request(self, method: str, url: Any, *, headers: Any = None, **more: Any) -> httpx.Response:
        given = {name: value for name, value in (headers or {}).items() if value is not None}
        return super().request(method, url, headers=given, **more)


def pkce() -> tuple[str, str]:
    verifier = secrets.token_urlsafe(48)
    digest = hashlib.sha256(verifier.encode()).digest()
    return verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def authorize_url(challenge: str, *, tenant: str = TENANT_ID, **changes: str) -> str:
    """The address of a sign-in page; a change to "" leaves the parameter out."""
    query = {"client_id": CLIENT_ID, "redirect_uri": REDIRECT, "state": "the-state", "nonce": "the-nonce"}
    query |= {"response_type": "code", "response_mode": "query", "code_challenge_method": "S256"}
    query |= {"scope": f"{READ} openid profile offline_access", "code_challenge": challenge} | changes
    given = {name: value for name, value in query.items() if value}
    return str(httpx.URL(f"{BASE}/entra/{tenant}/oauth2/v2.0/authorize", params=given))


def unwrapped(body: dict[str, Any]) -> dict[str, Any]:
    """The innermost JSON that Intune hides in `message`."""
    inner: Any = body["error"]
    while isinstance(text := inner.get("message", inner.get("Message")), str) and text.startswith("{"):
        inner = json.loads(text)
    return dict(inner)


@pytest.fixture
def microsoft() -> Microsoft:
    """Ken's token goes with every Graph call, unless the test carries another."""
    return Microsoft()


@pytest.fixture
def it() -> LocalSlack:
    return LocalSlack()
