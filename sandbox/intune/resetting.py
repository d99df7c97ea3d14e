"""POST resetPasscode: three addresses, one effect, 204 and nothing more."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from sandbox.clock import Clock
from sandbox.intune import refusals
from sandbox.intune.bearer import Caller
from sandbox.intune.faults import Faults, answer_of
from sandbox.intune.fleet import Fleet
from sandbox.intune.phones import Phone
from sandbox.intune.reading import Answered

Form = Literal["device", "user", "app"]
"""Which address was used: /deviceManagement/managedDevices, /users, or /deviceManagement/detectedApps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedReset:
    """One reset that Intune accepted, and as whom."""

    device_id: str
    form: Form
    oid: str
    upn: str
    client_request_id: str
    at: datetime


class Resetting:
    """Queues resets. `resets` is every accepted one, oldest first."""

    def __init__(
        self, fleet: Fleet, clock: Clock, action_time: timedelta, changed: Callable[[], None]
    ) -> None:
        self.action_time = action_time
        self.resets: list[AcceptedReset] = []
        self.faults = Faults()
        self._fleet = fleet
        self._clock = clock
        self._changed = changed

    async def of_device(self, request: Request, caller: Caller) -> Answered:
        self._check(caller)
        return await self._reset(request, caller, self._fleet.everywhere(), "device")

    async def of_user(self, request: Request, caller: Caller) -> Answered:
        self._check(caller)
        user = self._fleet.user(request.path_params["user"])
        return await self._reset(request, caller, self._fleet.of_user(user), "user")

    async def with_app(self, request: Request, caller: Caller) -> Answered:
        self._check(caller)
        app = self._fleet.app(request.path_params["app"])
        return await self._reset(request, caller, self._fleet.with_app(app), "app")

    def _check(self, caller: Caller) -> None:
        if not caller.may(refusals.RESET_SCOPES):
            raise refusals.missing_scope(refusals.RESET_SCOPES)
        if not self._fleet.roles.get(caller.oid, False):
            raise refusals.no_role_to_reset()

    async def _reset(self, request: Request, caller: Caller, among: Sequence[Phone], form: Form) -> Answered:
        phone = self._fleet.phone(request.path_params["device"], among)
        if await request.body():
            raise refusals.unexpected_body()
        if not phone.can_reset:
            raise refusals.unsupported_platform()
        return self._carried_out(request, caller, phone, form)

    def _carried_out(self, request: Request, caller: Caller, phone: Phone, form: Form) -> Answered:
        fault = self.faults.take()
        if fault is None or fault.when == "after":
            self._accept(request, caller, phone, form)
        if fault is not None:
            return Answered(answer_of(fault), f"connection broken {fault.when} the effect")
        return Answered(Response(status_code=204), f"reset {phone.properties['deviceName']}")

    def _accept(self, request: Request, caller: Caller, phone: Phone, form: Form) -> None:
        now = self._clock.now()
        phone.settle(now)
        phone.begin_reset(now, self.action_time)
        accepted = AcceptedReset(
            device_id=phone.id,
            form=form,
            oid=caller.oid,
            upn=caller.upn,
            client_request_id=request.headers.get("client-request-id", ""),
            at=now,
        )
        self.resets.append(accepted)
        self._changed()
