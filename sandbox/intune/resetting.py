"""POST resetPasscode: three addresses, one effect, 204 and nothing more."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from sandbox.clock import Clock
from sandbox.intune import refusals
from sandbox.intune.bearer import Caller
from sandbox.intune.fleet import Fleet, Form, form_of
from sandbox.journal import Line


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
        self._fleet = fleet
        self._clock = clock
        self._changed = changed

    async def reset(self, request: Request, caller: Caller, line: Line) -> Response:
        """Accept a reset of one device, or refuse it without an effect."""
        if (form := form_of(request.path_params)) in self._fleet.traps.unknown_paths:
            raise refusals.unknown_path(form)
        if not caller.may(refusals.RESET_SCOPES):
            raise refusals.missing_scope(refusals.RESET_SCOPES)
        if not self._fleet.role(caller).reset_passcode:
            raise refusals.no_role_to_reset()
        found = self._fleet.collection(request.path_params, caller)
        phone = found.phone(request.path_params["device"])
        if await request.body():
            raise refusals.bad_request("The action resetPasscode takes no request body.")
        if not phone.can_reset:
            raise refusals.unsupported_platform()
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
        line.note = f"reset {phone.name}"
        return Response(status_code=204)
