"""Entra over HTTP: the addresses below /entra, each call written to the journal."""

import time
from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.cast import Cast
from sandbox.clock import Clock
from sandbox.entra import pages, refusals
from sandbox.entra.authority import Authority
from sandbox.entra.authorize import Authorize, discovery
from sandbox.entra.device_codes import DeviceCodes
from sandbox.entra.refusals import token_error
from sandbox.entra.token import TokenEndpoint
from sandbox.journal import NOBODY, Bearer, Journal


class Entra(Authority):
    """The authorization server of the sandbox. `base_url` may be set until it serves."""

    def __init__(
        self, cast: Cast, clock: Clock, journal: Journal, base_url: str, *, redirect_uris: Iterable[str] = ()
    ) -> None:
        super().__init__(cast, clock, redirect_uris=redirect_uris)
        self.base_url = base_url.rstrip("/")
        self._journal = journal
        self._authorize = Authorize(self)
        self.device_codes = DeviceCodes(self)
        self._tokens = TokenEndpoint(self, self.device_codes)

    def routes(self) -> list[BaseRoute]:
        """Everything below /entra, with absolute paths."""
        tenant = "/entra/{tenant}"
        account = f"{tenant}/oauth2/v2.0/authorize/account"
        return [
            Route(pages.STYLE_PATH, _style),
            Route(pages.SUBMIT_PATH, _script),
            Route(f"{tenant}/v2.0/.well-known/openid-configuration", self._discovery),
            Route(f"{tenant}/discovery/v2.0/keys", self._keys),
            Route(f"{tenant}/oauth2/v2.0/authorize", self._ask),
            Route(account, self._answer, methods=["POST"]),
            Route(account, self._again, methods=["GET"]),
            Route(f"{tenant}/oauth2/v2.0/token", self._token, methods=["POST"]),
            Route(f"{tenant}/oauth2/v2.0/devicecode", self._device_code, methods=["POST"]),
            Route(pages.DEVICE_PATH, self._type_code, methods=["GET"]),
            Route(pages.DEVICE_PATH, self._typed, methods=["POST"]),
            Route(f"{pages.DEVICE_PATH}/account", self._picked, methods=["POST"]),
        ]

    async def _discovery(self, request: Request) -> Response:
        started = time.perf_counter()
        tenant = request.path_params["tenant"]
        if self.knows_tenant(tenant):
            response = Response(discovery(tenant, self.base_url), media_type="application/json")
        else:
            response = self._no_tenant(tenant)
        return self._recorded(request, response, started)

    def _no_tenant(self, tenant: str) -> Response:
        refusal = refusals.unknown_tenant(tenant)
        body = token_error(refusal, at=self.clock.now(), trace="", correlation="")
        return JSONResponse(body, status_code=400)

    async def _keys(self, request: Request) -> Response:
        started = time.perf_counter()
        tenant = request.path_params["tenant"]
        known = self.knows_tenant(tenant)
        response = JSONResponse({"keys": [self.key.jwk()]}) if known else self._no_tenant(tenant)
        return self._recorded(request, response, started)

    async def _ask(self, request: Request) -> Response:
        started = time.perf_counter()
        response, note = self._authorize.ask(request)
        return self._recorded(request, response, started, note=note)

    async def _answer(self, request: Request) -> Response:
        started = time.perf_counter()
        response, note = await self._authorize.answer(request)
        return self._recorded(request, response, started, note=note)

    async def _again(self, request: Request) -> Response:
        started = time.perf_counter()
        response, note = self._authorize.again(request)
        return self._recorded(request, response, started, note=note)

    async def _token(self, request: Request) -> Response:
        started = time.perf_counter()
        endpoint = f"{self.base_url}{request.url.path}"
        response, outcome = await self._tokens.answer(request, endpoint)
        return self._recorded(request, response, started, note=outcome.note, bearer=outcome.bearer)

    async def _device_code(self, request: Request) -> Response:
        started = time.perf_counter()
        page = f"{self.base_url}{pages.DEVICE_PATH}"
        return self._recorded(request, await self._tokens.issue(request, page), started)

    async def _type_code(self, request: Request) -> Response:
        return self.device_codes.ask(request)

    async def _typed(self, request: Request) -> Response:
        started = time.perf_counter()
        response, note = await self.device_codes.typed(request)
        return self._recorded(request, response, started, note=note)

    async def _picked(self, request: Request) -> Response:
        started = time.perf_counter()
        response, note = await self.device_codes.picked(request)
        return self._recorded(request, response, started, note=note)

    def _recorded(
        self,
        request: Request,
        response: Response,
        started: float,
        *,
        note: str = "",
        bearer: Bearer = NOBODY,
    ) -> Response:
        self._journal.record(
            to="entra",
            method=request.method,
            path=request.url.path.removeprefix("/entra"),
            status=response.status_code,
            bearer=bearer,
            note=note,
            duration_ms=(time.perf_counter() - started) * 1000,
        )
        return response


async def _style(_request: Request) -> Response:
    return pages.style()


async def _script(_request: Request) -> Response:
    return pages.submit_script()
