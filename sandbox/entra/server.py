"""Entra over HTTP: the addresses below /entra, each call written to the journal."""

from collections.abc import Awaitable, Callable, Iterable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.cast import Cast
from sandbox.clock import Clock
from sandbox.entra import pages
from sandbox.entra.authority import Authority
from sandbox.entra.authorize import Authorize, discovery
from sandbox.entra.refusals import Refusal
from sandbox.entra.token_endpoint import TokenEndpoint
from sandbox.journal import Journal, Line

Handler = Callable[[Request, Line], Awaitable[Response]]


class Entra(Authority):
    """The authorization server of the sandbox. `base_url` may be set until it serves."""

    def __init__(
        self, cast: Cast, clock: Clock, journal: Journal, base_url: str, *, redirect_uris: Iterable[str] = ()
    ) -> None:
        super().__init__(cast, clock, redirect_uris=redirect_uris)
        self.base_url = base_url.rstrip("/")
        self._journal = journal
        self._tokens = TokenEndpoint(self)

    def routes(self) -> list[BaseRoute]:
        """Everything below /entra, with absolute paths."""
        tenant, authorize = "/entra/{tenant}", Authorize(self)
        account = f"{tenant}/oauth2/v2.0/authorize/account"
        return [
            Route(pages.STYLE_PATH, pages.style),
            Route(pages.SUBMIT_PATH, pages.submit_script),
            self._route("GET", f"{tenant}/v2.0/.well-known/openid-configuration", self._discovery),
            self._route("GET", f"{tenant}/discovery/v2.0/keys", self._keys),
            self._route("GET", f"{tenant}/oauth2/v2.0/authorize", authorize.ask),
            self._route("POST", account, authorize.answer),
            self._route("GET", account, authorize.again),
            self._route("POST", f"{tenant}/oauth2/v2.0/token", self._token),
        ]

    def _route(self, method: str, path: str, handler: Handler) -> Route:
        async def endpoint(request: Request) -> Response:
            short = request.url.path.removeprefix("/entra")
            with self._journal.recording("entra", request.method, short) as line:
                response = await handler(request, line)
                line.status = response.status_code
            return response

        return Route(path, endpoint, methods=[method])

    async def _discovery(self, request: Request, _line: Line) -> Response:
        tenant = request.path_params["tenant"]
        if not self.knows_tenant(tenant):
            return self._no_tenant(tenant)
        return Response(discovery(tenant, self.base_url), media_type="application/json")

    async def _keys(self, request: Request, _line: Line) -> Response:
        tenant = request.path_params["tenant"]
        known = self.knows_tenant(tenant)
        return JSONResponse({"keys": [self.key.jwk()]}) if known else self._no_tenant(tenant)

    def _no_tenant(self, tenant: str) -> Response:
        return JSONResponse(Refusal(90002, tenant=tenant).body(at=self.clock.now()), status_code=400)

    async def _token(self, request: Request, line: Line) -> Response:
        return await self._tokens.answer(request, f"{self.base_url}{request.url.path}", line)
