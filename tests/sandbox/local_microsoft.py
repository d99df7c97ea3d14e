"""Entra and Intune in this process: a clock moved by hand, and clients that reach both."""

import asyncio
import base64
import hashlib
import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from msal import ConfidentialClientApplication
from sandbox.app import Sandbox
from sandbox.cast import CLIENT_ID, CLIENT_SECRET, TENANT_ID
from sandbox.clock import HandClock
from starlette.types import ASGIApp
from tests.support.user_actions import KEN_ACCOUNT as KEN
from tests.support.user_actions import Browser

BASE = "http://127.0.0.1:8080"
REDIRECT = "http://127.0.0.1:3000/sign-in/callback"
START = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
ACTION_TIME = timedelta(seconds=6)

GRAPH = "https://graph.microsoft.com"
READ = f"{GRAPH}/DeviceManagementManagedDevices.Read.All"
RESET = f"{GRAPH}/DeviceManagementManagedDevices.PrivilegedOperations.All"
SCOPES = [READ, RESET]
STEP_UP = '{"access_token": {"acrs": {"essential": true, "value": "c1"}}}'


class Microsoft:
    """Entra, Intune and their clients. `browser` is synchronous, `graph` is not."""

    def __init__(self, *, token_of: str | None = KEN) -> None:
        self.clock = HandClock(START)
        sandbox = Sandbox(clock=self.clock, bot_url="http://127.0.0.1:3000", action_seconds=6)
        self.journal, self.entra, self.intune = sandbox.journal, sandbox.entra, sandbox.intune
        self.browser = SyncClient(transport=InThisProcess(sandbox.asgi), base_url=BASE)
        self.transport = httpx.ASGITransport(sandbox.asgi)
        self.graph = httpx.AsyncClient(transport=self.transport, base_url=f"{BASE}/graph/v1.0/")
        if token_of is not None:
            self.carry(self.entra.access_token(token_of))

    def carry(self, token: str) -> None:
        """Send this token with every Graph call from now on."""
        self.graph.headers["Authorization"] = f"Bearer {token}"

    def msal(self, **options: Any) -> ConfidentialClientApplication:
        """Microsoft's own client library, reaching this Entra."""
        arguments = {"client_credential": CLIENT_SECRET, "client_capabilities": ["CP1"]} | options
        authority = f"https://127.0.0.1:8080/entra/{TENANT_ID}/v2.0"
        return ConfidentialClientApplication(
            CLIENT_ID, oidc_authority=authority, http_client=self.browser, **arguments
        )

    def come_back(self, url: str, oid: str = KEN) -> dict[str, str]:
        """Pick an account on a sign-in page ("nobody" cancels): what the browser carries back to the app."""
        return asyncio.run(Browser(httpx.AsyncClient(transport=self.transport)).pick(url, oid))[1]

    def sign_in(self, app: ConfidentialClientApplication, oid: str = KEN, **more: Any) -> dict[str, Any]:
        """Run the whole code flow with MSAL."""
        flow = app.initiate_auth_code_flow(SCOPES, REDIRECT, response_mode="form_post", **more)
        return dict(app.acquire_token_by_auth_code_flow(flow, self.come_back(flow["auth_uri"], oid)))

    def redeem(self, code: str, verifier: str, /, **changes: str) -> httpx.Response:
        """Redeem a code by hand; a change to "" leaves the field out."""
        form = {
            "grant_type": "authorization_code",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "code": code,
            "redirect_uri": REDIRECT,
            "code_verifier": verifier,
        } | changes
        return self.token({name: value for name, value in form.items() if value})

    def token(self, form: dict[str, str], **headers: str) -> httpx.Response:
        return self.browser.post(f"/entra/{TENANT_ID}/oauth2/v2.0/token", data=form, headers=headers)


class InThisProcess(httpx.BaseTransport):
    """A synchronous way to the application, as MSAL needs it; on a loop of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._transport = httpx.ASGITransport(app)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(asyncio.run, self._answer(request)).result()

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        answer = await self._transport.handle_async_request(request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())


class SyncClient(httpx.Client):
    """What MSAL calls an http_client: it may leave a header None."""

    def request(self, method: str, url: Any, *, headers: Any = None, **more: Any) -> httpx.Response:
        given = {name: value for name, value in (headers or {}).items() if value is not None}
        return super().request(method, url, headers=given, **more)


def pkce() -> tuple[str, str]:
    """A verifier and its challenge."""
    verifier = secrets.token_urlsafe(48)
    digest = hashlib.sha256(verifier.encode()).digest()
    return verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def authorize_url(challenge: str, *, tenant: str = TENANT_ID, **changes: str) -> str:
    """The address of a sign-in page; a change to "" leaves the parameter out."""
    query = {
        "client_id": CLIENT_ID,
        "redirect_uri": REDIRECT,
        "response_type": "code",
        "response_mode": "query",
        "scope": f"{READ} openid profile offline_access",
        "state": "the-state",
        "nonce": "the-nonce",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    } | changes
    given = {name: value for name, value in query.items() if value}
    return str(httpx.URL(f"{BASE}/entra/{tenant}/oauth2/v2.0/authorize", params=given))


def unwrapped(body: dict[str, Any]) -> dict[str, Any]:
    """The innermost JSON that Intune hides in `message`."""
    inner: Any = body["error"]
    while isinstance(text := inner.get("message", inner.get("Message")), str) and text.startswith("{"):
        inner = json.loads(text)
    return dict(inner)
