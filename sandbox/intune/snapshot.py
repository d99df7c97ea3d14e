"""A phone as the sandbox's page shows it. No passcode ever enters here."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sandbox.intune.phones import Phone

_ENROLLMENTS: Final[Mapping[str, str]] = {
    "appleBulkWithUser": "Supervised, company-owned",
    "androidEnterpriseFullyManaged": "Fully managed",
    "androidEnterpriseCorporateWorkProfile": "Company-owned with work profile",
    "androidEnterpriseDedicatedDevice": "Dedicated",
    "userEnrollment": "Personal with work profile",
    "windowsAzureADJoin": "Entra joined",
}


def phone_snapshot(phone: Phone, now: datetime) -> dict[str, object]:
    """One phone; call after it was settled at `now`."""
    said = phone.properties
    kind = str(said["deviceEnrollmentType"])
    return {
        "id": phone.id,
        "name": said["deviceName"],
        "model": said["model"],
        "manufacturer": said["manufacturer"],
        "platform": said["operatingSystem"],
        "os_version": said["osVersion"],
        "enrollment": _ENROLLMENTS.get(kind, kind),
        "serial": said["serialNumber"],
        "imei": said["imei"],
        "owner": {"name": phone.owner.name, "upn": phone.owner.upn},
        "lock": phone.lock,
        "action": _action(phone, now),
        "resets": len(phone.actions),
        "behaviour": phone.behaviour,
        "last_sync_at": said["lastSyncDateTime"],
        "management_state": said["managementState"],
    }


def _action(phone: Phone, now: datetime) -> dict[str, str] | None:
    if not phone.actions:
        return None
    action = phone.actions[-1]
    return {
        "state": action.state(now),
        "started_at": action.started_at.isoformat(),
        "updated_at": action.updated_at(now).isoformat(),
    }
