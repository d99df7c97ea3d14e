"""Servers beside the bot, each a process of its own: bare Bolt apps, a Slack and a Graph that answer at once.

`python -m benchmarks.servers bolt|early|slack|graph PORT`
"""

import asyncio
import json
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import uvicorn
from bot.web.app import listen
from sandbox.cast import BOT_TOKEN, SIGNING_SECRET
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

DEVICE = Path(__file__).parents[1] / "tests" / "unit" / "graph" / "data" / "iphone_supervised_pending.json"
AUTH = {"user_id": "U0BOT", "bot_id": "B0BOT", "team_id": "T0CONTOSO", "team": "Contoso", "user": "unlatch"}
CHANNEL = {"id": "C0ONCALL", "name": "on-call-leads", "is_private": True, "is_member": True}


def bolt(*, early: bool) -> Starlette:
    """Return a bare Bolt app that only acknowledges; `early`: with `process_before_response`."""
    from slack_bolt.adapter.starlette.async_handler import AsyncSlackRequestHandler
    from slack_bolt.async_app import AsyncAck, AsyncApp
    from slack_bolt.authorization import AuthorizeResult

    async def authorize(**_: object) -> AuthorizeResult:
        return AuthorizeResult(enterprise_id=None, team_id="T0CONTOSO", bot_token=BOT_TOKEN, bot_id="B0BOT")

    app = AsyncApp(signing_secret=SIGNING_SECRET, authorize=authorize, process_before_response=early)

    @app.command("/reset-passcode")
    async def acknowledge(ack: AsyncAck) -> None:
        await ack("taken")

    handler = AsyncSlackRequestHandler(app)

    async def events(request: Request) -> Response:
        return await handler.handle(request)

    return Starlette(routes=[Route("/slack/events", events, methods=["POST"])])


def slack() -> Starlette:
    """Return a Slack whose everybody is a member; `GET /posts` counts, `POST /hang` stops and starts it."""
    numbers, hanging = count(1), asyncio.Event()
    hanging.set()
    posts = 0

    async def answer(request: Request) -> Response:
        nonlocal posts
        await hanging.wait()
        method, form = request.path_params["method"], {**request.query_params, **await request.form()}
        about: dict[str, Any] = {"ok": True}
        match method:
            case "auth.test":
                about |= AUTH
            case "users.info":
                profile = {"real_name": "Somebody", "email": f"{str(form['user']).lower()}@contoso.com"}
                about["user"] = {"id": form["user"], "team_id": "T0CONTOSO", "profile": profile}
            case "conversations.info":
                about["channel"] = CHANNEL
            case "chat.postMessage" | "chat.update":
                posts += 1
                about |= {"channel": "C0ONCALL", "ts": f"{next(numbers)}.000001"}
        return JSONResponse(about)

    async def hang(_: Request) -> Response:
        hanging.clear() if hanging.is_set() else hanging.set()
        return Response()

    async def counted(_: Request) -> Response:
        return Response(str(posts))

    routes = [Route("/api/{method}", answer, methods=["GET", "POST"]), Route("/posts", counted)]
    return Starlette(routes=[*routes, Route("/hang", hang, methods=["POST"])])


def graph() -> Starlette:
    """Return a Graph whose every person has one iPhone."""
    row = json.loads(DEVICE.read_text())

    async def devices(request: Request) -> Response:
        user = request.path_params["user"]
        context = f"{request.base_url}v1.0/$metadata#users('{row['userId']}')/managedDevices(id,userId)"
        one = row | {"userPrincipalName": user, "emailAddress": user}
        return JSONResponse({"@odata.context": context, "value": [one]}, headers={"request-id": "r1"})

    return Starlette(routes=[Route("/v1.0/users/{user}/managedDevices", devices)])


SERVERS: dict[str, Callable[[], Starlette]] = {
    "bolt": lambda: bolt(early=False),
    "early": lambda: bolt(early=True),
    "slack": slack,
    "graph": graph,
}


async def main() -> None:
    name, port = sys.argv[1:]
    config = uvicorn.Config(SERVERS[name](), log_config=None, access_log=False, lifespan="off", http="h11")
    server = uvicorn.Server(config)
    sock = listen("127.0.0.1", int(port))
    print("serving", flush=True)
    await server.serve([sock])


if __name__ == "__main__":
    asyncio.run(main())
