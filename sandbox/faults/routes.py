"""GET, POST, DELETE /sandbox/faults: the rules over HTTP."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.faults.queue import Faults, Hit
from sandbox.faults.rules import rule_from
from sandbox.json_bodies import Malformed, json_body, refused


class FaultRoutes:
    """Refusals are `{"error": sentence}` with a 4xx status, as everywhere below /sandbox."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def routes(self) -> list[BaseRoute]:
        """The routes, with absolute paths."""
        return [
            Route("/sandbox/faults", self._list, methods=["GET"]),
            Route("/sandbox/faults", self._add, methods=["POST"]),
            Route("/sandbox/faults", self._clear, methods=["DELETE"]),
            Route("/sandbox/faults/{id:int}", self._remove, methods=["DELETE"]),
        ]

    async def _list(self, _request: Request) -> Response:
        hits = [_hit(hit) for hit in self._faults.hits]
        body = {"faults": self._faults.snapshot(), "hits": hits}
        return JSONResponse(body, headers={"cache-control": "no-store"})

    async def _add(self, request: Request) -> Response:
        try:
            rule = rule_from(await json_body(request))
        except (ValueError, Malformed) as wrong:
            return refused(str(wrong), 400)
        return JSONResponse(self._faults.add(rule).snapshot(), 201)

    async def _clear(self, _request: Request) -> Response:
        self._faults.clear()
        return JSONResponse({})

    async def _remove(self, request: Request) -> Response:
        try:
            self._faults.remove(request.path_params["id"])
        except KeyError:
            return refused("There is no such fault, or it is used up.", 404)
        return JSONResponse({})


def _hit(hit: Hit) -> dict[str, object]:
    return {
        "at": hit.at.isoformat(),
        "id": hit.rule_id,
        "to": hit.target.to,
        "method": hit.target.method,
        "path": hit.target.path,
        "kind": hit.rule.kind,
    }
