"""Where a target's devices are listed, and where each of them is reset: the same path."""

from typing import Final, assert_never
from urllib.parse import quote, urlencode

from bot.domain.errors import DeviceRefused
from bot.domain.identifiers import DeviceId
from bot.domain.target import Target, TargetKind

ALL_DEVICES: Final = "/deviceManagement/managedDevices"
DEVICE_FIELDS: Final = (
    "id",
    "deviceName",
    "operatingSystem",
    "osVersion",
    "manufacturer",
    "model",
    "serialNumber",
    "imei",
    "deviceEnrollmentType",
    "managementAgent",
    "managementState",
    "complianceState",
    "managedDeviceOwnerType",
    "userId",
    "userPrincipalName",
    "emailAddress",
    "userDisplayName",
    "lastSyncDateTime",
)
"""Exactly what a `Device` is made of."""
RESULT_FIELDS: Final = ("id", "deviceActionResults")
"""Filled only in a GET of one device; lists leave the results empty."""


def listing(target: Target) -> str:
    """The path and query that list the target's devices."""
    query = {"$select": ",".join(DEVICE_FIELDS)}
    if target.kind is TargetKind.ID:
        return f"{_collection(target)}/{_segment(target.value)}?{_encoded(query)}"
    if condition := _filter(target):
        query["$filter"] = condition
    return f"{_collection(target)}?{_encoded(query)}"


def reset(target: Target, device: DeviceId) -> str:
    """The path that resets `device`: below the collection in which it was found."""
    return f"{_collection(target)}/{_segment(device)}/resetPasscode"


def results(device: DeviceId) -> str:
    """The path and query of what the device answered to earlier actions."""
    return f"{ALL_DEVICES}/{_segment(device)}?{_encoded({'$select': ','.join(RESULT_FIELDS)})}"


def _collection(target: Target) -> str:
    match target.kind:
        case TargetKind.PERSON:
            return f"/users/{_segment(target.value)}/managedDevices"
        case TargetKind.APP:
            return f"/deviceManagement/detectedApps/{_segment(target.value)}/managedDevices"
        case TargetKind.SERIAL | TargetKind.IMEI | TargetKind.NAME | TargetKind.ID:
            return ALL_DEVICES
        case TargetKind.MENTION:
            raise DeviceRefused(code="MentionNotResolved")
        case _:
            assert_never(target.kind)


def _filter(target: Target) -> str:
    match target.kind:
        case TargetKind.SERIAL:
            return f"serialNumber eq {_literal(target.value)}"
        case TargetKind.NAME:
            return f"deviceName eq {_literal(target.value)}"
        case TargetKind.IMEI:
            return f"imei eq {_literal(target.value)} or imei eq {_literal(_spaced(target.value))}"
        case _:
            return ""


def _spaced(imei: str) -> str:
    """An IMEI as iPhones report it and Intune stores it: 35 298710 123456 7."""
    return " ".join(part for part in (imei[:2], imei[2:8], imei[8:14], imei[14:]) if part)


def _literal(text: str) -> str:
    """An OData string; a quote is doubled, so that a name cannot end it."""
    return "'" + text.replace("'", "''") + "'"


def _segment(text: str) -> str:
    """One path segment: nothing in `text` can leave it. "." and ".." cannot be encoded, so are refused."""
    if text in ("", ".", ".."):
        raise DeviceRefused(code="NoIdentifier")
    return quote(text, safe="")


def _encoded(query: dict[str, str]) -> str:
    """Blanks become %20: a plus sign is not a blank in every OData reader."""
    return urlencode(query, quote_via=quote, safe="$,'")
