"""Graph's JSON into devices and action results, leniently: v1.0 also returns values that its schema lacks."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from bot.domain.device import Device, Platform
from bot.domain.identifiers import DeviceId
from bot.domain.secret import Secret
from bot.domain.storable import storable
from bot.ports import ActionSeen

Row = Mapping[str, object]

_PLATFORMS: Final = (
    ("ipados", Platform.IPADOS),
    ("ios", Platform.IOS),
    ("visionos", Platform.VISIONOS),
    ("android", Platform.ANDROID),
    ("windows", Platform.WINDOWS),
    ("macos", Platform.MACOS),
    ("mac os", Platform.MACOS),
)
"""By how `operatingSystem` begins; its exact texts for Android enrolments are nowhere documented."""
_ID: Final = re.compile(r"[0-9A-Za-z_.\-]{1,64}")
"""A GUID, as far as anybody has seen."""
_RESET: Final = "resetpasscode"
_DONE: Final = "done"
LONGEST: Final = 1000
"""Of any text. Intune's own are shorter; no row shall grow by what a device calls itself."""


def device(row: Row) -> Device:
    """One managedDevice."""
    return Device(
        id=_id(row),
        name=_text(row, "deviceName"),
        platform=_platform(_text(row, "operatingSystem")),
        os_version=_text(row, "osVersion"),
        manufacturer=_text(row, "manufacturer"),
        model=_text(row, "model"),
        serial=_text(row, "serialNumber"),
        imei=_text(row, "imei"),
        enrollment=_text(row, "deviceEnrollmentType"),
        agent=_text(row, "managementAgent"),
        management_state=_text(row, "managementState"),
        compliance=_text(row, "complianceState"),
        personal=_text(row, "managedDeviceOwnerType").casefold() == "personal",
        owner_id=_text(row, "userId"),
        owner_upn=_text(row, "userPrincipalName"),
        owner_email=_text(row, "emailAddress"),
        owner_name=_text(row, "userDisplayName"),
        last_sync_at=moment(row.get("lastSyncDateTime")),
    )


def resets(row: Row) -> list[ActionSeen]:
    """The resetPasscode results of one managedDevice; one without a readable start is left out."""
    return [
        ActionSeen(
            state=_text(result, "actionState").casefold(),
            started_at=started_at,
            error_code=_number(result, "errorCode"),
        )
        for result, started_at in _resets(row)
    ]


def passcode(row: Row, *, since: datetime) -> Secret | None:
    """The temporary passcode of the first reset that started at or after `since`, if that one is done.

    Not of the newest one: that may be somebody else's, made later on the same device.
    """
    later = [(started_at, result) for result, started_at in _resets(row) if started_at >= since]
    if not later:
        return None
    _, first = min(later, key=lambda pair: pair[0])
    text = _text(first, "passcode") if _text(first, "actionState").casefold() == _DONE else ""
    return Secret(text) if text else None


def moment(value: object) -> datetime | None:
    """A DateTimeOffset as aware UTC, cut to microseconds; None where unset (0001-01-01) or unreadable."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):  # an offset may lead out of the calendar
        return None
    return at if at.year > 1 else None


def _resets(row: Row) -> Iterator[tuple[Row, datetime]]:
    """By action name: the derived @odata.type is not documented for every platform."""
    results = row.get("deviceActionResults")
    for result in results if isinstance(results, list) else []:
        if not isinstance(result, dict) or _text(result, "actionName").casefold() != _RESET:
            continue
        if (started_at := moment(result.get("startDateTime"))) is not None:
            yield result, started_at


def _id(row: Row) -> DeviceId:
    """The id as it is, or none: one with something left out of it could be another device's."""
    value = row.get("id")
    return DeviceId(value if isinstance(value, str) and _ID.fullmatch(value) else "")


def _platform(system: str) -> Platform:
    name = system.strip().casefold()
    return next((platform for start, platform in _PLATFORMS if name.startswith(start)), Platform.OTHER)


def _text(row: Row, key: str) -> str:
    value = row.get(key)
    return storable(value[:LONGEST]) if isinstance(value, str) else ""


def _number(row: Row, key: str) -> int:
    value = row.get(key)
    return value if isinstance(value, int) else 0
