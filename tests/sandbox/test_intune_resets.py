"""What a reset does to a phone, when, and what Intune says of it."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
import uvicorn
from microsoft_desk import (
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
    Desk,
)
from sandbox.clock import SystemClock

DEVICES = "deviceManagement/managedDevices"


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def reset(desk: Desk, device: str = PIXEL, **options: Any) -> httpx.Response:
    return await desk.graph.post(f"{DEVICES}/{device}/resetPasscode", **options)


async def results(desk: Desk, device: str = PIXEL) -> list[dict[str, Any]]:
    desk.carry(desk.entra.access_token(KEN))  # the one before may have expired
    body: dict[str, Any] = (await desk.graph.get(f"{DEVICES}/{device}?$select=deviceActionResults")).json()
    found: list[dict[str, Any]] = body["deviceActionResults"]
    return found


def phone(desk: Desk, device: str = PIXEL) -> dict[str, Any]:
    [found] = [phone for phone in desk.intune.snapshot() if phone["id"] == device]
    return found


@asynccontextmanager
async def served(desk: Desk) -> AsyncIterator[str]:
    """The desk on a port of its own; its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(desk.app, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve([listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listener.close()


@pytest.mark.parametrize(
    ("prefix", "form"),
    [
        ("deviceManagement", "device"),
        ("users/tomas@contoso.com", "user"),
        (f"deviceManagement/detectedApps/{FIELD_APP}", "app"),
    ],
)
async def test_each_address_resets_and_records_as_whom(desk: Desk, prefix: str, form: str) -> None:
    answer = await desk.graph.post(
        f"{prefix}/managedDevices/{PIXEL}/resetPasscode", headers={"client-request-id": "mine"}
    )

    assert (answer.status_code, answer.content) == (204, b"")
    [accepted] = desk.intune.resets
    assert (accepted.device_id, accepted.form, accepted.at) == (PIXEL, form, START)
    assert (accepted.oid, accepted.upn, accepted.client_request_id) == (KEN, "ken@contoso.com", "mine")
    call = desk.journal.calls[-1]
    assert (call.to, call.status, call.bearer.who, call.note) == (
        "graph",
        204,
        "Ken Ito",
        "reset Field phone",
    )


@pytest.mark.parametrize(
    "prefix", ["users/ada@contoso.com", "deviceManagement/detectedApps/4f1d7c2e-90ab-4c3d-8e21-5b6a7c8d9e01"]
)
async def test_a_device_under_another_user_or_app_is_not_found(desk: Desk, prefix: str) -> None:
    answer = await desk.graph.post(f"{prefix}/managedDevices/{PIXEL}/resetPasscode")

    assert answer.status_code == 404
    assert desk.intune.resets == []


async def test_android_gets_a_new_passcode_when_it_is_done_and_not_before(desk: Desk) -> None:
    await reset(desk)
    seen = []
    for _ in range(4):
        [result] = await results(desk)
        seen.append((result["actionState"], result["passcode"] is not None, phone(desk)["lock"]))
        desk.hands.advance(ACTION_TIME / 3)

    assert seen == [
        ("pending", False, "locked"),
        ("active", False, "locked"),
        ("active", False, "locked"),
        ("done", True, "temporary passcode"),
    ]


async def test_the_result_says_when_it_began_and_ended_and_the_phone_checked_in(desk: Desk) -> None:
    await reset(desk)
    desk.hands.advance(timedelta(minutes=1))

    [result] = await results(desk)

    assert result["actionName"] == "resetPasscode"
    assert result["@odata.type"] == "#microsoft.graph.resetPasscodeActionResult"
    assert result["startDateTime"] == "2026-11-23T10:00:00.0000000Z"
    assert result["lastUpdatedDateTime"] == "2026-11-23T10:00:06.0000000Z"
    assert re.fullmatch(r"\d{8}", result["passcode"])
    assert result["errorCode"] == 0
    assert phone(desk)["last_sync_at"] == "2026-11-23T10:00:06Z"


async def test_only_the_new_passcode_opens_the_phone(desk: Desk) -> None:
    assert not desk.intune.unlock(PIXEL, "00000000")
    await reset(desk)
    desk.hands.advance(ACTION_TIME)
    [result] = await results(desk)
    wrong = "00000000" if result["passcode"] != "00000000" else "11111111"

    assert not desk.intune.unlock(PIXEL, wrong)
    assert phone(desk)["lock"] == "temporary passcode"
    assert desk.intune.unlock(PIXEL, result["passcode"])
    assert phone(desk)["lock"] == "open"


async def test_an_iphone_loses_its_passcode_and_its_result_has_none(desk: Desk) -> None:
    await reset(desk, IPHONE)
    desk.hands.advance(ACTION_TIME)

    [result] = await results(desk, IPHONE)

    assert result["actionState"] == "done"
    assert result["@odata.type"] == "#microsoft.graph.deviceActionResult"
    assert "passcode" not in result
    assert phone(desk, IPHONE)["lock"] == "open: no passcode"
    assert desk.intune.unlock(IPHONE, "")


async def test_every_accepted_reset_is_an_action_of_its_own_with_a_passcode_of_its_own(desk: Desk) -> None:
    await reset(desk)
    desk.hands.advance(ACTION_TIME)
    await reset(desk)
    desk.hands.advance(ACTION_TIME)

    first, second = await results(desk)

    assert first["startDateTime"] < second["startDateTime"]
    assert desk.intune.unlock(PIXEL, second["passcode"])
    assert phone(desk)["resets"] == 2


async def test_an_older_result_stands_before_the_new_one_and_its_passcode_opens_nothing(desk: Desk) -> None:
    [stale, other] = await results(desk, GALAXY)
    await reset(desk, GALAXY)
    desk.hands.advance(ACTION_TIME)

    states = [(r["actionName"], r["actionState"]) for r in await results(desk, GALAXY)]

    assert states == [("resetPasscode", "done"), ("syncDevice", "done"), ("resetPasscode", "done")]
    assert stale["startDateTime"] < other["startDateTime"] < "2026-11-23"
    new = (await results(desk, GALAXY))[-1]["passcode"]
    assert desk.intune.unlock(GALAXY, stale["passcode"]) is (stale["passcode"] == new)


@pytest.mark.parametrize(
    ("behaviour", "state", "error"),
    [("fails", "failed", 2016), ("not supported", "notSupported", 0), ("stays silent", "pending", 0)],
)
async def test_a_phone_can_be_told_to_misbehave(desk: Desk, behaviour: str, state: str, error: int) -> None:
    desk.intune.set_behaviour(PIXEL, behaviour)
    await reset(desk)
    desk.hands.advance(timedelta(days=1))

    [result] = await results(desk)

    assert (result["actionState"], result["errorCode"], result["passcode"]) == (state, error, None)
    assert phone(desk)["lock"] == "locked"


async def test_a_changed_behaviour_counts_for_the_next_reset_only(desk: Desk) -> None:
    await reset(desk)
    desk.intune.set_behaviour(PIXEL, "fails")
    desk.hands.advance(ACTION_TIME)

    assert (await results(desk))[0]["actionState"] == "done"


@pytest.mark.parametrize("device", [SCANNER, NEVER_SEEN])
async def test_a_phone_in_retirement_or_never_seen_accepts_and_stays_pending(desk: Desk, device: str) -> None:
    if device == SCANNER:
        desk.intune.set_behaviour(SCANNER, "completes")  # the retirement takes precedence
    answer = await reset(desk, device)
    desk.hands.advance(timedelta(days=30))

    assert answer.status_code == 204
    assert (await results(desk, device))[0]["actionState"] == "pending"


async def test_a_work_profile_whose_reset_token_was_never_activated_is_not_supported(desk: Desk) -> None:
    await reset(desk, OWN_PHONE)
    desk.hands.advance(ACTION_TIME)

    assert (await results(desk, OWN_PHONE))[0]["actionState"] == "notSupported"


async def test_a_laptop_is_refused_without_a_reason(desk: Desk) -> None:
    answer = await reset(desk, LAPTOP)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")
    assert desk.intune.resets == []


@pytest.mark.parametrize("options", [{"json": {}}, {"content": b" "}])
async def test_a_body_is_refused(desk: Desk, options: dict[str, Any]) -> None:
    assert (await reset(desk, **options)).status_code == 400
    assert desk.intune.resets == []


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_another_method_is_refused(desk: Desk, method: str) -> None:
    answer = await desk.graph.request(method, f"{DEVICES}/{PIXEL}/resetPasscode")

    assert answer.status_code == 405
    assert desk.intune.resets == []


@pytest.mark.parametrize(("when", "resets"), [("before", 0), ("after", 1)])
async def test_an_ordered_failure_comes_before_or_after_the_effect_and_once(
    desk: Desk, when: Any, resets: int
) -> None:
    desk.intune.fail_next(503, when=when, retry_after=7)

    failed = await reset(desk)

    assert (failed.status_code, failed.headers["retry-after"]) == (503, "7")
    assert failed.json()["error"]["code"] == "ServiceUnavailable"
    assert len(desk.intune.resets) == len(await results(desk)) == resets
    assert (await reset(desk)).status_code == 204


@pytest.mark.parametrize(("when", "resets"), [("before", 0), ("after", 1)])
async def test_a_connection_can_break_before_or_after_the_effect(desk: Desk, when: Any, resets: int) -> None:
    desk.intune.fail_next(None, when=when)

    with pytest.raises(ConnectionResetError):
        await reset(desk)

    assert len(desk.intune.resets) == resets
    assert desk.journal.calls[-1].note == f"connection broken {when} the effect"


async def test_over_a_real_connection_a_break_is_seen_as_one(desk: Desk) -> None:
    desk.intune.fail_next(None, when="after")
    token = desk.graph.headers["Authorization"]

    async with served(desk) as url, httpx.AsyncClient(headers={"Authorization": token}) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(f"{url}/graph/v1.0/{DEVICES}/{PIXEL}/resetPasscode")

    assert len(desk.intune.resets) == 1


async def test_a_refused_reset_does_not_use_up_an_ordered_failure(desk: Desk) -> None:
    desk.intune.fail_next(500)

    assert (await reset(desk, LAPTOP)).status_code == 400
    assert (await reset(desk)).status_code == 500


async def test_no_passcode_reaches_the_snapshot_the_journal_or_a_repr(desk: Desk) -> None:
    await reset(desk)
    desk.hands.advance(ACTION_TIME)
    [result] = await results(desk)
    desk.intune.unlock(PIXEL, result["passcode"])

    phones = desk.intune._fleet.phones.values()
    written = f"{desk.intune.snapshot()} {desk.journal.calls} {list(phones)} {desk.intune.resets}"

    assert result["passcode"] not in written


async def test_a_tick_tells_once_for_each_change_of_state(desk: Desk) -> None:
    told: list[str] = []
    await reset(desk)
    desk.intune.on_change.append(lambda: told.append(phone(desk)["action"]["state"]))
    desk.intune.tick()

    for _ in range(4):
        desk.hands.advance(ACTION_TIME / 3)
        desk.intune.tick()
        desk.intune.tick()

    assert told[-2:] == ["active", "done"]
    assert told.count("active") == told.count("done") == 1


async def test_with_the_real_clock_the_page_is_told_when_a_phone_is_done() -> None:
    desk = Desk(clock=SystemClock())
    desk.intune.action_time = timedelta(milliseconds=60)
    done = asyncio.Event()
    desk.intune.on_change.append(lambda: done.set() if phone(desk)["lock"] != "locked" else None)

    await desk.intune.start()
    try:
        await reset(desk)
        async with asyncio.timeout(5):
            await done.wait()
    finally:
        await desk.intune.close()

    assert phone(desk)["action"]["state"] == "done"


async def test_a_snapshot_has_what_the_page_shows(desk: Desk) -> None:
    assert phone(desk, IPHONE) == {
        "id": IPHONE,
        "name": "Ada's iPhone",
        "model": "iPhone 16",
        "manufacturer": "Apple",
        "platform": "iOS",
        "os_version": "26.1",
        "enrollment": "Supervised, company-owned",
        "serial": "F2LX1234ABCD",
        "imei": "352987101234567",
        "owner": {"name": "Ada Lindqvist", "upn": "ada@contoso.com"},
        "lock": "locked",
        "action": None,
        "resets": 0,
        "behaviour": "completes",
        "last_sync_at": "2026-11-23T06:53:00Z",
        "management_state": "managed",
    }
    assert [(role["name"], role["reset_passcode"]) for role in desk.intune.roles_snapshot()] == [
        ("Mei Tanaka", False),
        ("Ken Ito", True),
        ("Aiko Mori", True),
    ]


async def test_an_unknown_behaviour_or_phone_is_an_error(desk: Desk) -> None:
    with pytest.raises(ValueError, match="explodes"):
        desk.intune.set_behaviour(PIXEL, "explodes")
    with pytest.raises(KeyError):
        desk.intune.set_behaviour("unknown", "fails")
    with pytest.raises(KeyError):
        desk.intune.unlock("unknown", "1")
