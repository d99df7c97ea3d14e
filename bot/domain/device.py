"""A device as Intune describes it, and what a reset would do on it.

Source of the table: Microsoft's pages "Reset passcode" and "Remove passcode" for Intune device actions, and
its lists of values of deviceEnrollmentType, managementAgentType and managementState. What they do not say is
doubtful: an approver reads the doubt and decides, and nothing is promised.
"""

import re
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
    """None of these, or none that Intune names."""


class Effect(StrEnum):
    """What a reset does. The value is stored."""

    REMOVES_PASSCODE = "removes_passcode"
    NEW_PASSCODE = "new_passcode"
    NEW_WORK_PROFILE_PASSCODE = "new_work_profile_passcode"
    NEW_PASSCODE_OR_PROFILE = "new_passcode_or_profile"
    """Microsoft's pages contradict each other for this enrolment: the phone, or only its work profile."""
    MAY_REMOVE_PASSCODE = "may_remove_passcode"
    """An Apple device that may be managed in part only: Intune then refuses."""
    MAY_MAKE_PASSCODE = "may_make_passcode"
    """An Android device that may have a work profile, or be managed in the old way, where nothing happens."""

    @property
    def makes_passcode(self) -> bool:
        """Whether Intune makes a temporary passcode that the owner has to be told."""
        return self not in (Effect.REMOVES_PASSCODE, Effect.MAY_REMOVE_PASSCODE)


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
    ownership: str = ""
    """`managedDeviceOwnerType`."""
    owner_id: str = ""
    owner_upn: str = ""
    owner_email: str = ""
    owner_name: str = ""
    last_sync_at: datetime | None = None
    """None where the device never checked in."""
    enrolled_at: datetime | None = None
    listed_for: str = ""
    """Whose device Intune lists it as, an id or an address, where the row itself names another owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDevices:
    """The devices that a target names, and Graph's ids of the answers in which they came."""

    devices: Sequence[Device] = ()
    request_ids: Sequence[str] = ()
    complete: bool = True
    """Whether Graph's list was read to its end."""


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
    "androidaospuserowneddeviceenrollment": Effect.NEW_PASSCODE,
    "androidaospuserlessdeviceenrollment": Effect.NEW_PASSCODE,
    "androidenterprisefullymanaged": Effect.NEW_PASSCODE_OR_PROFILE,
    "androidenterprisecorporateworkprofile": Effect.NEW_WORK_PROFILE_PASSCODE,
    "userenrollment googleclouddevicepolicycontroller": Effect.NEW_WORK_PROFILE_PASSCODE,
    "googleclouddevicepolicycontroller": Effect.NEW_PASSCODE_OR_PROFILE,
    "intuneaosp": Effect.NEW_PASSCODE,
}
"""By the enrolment, by it and the agent, or by the agent alone.

A personal work profile is Google's policy controller's, or Company Portal's own, as an old device
administrator is: they are not told apart. Source: Microsoft's page "Android Management API overview".
"""
_APPLE: Final = ("userenrollment", "deviceenrollmentmanager", "applebulkwithuser", "applebulkwithoutuser")
"""Enrolments by which Intune manages the whole device."""
_APPLE_USER_ENROLLMENT: Final = re.compile("apple.*userenrollment.*")
_MDM: Final = ("mdm", "easmdm")
_LEAVING: Final = frozenset({"retirepending", "retireissued", "wipepending", "wipeissued", "deletepending"})
_STAYING: Final = ("", "managed", "unhealthy", "retirefailed", "retirecanceled", "wipefailed", "wipecanceled")
BY_NATURE: Final = frozenset({Code.WRONG_PLATFORM, Code.APPLE_USER_ENROLLMENT, Code.MAIL_ONLY})
"""Why a device can never be reset as it is enrolled, whoever looks at it."""


def effect_of_reset(device: Device) -> Effect:
    """Return what a reset does on this device, or raise the Refusal that says why there is none."""
    enrollment, agent = device.enrollment.casefold(), device.agent.casefold()
    state = device.management_state.casefold()
    apple = device.platform in (Platform.IOS, Platform.IPADOS, Platform.VISIONOS)
    if not apple and device.platform is not Platform.ANDROID:
        system = f"{device.platform} {device.os_version}".strip()
        code = Code.UNKNOWN_PLATFORM if device.platform is Platform.OTHER else Code.WRONG_PLATFORM
        raise Refusal(code, device=device.name, system=system)
    if state in _LEAVING:
        raise Refusal(Code.NOT_MANAGED, device=device.name, state=device.management_state)
    if agent == "eas":
        raise Refusal(Code.MAIL_ONLY, device=device.name)
    if apple:
        if _APPLE_USER_ENROLLMENT.fullmatch(enrollment):
            raise Refusal(Code.APPLE_USER_ENROLLMENT, device=device.name)
        whole = agent in _MDM and enrollment in _APPLE and device.platform is not Platform.VISIONOS
        return Effect.REMOVES_PASSCODE if whole and state in _STAYING else Effect.MAY_REMOVE_PASSCODE
    if state not in _STAYING:
        return Effect.MAY_MAKE_PASSCODE
    named = (_ANDROID.get(name) for name in (enrollment, f"{enrollment} {agent}", agent))
    return next(filter(None, named), Effect.MAY_MAKE_PASSCODE)


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
