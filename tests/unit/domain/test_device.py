"""What a reset does on which device, and which of Graph's rows are what the target names."""

from dataclasses import replace

import pytest
from bot.domain.device import ActionResult, Device, Effect, Platform, effect_of_reset, matches_target
from bot.domain.errors import Cause, Code, Refusal
from bot.domain.target import Target, TargetKind
from bot.domain.values import DeviceId
from tests.support.clock import NOON

GUID = DeviceId("11111111-AAAA-1111-1111-111111111111")
ENTRA_ID = "aad00000-1111-1111-1111-111111111111"
PHONE = Device(
    id=GUID,
    name="Leo's phone",
    entra_id=ENTRA_ID.upper(),
    platform=Platform.ANDROID,
    serial="R58M123",
    imei="35 693803 564380 9",
    agent="googleCloudDevicePolicyController",
    owner_upn="Leo@Contoso.com",
    owner_email="leo.varga@contoso.com",
)
NAMED = {"device": "Leo's phone"}


@pytest.mark.parametrize(
    ("device", "effect"),
    [
        *(
            (replace(PHONE, platform=platform, enrollment=enrollment), Effect.REMOVES_PASSCODE)
            for platform in (Platform.IOS, Platform.IPADOS, Platform.VISIONOS)
            for enrollment in ("appleBulkWithUser", "userEnrollment", "")
        ),
        *(
            (replace(PHONE, enrollment=enrollment, agent=""), effect)
            for enrollment, effect in {
                "androidEnterpriseDedicatedDevice": Effect.NEW_PASSCODE,
                "androidAOSPUserOwnedDevice": Effect.NEW_PASSCODE,
                "androidAOSPUserlessDevice": Effect.NEW_PASSCODE,
                "androidEnterpriseFullyManaged": Effect.NEW_PASSCODE_OR_PROFILE,
                "androidEnterpriseCorporateWorkProfile": Effect.NEW_WORK_PROFILE_PASSCODE,
            }.items()
        ),
        # an enrollment that is not in the table: the agent and the owner tell
        (replace(PHONE, personal=True), Effect.NEW_WORK_PROFILE_PASSCODE),
        (replace(PHONE, personal=False), Effect.NEW_PASSCODE_OR_PROFILE),
        *(
            (replace(PHONE, management_state=state), Effect.NEW_PASSCODE_OR_PROFILE)
            for state in ("", "managed", "discovered", "retireCanceled", "wipeFailed")
        ),
    ],
)
def test_what_a_reset_does_depends_on_the_platform_and_the_enrollment(device, effect):
    assert effect_of_reset(device) is effect
    assert effect.makes_passcode is (device.platform is Platform.ANDROID)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        *(
            ({"platform": Platform.IOS, "enrollment": enrollment}, Cause(Code.APPLE_USER_ENROLLMENT, NAMED))
            for enrollment in ("appleUserEnrollment", "appleUserEnrollmentWithServiceAccount")
        ),
        *(({"agent": agent}, Cause(Code.DEVICE_ADMINISTRATOR, NAMED)) for agent in ("mdm", "easMdm", "")),
        *(
            (
                {"platform": platform, "os_version": "11"},
                Cause(Code.WRONG_PLATFORM, {**NAMED, "system": f"{platform} 11"}),
            )
            for platform in (Platform.WINDOWS, Platform.MACOS, Platform.OTHER)
        ),
        *(
            ({"management_state": state}, Cause(Code.NOT_MANAGED, {**NAMED, "state": state}))
            for state in ("retirePending", "wipeIssued", "deletePending", "WIPEPENDING")
        ),
    ],
)
def test_a_device_that_intune_cannot_reset_says_why(changes, cause):
    with pytest.raises(Refusal) as refusal:
        effect_of_reset(replace(PHONE, **changes))
    assert refusal.value.cause == cause


@pytest.mark.parametrize(
    ("kind", "value", "matches"),
    [
        (TargetKind.PERSON, "leo@contoso.com", True),
        (TargetKind.PERSON, "leo.varga@contoso.com", True),
        (TargetKind.SERIAL, "r58m123", True),
        (TargetKind.IMEI, "356938035643809", True),
        (TargetKind.NAME, "LEO'S PHONE", True),
        (TargetKind.ID, GUID.lower(), True),
        (TargetKind.APP, "any-app", True),
        (TargetKind.PERSON, "mei@contoso.com", False),
        (TargetKind.PERSON, "eo@contoso.com", False),
        (TargetKind.SERIAL, "R58M12", False),
        *((TargetKind.IMEI, imei, True) for imei in ("35693803564380", "3569380356438012")),
        *((TargetKind.IMEI, imei, False) for imei in ("35693803564381", "35693803564389")),
        *((TargetKind.NAME, name, True) for name in ("Leo’s\u00a0phone", "leo&apos;s phone", "Ｌeo's phone")),
        *((TargetKind.NAME, name, False) for name in ("Leos phone", "Leo' s phone", "Leo's")),
        (TargetKind.ID, ENTRA_ID, True),
        (TargetKind.NAME, "Leo", False),
        (TargetKind.ID, "22222222-2222-2222-2222-222222222222", False),
        (TargetKind.MENTION, "U0LEO", False),
    ],
)
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
