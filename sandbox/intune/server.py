"""Graph over HTTP: the addresses below /graph, each call checked, answered and written to the journal."""

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from sandbox.cast import Cast
from sandbox.clock import Clock
from sandbox.entra import Entra
from sandbox.intune import refusals
from sandbox.intune.bearer import UNKNOWN, Caller, Gate
from sandbox.intune.calls import GraphCall
from sandbox.intune.faults import Fault, When
from sandbox.intune.fleet import Fleet
from sandbox.intune.phones import BEHAVIOURS, Behaviour
from sandbox.intune.reading import Answered, Reading
from sandbox.intune.refusals import GraphError
from sandbox.intune.resetting import AcceptedReset, Resetting
from sandbox.intune.snapshot import phone_snapshot
from sandbox.intune.watch import Watch
from sandbox.journal import NOBODY, Bearer, Journal

Handler = Callable[[Request, Caller], Awaitable[Answered]]

_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


class Intune:
    """Graph v1.0 as far as the bot needs it, with the phones behind it. Device ids are lower-case GUIDs."""

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
        self._gate = Gate(entra)
        self._fleet = Fleet(cast, clock.now())
        self._reading = Reading(self._fleet, clock, base_url.rstrip("/"))
        self._resetting = Resetting(self._fleet, clock, action_time, self._changed)
        self._watch = Watch(self._fleet, clock, self._tell)

    # What the page and tests may do.

    @property
    def resets(self) -> list[AcceptedReset]:
        """Every accepted reset, oldest first."""
        return self._resetting.resets

    @property
    def page_size(self) -> int:
        return self._reading.page_size

    @page_size.setter
    def page_size(self, rows: int) -> None:
        self._reading.page_size = rows

    @property
    def action_time(self) -> timedelta:
        """From 204 until the phone has done it; changes count for later resets."""
        return self._resetting.action_time

    @action_time.setter
    def action_time(self, takes: timedelta) -> None:
        self._resetting.action_time = takes

    @property
    def base_url(self) -> str:
        return self._reading.base_url

    @base_url.setter
    def base_url(self, url: str) -> None:
        self._reading.base_url = url.rstrip("/")

    def set_behaviour(self, device_id: str, behaviour: str) -> None:
        """What this phone does with the next reset; KeyError for the phone, ValueError for the behaviour."""
        self._fleet.phones[device_id].behaviour = _behaviour(behaviour)
        self._changed()

    def set_role(self, oid: str, reset_passcode: bool) -> None:
        """Give or take the Intune role; KeyError for an account that is not of the tenant."""
        if oid not in self._fleet.roles:
            raise KeyError(oid)
        self._fleet.roles[oid] = reset_passcode
        self._changed()

    def unlock(self, device_id: str, passcode: str) -> bool:
        """Type a passcode on the phone; whether it opened. KeyError for an unknown phone."""
        self._fleet.settle(self._clock.now())
        opened = self._fleet.phones[device_id].unlock(passcode)
        self._changed()
        return opened

    def bearer_of(self, authorization: str) -> Bearer:
        """Whom this Authorization header speaks for."""
        try:
            return self._gate.caller(authorization).bearer
        except GraphError:
            return UNKNOWN if authorization else NOBODY

    def fail_next(self, status: int | None, *, when: When = "before", retry_after: int | None = None) -> None:
        """Answer the next reset that would be accepted with this status (None: break the connection)."""
        self._resetting.faults.order(Fault(status=status, when=when, retry_after=retry_after))

    def demand_claims(self, oid: str, claims: str) -> None:
        """Challenge this account until it comes with a token obtained with these claims (JSON)."""
        self._gate.demand(oid, claims)

    def revoke_session(self, oid: str) -> None:
        """End the account's sessions at Entra, and challenge its tokens here.

        As with the real ones, only a client with the capability CP1 sees the challenge; the token of any
        other client stays good until it expires.
        """
        self._entra.revoke(oid)
        seconds = str(int(self._clock.now().timestamp()))
        claims = {"access_token": {"nbf": {"essential": True, "value": seconds}}}
        self._gate.revoke(oid, json.dumps(claims))

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
        return [phone_snapshot(phone, now) for phone in self._fleet.phones.values()]

    def roles_snapshot(self) -> list[dict[str, object]]:
        """The tenant's accounts that can sign in, and whether their role allows a reset."""
        return [
            {
                "oid": account.oid,
                "name": account.name,
                "upn": account.upn,
                "reset_passcode": self._fleet.roles[account.oid],
            }
            for account in self._entra.accounts.values()
            if account.oid in self._fleet.roles
        ]

    def routes(self) -> list[BaseRoute]:
        """Everything below /graph, with absolute paths."""
        read, reset = self._reading, self._resetting
        user, all_devices = "/users/{user}", "/deviceManagement/managedDevices"
        apps = "/deviceManagement/detectedApps"
        return [
            self._route("GET", "/me", read.me),
            self._route("GET", user, read.user),
            *self._device_routes(f"{user}/managedDevices", read.devices_of_user, read.device_of_user),
            *self._device_routes(all_devices, read.devices, read.device),
            self._route("GET", apps, read.apps),
            self._route("GET", f"{apps}/{{app}}", read.app),
            *self._device_routes(
                f"{apps}/{{app}}/managedDevices", read.devices_with_app, read.device_with_app
            ),
            *self._reset_routes(f"{user}/managedDevices", reset.of_user),
            *self._reset_routes(all_devices, reset.of_device),
            *self._reset_routes(f"{apps}/{{app}}/managedDevices", reset.with_app),
            Route("/graph/{rest:path}", self._nothing_here, methods=_METHODS),
        ]

    # How a call is served.

    def _device_routes(self, path: str, listed: Handler, alone: Handler) -> list[Route]:
        return [self._route("GET", path, listed), self._route("GET", f"{path}/{{device}}", alone)]

    def _reset_routes(self, path: str, handler: Handler) -> list[Route]:
        names = ("resetPasscode", "microsoft.graph.resetPasscode")
        return [self._route("POST", f"{path}/{{device}}/{name}", handler) for name in names]

    def _route(self, method: str, path: str, handler: Handler) -> Route:
        async def endpoint(request: Request) -> Response:
            return await self._served(request, method, handler)

        return Route(f"/graph/v1.0{path}", endpoint, methods=_METHODS)

    async def _nothing_here(self, request: Request) -> Response:
        async def refuse(request: Request, _caller: Caller) -> Answered:
            raise refusals.no_segment(request.url.path)

        return await self._served(request, request.method, refuse)

    async def _served(self, request: Request, method: str, handler: Handler) -> Response:
        call = GraphCall(request, self._clock.now())
        try:
            caller = self._gate.caller(request.headers.get("authorization"))
            call.bearer = caller.bearer
            self._gate.challenge(caller)
            if request.method != method:
                raise refusals.wrong_method(request.method)
            answered = await handler(request, caller)
        except GraphError as error:
            answered = call.refused(error)
        self._journal.record(to="graph", **call.line(answered))
        return call.finished(answered.response)

    def _changed(self) -> None:
        self._watch.wake()
        self._tell()

    def _tell(self) -> None:
        for changed in self.on_change:
            changed()


def _behaviour(text: str) -> Behaviour:
    for behaviour in BEHAVIOURS:
        if text == behaviour:
            return behaviour
    raise ValueError(f"a phone {', '.join(BEHAVIOURS)}; not {text!r}")
