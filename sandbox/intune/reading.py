"""GET: devices, for a person with the permission and the role."""

from datetime import timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.clock import Clock
from sandbox.intune import refusals
from sandbox.intune.bearer import Caller
from sandbox.intune.fleet import Fleet
from sandbox.intune.odata import Options, Pages
from sandbox.intune.phones import Phone
from sandbox.journal import Line

RESULTS: Final = "deviceActionResults"


class Reading:
    """Lists and single devices. `page_size` is small, so that a client that forgets pages is found out."""

    def __init__(self, fleet: Fleet, clock: Clock, base_url: str) -> None:
        self.page_size = 20
        self.base_url = base_url
        self._fleet = fleet
        self._clock = clock
        self._pages = Pages()

    async def devices(self, request: Request, caller: Caller, line: Line) -> Response:
        """A list: real Graph leaves the action results empty there, and enrollmentProfileName."""
        self._check(caller)
        found = self._fleet.collection(request.path_params, caller)
        options = Options.parse(request.query_params, _names(next(iter(self._fleet.phones.values()))))
        rows = [{**phone.properties, RESULTS: [], "enrollmentProfileName": ""} for phone in found.phones]
        if options.filter is not None:
            rows = [row for row in rows if options.filter.holds(row)]
        address = f"{self.base_url}{request.url.path}"
        page, following = self._pages.page(rows, options, address=address, size=self.page_size)
        line.note = f"{len(page)} of {len(rows)}"
        if self._fleet.traps.repeats_pages:
            following = f"{address}?{request.url.query}"
        link = {"@odata.nextLink": following} if following else {}
        value = [options.chosen(row) for row in page]
        return JSONResponse({"@odata.context": options.context(found.context), **link, "value": value})

    async def device(self, request: Request, caller: Caller, line: Line) -> Response:
        """One device; some properties have their value only when they are selected by name."""
        self._check(caller)
        found = self._fleet.collection(request.path_params, caller)
        if found.form == "app":  # microsoft-graph-docs-contrib issue 2981
            raise refusals.unknown_path(found.form)
        phone = found.phone(request.path_params["device"])
        options = Options.parse(request.query_params, _names(phone))
        if options.filter is not None:
            raise refusals.not_known("$filter on one device")
        now = self._clock.now()
        phone.settle(now)
        line.note = phone.name
        shown = {name: value for name, value in phone.hidden.items() if name in options.select}
        entity = {
            **phone.properties,
            **shown,
            RESULTS: phone.action_results(now, timedelta(seconds=self._fleet.traps.results_after)),
        }
        context = f"{options.context(found.context)}/$entity"
        return JSONResponse({"@odata.context": context, **options.chosen(entity)})

    def _check(self, caller: Caller) -> None:
        if not caller.may(refusals.READ_SCOPES):
            raise refusals.missing_scope(refusals.READ_SCOPES)
        if not self._fleet.role(caller).sees:
            raise refusals.no_role_to_read()


def _names(phone: Phone) -> frozenset[str]:
    """Every property name of a managedDevice."""
    return frozenset({*phone.properties, RESULTS})
