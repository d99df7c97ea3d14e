"""The web server over a small application; as a program it prints its port and serves until it is killed."""

import asyncio
import resource
from datetime import timedelta

from bot.log import set_up_log
from bot.web.app import listen, serving, web_app
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp


def echo_app(go_on: asyncio.Event) -> ASGIApp:
    """`/echo` returns the body, and in a header who called; `/slow` answers when `go_on` is set."""

    async def echo(request: Request) -> Response:
        peer = f"{request.client and request.client.host} {request.url.scheme}"
        return PlainTextResponse(await request.body(), headers={"x-peer": peer})

    async def slow(_: Request) -> Response:
        await go_on.wait()
        return PlainTextResponse("at last")

    return web_app([Route("/echo", echo, methods=["POST"]), Route("/slow", slow)], https=False)


async def main() -> None:
    set_up_log("info")
    sock = listen("127.0.0.1", 0)
    async with serving(echo_app(asyncio.Event()), sock, grace=timedelta(seconds=1)):
        print(sock.getsockname()[1], resource.getrlimit(resource.RLIMIT_NOFILE)[0], flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
