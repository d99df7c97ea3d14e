"""GET: people, devices and apps, for a person with the permission and the role."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.clock import Clock
from sandbox.intune import refusals
from sandbox.intune.bearer import Caller
from sandbox.intune.entities import (
    APP_PROPERTIES,
    EXTRA_USER_PROPERTIES,
    USER_PROPERTIES,
    app_alone,
    device_alone,
    device_properties,
    listed_device,
    user_alone,
)
from sandbox.intune.filters import parse_filter
from sandbox.intune.fleet import Fleet
from sandbox.intune.odata import Entity, Options, Pages
from sandbox.intune.phones import Phone

OWN_PROFILE: Final = ("User.Read", "User.ReadBasic.All", "User.Read.All", "Directory.Read.All")
PROFILES: Final = ("User.ReadBasic.All", "User.Read.All", "Directory.Read.All")


@dataclass(frozen=True, slots=True)
class Answered:
    """A response and what the journal says of it."""

    response: Response
    note: str = ""


class Reading:
    """The readable half of Graph. `page_size` is small so that a client that forgets pages is found out."""

    def __init__(self, fleet: Fleet, clock: Clock, base_url: str) -> None:
        self.page_size = 20
        self.base_url = base_url
        self._fleet = fleet
        self._clock = clock
        self._pages = Pages()

    async def me(self, request: Request, caller: Caller) -> Answered:
        if not caller.upn:
            raise refusals.bad_request("/me request is only valid with delegated authentication flow.")
        return self._user(request, caller, caller.oid, OWN_PROFILE)

    async def user(self, request: Request, caller: Caller) -> Answered:
        key = request.path_params["user"]
        own = key.casefold() in {caller.oid.casefold(), caller.upn.casefold()}
        return self._user(request, caller, key, OWN_PROFILE if own else PROFILES)

    async def devices(self, request: Request, caller: Caller) -> Answered:
        self._check(caller)
        return self._devices(request, self._fleet.everywhere(), "deviceManagement/managedDevices")

    async def device(self, request: Request, caller: Caller) -> Answered:
        self._check(caller)
        return self._device(request, self._fleet.everywhere(), "deviceManagement/managedDevices")

    async def devices_of_user(self, request: Request, caller: Caller) -> Answered:
        self._check(caller)
        user = self._fleet.user(request.path_params["user"])
        return self._devices(request, self._fleet.of_user(user), f"users('{user.oid}')/managedDevices")

    async def device_of_user(self, request: Request, caller: Caller) -> Answered:
        self._check(caller)
        user = self._fleet.user(request.path_params["user"])
        return self._device(request, self._fleet.of_user(user), f"users('{user.oid}')/managedDevices")

    async def apps(self, request: Request, caller: Caller) -> Answered:
        self._check(caller)
        options = Options.parse(request.query_params, APP_PROPERTIES)
        rows = [self._app(key) for key in self._fleet.apps]
        return self._list(request, rows, options, "deviceManagement/detectedApps")

    async def app(self, request: Request, caller: Caller) -> Answered:
        self._check(caller)
        options = Options.parse(request.query_params, APP_PROPERTIES)
        app = self._fleet.app(request.path_params["app"])
        return _alone(self._app(app.id), options, "deviceManagement/detectedApps", app.name)

    async def devices_with_app(self, request: Request, caller: Caller) -> Answered:
        self._check(caller)
        app = self._fleet.app(request.path_params["app"])
        of = f"deviceManagement/detectedApps('{app.id}')/managedDevices"
        return self._devices(request, self._fleet.with_app(app), of)

    async def device_with_app(self, request: Request, caller: Caller) -> Answered:
        self._check(caller)
        app = self._fleet.app(request.path_params["app"])
        of = f"deviceManagement/detectedApps('{app.id}')/managedDevices"
        return self._device(request, self._fleet.with_app(app), of)

    def _check(self, caller: Caller) -> None:
        if not caller.may(refusals.READ_SCOPES):
            raise refusals.missing_scope(refusals.READ_SCOPES)
        if not self._fleet.roles.get(caller.oid, False):
            raise refusals.no_role_to_read()

    def _user(self, request: Request, caller: Caller, key: str, scopes: tuple[str, ...]) -> Answered:
        if not caller.may(scopes):
            raise refusals.directory_scope()
        options = Options.parse(request.query_params, (*USER_PROPERTIES, *EXTRA_USER_PROPERTIES))
        account = self._fleet.user(key)
        return _alone(user_alone(account, options.select), options, "users", account.name)

    def _devices(self, request: Request, phones: Sequence[Phone], of: str) -> Answered:
        known = device_properties(self._fleet.everywhere()[0])
        options = Options.parse(request.query_params, known)
        rows: list[Entity] = [listed_device(phone) for phone in phones]
        if options.filter:
            holds = parse_filter(options.filter, known)
            rows = [row for row in rows if holds(row)]
        return self._list(request, rows, options, of)

    def _device(self, request: Request, phones: Sequence[Phone], of: str) -> Answered:
        phone = self._fleet.phone(request.path_params["device"], phones)
        options = Options.parse(request.query_params, device_properties(phone))
        now = self._clock.now()
        phone.settle(now)
        name = str(phone.properties["deviceName"])
        return _alone(device_alone(phone, options.select, now), options, of, name)

    def _app(self, key: str) -> dict[str, object]:
        app = self._fleet.apps[key]
        return app_alone(app, len(self._fleet.with_app(app)))

    def _list(self, request: Request, rows: Sequence[Entity], options: Options, of: str) -> Answered:
        address = f"{self.base_url}{request.url.path}"
        page, following = self._pages.page(rows, options, address=address, size=self.page_size)
        body: dict[str, object] = {"@odata.context": options.context(of)}
        if options.count:
            body["@odata.count"] = len(rows)
        if following:
            body["@odata.nextLink"] = following
        body["value"] = [options.chosen(row) for row in page]
        return Answered(JSONResponse(body), f"{len(page)} of {len(rows)}")


def _alone(entity: Entity, options: Options, of: str, note: str) -> Answered:
    body = {"@odata.context": f"{options.context(of)}/$entity", **options.chosen(entity)}
    return Answered(JSONResponse(body), note)
