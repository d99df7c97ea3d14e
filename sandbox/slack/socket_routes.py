"""POST /sandbox/sockets: Slack sends sockets of the app away."""

from typing import get_args

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.json_bodies import Malformed, json_body, refused
from sandbox.slack.sockets import DisconnectReason, Sockets

REASONS: tuple[DisconnectReason, ...] = get_args(DisconnectReason)


class SocketRoutes:
    """`{"reason": …, "most": n}`; without `most` all sockets go. Refusals as everywhere below /sandbox."""

    def __init__(self, sockets: Sockets) -> None:
        self._sockets = sockets

    def routes(self) -> list[BaseRoute]:
        """The route, with an absolute path."""
        return [Route("/sandbox/sockets", self._disconnect, methods=["POST"])]

    async def _disconnect(self, request: Request) -> Response:
        try:
            body = await json_body(request)
        except Malformed as malformed:
            return refused(str(malformed), 400)
        reason, most = body.get("reason"), body.get("most")
        if reason not in REASONS:
            return refused(f"reason must be one of: {', '.join(REASONS)}.", 400)
        if most is not None and not (isinstance(most, int) and most > 0):
            return refused("most must be a whole number above 0, or left out.", 400)
        await self._sockets.disconnect(reason, most=most)
        return JSONResponse({"open": self._sockets.connections})
