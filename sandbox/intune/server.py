"""Graph over HTTP: the addresses below /graph, each call checked, answered and written to the journal."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Final
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.cast import Cast
from sandbox.clock import Clock
from sandbox.entra import Entra
from sandbox.intune import refusals
from sandbox.intune.bearer import UNKNOWN, Caller, TokenChecks
from sandbox.intune.fleet import Fleet, Role, Traps, Watch
from sandbox.intune.phones import BEHAVIOURS, Behaviour
from sandbox.intune.reading import Reading
from sandbox.intune.refusals import GraphError
from sandbox.intune.resetting import AcceptedReset, Resetting
from sandbox.journal import NO_TOKEN, Bearer, Journal, Line

Handler = Callable[[Request, Caller, Line], Awaitable[Response]]

_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_COLLECTIONS: Final = ("/users/{user}", "/deviceManagement", "/deviceManagement/detectedApps/{app}")
_DIAGNOSTIC: Final = json.dumps({"ServerInfo": {"DataCenter": "Sandbox", "Slice": "E", "Ring": "1"}})


class Intune:
    """Graph v1.0 as far as the bot needs it, with the phones behind it. Device ids are lower-case GUIDs.

    `reading.page_size` and `resetting.action_time` (from 204 until the phone has done it; for later resets)
    may be set while it runs.
    """

    def __init__(
        self,
        cast: Cast,
        clock: Clock,
        journal: Journal,
        base_url: str,
        entra: Entra,
        action_time: timedelta,
    ) -> None:
        self.on_change: list[Callable[[], None]] = []
        self._clock = clock
        self._journal = journal
        self._entra = entra
        self._token_checks = TokenChecks(entra)
        self._fleet = Fleet(cast, clock.now())
        self.reading = Reading(self._fleet, clock, base_url.rstrip("/"))
        self.resetting = Resetting(self._fleet, clock, action_time, self._changed)
        self._watch = Watch(self._fleet, clock, self._tell)

    # What the page and tests may do.

    @property
    def resets(self) -> list[AcceptedReset]:
        """Every accepted reset, oldest first."""
        return self.resetting.resets

    @property
    def base_url(self) -> str:
        return self.reading.base_url

    @base_url.setter
    def base_url(self, url: str) -> None:
        self.reading.base_url = url.rstrip("/")

    def set_behaviour(self, device_id: str, behaviour: str) -> None:
        """What this phone does with the next reset; KeyError for the phone, ValueError for the behaviour."""
        self._fleet.phones[device_id].behaviour = _behaviour(behaviour)
        self._changed()

    def set_role(self, oid: str, role: Role) -> None:
        """Give or take the Intune role; KeyError for an account that is not of the tenant."""
        self._fleet.set_role(oid, role, self._clock.now())
        self._changed()

    def describe(self, device_id: str, **properties: object) -> None:
        """Change what Intune says of this phone; KeyError for a phone or a property that does not exist."""
        self._fleet.describe(device_id, **properties)
        self._changed()

    def remove(self, device_id: str) -> None:
        """Delete the record of this phone, as a clean-up rule does; KeyError for an unknown one."""
        del self._fleet.phones[device_id]
        self._changed()

    def set_traps(self, traps: Traps) -> None:
        """Be as unkind as this from now on."""
        self._fleet.traps = traps

    def unlock(self, device_id: str, passcode: str) -> bool:
        """Type a passcode on the phone; whether it opened. KeyError for an unknown phone."""
        self._fleet.settle(self._clock.now())
        opened = self._fleet.phones[device_id].unlock(passcode)
        self._changed()
        return opened

    def bearer_of(self, authorization: str) -> Bearer:
        """Whom this Authorization header speaks for."""
        try:
            return self._token_checks.caller(authorization).bearer
        except GraphError:
            return UNKNOWN if authorization else NO_TOKEN

    def demand_claims(self, oid: str, claims: str) -> None:
        """Challenge this account until it comes with a token obtained with these claims (JSON)."""
        self._token_checks.demand(oid, claims)

    def revoke_session(self, oid: str) -> None:
        """End the account's sessions at Entra, and challenge its tokens here.

        As with the real ones, only a client with the capability CP1 sees the challenge; the token of any
        other client stays good until it expires.
        """
        self._entra.revoke(oid)
        seconds = str(int(self._clock.now().timestamp()))
        claims = {"access_token": {"nbf": {"essential": True, "value": seconds}}}
        self._token_checks.revoke(oid, json.dumps(claims))

    def tick(self) -> None:
        """Let what is due happen, and tell `on_change` if something did. For a clock moved by hand."""
        self._watch.tick()

    async def start(self) -> None:
        """Begin to watch the clock, so that the page learns of a reset that is done."""
        self._watch.start()

    async def close(self) -> None:
        await self._watch.close()

    def snapshot(self) -> list[dict[str, object]]:
        """The phones as the page shows them; never a passcode."""
        now = self._clock.now()
        self._fleet.settle(now)
        return [phone.snapshot(now) for phone in self._fleet.phones.values()]

    def roles_snapshot(self) -> list[dict[str, object]]:
        """The tenant's accounts that can sign in, and whether their role allows a reset."""
        return [
            {
                "oid": account.oid,
                "name": account.name,
                "upn": account.upn,
                "reset_passcode": self._fleet.roles[account.oid].reset_passcode,
            }
            for account in self._entra.accounts.values()
            if account.oid in self._fleet.roles
        ]

    def routes(self) -> list[BaseRoute]:
        """Everything below /graph, with absolute paths."""
        routes: list[BaseRoute] = []
        for prefix in _COLLECTIONS:
            devices = f"{prefix}/managedDevices"
            routes += [
                self._route("GET", devices, self.reading.devices),
                self._route("GET", f"{devices}/{{device}}", self.reading.device),
                self._route("POST", f"{devices}/{{device}}/resetPasscode", self.resetting.reset),
                self._route(
                    "POST", f"{devices}/{{device}}/microsoft.graph.resetPasscode", self.resetting.reset
                ),
            ]
        return [*routes, Route("/graph/{rest:path}", self._unknown, methods=_METHODS)]

    def _route(self, method: str, path: str, handler: Handler) -> Route:
        async def checked(request: Request, caller: Caller, line: Line) -> Response:
            if request.method != method:
                raise refusals.wrong_method(request.method)
            return await handler(request, caller, line)

        async def endpoint(request: Request) -> Response:
            return await self._served(request, checked)

        return Route(f"/graph/v1.0{path}", endpoint, methods=_METHODS)

    async def _unknown(self, request: Request) -> Response:
        async def refuse(request: Request, _caller: Caller, _line: Line) -> Response:
            raise refusals.not_known(f"{request.method} {request.url.path.removeprefix('/graph')}")

        return await self._served(request, refuse)

    async def _served(self, request: Request, handler: Handler) -> Response:
        now, request_id = self._clock.now(), str(uuid4())
        client_id = request.headers.get("client-request-id", request_id)
        with self._journal.recording(
            "graph", request.method, request.url.path.removeprefix("/graph")
        ) as line:
            line.bearer = UNKNOWN if "authorization" in request.headers else NO_TOKEN
            try:
                caller = self._token_checks.caller(request.headers.get("authorization"))
                line.bearer = caller.bearer
                self._token_checks.challenge(caller)
                response = await handler(request, caller, line)
            except GraphError as error:
                line.note = error.note
                response = _refused(error, now, request_id, client_id)
            line.status = response.status_code
        # What every answer of Graph carries.
        response.headers["request-id"] = request_id
        response.headers["client-request-id"] = client_id
        response.headers["x-ms-ags-diagnostic"] = _DIAGNOSTIC
        response.headers["Date"] = format_datetime(now.astimezone(UTC), usegmt=True)
        response.headers.setdefault("Cache-Control", "no-cache")
        return response

    def _changed(self) -> None:
        self._watch.wake()
        self._tell()

    def _tell(self) -> None:
        for changed in self.on_change:
            changed()


def _refused(error: GraphError, at: datetime, request_id: str, client_id: str) -> Response:
    """The error body (learn.microsoft.com/graph/errors)."""
    inner = {
        "date": f"{at:%Y-%m-%dT%H:%M:%S}",
        "request-id": request_id,
        "client-request-id": client_id,
    }
    body = {"error": {"code": error.code, "message": error.message, "innerError": inner}}
    return JSONResponse(body, error.status, error.headers)


def _behaviour(text: str) -> Behaviour:
    for behaviour in BEHAVIOURS:
        if text == behaviour:
            return behaviour
    raise ValueError(f"behaviour must be one of: {', '.join(BEHAVIOURS)}; not {text!r}.")
