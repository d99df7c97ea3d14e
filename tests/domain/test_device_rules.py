"""What a reset does on which device, and which rows count as what was asked for."""

from dataclasses import replace

import pytest
from bot.domain.device import Device, Effect, Platform, effect_of_reset, is_what_was_asked
from bot.domain.errors import CannotReset
from bot.domain.identifiers import DeviceId
from bot.domain.target import Target, TargetKind
from bot.domain.why import Code

GUID = DeviceId("11111111-AAAA-1111-1111-111111111111")
PHONE = Device(
    id=GUID,
    name="Leo's phone",
    platform=Platform.ANDROID,
    serial="R58M123",
    imei="35 693803 564380 9",
    agent="googleCloudDevicePolicyController",
    owner_upn="Leo@Contoso.com",
    owner_email="leo.varga@contoso.com",
)


@pytest.mark.parametrize("platform", [Platform.IOS, Platform.IPADOS, Platform.VISIONOS])
@pytest.mark.parametrize("enrollment", ["appleBulkWithUser", "userEnrollment", ""])
def test_an_apple_device_loses_its_passcode(platform, enrollment):
    device = replace(PHONE, platform=platform, enrollment=enrollment)

    assert effect_of_reset(device) is Effect.REMOVES_PASSCODE
    assert not effect_of_reset(device).makes_passcode


@pytest.mark.parametrize("enrollment", ["appleUserEnrollment", "appleUserEnrollmentWithServiceAccount"])
def test_a_private_apple_device_cannot_be_reset(enrollment):
    with pytest.raises(CannotReset) as refusal:
        effect_of_reset(replace(PHONE, platform=Platform.IOS, enrollment=enrollment))

    assert refusal.value.why.code is Code.APPLE_USER_ENROLLMENT


@pytest.mark.parametrize(
    ("enrollment", "effect"),
    [
        ("androidEnterpriseDedicatedDevice", Effect.NEW_PASSCODE),
        ("androidAOSPUserOwnedDevice", Effect.NEW_PASSCODE),
        ("androidAOSPUserlessDevice", Effect.NEW_PASSCODE),
        ("androidEnterpriseFullyManaged", Effect.NEW_PASSCODE_OR_PROFILE),
        ("androidEnterpriseCorporateWorkProfile", Effect.NEW_WORK_PROFILE_PASSCODE),
    ],
)
def test_an_android_device_gets_a_new_passcode_by_its_enrollment(enrollment, effect):
    assert effect_of_reset(replace(PHONE, enrollment=enrollment, agent="")) is effect
    assert effect.makes_passcode


def test_an_android_of_unknown_enrollment_is_told_by_its_agent_and_owner():
    assert effect_of_reset(replace(PHONE, personal=True)) is Effect.NEW_WORK_PROFILE_PASSCODE
    assert effect_of_reset(replace(PHONE, personal=False)) is Effect.NEW_PASSCODE_OR_PROFILE


@pytest.mark.parametrize("agent", ["mdm", "easMdm", ""])
def test_an_android_under_device_administrator_cannot_be_reset(agent):
    with pytest.raises(CannotReset) as refusal:
        effect_of_reset(replace(PHONE, agent=agent))

    assert refusal.value.why.code is Code.DEVICE_ADMINISTRATOR


@pytest.mark.parametrize("platform", [Platform.WINDOWS, Platform.MACOS, Platform.OTHER])
def test_other_systems_cannot_be_reset_and_are_named(platform):
    with pytest.raises(CannotReset) as refusal:
        effect_of_reset(replace(PHONE, platform=platform, os_version="11"))

    assert refusal.value.why.code is Code.WRONG_PLATFORM
    assert refusal.value.why.facts == {"device": "Leo's phone", "system": f"{platform} 11"}


@pytest.mark.parametrize("state", ["retirePending", "wipeIssued", "deletePending", "WIPEPENDING"])
def test_a_device_on_its_way_out_cannot_be_reset(state):
    with pytest.raises(CannotReset) as refusal:
        effect_of_reset(replace(PHONE, management_state=state))

    assert refusal.value.why.code is Code.NOT_MANAGED
    assert refusal.value.why.facts["state"] == state


@pytest.mark.parametrize("state", ["", "managed", "discovered", "retireCanceled", "wipeFailed"])
def test_a_device_that_stays_can_be_reset(state):
    assert effect_of_reset(replace(PHONE, management_state=state)).makes_passcode


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        (TargetKind.PERSON, "leo@contoso.com"),
        (TargetKind.PERSON, "leo.varga@contoso.com"),
        (TargetKind.SERIAL, "r58m123"),
        (TargetKind.IMEI, "356938035643809"),
        (TargetKind.NAME, "LEO'S PHONE"),
        (TargetKind.ID, GUID.lower()),
        (TargetKind.APP, "any-app"),
    ],
)
def test_a_row_that_is_what_was_asked_counts(kind, asked):
    assert is_what_was_asked(PHONE, Target(kind, asked))


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        (TargetKind.PERSON, "mei@contoso.com"),
        (TargetKind.PERSON, "eo@contoso.com"),
        (TargetKind.SERIAL, "R58M12"),
        (TargetKind.IMEI, "35693803564380"),
        (TargetKind.NAME, "Leo"),
        (TargetKind.ID, "22222222-2222-2222-2222-222222222222"),
        (TargetKind.MENTION, "U0LEO"),
    ],
)
def test_a_row_of_somebody_else_does_not_count(kind, asked):
    assert not is_what_was_asked(PHONE, Target(kind, asked))


@pytest.mark.parametrize("kind", [TargetKind.PERSON, TargetKind.SERIAL, TargetKind.IMEI, TargetKind.NAME])
def test_a_row_that_says_nothing_of_itself_does_not_count(kind):
    blank = Device(id=GUID, name="", platform=Platform.IOS)

    assert not is_what_was_asked(blank, Target(kind, "356938035643809"))
