"""Probes: is the process alive, and can it do its work?"""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

Check = Callable[[], Awaitable[bool]]


def probe_routes(checks: Mapping[str, Check]) -> list[Route]:
    """`/healthz` answers while the process lives; `/readyz` names each check and answers 503 if one fails."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(_: Request) -> Response:
        found = {name: await check() for name, check in checks.items()}
        return JSONResponse(found, status_code=200 if all(found.values()) else 503)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]
