"""A phone: what Intune says about it, what a reset does to it, and when; and how the page shows it."""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal, get_args

from sandbox.cast import Account

Behaviour = Literal["completes", "fails", "not supported", "stays silent"]
"""What the phone will do with the next reset that reaches it."""

Lock = Literal["locked", "open: no passcode", "temporary passcode", "open"]
ActionState = Literal["pending", "active", "done", "failed", "notSupported"]
Properties = Mapping[str, object]

BEHAVIOURS: Final[tuple[Behaviour, ...]] = get_args(Behaviour)
FAILURE_CODE: Final = 2016
NEVER: Final = "0001-01-01T00:00:00Z"
_APPLE_RESULT: Final = "#microsoft.graph.deviceActionResult"
_ANDROID_RESULT: Final = "#microsoft.graph.resetPasscodeActionResult"
_ENROLLMENTS: Final[Mapping[str, str]] = {
    "appleBulkWithUser": "Supervised, company-owned",
    "androidEnterpriseFullyManaged": "Fully managed",
    "androidEnterpriseCorporateWorkProfile": "Company-owned with work profile",
    "androidEnterpriseDedicatedDevice": "Dedicated",
    "userEnrollment": "Personal with work profile",
    "androidAOSPUserOwnedDeviceEnrollment": "Without Google services, with a user",
    "androidAOSPUserlessDeviceEnrollment": "Without Google services, no user",
    "appleUserEnrollment": "Apple User Enrollment",
    "appleAccountDrivenUserEnrollment": "Apple User Enrollment",
    "windowsAzureADJoin": "Entra joined",
}
_ENDS: Final[Mapping[Behaviour, ActionState]] = {
    "completes": "done",
    "fails": "failed",
    "not supported": "notSupported",
}


def new_passcode() -> str:
    """Eight digits, as Intune makes one for Android."""
    return f"{secrets.randbelow(10**8):08d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One accepted reset. Its state is computed from the time, so nothing has to run."""

    started_at: datetime
    takes: timedelta
    behaviour: Behaviour
    passcode: str | None = field(default=None, repr=False)
    """What the phone will be told on completion; None where the passcode is removed instead."""

    @property
    def due_at(self) -> datetime | None:
        """When it ends; None if it never does."""
        return None if self.behaviour == "stays silent" else self.started_at + self.takes

    def state(self, now: datetime) -> ActionState:
        if self.behaviour == "stays silent" or now < self._active_at:
            return "pending"
        return _ENDS[self.behaviour] if now >= self.started_at + self.takes else "active"

    def updated_at(self, now: datetime) -> datetime:
        """When the state last changed."""
        match self.state(now):
            case "pending":
                return self.started_at
            case "active":
                return self._active_at
            case _:
                return self.started_at + self.takes

    def next_change_at(self, now: datetime) -> datetime | None:
        """When the state will change next; None if it will not."""
        if self.due_at is None:
            return None
        return next((at for at in (self._active_at, self.due_at) if at > now), None)

    @property
    def _active_at(self) -> datetime:
        return self.started_at + self.takes / 3


@dataclass(slots=True, kw_only=True)
class Phone:
    """One managed device and its moving parts.

    `properties` are the 55 of Graph's managedDevice but deviceActionResults, in the order of the real answer;
    `hidden` are those that real Graph gives only to a single GET that selects them.
    """

    properties: dict[str, object]
    hidden: Properties
    owner: Account
    apps: frozenset[str] = frozenset()
    behaviour: Behaviour = "completes"
    earlier: tuple[Properties, ...] = ()
    """Results of actions from before the sandbox began."""
    actions: list[Action] = field(default_factory=list)
    lock: Lock = "locked"
    _passcode: str | None = field(default=None, repr=False)
    _settled: int = 0

    @property
    def id(self) -> str:
        return str(self.properties["id"])

    @property
    def name(self) -> str:
        return str(self.properties["deviceName"])

    @property
    def is_apple(self) -> bool:
        return self.properties["operatingSystem"] in {"iOS", "iPadOS"}

    @property
    def can_reset(self) -> bool:
        """Whether its platform and its enrolment know the action at all."""
        said = self.properties
        in_part = "UserEnrollment" in str(said["deviceEnrollmentType"]) or said["managementAgent"] == "eas"
        return (self.is_apple or said["operatingSystem"] == "Android") and not in_part

    def begin_reset(self, now: datetime, takes: timedelta) -> Action:
        """Queue a reset: each accepted one is a new action, and on Android a new passcode."""
        passcode = None if self.is_apple else new_passcode()
        action = Action(started_at=now, takes=takes, behaviour=self._will(), passcode=passcode)
        self.actions.append(action)
        return action

    def _will(self) -> Behaviour:
        """A retire, wipe or delete takes precedence: other actions are accepted and then ignored."""
        return self.behaviour if self.properties["managementState"] == "managed" else "stays silent"

    def settle(self, now: datetime) -> None:
        """Let everything that is due by now have happened on the phone."""
        for action in self.actions[self._settled :]:
            if action.due_at is None or action.due_at <= now:
                self._end(action)
                self._settled += 1
            else:
                return

    def _end(self, action: Action) -> None:
        if action.due_at is not None:
            self.properties["lastSyncDateTime"] = graph_time(action.due_at)
        if action.behaviour == "completes":
            self.lock = "temporary passcode" if action.passcode else "open: no passcode"
            self._passcode = action.passcode

    def unlock(self, passcode: str) -> bool:
        """Type a passcode on the phone; whether it opens."""
        if self.lock == "locked":
            return False
        if self.lock == "temporary passcode" and not self._opens_with(passcode):
            return False
        self.lock = "open"
        return True

    def _opens_with(self, typed: str) -> bool:
        return self._passcode is not None and hmac.compare_digest(typed.encode(), self._passcode.encode())

    def action_results(self, now: datetime, late: timedelta) -> list[dict[str, object]]:
        """deviceActionResults, oldest first, `late` by so much."""
        as_of = now - late
        begun = [action for action in self.actions if action.started_at <= as_of]
        return [dict(result) for result in self.earlier] + [self._result(action, as_of) for action in begun]

    def _result(self, action: Action, now: datetime) -> dict[str, object]:
        state = action.state(now)
        result: dict[str, object] = {
            "@odata.type": _APPLE_RESULT if self.is_apple else _ANDROID_RESULT,
            "actionName": "resetPasscode",
            "actionState": state,
            "startDateTime": fine_time(action.started_at),
            "lastUpdatedDateTime": fine_time(action.updated_at(now)),
        }
        if not self.is_apple:
            result["passcode"] = action.passcode if state == "done" else None
            result["errorCode"] = FAILURE_CODE if state == "failed" else 0
        return result

    def snapshot(self, now: datetime) -> dict[str, object]:
        """The phone as the page shows it, once settled at `now`; never a passcode."""
        said, action = self.properties, self.actions[-1] if self.actions else None
        enrollment = str(said["deviceEnrollmentType"])
        return {
            "id": self.id,
            "name": self.name,
            "model": said["model"],
            "manufacturer": said["manufacturer"],
            "platform": said["operatingSystem"],
            "os_version": said["osVersion"],
            "enrollment": _ENROLLMENTS.get(enrollment, enrollment),
            "serial": said["serialNumber"],
            "imei": said["imei"],
            "owner": {"name": self.owner.name, "upn": self.owner.upn},
            "lock": self.lock,
            "action": action
            and {
                "state": action.state(now),
                "started_at": action.started_at.isoformat(),
                "updated_at": action.updated_at(now).isoformat(),
            },
            "resets": len(self.actions),
            "behaviour": self.behaviour,
            "on_reset": self._will() if self.can_reset else "cannot be reset",
            "last_sync_at": said["lastSyncDateTime"],
            "management_state": said["managementState"],
        }


def graph_time(at: datetime) -> str:
    """A time as Graph writes most: whole seconds."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def fine_time(at: datetime) -> str:
    """A time as Graph writes those of actions: seven decimals."""
    return f"{at:%Y-%m-%dT%H:%M:%S.%f}0Z"
