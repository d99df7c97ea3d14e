"""The tenant behind Graph: its phones (data/fleet.json), their owners, and who holds which role."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from sandbox.cast import TENANT_ID, Account, Cast
from sandbox.clock import Clock
from sandbox.data import load
from sandbox.intune import refusals
from sandbox.intune.bearer import Caller
from sandbox.intune.phones import NEVER, Phone, fine_time, graph_time, new_passcode

Form = Literal["device", "user", "app"]
"""Which collection an address goes through: /deviceManagement/managedDevices, /users or detectedApps."""

SHORTEST_WAIT_SECONDS: Final = 0.02
_ALL: Final = "deviceManagement/managedDevices"
_SYSTEMS: Final = {"iOS": "IPhone", "iPadOS": "IPad", "Android": "AndroidEnterprise"}


class Role(BaseModel):
    """What an account may do in Intune, and the devices that its scope leaves out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reset_passcode: StrictBool
    read: StrictBool | None = None
    """Whether it sees devices; as `reset_passcode` unless told otherwise."""
    out_of_scope: frozenset[str] = frozenset()

    @property
    def sees(self) -> bool:
        return self.reset_passcode if self.read is None else self.read


class Traps(BaseModel):
    """How unkind Graph is; without any, as at the start.

    `unknown_paths`: below which collections it knows no reset. At the start below a detected app's devices:
    Microsoft's page names that path, and Microsoft's metadata, its OpenAPI and its SDKs do not.
    `results_after`: seconds by which Intune's answers are behind what happens to a phone.
    `stale_tokens`: a token keeps the role that its account had when it was issued.
    `repeats_pages`: every page of a list names itself as the next one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    unknown_paths: frozenset[Form] = frozenset({"app"})
    results_after: Annotated[float, Field(ge=0)] = 0
    stale_tokens: StrictBool = False
    repeats_pages: StrictBool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """The devices below one address; `context` is how @odata.context names it."""

    form: Form
    context: str
    phones: list[Phone]

    def phone(self, key: str) -> Phone:
        """By id; 404 for everything else, as out of scope is at Intune."""
        found = next((phone for phone in self.phones if phone.id == key.lower()), None)
        if found is None:
            raise refusals.not_found()
        return found


def form_of(parameters: Mapping[str, str]) -> Form:
    """Which collection an address with these path parameters goes through."""
    return "user" if "user" in parameters else "app" if "app" in parameters else "device"


class Fleet:
    """Finds things by the keys of Graph's addresses; what is not there is a GraphError."""

    def __init__(self, cast: Cast, now: datetime) -> None:
        people = [*cast.accounts, *cast.phone_owners]
        self.users = {account.oid: account for account in people if account.tenant_id == TENANT_ID}
        self.roles = {
            account.oid: Role(reset_passcode=account.reset_passcode) for account in self.users.values()
        }
        self._before: dict[str, tuple[datetime, Role]] = {}
        """When the role of an account was last changed, and what it was until then."""
        self.traps = Traps()
        self.phones = {phone.id: phone for phone in _phones(cast, now)}
        self._apps = {app["id"] for app in load("fleet.json")["detected_apps"]}

    def set_role(self, oid: str, role: Role, now: datetime) -> None:
        """Raise KeyError for an account that is not of the tenant."""
        self._before[oid] = (now, self.roles[oid])
        self.roles[oid] = role

    def role(self, caller: Caller) -> Role:
        """What this caller may do; nothing, if the account is none of the tenant's."""
        if self.traps.stale_tokens and caller.issued and caller.oid in self._before:
            changed_at, before = self._before[caller.oid]
            if caller.issued.issued_at < changed_at:
                return before
        return self.roles.get(caller.oid, Role(reset_passcode=False))

    def describe(self, device_id: str, **properties: object) -> None:
        """Change what Intune says of a phone; KeyError for a phone or a property that does not exist."""
        said = self.phones[device_id].properties
        for name, value in properties.items():
            said[name] = value if name in said else said[name]

    def collection(self, parameters: Mapping[str, str], caller: Caller) -> Collection:
        """What a caller sees below an address with these path parameters (`user`, `app` or neither)."""
        hidden = self.role(caller).out_of_scope
        phones = [phone for phone in self.phones.values() if phone.id not in hidden]
        if "user" in parameters:
            user = self._user(parameters["user"])
            own = [phone for phone in phones if phone.owner.oid == user.oid]
            return Collection(form="user", context=f"users('{user.oid}')/managedDevices", phones=own)
        if "app" in parameters:
            app = parameters["app"].lower()
            if app not in self._apps:
                raise refusals.not_found()
            context = f"deviceManagement/detectedApps('{app}')/managedDevices"
            return Collection(form="app", context=context, phones=[p for p in phones if app in p.apps])
        return Collection(form="device", context=_ALL, phones=phones)

    def settle(self, now: datetime) -> None:
        """Let everything that is due have happened."""
        for phone in self.phones.values():
            phone.settle(now)

    def _user(self, key: str) -> Account:
        """By object id or user principal name."""
        wanted = key.casefold()
        for user in self.users.values():
            if wanted in (user.oid, user.upn.casefold()):
                return user
        raise refusals.no_user(key)


class Watch:
    """Tells when an action changes state; `tick` looks by hand, for a clock that is moved by hand."""

    def __init__(self, fleet: Fleet, clock: Clock, tell: Callable[[], None]) -> None:
        self._fleet = fleet
        self._clock = clock
        self._tell = tell
        self._seen = self._states()
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def tick(self) -> None:
        """Let what is due happen; tell if an action changed state since the last look."""
        self._fleet.settle(self._clock.now())
        states = self._states()
        if states != self._seen:
            self._seen = states
            self._tell()

    def wake(self) -> None:
        """Look again: a new action may be due sooner."""
        self._woken.set()

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="sandbox-phones")

    async def close(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            self.tick()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds_to_next()):
                    await self._woken.wait()

    def _seconds_to_next(self) -> float | None:
        now = self._clock.now()
        actions = (action for phone in self._fleet.phones.values() for action in phone.actions)
        changes = [at for action in actions if (at := action.next_change_at(now)) is not None]
        if not changes:
            return None
        return max((min(changes) - now).total_seconds(), SHORTEST_WAIT_SECONDS)

    def _states(self) -> list[str]:
        now = self._clock.now()
        return [action.state(now) for phone in self._fleet.phones.values() for action in phone.actions]


def _phones(cast: Cast, now: datetime) -> Iterable[Phone]:
    """The devices of the cast's phone owners, with times counted back from `now`."""
    owners = {owner.upn: owner for owner in cast.phone_owners}
    for device in load("fleet.json")["devices"]:
        if device["owner"] in owners:
            yield _phone(device, owners[device["owner"]], now)


def _phone(device: Mapping[str, Any], owner: Account, now: datetime) -> Phone:
    return Phone(
        properties=_properties(device, owner, now),
        hidden=device.get("hidden", {}),
        owner=owner,
        apps=frozenset(device.get("apps", ())),
        behaviour=device.get("behaviour", "completes"),
        earlier=_earlier(now) if device.get("had_earlier_reset") else (),
    )


def _properties(device: Mapping[str, Any], owner: Account, now: datetime) -> dict[str, object]:
    """All properties of a managedDevice but deviceActionResults, in the order of a real answer."""
    fleet, platform = load("fleet.json"), device.get("platform")
    said = fleet["platforms"].get(platform, {}) | device["properties"]
    enrolled, synced = now - timedelta(days=device["enrolled_days_ago"]), device["synced_minutes_ago"]
    expires = NEVER if platform == "android" else graph_time(enrolled + timedelta(days=730))
    system = _SYSTEMS.get(said["operatingSystem"], "Windows")
    name = f"{owner.upn.partition('@')[0]}_{system}_{enrolled:%-m/%-d/%Y_%-I:%M %p}"
    computed = {
        "id": device["id"],
        "userId": owner.oid,
        "emailAddress": owner.email,
        "userPrincipalName": owner.upn,
        "userDisplayName": owner.name,
        "azureADDeviceId": device["id"].replace("5a000000", "aad00000", 1),
        "enrolledDateTime": graph_time(enrolled),
        "lastSyncDateTime": NEVER if synced is None else graph_time(now - timedelta(minutes=synced)),
        "managedDeviceName": name,
        "managementCertificateExpirationDate": expires,
    }
    return {**fleet["defaults"], **computed, **said}


def _earlier(now: datetime) -> tuple[Mapping[str, object], ...]:
    """The collection keeps older results and has no ids: here is a reset from before, its code stale."""
    began = now - timedelta(days=5, minutes=12)
    stale: dict[str, object] = {
        "@odata.type": "#microsoft.graph.resetPasscodeActionResult",
        "actionName": "resetPasscode",
        "actionState": "done",
        "startDateTime": fine_time(began),
        "lastUpdatedDateTime": fine_time(began + timedelta(seconds=108)),
        "passcode": new_passcode(),
        "errorCode": 0,
    }
    synced: dict[str, object] = {
        "@odata.type": "#microsoft.graph.deviceActionResult",
        "actionName": "syncDevice",
        "actionState": "done",
        "startDateTime": fine_time(began + timedelta(days=1)),
        "lastUpdatedDateTime": fine_time(began + timedelta(days=1, seconds=9)),
    }
    return stale, synced
