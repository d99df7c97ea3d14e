"""Graph's managedDevice, parsed leniently: v1.0 also returns values that its schema lacks."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from bot.domain.device import MAX_ID, ActionResult, Device, NewPasscode, Platform
from bot.domain.values import DeviceId, Secret, text_at

Row = Mapping[str, object]

MAX_TEXT: Final = 1000
"""Characters kept of any text. Intune's own are shorter; a device's name for itself fills no row."""
_TEXTS: Final = {
    "name": "deviceName",
    "entra_id": "azureADDeviceId",
    "os_version": "osVersion",
    "manufacturer": "manufacturer",
    "model": "model",
    "serial": "serialNumber",
    "imei": "imei",
    "enrollment": "deviceEnrollmentType",
    "agent": "managementAgent",
    "management_state": "managementState",
    "compliance": "complianceState",
    "ownership": "managedDeviceOwnerType",
    "owner_id": "userId",
    "owner_upn": "userPrincipalName",
    "owner_email": "emailAddress",
    "owner_name": "userDisplayName",
}
"""The texts of a `Device`, by Graph's names for them."""
DEVICE_FIELDS: Final = ",".join(
    ["id", "operatingSystem", "lastSyncDateTime", "enrolledDateTime", *_TEXTS.values()]
)
"""Exactly what a `Device` is made of."""
RESULT_FIELDS: Final = "id,deviceActionResults"
"""The results are filled only in a GET of one device; lists leave them empty."""
_ID: Final = re.compile(rf"[0-9A-Za-z_.\-]{{1,{MAX_ID}}}")
"""Every id seen is a GUID; Microsoft documents a string."""
_CONTEXT: Final = re.compile(r"#users\('([0-9a-fA-F-]{36})'\)")


def parse_device(row: Row) -> Device:
    """Return one managedDevice; unset values, `null` or missing, are empty."""
    id_ = row.get("id")
    # by how it begins: the exact texts for Android enrolments are not documented
    system = _text(row, "operatingSystem").strip().casefold().replace("mac os", "macos")
    platforms = (platform for platform in Platform if system.startswith(platform.casefold()))
    return Device(
        # the whole id or none: one with something left out of it could be another device's
        id=DeviceId(id_ if isinstance(id_, str) and _ID.fullmatch(id_) else ""),
        platform=next(platforms, Platform.OTHER),
        last_sync_at=parse_time(row.get("lastSyncDateTime")),
        enrolled_at=parse_time(row.get("enrolledDateTime")),
        **{name: _text(row, field) for name, field in _TEXTS.items()},
    )


def below_person(device: Device, address: str, page: Row) -> Device:
    """Return a device that Intune lists below a person, who is its owner whatever else its row says.

    The list's context names the person by their id, or as they were asked for. A row keeps the name that its
    owner had at the enrolment, that of an account which enrols for others, or none.
    """
    context = _CONTEXT.search(_text(page, "@odata.context"))
    oid = context[1].casefold() if context else ""
    names = (device.owner_upn.casefold(), device.owner_email.casefold())
    same = device.owner_id.casefold() == oid if oid and device.owner_id else address.casefold() in names
    return device if same else replace(device, listed_for=oid or address)


def parse_passcode(row: Row, *, since: datetime) -> NewPasscode | None:
    """Return the new passcode of the first reset that started at or after `since`, if that one is done.

    Not of the newest one: that may be another request's, made later on the same device; it is named.
    """
    by_start = sorted(parse_resets(row), key=lambda pair: pair[0].started_at)
    later = [pair for pair in by_start if pair[0].started_at >= since]
    if not later or later[0][0].state != "done" or not (text := _text(later[0][1], "passcode")):
        return None
    replaced_at = next((reset.started_at for reset, _ in later[1:] if reset.failure is None), None)
    return NewPasscode(passcode=Secret(text), replaced_at=replaced_at)


def parse_time(value: object) -> datetime | None:
    """Return a DateTimeOffset as aware UTC, cut to microseconds; None where unset (year 1) or unreadable."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):  # an offset may lead out of the calendar
        return None
    return at if at.year > 1 else None


def parse_resets(row: Row) -> Iterator[tuple[ActionResult, Row]]:
    """Yield the resetPasscode results of one managedDevice, parsed and as they are; none without a start.

    Selected by action name: the derived @odata.type is not documented for every platform.
    """
    results = row.get("deviceActionResults")
    for result in results if isinstance(results, list) else []:
        if not isinstance(result, dict) or _text(result, "actionName").casefold() != "resetpasscode":
            continue
        if (started_at := parse_time(result.get("startDateTime"))) is not None:
            state = _text(result, "actionState").casefold()
            code = code if isinstance(code := result.get("errorCode"), int) else 0
            yield ActionResult(state=state, started_at=started_at, error_code=code), result


def _text(row: Row, key: str) -> str:
    return text_at(row, key)[:MAX_TEXT]
