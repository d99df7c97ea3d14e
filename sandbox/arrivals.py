"""What really arrived at the vendors, for a program beside the sandbox that counts it."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.intune import Intune
from sandbox.intune.resetting import AcceptedReset
from sandbox.json_bodies import refused
from sandbox.slack import Slack

NEVER_STORED = {"cache-control": "no-store"}


class Arrivals:
    """`GET /sandbox/resets` and `GET /sandbox/posted?channel=`. No token and no passcode is in them."""

    def __init__(self, slack: Slack, intune: Intune) -> None:
        self._slack = slack
        self._intune = intune

    def routes(self) -> list[BaseRoute]:
        """The routes, with absolute paths."""
        return [Route("/sandbox/resets", self._resets), Route("/sandbox/posted", self._posted)]

    async def _resets(self, _request: Request) -> Response:
        return JSONResponse([_reset(reset) for reset in self._intune.resets], headers=NEVER_STORED)

    async def _posted(self, request: Request) -> Response:
        channels = self._slack.workspace.conversations
        wanted = request.query_params.get("channel")
        if wanted is not None and wanted not in channels:
            return refused("There is no such channel.", 404)
        posted = [
            self._message(channel, ts)
            for channel in ([wanted] if wanted is not None else channels)
            for ts in channels[channel].messages
        ]
        return JSONResponse(posted, headers=NEVER_STORED)

    def _message(self, channel: str, ts: str) -> dict[str, Any]:
        message = self._slack.workspace.conversations[channel].messages[ts]
        said = self._slack.workspace.message_json(message, with_metadata=True)
        return {"metadata": None, **said, "channel": channel, "by_app": message.by_app}


def _reset(reset: AcceptedReset) -> dict[str, str]:
    return {
        "device": reset.device_id,
        "form": reset.form,
        "oid": reset.oid,
        "upn": reset.upn,
        "client_request_id": reset.client_request_id,
        "at": reset.at.isoformat(),
    }
