"""Keeps web pages from elsewhere from driving the sandbox."""

from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class SameOrigin:
    """Refuses a request whose Host is not the sandbox's, or that a page of another origin sent.

    The sandbox has no passwords, so this is what stops a page that somebody happens to have open (also
    one whose name was made to point at this machine) from pressing buttons here.
    """

    def __init__(self, app: ASGIApp, base_url: Callable[[], str]) -> None:
        self._app = app
        self._base_url = base_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and not self._ours(Headers(scope=scope)):
            await self._refuse(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _ours(self, headers: Headers) -> bool:
        hosts = self._hosts()
        origin = headers.get("origin")
        return headers.get("host", "") in hosts and (origin is None or urlsplit(origin).netloc in hosts)

    def _hosts(self) -> set[str]:
        base = urlsplit(self._base_url())
        port = f":{base.port}" if base.port else ""
        return {base.netloc, *(f"{name}{port}" for name in ("127.0.0.1", "localhost", "[::1]"))}

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        body = {"error": "The sandbox only listens to its own page."}
        await JSONResponse(body, status_code=403)(scope, receive, send)
