"""POST /slack/api/{method}: finds the method, checks the token, answers as Slack does, keeps the journal."""

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.cast import APP_TOKEN, BOT_ID, BOT_TOKEN
from sandbox.journal import NO_TOKEN, Bearer
from sandbox.slack import chat, conversations, users, views
from sandbox.slack.api_call import ApiCall, Arguments, Method, read_arguments
from sandbox.slack.platform import Platform
from sandbox.slack.refusals import Refused, refused_because
from sandbox.slack.shapes import JsonObject


def _auth_test(call: ApiCall) -> JsonObject:
    workspace = call.platform.workspace
    organization = {"enterprise_id": workspace.organization} if workspace.organization else {}
    return organization | {
        "url": f"https://{workspace.team.domain}.slack.com/",
        "team": workspace.team.name,
        "user": workspace.bot.handle,
        "team_id": workspace.team.id,
        "user_id": workspace.bot.id,
        "bot_id": BOT_ID,
        "is_enterprise_install": call.platform.organization_wide,
    }


def _connections_open(call: ApiCall) -> JsonObject:
    base = call.platform.base_url().replace("http", "ws", 1)
    return {"url": f"{base}/slack/socket?ticket={call.platform.sockets.ticket()}"}


METHODS: Final[Mapping[str, Method]] = {
    "auth.test": Method(run=_auth_test),
    "apps.connections.open": Method(
        run=_connections_open, accepts=("connections:write",), caller="app-level"
    ),
    **chat.METHODS,
    **conversations.METHODS,
    **users.METHODS,
    **views.METHODS,
}


class WebApi:
    """The Web API of the local Slack."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.next_errors: dict[str, str] = {}
        """By method: the error that its next call is answered with, in place of its own answer."""
        self.errors: dict[str, str] = {}
        """The same for all calls of a method, and of all methods by the name ""."""

    async def answer(self, request: Request) -> Response:
        """Answer one HTTP request."""
        name = request.path_params["method"]
        with self._platform.journal.recording("slack", name, request.url.path) as line:
            try:
                arguments, token = await read_arguments(request)
                line.bearer = self.bearer(token)
                method = METHODS.get(name)
                line.note = arguments.text(method.subject) if method else ""
                response = self._json({"ok": True} | self._answered(name, arguments, line.bearer), method)
            except Refused as refused:
                line.note = f"ok:false {refused.error}"
                response = self._json(refused.body(), METHODS.get(name))
            line.status = response.status_code
        return response

    def _answered(self, name: str, arguments: Arguments, bearer: Bearer) -> JsonObject:
        method = METHODS.get(name)
        if method is None:
            # Slack's error for what does not exist; here also for what exists and the bot does not use.
            raise refused_because("unknown_method", [f"[ERROR] the sandbox does not know {name}"])
        _check_token(method, bearer)
        errors = (self.next_errors.pop(name, ""), self.errors.get(name, ""), self.errors.get("", ""))
        if error := next(filter(None, errors), ""):
            raise Refused(error)
        return method.run(ApiCall(self._platform, arguments, bearer))

    def bearer(self, token: str) -> Bearer:
        """Whose token this is; "" is no token."""
        bot = self._platform.workspace.bot.name
        match token:
            case "":
                return NO_TOKEN
            case t if t == BOT_TOKEN:
                return Bearer(kind="bot", who=f"{bot} (bot token)")
            case t if t == APP_TOKEN:
                return Bearer(kind="app-level", who=f"{bot} (app-level token)")
            case _:
                return Bearer(kind="unknown", who="unknown token")

    def _json(self, body: JsonObject, method: Method | None) -> Response:
        headers = {"cache-control": "no-store"}
        if self._platform.tells_scopes:
            headers["x-oauth-scopes"] = ",".join(self._platform.scopes)
        if method is not None and method.accepts:
            headers["x-accepted-oauth-scopes"] = ",".join(method.accepts)
        return JSONResponse(body, headers=headers)


def _check_token(method: Method, bearer: Bearer) -> None:
    if bearer.kind == "none":
        raise Refused("not_authed")
    if bearer.kind == "unknown":
        raise Refused("invalid_auth")
    if method.caller != bearer.kind:
        raise Refused("not_allowed_token_type")
