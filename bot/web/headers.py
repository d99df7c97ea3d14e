"""What every answer tells a browser, whoever made it: a page, a redirect, a 404, a crash."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.web.pages import HEADERS

HSTS_FOR: Final = timedelta(days=365)


class Headers:
    """ASGI middleware around the whole app: adds what an answer does not say itself.

    `https`: browsers reach us by it, and shall not try anything else from then on.
    """

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self._app = app
        self._said: Mapping[str, str] = HEADERS | (_HSTS if https else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""

        async def saying(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, text in self._said.items():
                    headers.setdefault(name, text)
            await send(message)

        await self._app(scope, receive, saying)


_HSTS: Final = {"Strict-Transport-Security": f"max-age={int(HSTS_FOR.total_seconds())}"}
