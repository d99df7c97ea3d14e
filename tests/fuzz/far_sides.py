"""Slack, Entra and Graph in this process: they answer well, and look at everything that they are sent."""

import asyncio
import json
from collections.abc import Mapping
from itertools import count
from typing import Any, Self

import aiohttp
import httpx
from sandbox.cast import CLIENT_ID, DEFAULT_CAST, TENANT_ID
from sandbox.clock import SystemClock
from sandbox.entra import Entra
from sandbox.journal import Journal
from slack_sdk.web.async_client import AsyncWebClient
from starlette.applications import Starlette
from tests.fuzz.judge import Wrong, check_message, check_view

TEAM = "T0CONTOSO"
MEMBERS = ("U0MEI", "U0KEN", "U0AIKO")
BASE = "http://127.0.0.1:8080"
AUTHORITY = f"{BASE}/entra/{TENANT_ID}/v2.0"
_tickets = count(1)
_KNOWN: dict[str, str] = {}


def profile(user: str) -> dict[str, Any]:
    """Somebody as `users.info` shows them."""
    name = user.removeprefix("U0").capitalize()
    return {
        "id": user,
        "team_id": TEAM,
        "name": name.lower(),
        "deleted": False,
        "is_bot": False,
        "is_restricted": user == "U0GUS",
        "is_email_confirmed": True,
        "locale": "en-US",
        "profile": {"real_name": name, "display_name": name, "email": f"{name.lower()}@contoso.com"},
    }


class Answer:
    """What aiohttp would hand to the SDK."""

    def __init__(self, body: str, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.headers = {"content-type": "application/json"} | dict(headers or {})
        self.content_type = self.headers["content-type"].partition(";")[0]
        self._body = body

    async def __aenter__(self) -> Self:
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def text(self) -> str:
        return self._body

    async def read(self) -> bytes:
        return self._body.encode(errors="replace")

    async def json(self) -> Any:
        if self.content_type != "application/json":
            raise aiohttp.ContentTypeError(None, ())  # type: ignore[arg-type]  # nobody looks into it
        return json.loads(self._body)


class Session:
    """An `aiohttp.ClientSession` that reaches nobody. `instead`: the next answers of a method."""

    closed = False

    def __init__(self) -> None:
        self.instead: dict[str, list[Answer]] = {}
        self.client = AsyncWebClient("xoxb-fuzz", base_url=f"{BASE}/api/", session=self, retry_handlers=[])  # type: ignore[arg-type]  # stands in for aiohttp's

    def request(self, _verb: str, url: str, **given: Any) -> Answer:
        method = url.rpartition("/")[2]
        sent = given.get("json") or given.get("params") or given.get("data") or {}
        _look(sent)
        waiting = self.instead.get(method)
        return waiting.pop(0) if waiting else Answer(json.dumps({"ok": True} | good(method, sent)))


def good(method: str, sent: Mapping[str, Any]) -> dict[str, Any]:
    """What Slack answers when all is well."""
    match method:
        case "users.info":
            return {"user": profile(str(sent["user"]))}
        case "conversations.members":
            return {"members": list(MEMBERS), "response_metadata": {"next_cursor": ""}}
        case "usergroups.users.list":
            return {"users": ["U0KEN"]}
        case "chat.postMessage" | "chat.update":
            return {"channel": "C0ONCALL", "ts": f"1795530488.{next(_tickets):06}"}
        case "views.open" | "views.update":
            return {"view": {"id": f"V{next(_tickets):08}"}}
        case "conversations.open":
            return {"channel": {"id": "D0MEI"}}
        case "conversations.history":
            return {"messages": [], "response_metadata": {"next_cursor": ""}}
    return {}


def _look(sent: Mapping[str, Any]) -> None:
    """Slack would take it, and it calls nobody."""
    if "view" in sent:
        check_view(sent["view"])
    if "blocks" in sent:
        check_message(sent["text"], sent["blocks"])


def no_graph(request: httpx.Request) -> httpx.Response:
    """Where nobody is signed in nobody has a token, so nothing may arrive."""
    raise Wrong(f"Graph was called: {request.method} {request.url}")


class Microsoft(httpx.BaseTransport):
    """Entra as the sandbox is, for what everybody may read; tokens are refused, or as `token` says."""

    def __init__(self) -> None:
        clock = SystemClock()
        entra = Entra(DEFAULT_CAST, clock, Journal(clock), BASE, redirect_uris=[f"{BASE}/sign-in/callback"])
        self._app = httpx.ASGITransport(Starlette(routes=entra.routes()))
        self.instead: dict[str, httpx.Response] = {}
        """By the last part of the path."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        last = request.url.path.rpartition("/")[2]
        if last in self.instead:
            return self.instead[last]
        if request.method == "POST":
            refusal = {"error": "invalid_grant", "error_description": "AADSTS70008: expired"}
            return httpx.Response(400, json=refusal)
        url = str(request.url)
        if url not in _KNOWN:
            _KNOWN[url] = asyncio.run(self._fetched(request))
        return httpx.Response(200, text=_KNOWN[url], headers={"content-type": "application/json"})

    async def _fetched(self, request: httpx.Request) -> str:
        answer = await self._app.handle_async_request(request)
        return (await answer.aread()).decode()


__all__ = [
    "AUTHORITY",
    "CLIENT_ID",
    "TENANT_ID",
    "Answer",
    "Microsoft",
    "Session",
    "good",
    "no_graph",
    "profile",
]
