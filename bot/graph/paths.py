"""The paths and queries of Graph: where a target's devices are listed and where each of them is reset."""

from typing import Final, assert_never
from urllib.parse import quote, urlencode

from bot.domain.errors import DeviceRefused
from bot.domain.target import Target, TargetKind
from bot.domain.values import DeviceId

ALL_DEVICES: Final = "/deviceManagement/managedDevices"
DEVICE_FIELDS: Final = (
    "id,deviceName,operatingSystem,osVersion,manufacturer,model,serialNumber,imei,deviceEnrollmentType,"
    "managementAgent,managementState,complianceState,managedDeviceOwnerType,userId,userPrincipalName,"
    "emailAddress,userDisplayName,lastSyncDateTime"
)
"""Exactly what a `Device` is made of."""
RESULT_FIELDS: Final = "id,deviceActionResults"
"""Filled only in a GET of one device; lists leave the results empty."""


def find(target: Target) -> str:
    """Return the path and query that list the target's devices; of an id, that read the one device."""
    path, query, literal = _collection(target), {"$select": DEVICE_FIELDS}, _literal(target.value)
    match target.kind:
        case TargetKind.ID:
            path = f"{path}/{_segment(target.value)}"
        case TargetKind.SERIAL:
            query["$filter"] = f"serialNumber eq {literal}"
        case TargetKind.NAME:
            query["$filter"] = f"deviceName eq {literal}"
        case TargetKind.IMEI:
            imei = target.value
            # iPhones report it, and Intune stores it, with blanks: 35 298710 123456 7
            spaced = " ".join(filter(None, (imei[:2], imei[2:8], imei[8:14], imei[14:])))
            query["$filter"] = f"imei eq {literal} or imei eq {_literal(spaced)}"
    return f"{path}?{_encoded(query)}"


def reset_passcode(target: Target, device: DeviceId) -> str:
    """Return the path that resets `device`, below the collection in which it was found."""
    return f"{_collection(target)}/{_segment(device)}/resetPasscode"


def action_results(device: DeviceId) -> str:
    """Return the path and query of the results of the device's earlier actions."""
    return f"{ALL_DEVICES}/{_segment(device)}?{_encoded({'$select': RESULT_FIELDS})}"


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


def _literal(text: str) -> str:
    """Return an OData string; a quote is doubled, so that a name cannot end it."""
    return "'" + text.replace("'", "''") + "'"


def _segment(text: str) -> str:
    """Return one path segment that nothing in `text` can leave; "." and ".." cannot be encoded: refused."""
    if text in ("", ".", ".."):
        raise DeviceRefused(code="NoIdentifier")
    return quote(text, safe="")


def _encoded(query: dict[str, str]) -> str:
    """Return the query with blanks as %20: not every OData reader takes a plus sign for a blank."""
    return urlencode(query, quote_via=quote, safe="$,'")
