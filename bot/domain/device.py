"""A device as Intune describes it, and what a reset would do on it.

Source of the table: Microsoft's pages "Reset passcode" and "Remove passcode" for Intune device actions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from bot.domain.errors import Code, Refusal
from bot.domain.target import IMEI_DIGITS, Target, TargetKind
from bot.domain.values import DeviceId, Secret, comparable


class Platform(StrEnum):
    """The operating system, as far as a reset depends on it."""

    IOS = "iOS"
    IPADOS = "iPadOS"
    VISIONOS = "visionOS"
    ANDROID = "Android"
    WINDOWS = "Windows"
    MACOS = "macOS"
    OTHER = "other"


class Effect(StrEnum):
    """What a reset does. The value is stored."""

    REMOVES_PASSCODE = "removes_passcode"
    NEW_PASSCODE = "new_passcode"
    NEW_WORK_PROFILE_PASSCODE = "new_work_profile_passcode"
    NEW_PASSCODE_OR_PROFILE = "new_passcode_or_profile"
    """Microsoft's pages contradict each other for this enrolment: the phone, or only its work profile."""

    @property
    def makes_passcode(self) -> bool:
        """Whether Intune makes a temporary passcode that the owner has to be told."""
        return self is not Effect.REMOVES_PASSCODE


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One Intune managedDevice; text as Graph gave it, empty where Graph gave none."""

    id: DeviceId
    name: str
    platform: Platform
    entra_id: str = ""
    """`azureADDeviceId`: the id by which Entra lists it."""
    os_version: str = ""
    manufacturer: str = ""
    model: str = ""
    serial: str = ""
    imei: str = ""
    enrollment: str = ""
    """`deviceEnrollmentType`, any string: v1.0 also returns values that its own enum lacks."""
    agent: str = ""
    """`managementAgent`."""
    management_state: str = ""
    compliance: str = ""
    personal: bool = False
    owner_id: str = ""
    owner_upn: str = ""
    owner_email: str = ""
    owner_name: str = ""
    last_sync_at: datetime | None = None
    """None where the device never checked in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDevices:
    """The devices that a target names, and Graph's ids of the answers in which they came."""

    devices: Sequence[Device] = ()
    request_ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResult:
    """One resetPasscode in a device's `deviceActionResults`. `state` is Graph's word, lower-case."""

    state: str
    started_at: datetime
    error_code: int = 0

    @property
    def failure(self) -> Code | None:
        """Why the device is as it was before; None where it is not, or nobody knows yet."""
        return _FAILURES.get(self.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPasscode:
    """What a reset made. `replaced_at`: when a later reset began that ended this passcode, or is about to."""

    passcode: Secret
    replaced_at: datetime | None = None


_FAILURES: Final = {
    "failed": Code.DEVICE_FAILED,
    "notsupported": Code.NOT_SUPPORTED,
    "canceled": Code.CANCELED,
}
MAX_ID: Final = 64
"""Characters of a device id and of its column; a GUID has 36."""
_ANDROID: Final = {
    "androidenterprisededicateddevice": Effect.NEW_PASSCODE,
    "androidaospuserowneddevice": Effect.NEW_PASSCODE,
    "androidaospuserlessdevice": Effect.NEW_PASSCODE,
    "androidenterprisefullymanaged": Effect.NEW_PASSCODE_OR_PROFILE,
    "androidenterprisecorporateworkprofile": Effect.NEW_WORK_PROFILE_PASSCODE,
}
_LEAVING: Final = ("retire", "wipe", "delete")
_STAYING: Final = ("canceled", "failed")


def effect_of_reset(device: Device) -> Effect:
    """Return what a reset does on this device, or raise the Refusal that says why there is none."""
    state = device.management_state.casefold()
    if state.startswith(_LEAVING) and not state.endswith(_STAYING):
        raise Refusal(Code.NOT_MANAGED, device=device.name, state=device.management_state)
    match device.platform:
        case Platform.IOS | Platform.IPADOS | Platform.VISIONOS:
            if device.enrollment.casefold().startswith("appleuserenrollment"):
                raise Refusal(Code.APPLE_USER_ENROLLMENT, device=device.name)
            return Effect.REMOVES_PASSCODE
        case Platform.ANDROID:
            return _android(device)
        case _:
            system = f"{device.platform} {device.os_version}".strip()
            raise Refusal(Code.WRONG_PLATFORM, device=device.name, system=system)


def _android(device: Device) -> Effect:
    known = _ANDROID.get(device.enrollment.casefold())
    if known is not None:
        return known
    if device.agent.casefold() != "googleclouddevicepolicycontroller":
        raise Refusal(Code.DEVICE_ADMINISTRATOR, device=device.name)
    return Effect.NEW_WORK_PROFILE_PASSCODE if device.personal else Effect.NEW_PASSCODE_OR_PROFILE


_MATCHES: Final[dict[TargetKind, Callable[[Device, str], bool]]] = {
    TargetKind.PERSON: lambda device, value: (
        value.casefold() in {device.owner_upn.casefold(), device.owner_email.casefold()}
    ),
    TargetKind.SERIAL: lambda device, value: device.serial.casefold() == value.casefold(),
    TargetKind.IMEI: lambda device, value: (
        "".join(filter(str.isdigit, device.imei))[:IMEI_DIGITS] == value[:IMEI_DIGITS]
    ),
    TargetKind.NAME: lambda device, value: comparable(device.name) == comparable(value),
    TargetKind.ID: lambda device, value: (
        value.casefold() in {device.id.casefold(), device.entra_id.casefold()}
    ),
    TargetKind.APP: lambda _device, value: bool(value),
}


def matches_target(device: Device, target: Target) -> bool:
    """Check one returned row against the target.

    Graph ignores a `$filter` that it does not support and returns everybody's devices, so no row counts
    unchecked, and none without an id. A device under an app does not name the app: there the URL of the list
    is the check.
    """
    named = 0 < len(device.id) <= MAX_ID and target.kind in _MATCHES
    return named and _MATCHES[target.kind](device, target.value)
