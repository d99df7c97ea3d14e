"""POST /slack/api/{method}: finds the method, checks the token, answers as Slack does, keeps the journal."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.cast import APP_TOKEN, BOT_TOKEN
from sandbox.journal import NOBODY, Bearer
from sandbox.slack import apps, chat, conversations, usergroups, users, views
from sandbox.slack.arguments import Arguments, read_arguments
from sandbox.slack.method import ApiCall, Method
from sandbox.slack.platform import Platform
from sandbox.slack.refusals import RateLimited, Refused
from sandbox.slack.shapes import JsonObject

METHODS: Final[Mapping[str, Method]] = {
    **apps.METHODS,
    **chat.METHODS,
    **conversations.METHODS,
    **usergroups.METHODS,
    **users.METHODS,
    **views.METHODS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An answer that a test asks for, in place of the method's own. `before`: nothing is done."""

    error: str = ""
    retry_after: int = 0
    status: int = 200
    before: bool = True


class WebApi:
    """The Web API of the local Slack."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.faults: dict[str, list[Fault]] = {}

    async def answer(self, request: Request) -> Response:
        """Answer one HTTP request."""
        started = time.perf_counter()
        name = request.path_params["method"]
        bearer, subject = NOBODY, ""
        try:
            arguments, token = await read_arguments(request)
            bearer = self.bearer(token)
            method = METHODS.get(name)
            subject = arguments.text(method.subject) if method else ""
            body = self._answered(name, arguments, bearer)
            response = self._json({"ok": True} | body, method)
        except Refused as refused:
            body = refused.body()
            response = self._json(body, METHODS.get(name))
        except RateLimited as limited:
            body = {"ok": False, "error": "ratelimited"}
            response = JSONResponse(body, 429, {"Retry-After": str(limited.seconds)})
        except _Broken as broken:
            body, response = {"ok": False, "error": "broken"}, Response(status_code=broken.status)
        self._platform.journal.record(
            to="slack",
            method=name,
            path=request.url.path,
            status=response.status_code,
            bearer=bearer,
            note=_note(subject, body),
            duration_ms=(time.perf_counter() - started) * 1000,
        )
        return response

    def _answered(self, name: str, arguments: Arguments, bearer: Bearer) -> JsonObject:
        method = METHODS.get(name)
        if method is None:
            raise Refused("unknown_method", req_method=name)
        _check_token(method, bearer)
        fault = self._fault(name)
        if fault is not None and fault.before:
            _fail(fault)
        body = method.run(ApiCall(self._platform, arguments, bearer))
        if fault is not None:
            _fail(fault)
        return body

    def _fault(self, name: str) -> Fault | None:
        queued = self.faults.get(name)
        return queued.pop(0) if queued else None

    def bearer(self, token: str) -> Bearer:
        """Whose token this is; "" is nobody's."""
        bot = self._platform.workspace.bot.name
        match token:
            case "":
                return NOBODY
            case t if t == BOT_TOKEN:
                return Bearer(kind="bot", who=f"{bot} (bot token)")
            case t if t == APP_TOKEN:
                return Bearer(kind="app-level", who=f"{bot} (app-level token)")
            case _:
                return Bearer(kind="unknown", who="unknown token")

    def _json(self, body: JsonObject, method: Method | None) -> Response:
        headers = {"x-oauth-scopes": ",".join(self._platform.scopes), "cache-control": "no-store"}
        if method is not None and method.accepts:
            headers["x-accepted-oauth-scopes"] = ",".join(method.accepts)
        return JSONResponse(body, headers=headers)


class _Broken(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def _fail(fault: Fault) -> None:
    if fault.retry_after:
        raise RateLimited(fault.retry_after)
    if fault.status != 200:
        raise _Broken(fault.status)
    raise Refused(fault.error)


def _check_token(method: Method, bearer: Bearer) -> None:
    if method.caller == "none":
        return
    if bearer.kind == "none":
        raise Refused("not_authed")
    if bearer.kind == "unknown":
        raise Refused("invalid_auth")
    if method.caller not in ("any", bearer.kind):
        raise Refused("not_allowed_token_type")


def _note(subject: str, body: JsonObject) -> str:
    if body.get("ok") is False:
        return f"ok:false {body.get('error', '')}"
    return subject
