"""What a reset does to a phone, when, and what Intune says of it."""

import asyncio
import re
from datetime import timedelta
from typing import Any

import httpx
import pytest
from local_microsoft import (
    ACTION_TIME,
    FIELD_APP,
    GALAXY,
    IPHONE,
    KEN,
    LAPTOP,
    NEVER_SEEN,
    OWN_PHONE,
    PIXEL,
    SCANNER,
    START,
    Microsoft,
)
from sandbox.clock import SystemClock

ANOTHER_APP = "4f1d7c2e-90ab-4c3d-8e21-5b6a7c8d9e01"
DEVICES = "deviceManagement/managedDevices"


async def reset(microsoft: Microsoft, device: str = PIXEL, **options: Any) -> httpx.Response:
    return await microsoft.graph.post(f"{DEVICES}/{device}/resetPasscode", **options)


async def results(microsoft: Microsoft, device: str = PIXEL) -> list[dict[str, Any]]:
    microsoft.carry(microsoft.entra.access_token(KEN))  # the one before may have expired
    answer = await microsoft.graph.get(f"{DEVICES}/{device}?$select=deviceActionResults")
    found: list[dict[str, Any]] = answer.json()["deviceActionResults"]
    return found


def phone(microsoft: Microsoft, device: str = PIXEL) -> dict[str, Any]:
    [found] = [phone for phone in microsoft.intune.snapshot() if phone["id"] == device]
    return found


@pytest.mark.parametrize(
    ("prefix", "form"),
    [
        ("deviceManagement", "device"),
        ("users/tomas@contoso.com", "user"),
        (f"deviceManagement/detectedApps/{FIELD_APP}", "app"),
    ],
)
async def test_each_address_resets_and_records_as_whom(microsoft, prefix, form):
    answer = await microsoft.graph.post(
        f"{prefix}/managedDevices/{PIXEL}/resetPasscode", headers={"client-request-id": "mine"}
    )

    assert (answer.status_code, answer.content) == (204, b"")
    [accepted] = microsoft.intune.resets
    assert (accepted.device_id, accepted.form, accepted.at) == (PIXEL, form, START)
    assert (accepted.oid, accepted.upn, accepted.client_request_id) == (KEN, "ken@contoso.com", "mine")
    call = microsoft.journal.calls[-1]
    assert (call.to, call.status, call.bearer.who) == ("graph", 204, "Ken Ito")
    assert call.note == "reset Field phone"


@pytest.mark.parametrize(
    ("path", "options", "status"),
    [
        (f"users/ada@contoso.com/managedDevices/{PIXEL}", {}, 404),
        (f"deviceManagement/detectedApps/{ANOTHER_APP}/managedDevices/{PIXEL}", {}, 404),
        (f"{DEVICES}/00000000-0000-4000-8000-000000000000", {}, 404),
        (f"{DEVICES}/{LAPTOP}", {}, 400),  # Windows: refused without a reason
        (f"{DEVICES}/{PIXEL}", {"json": {}}, 400),
        (f"{DEVICES}/{PIXEL}", {"content": b" "}, 400),
    ],
)
async def test_a_refused_reset_has_no_effect(microsoft, path, options, status):
    answer = await microsoft.graph.post(f"{path}/resetPasscode", **options)

    assert answer.status_code == status
    assert answer.json()["error"]["code"] == {400: "BadRequest", 404: "ResourceNotFound"}[status]
    assert microsoft.intune.resets == []


async def test_android_gets_a_new_passcode_when_it_is_done_and_not_before(microsoft):
    await reset(microsoft)
    seen = []
    for _ in range(4):
        [result] = await results(microsoft)
        seen.append((result["actionState"], result["passcode"] is not None, phone(microsoft)["lock"]))
        microsoft.hands.advance(ACTION_TIME / 3)

    assert seen == [
        ("pending", False, "locked"),
        ("active", False, "locked"),
        ("active", False, "locked"),
        ("done", True, "temporary passcode"),
    ]
    assert result["@odata.type"] == "#microsoft.graph.resetPasscodeActionResult"
    assert (result["actionName"], result["errorCode"]) == ("resetPasscode", 0)
    assert result["startDateTime"] == "2026-11-23T10:00:00.0000000Z"
    assert result["lastUpdatedDateTime"] == "2026-11-23T10:00:06.0000000Z"
    assert re.fullmatch(r"\d{8}", result["passcode"])
    assert phone(microsoft)["last_sync_at"] == "2026-11-23T10:00:06Z"


async def test_only_the_newest_passcode_opens_the_phone(microsoft):
    assert not microsoft.intune.unlock(PIXEL, "00000000")
    for _ in range(2):
        await reset(microsoft)
        microsoft.hands.advance(ACTION_TIME)
    first, second = await results(microsoft)

    assert first["startDateTime"] < second["startDateTime"]
    assert microsoft.intune.unlock(PIXEL, first["passcode"]) is (first["passcode"] == second["passcode"])
    assert microsoft.intune.unlock(PIXEL, second["passcode"])
    assert (phone(microsoft)["lock"], phone(microsoft)["resets"]) == ("open", 2)


async def test_an_iphone_loses_its_passcode_and_its_result_has_none(microsoft):
    await reset(microsoft, IPHONE)
    microsoft.hands.advance(ACTION_TIME)

    [result] = await results(microsoft, IPHONE)

    assert result["actionState"] == "done"
    assert result["@odata.type"] == "#microsoft.graph.deviceActionResult"
    assert "passcode" not in result
    assert phone(microsoft, IPHONE)["lock"] == "open: no passcode"
    assert microsoft.intune.unlock(IPHONE, "")


async def test_results_of_earlier_actions_stand_before_the_new_one(microsoft):
    [stale, other] = await results(microsoft, GALAXY)
    await reset(microsoft, GALAXY)
    microsoft.hands.advance(ACTION_TIME)

    after = await results(microsoft, GALAXY)

    assert [(r["actionName"], r["actionState"]) for r in after] == [
        *(("resetPasscode", "done"), ("syncDevice", "done"), ("resetPasscode", "done"))
    ]
    assert stale["startDateTime"] < other["startDateTime"] < "2026-11-23"
    assert microsoft.intune.unlock(GALAXY, stale["passcode"]) is (stale["passcode"] == after[-1]["passcode"])


@pytest.mark.parametrize(
    ("device", "behaviour", "state", "error"),
    [
        (PIXEL, "fails", "failed", 2016),
        (PIXEL, "not supported", "notSupported", 0),
        (PIXEL, "stays silent", "pending", 0),
        (OWN_PHONE, "", "notSupported", 0),  # its reset token was never activated
        (SCANNER, "completes", "pending", 0),  # a retirement takes precedence
        (NEVER_SEEN, "", "pending", None),
    ],
)
async def test_an_accepted_reset_may_come_to_nothing(microsoft, device, behaviour, state, error):
    if behaviour:
        microsoft.intune.set_behaviour(device, behaviour)
    assert (await reset(microsoft, device)).status_code == 204
    microsoft.intune.set_behaviour(device, "completes")  # counts for the next reset only
    microsoft.hands.advance(timedelta(days=30))

    [result] = await results(microsoft, device)

    assert (result["actionState"], result.get("errorCode"), result.get("passcode")) == (state, error, None)
    assert phone(microsoft, device)["lock"] == "locked"


async def test_no_passcode_reaches_the_snapshot_the_journal_or_a_repr(microsoft):
    await reset(microsoft)
    microsoft.hands.advance(ACTION_TIME)
    [result] = await results(microsoft)
    microsoft.intune.unlock(PIXEL, result["passcode"])

    phones = microsoft.intune._fleet.phones.values()
    written = f"{microsoft.intune.snapshot()} {microsoft.journal.calls} {list(phones)}"

    assert result["passcode"] not in f"{written} {microsoft.intune.resets}"


async def test_with_the_real_clock_the_page_is_told_when_a_phone_is_done():
    microsoft = Microsoft(clock=SystemClock())
    microsoft.intune.resetting.action_time = timedelta(milliseconds=60)
    done = asyncio.Event()
    microsoft.intune.on_change.append(lambda: done.set() if phone(microsoft)["lock"] != "locked" else None)

    await microsoft.intune.start()
    try:
        await reset(microsoft)
        async with asyncio.timeout(5):
            await done.wait()
    finally:
        await microsoft.intune.close()

    assert phone(microsoft)["action"]["state"] == "done"
