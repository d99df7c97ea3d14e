"""What a reset does on which device, and which of Graph's rows are what the target names."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from bot.domain.device import ActionResult, Device, Effect, Platform, effect_of_reset, matches_target
from bot.domain.errors import Cause, Code, Refusal
from bot.domain.target import Target, TargetKind
from bot.domain.values import DeviceId
from tests.support.clock import NOON

GUID = DeviceId("11111111-AAAA-1111-1111-111111111111")
ENTRA_ID = "aad00000-1111-1111-1111-111111111111"
NUMBERS = {"entra_id": ENTRA_ID.upper(), "serial": "R58M123", "imei": "35 693803 564380 9"}
OWNER = {"owner_upn": "Leo@Contoso.com", "owner_email": "leo.varga@contoso.com"}
PHONE = Device(id=GUID, name="Leo's phone", platform=Platform.ANDROID, **NUMBERS, **OWNER)
PHONE = replace(PHONE, agent="googleCloudDevicePolicyController")
SPECS = Path(__file__).parents[2] / "specs"
BETA = json.loads((SPECS / "intune-enums.json").read_text())
SCHEMAS = json.loads((SPECS / "graph-v1.0-intune.openapi.json").read_text())["components"]["schemas"]


def values_of(name: str) -> list[str]:
    """Every value that Microsoft's lists have of an enum, v1.0's and beta's, and some that they lack."""
    v1 = SCHEMAS[f"microsoft.graph.{name}"]["enum"]
    return list(dict.fromkeys([*v1, *BETA.get(name, []), "", "ofNextYear"]))


APPLE = [Platform.IOS, Platform.IPADOS, Platform.VISIONOS]
WHOLE = ["userEnrollment", "deviceEnrollmentManager", "appleBulkWithUser", "appleBulkWithoutUser"]
ENROLLMENTS = BETA["deviceEnrollmentType"]
IN_PART = [*(each for each in ENROLLMENTS if "UserEnrollment" in each), "appleNewUserEnrollment"]
KNOWN_ANDROID = {
    "androidEnterpriseDedicatedDevice": Effect.NEW_PASSCODE,
    "androidEnterpriseFullyManaged": Effect.NEW_PASSCODE_OR_PROFILE,
    "androidEnterpriseCorporateWorkProfile": Effect.NEW_WORK_PROFILE_PASSCODE,
    "androidAOSPUserOwnedDeviceEnrollment": Effect.NEW_PASSCODE,
    "androidAOSPUserlessDeviceEnrollment": Effect.NEW_PASSCODE,
}
BY_AGENT = {"intuneAosp": Effect.NEW_PASSCODE, PHONE.agent: Effect.NEW_PASSCODE_OR_PROFILE}
LEAVING = ["retirePending", "retireIssued", "wipePending", "wipeIssued", "deletePending"]
STAYING = ["managed", "unhealthy", "retireFailed", "retireCanceled", "wipeFailed", "wipeCanceled", ""]
IPHONE = replace(PHONE, platform=Platform.IOS, agent="mdm", enrollment="appleBulkWithUser")


def came(device: Device) -> Effect | Code | None:
    try:
        return effect_of_reset(device)
    except Refusal as refusal:
        return refusal.code if refusal.facts["device"] == "Leo's phone" else None


def on_apple(enrollment: str, agent: str) -> Effect | Code:
    if agent == "eas":
        return Code.MAIL_ONLY
    if enrollment in IN_PART:
        return Code.APPLE_USER_ENROLLMENT
    sure = enrollment in WHOLE and agent in ("mdm", "easMdm")
    return Effect.REMOVES_PASSCODE if sure else Effect.MAY_REMOVE_PASSCODE


def on_android(enrollment: str, agent: str) -> Effect | Code:
    if agent == "eas":
        return Code.MAIL_ONLY
    if (enrollment, agent) == ("userEnrollment", PHONE.agent):
        return Effect.NEW_WORK_PROFILE_PASSCODE
    return KNOWN_ANDROID.get(enrollment) or BY_AGENT.get(agent, Effect.MAY_MAKE_PASSCODE)


@pytest.mark.parametrize("ownership", values_of("managedDeviceOwnerType"))
def test_g01_g02_g03_g11_g28_every_enrolment_and_agent_has_an_effect_a_reason_or_a_doubt(ownership):
    """No guess ends or promises anything, and who owns the device decides nothing."""
    enrollments = [*ENROLLMENTS, *values_of("deviceEnrollmentType"), *IN_PART]
    for enrollment, agent in product(enrollments, values_of("managementAgentType")):
        told = {"enrollment": enrollment, "agent": agent, "ownership": ownership}
        assert came(replace(PHONE, **told)) == on_android(enrollment, agent), told
        for platform in APPLE:
            wanted = on_apple(enrollment, agent)
            if platform is Platform.VISIONOS and wanted is Effect.REMOVES_PASSCODE:
                wanted = Effect.MAY_REMOVE_PASSCODE  # Microsoft's page names it nowhere
            assert came(replace(IPHONE, platform=platform, **told)) == wanted, told


@pytest.mark.parametrize("state", values_of("managementState"))
def test_a_device_that_leaves_intune_is_not_reset_and_a_state_that_does_not_tell_is_a_doubt(state):
    android, apple = replace(PHONE, management_state=state), replace(IPHONE, management_state=state)
    if state in LEAVING:
        assert came(android) == came(apple) == Code.NOT_MANAGED
        assert came(replace(apple, management_state=state.upper())) == Code.NOT_MANAGED
    elif state in STAYING:
        assert (came(android), came(apple)) == (Effect.NEW_PASSCODE_OR_PROFILE, Effect.REMOVES_PASSCODE)
    else:
        assert (came(android), came(apple)) == (Effect.MAY_MAKE_PASSCODE, Effect.MAY_REMOVE_PASSCODE)


def test_only_apple_and_android_devices_are_reset_and_what_the_others_run_is_said():
    for platform in set(Platform) - {Platform.ANDROID, *APPLE}:
        with pytest.raises(Refusal) as refusal:
            effect_of_reset(replace(PHONE, platform=platform, os_version="11", agent="eas"))
        known = platform is not Platform.OTHER
        code = Code.WRONG_PLATFORM if known else Code.UNKNOWN_PLATFORM
        assert refusal.value.cause == Cause(code, {"device": "Leo's phone", "system": f"{platform} 11"})


NAMED = [
    (TargetKind.PERSON, True, "leo@contoso.com|leo.varga@contoso.com"),
    *((TargetKind.PERSON, False, "mei@contoso.com|eo@contoso.com"), (TargetKind.MENTION, False, "U0LEO")),
    *((TargetKind.SERIAL, True, "r58m123"), (TargetKind.SERIAL, False, "R58M12")),
    (TargetKind.IMEI, True, "356938035643809|35693803564380|3569380356438012"),
    (TargetKind.IMEI, False, "35693803564381|35693803564389"),
    (TargetKind.NAME, True, "LEO'S PHONE|Leo’s\u00a0phone|leo&apos;s phone|Ｌeo's phone"),
    (TargetKind.NAME, False, "Leo|Leo's|Leos phone|Leo' s phone"),
    *((TargetKind.ID, True, f"{GUID.lower()}|{ENTRA_ID}"), (TargetKind.APP, True, "any-app")),
    (TargetKind.ID, False, "22222222-2222-2222-2222-222222222222"),
]
NAMES = [(kind, name, matches) for kind, matches, names in NAMED for name in names.split("|")]


@pytest.mark.parametrize(("kind", "value", "matches"), NAMES)
def test_a_row_counts_only_as_what_the_target_names(kind, value, matches):
    blank = Device(id=GUID, name="", platform=Platform.IOS)
    assert matches_target(PHONE, Target(kind, value)) is matches
    assert not matches_target(replace(PHONE, id=DeviceId("")), Target(kind, value))
    assert not matches_target(replace(PHONE, id=DeviceId("x" * 65)), Target(kind, value))
    if kind not in (TargetKind.ID, TargetKind.APP):
        assert not matches_target(blank, Target(kind, value))


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("failed", Code.DEVICE_FAILED),
        ("notsupported", Code.NOT_SUPPORTED),
        ("canceled", Code.CANCELED),
        *((state, None) for state in ("done", "pending", "active", "none", "a word of next year")),
    ],
)
def test_an_action_that_failed_left_the_device_as_it_was(state, code):
    assert ActionResult(state=state, started_at=NOON).failure is code
