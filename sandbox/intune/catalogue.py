"""The devices that the sandbox starts with: one of each kind that behaves differently. All invented."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sandbox.cast import Account, Cast
from sandbox.intune.phones import Behaviour, Phone, fine_time, graph_time, new_passcode

NEVER: Final = "0001-01-01T00:00:00Z"
AUTHENTICATOR: Final = "4f1d7c2e-90ab-4c3d-8e21-5b6a7c8d9e01"
FIELD_APP: Final = "b7a3c915-2e4f-4d60-9c18-0f1e2d3c4b5a"


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A detected app, as Graph lists it."""

    id: str
    name: str
    publisher: str
    version: str
    size: int
    platform: str


APPS: Final = (
    App(
        id=AUTHENTICATOR,
        name="Contoso Keyring",
        publisher="Contoso",
        version="6.8.2",
        size=48_234_496,
        platform="ios",
    ),
    App(
        id=FIELD_APP,
        name="Contoso Field Notes",
        publisher="Contoso",
        version="3.1.0",
        size=23_068_672,
        platform="androidDedicatedAndFullyManaged",
    ),
)

_APPLE: Final[dict[str, object]] = {
    "operatingSystem": "iOS",
    "managementAgent": "mdm",
    "deviceEnrollmentType": "appleBulkWithUser",
    "isSupervised": True,
    "manufacturer": "Apple",
    "enrollmentProfileName": "ADE-Corporate",
    "partnerReportedThreatState": "secured",
    "requireUserEnrollmentApproval": None,
}
_ANDROID: Final[dict[str, object]] = {
    "operatingSystem": "Android",
    "managementAgent": "googleCloudDevicePolicyController",
    "osVersion": "16.0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What makes one device differ from the plain one below."""

    id: str
    owner: str
    said: Mapping[str, object]
    hidden: Mapping[str, object]
    enrolled_days: int
    synced: timedelta | None
    apps: frozenset[str] = frozenset()
    behaviour: Behaviour = "completes"


_KINDS: Final = (
    Kind(
        id="5a000000-0000-4000-8000-0000000000a1",
        owner="ada@contoso.com",
        said=_APPLE
        | {
            "deviceName": "Ada's iPhone",
            "model": "iPhone 16",
            "osVersion": "26.1",
            "serialNumber": "F2LX1234ABCD",
            "imei": "352987101234567",
            "phoneNumber": "+4479*****812",
            "wiFiMacAddress": "a483e7b1c2d3",
            "subscriberCarrier": "EE",
            "totalStorageSpaceInBytes": 128_000_000_000,
            "freeStorageSpaceInBytes": 64_500_000_000,
        },
        hidden={"udid": "00008140-000A1B2C3D4E5F60", "iccid": "8944501234567890123"},
        enrolled_days=279,
        synced=timedelta(hours=3, minutes=7),
        apps=frozenset({AUTHENTICATOR}),
    ),
    Kind(
        id="5a000000-0000-4000-8000-0000000000b2",
        owner="tomas@contoso.com",
        said=_ANDROID
        | {
            "deviceName": "Field phone",
            "deviceEnrollmentType": "androidEnterpriseFullyManaged",
            "model": "Pixel 10",
            "manufacturer": "Google",
            "serialNumber": "59040DLJH001",
            "imei": "357911110123459",
            "androidSecurityPatchLevel": "2026-10-05",
            "enrollmentProfileName": "Fully managed",
            "subscriberCarrier": "Movistar",
            "totalStorageSpaceInBytes": 128_000_000_000,
            "freeStorageSpaceInBytes": 97_000_000_000,
        },
        hidden={"iccid": "8934071100000000012", "physicalMemoryInBytes": 12_884_901_888},
        enrolled_days=61,
        synced=timedelta(minutes=26),
        apps=frozenset({FIELD_APP}),
    ),
    Kind(
        id="5a000000-0000-4000-8000-0000000000c3",
        owner="priya@contoso.com",
        said=_ANDROID
        | {
            "deviceName": "Field phone",
            "deviceEnrollmentType": "androidEnterpriseCorporateWorkProfile",
            "model": "SM-S931B",
            "manufacturer": "samsung",
            "serialNumber": "R5CX70ABCDE",
            "imei": "356938035643809",
            "androidSecurityPatchLevel": "2026-10-05",
            "enrollmentProfileName": "COPE-2026",
            "subscriberCarrier": "Vodafone",
            "totalStorageSpaceInBytes": 256_000_000_000,
            "freeStorageSpaceInBytes": 191_000_000_000,
        },
        hidden={"iccid": "8949020000000000456", "physicalMemoryInBytes": 12_884_901_888},
        enrolled_days=20,
        synced=timedelta(minutes=51),
        apps=frozenset({FIELD_APP}),
    ),
    Kind(
        id="5a000000-0000-4000-8000-0000000000c4",
        owner="priya@contoso.com",
        said=_APPLE
        | {
            "operatingSystem": "iPadOS",
            "deviceName": "Priya's iPad",
            "model": "iPad Air (M3)",
            "osVersion": "26.1",
            "serialNumber": "DMPX5678EFGH",
            "imei": "35 421098 765432 1",
            "wiFiMacAddress": "f0d4e2a19b70",
            "totalStorageSpaceInBytes": 256_000_000_000,
            "freeStorageSpaceInBytes": 201_000_000_000,
        },
        hidden={"udid": "00008132-001A2B3C4D5E6F70"},
        enrolled_days=133,
        synced=timedelta(days=2, hours=4),
        apps=frozenset({AUTHENTICATOR}),
    ),
    Kind(
        id="5a000000-0000-4000-8000-0000000000d5",
        owner="jonas@contoso.com",
        said=_ANDROID
        | {
            "deviceName": "Jonas's Xperia",
            "managedDeviceOwnerType": "personal",
            "deviceEnrollmentType": "userEnrollment",
            "model": "XQ-FS54",
            "manufacturer": "Sony",
            "osVersion": "15.0",
            "androidSecurityPatchLevel": "2026-08-01",
            "totalStorageSpaceInBytes": 0,
        },
        hidden={},
        enrolled_days=402,
        synced=timedelta(hours=9),
        behaviour="not supported",
    ),
    Kind(
        id="5a000000-0000-4000-8000-0000000000e6",
        owner="lea@contoso.com",
        said={
            "deviceName": "PAR-LT-0427",
            "operatingSystem": "Windows",
            "managementAgent": "mdm",
            "deviceEnrollmentType": "windowsAzureADJoin",
            "complianceState": "inGracePeriod",
            "jailBroken": "Unknown",
            "model": "Latitude 7450",
            "manufacturer": "Dell Inc.",
            "osVersion": "10.0.26200.7019",
            "serialNumber": "7XK2P34",
            "wiFiMacAddress": "8C1D96A0B1C2",
            "partnerReportedThreatState": "activated",
            "totalStorageSpaceInBytes": 511_000_000_000,
            "freeStorageSpaceInBytes": 302_000_000_000,
        },
        hidden={"physicalMemoryInBytes": 34_359_738_368, "ethernetMacAddress": "8C1D96A0B1C3"},
        enrolled_days=441,
        synced=timedelta(hours=1),
    ),
    Kind(
        id="5a000000-0000-4000-8000-0000000000e7",
        owner="lea@contoso.com",
        said=_APPLE
        | {
            "deviceName": "Lea's new iPhone",
            "model": "iPhone 17",
            "osVersion": "26.0",
            "serialNumber": "G6TX9012JKLM",
            "imei": "353012110987654",
            "complianceState": "unknown",
        },
        hidden={"udid": "00008150-000C0D0E0F101112"},
        enrolled_days=1,
        synced=None,
        behaviour="stays silent",
    ),
    Kind(
        id="5a000000-0000-4000-8000-0000000000f8",
        owner="tomas@contoso.com",
        said=_ANDROID
        | {
            "deviceName": "Warehouse scanner 12",
            "managementState": "retireIssued",
            "deviceEnrollmentType": "androidEnterpriseDedicatedDevice",
            "model": "TC58e",
            "manufacturer": "Zebra Technologies",
            "osVersion": "14.0",
            "serialNumber": "S24135521D",
            "imei": "359028070112233",
            "androidSecurityPatchLevel": "2026-06-01",
            "enrollmentProfileName": "Kiosk",
        },
        hidden={"physicalMemoryInBytes": 8_589_934_592},
        enrolled_days=655,
        synced=timedelta(days=6),
        apps=frozenset({FIELD_APP}),
        behaviour="stays silent",
    ),
)

_COPE: Final = "5a000000-0000-4000-8000-0000000000c3"


def phones_of(cast: Cast, now: datetime) -> list[Phone]:
    """The devices of the cast's phone owners, with times counted back from `now`."""
    owners = {owner.upn: owner for owner in cast.phone_owners}
    return [_phone(kind, owners[kind.owner], now) for kind in _KINDS if kind.owner in owners]


def device_counts(phones: Iterable[Phone]) -> dict[str, int]:
    """How many devices each app was found on."""
    everywhere = list(phones)
    return {app.id: sum(app.id in phone.apps for phone in everywhere) for app in APPS}


def _phone(kind: Kind, owner: Account, now: datetime) -> Phone:
    return Phone(
        properties=_properties(kind, owner, now),
        hidden=kind.hidden,
        owner=owner,
        apps=kind.apps,
        behaviour=kind.behaviour,
        earlier=_earlier(kind, now),
    )


def _earlier(kind: Kind, now: datetime) -> tuple[Mapping[str, object], ...]:
    """The collection keeps older results and has no ids: here is a reset from before, its code stale."""
    if kind.id != _COPE:
        return ()
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


def _properties(kind: Kind, owner: Account, now: datetime) -> dict[str, object]:
    enrolled = now - timedelta(days=kind.enrolled_days)
    plain = _plain(kind.id, owner)
    changing = {
        "enrolledDateTime": graph_time(enrolled),
        "lastSyncDateTime": graph_time(now - kind.synced) if kind.synced is not None else NEVER,
        "managedDeviceName": _generated_name(owner, kind.said, enrolled),
        "managementCertificateExpirationDate": _certificate_end(kind.said, enrolled),
    }
    return plain | changing | dict(kind.said)


def _generated_name(owner: Account, said: Mapping[str, object], enrolled: datetime) -> str:
    system = {"iOS": "IPhone", "iPadOS": "IPad", "Android": "AndroidEnterprise"}.get(
        str(said["operatingSystem"]), "Windows"
    )
    return f"{owner.upn.partition('@')[0]}_{system}_{enrolled:%-m/%-d/%Y_%-I:%M %p}"


def _certificate_end(said: Mapping[str, object], enrolled: datetime) -> str:
    if said["operatingSystem"] == "Android":
        return NEVER
    return graph_time(enrolled + timedelta(days=730))


def _plain(device_id: str, owner: Account) -> dict[str, object]:
    """All properties of a managedDevice but deviceActionResults, in the order of a real answer."""
    return {
        "id": device_id,
        "userId": owner.oid,
        "deviceName": "",
        "managedDeviceOwnerType": "company",
        "enrolledDateTime": NEVER,
        "lastSyncDateTime": NEVER,
        "operatingSystem": "",
        "complianceState": "compliant",
        "jailBroken": "False",
        "managementAgent": "mdm",
        "managementState": "managed",
        "osVersion": "",
        "easActivated": False,
        "easDeviceId": "",
        "easActivationDateTime": NEVER,
        "azureADRegistered": True,
        "deviceEnrollmentType": "unknown",
        "activationLockBypassCode": None,
        "emailAddress": owner.upn,
        "azureADDeviceId": device_id.replace("5a000000", "aad00000", 1),
        "deviceRegistrationState": "registered",
        "deviceCategoryDisplayName": "Unknown",
        "isSupervised": False,
        "exchangeLastSuccessfulSyncDateTime": NEVER,
        "exchangeAccessState": "none",
        "exchangeAccessStateReason": "none",
        "remoteAssistanceSessionUrl": "",
        "remoteAssistanceSessionErrorDetails": "",
        "isEncrypted": True,
        "userPrincipalName": owner.upn,
        "model": "",
        "manufacturer": "",
        "imei": "",
        "complianceGracePeriodExpirationDateTime": "9999-12-31T23:59:59Z",
        "serialNumber": "",
        "phoneNumber": "",
        "androidSecurityPatchLevel": "",
        "userDisplayName": owner.name,
        "configurationManagerClientEnabledFeatures": None,
        "wiFiMacAddress": "",
        "deviceHealthAttestationState": None,
        "subscriberCarrier": "",
        "meid": "",
        "totalStorageSpaceInBytes": 64_000_000_000,
        "freeStorageSpaceInBytes": 0,
        "managedDeviceName": "",
        "partnerReportedThreatState": "unknown",
        "requireUserEnrollmentApproval": None,
        "managementCertificateExpirationDate": NEVER,
        "iccid": None,
        "udid": None,
        "notes": None,
        "ethernetMacAddress": None,
        "physicalMemoryInBytes": 0,
        "enrollmentProfileName": "",
    }
