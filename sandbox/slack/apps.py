"""api.test, auth.test and apps.connections.open: the app asks about itself."""

from collections.abc import Mapping
from typing import Final

from sandbox.cast import BOT_ID
from sandbox.slack.method import ApiCall, Method
from sandbox.slack.shapes import JsonObject


def _api_test(call: ApiCall) -> JsonObject:
    error = call.arguments.text("error")
    return {"ok": False, "error": error} if error else {"args": {}}


def _auth_test(call: ApiCall) -> JsonObject:
    workspace = call.platform.workspace
    return {
        "url": f"https://{workspace.team.domain}.slack.com/",
        "team": workspace.team.name,
        "user": workspace.bot.handle,
        "team_id": workspace.team.id,
        "user_id": workspace.bot.id,
        "bot_id": BOT_ID,
        "is_enterprise_install": False,
    }


def _connections_open(call: ApiCall) -> JsonObject:
    base = call.platform.base_url().replace("http", "ws", 1)
    return {"url": f"{base}/slack/socket?ticket={call.platform.sockets.ticket()}"}


METHODS: Final[Mapping[str, Method]] = {
    "api.test": Method(run=_api_test, caller="none"),
    "auth.test": Method(run=_auth_test),
    "apps.connections.open": Method(
        run=_connections_open, accepts=("connections:write",), caller="app-level"
    ),
}
