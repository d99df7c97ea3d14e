"""Finding devices: the right address, nothing but what was asked for, read leniently."""

from datetime import UTC, datetime

import httpx
import pytest
from bot.domain.device import Effect, Platform, effect_of_reset
from bot.domain.errors import ApproverRefused, DeviceRefused, NeverLeft, Unknown
from bot.domain.identifiers import DeviceId
from bot.domain.target import Target, TargetKind, parse_target
from bot.graph.rows import device, moment
from graph_stub import ANDROID, BASE, IPHONE, TOKEN, WINDOWS, GraphStub, ok, page

GRACE = parse_target("grace.hopper@contoso.com")
APP = Target(TargetKind.APP, "0000f3d7a1b2")
CHOSEN = DeviceId("c8e4d4ab-9f0b-4f5c-8f5a-7e1d0a2b3c4d")


@pytest.mark.parametrize(
    ("target", "path", "condition", "reset"),
    [
        (
            GRACE,
            "/users/grace.hopper%40contoso.com/managedDevices",
            None,
            f"/users/grace.hopper%40contoso.com/managedDevices/{CHOSEN}/resetPasscode",
        ),
        (
            Target(TargetKind.PERSON, "o'neil+it@contoso.com"),
            "/users/o%27neil%2Bit%40contoso.com/managedDevices",
            None,
            f"/users/o%27neil%2Bit%40contoso.com/managedDevices/{CHOSEN}/resetPasscode",
        ),
        (
            parse_target("serial:F2LX1234ABCD"),
            "/deviceManagement/managedDevices",
            "serialNumber eq 'F2LX1234ABCD'",
            f"/deviceManagement/managedDevices/{CHOSEN}/resetPasscode",
        ),
        (
            parse_target("imei:35-298710-123456-7"),
            "/deviceManagement/managedDevices",
            "imei eq '352987101234567' or imei eq '35 298710 123456 7'",
            f"/deviceManagement/managedDevices/{CHOSEN}/resetPasscode",
        ),
        (
            parse_target("name:Grace's iPhone & #1/2?"),
            "/deviceManagement/managedDevices",
            "deviceName eq 'Grace''s iPhone & #1/2?'",
            f"/deviceManagement/managedDevices/{CHOSEN}/resetPasscode",
        ),
        (
            parse_target(f"id:{CHOSEN}"),
            f"/deviceManagement/managedDevices/{CHOSEN}",
            None,
            f"/deviceManagement/managedDevices/{CHOSEN}/resetPasscode",
        ),
        (
            APP,
            "/deviceManagement/detectedApps/0000f3d7a1b2/managedDevices",
            None,
            f"/deviceManagement/detectedApps/0000f3d7a1b2/managedDevices/{CHOSEN}/resetPasscode",
        ),
    ],
    ids=lambda value: str(value.kind) if isinstance(value, Target) else None,
)
async def test_where_a_device_is_found_is_where_it_is_reset(
    target: Target, path: str, condition: str | None, reset: str
) -> None:
    graph = GraphStub(page(), httpx.Response(204))
    if target.kind is TargetKind.ID:
        graph = GraphStub(ok(IPHONE), httpx.Response(204))

    await graph.devices.find(target, TOKEN)
    await graph.devices.reset(target, CHOSEN, TOKEN, client_request_id="c")

    listed, sent = graph.asked
    assert listed.method == "GET"
    assert listed.url.raw_path.decode().split("?")[0] == f"/v1.0{path}"
    assert listed.url.params.get("$filter") == condition
    assert sent.method == "POST"
    assert sent.url.raw_path.decode() == f"/v1.0{reset}"


async def test_only_what_a_device_is_made_of_is_asked_for() -> None:
    graph = GraphStub(page())

    await graph.devices.find(GRACE, TOKEN)

    asked = set(graph.asked[0].url.params["$select"].split(","))
    assert {"id", "imei", "userPrincipalName", "lastSyncDateTime"} <= asked
    assert not asked & {"activationLockBypassCode", "deviceActionResults", "phoneNumber"}
    assert "+" not in graph.asked[0].url.query.decode()


async def test_a_filter_that_graph_ignored_lets_no_strangers_device_through() -> None:
    graph = GraphStub(page(ANDROID, IPHONE, WINDOWS))

    found = (await graph.devices.find(parse_target("serial:F2LX1234ABCD"), TOKEN)).devices

    assert [device.serial for device in found] == ["F2LX1234ABCD"]


async def test_an_iphones_imei_with_blanks_is_found_by_its_digits() -> None:
    graph = GraphStub(page(IPHONE))

    found = (await graph.devices.find(parse_target("imei:352987101234567"), TOKEN)).devices

    assert [device.name for device in found] == ["Grace's iPhone"]


async def test_every_page_is_read() -> None:
    second = f"{BASE}/users/x/managedDevices?$skiptoken=2"
    graph = GraphStub(page({**IPHONE, "id": "1"}, next_link=second), page({**IPHONE, "id": "2"}))

    found = (await graph.devices.find(GRACE, TOKEN)).devices

    assert [device.id for device in found] == ["1", "2"]
    assert graph.asked[1].url == second


@pytest.mark.parametrize(
    "link",
    [
        "https://graph.evil.example/v1.0/x",
        "http://graph.example/v1.0/x",
        "https://graph.example:8443/x",
        "//graph.example@evil.example/x",
        "https://graph.example.evil.example/x",
        "/v1.0/relative",
        "https://[",
    ],
)
async def test_the_token_never_follows_a_next_link_to_another_origin(link: str) -> None:
    graph = GraphStub(page(IPHONE, next_link=link), page(IPHONE))

    with pytest.raises(Unknown) as caught:
        await graph.devices.find(GRACE, TOKEN)

    assert caught.value.code == "ForeignNextLink"
    assert len(graph.asked) == 1


async def test_a_list_without_end_is_cut() -> None:
    graph = GraphStub(page(*[IPHONE] * 100, next_link=f"{BASE}/again"))

    found = (await graph.devices.find(GRACE, TOKEN)).devices

    assert len(found) == 1000
    assert len(graph.asked) == 10


async def test_empty_pages_without_end_are_cut() -> None:
    graph = GraphStub(page(next_link=f"{BASE}/again"))

    assert list((await graph.devices.find(GRACE, TOKEN)).devices) == []
    assert len(graph.asked) == 20


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, json={"error": {"code": "Request_ResourceNotFound", "message": "gone"}}),
        httpx.Response(400, json={"error": {"code": "ResourceNotFound", "message": "gone"}}),
    ],
)
async def test_what_graph_does_not_know_is_no_device(answer: httpx.Response) -> None:
    assert (await GraphStub(answer).devices.find(GRACE, TOKEN)).devices == ()


async def test_another_400_is_no_empty_list() -> None:
    graph = GraphStub(httpx.Response(400, json={"error": {"code": "BadRequest"}}))

    with pytest.raises(DeviceRefused):
        await graph.devices.find(GRACE, TOKEN)


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize("body", ["<html>", "[]", '{"value": 1}', "", '{"value": ' + DEEP + "}"])
async def test_a_success_that_is_no_list_is_an_error_and_keeps_nothing_of_it(body: str) -> None:
    graph = GraphStub(httpx.Response(200, text=body, headers={"request-id": "r1"}))

    with pytest.raises(Unknown) as caught:
        await graph.devices.find(GRACE, TOKEN)

    assert (caught.value.code, caught.value.request_id, caught.value.message) == ("Unreadable", "r1", "")
    assert caught.value.__context__ is None


async def test_a_read_is_tried_again_after_what_graph_asks() -> None:
    busy = httpx.Response(429, headers={"Retry-After": "2"})
    graph = GraphStub(busy, httpx.ConnectError("no route"), page(IPHONE))

    assert len((await graph.devices.find(GRACE, TOKEN)).devices) == 1
    assert graph.slept == [pytest.approx(2.2), pytest.approx(1.2)]


async def test_a_read_is_given_up_after_three() -> None:
    graph = GraphStub(httpx.Response(503, text="<html>Service Unavailable</html>"))

    with pytest.raises(Unknown):
        await graph.devices.find(GRACE, TOKEN)

    assert len(graph.asked) == 3


async def test_nobody_waits_a_minute_for_a_list() -> None:
    graph = GraphStub(httpx.Response(429, headers={"Retry-After": "60"}))

    with pytest.raises(NeverLeft):
        await graph.devices.find(GRACE, TOKEN)

    assert graph.slept == []


async def test_a_refusal_is_not_tried_again() -> None:
    graph = GraphStub(httpx.Response(403, json={}))

    with pytest.raises(ApproverRefused):
        await graph.devices.find(GRACE, TOKEN)

    assert len(graph.asked) == 1


async def test_every_call_has_its_own_id_and_the_approvers_token() -> None:
    graph = GraphStub(httpx.ConnectError("no route"), page())

    await graph.devices.find(GRACE, TOKEN)

    assert len({request.headers["client-request-id"] for request in graph.asked}) == 2
    assert {request.headers["Authorization"] for request in graph.asked} == {"Bearer the-approvers-token"}


async def test_no_cookie_of_one_approver_is_sent_for_another() -> None:
    first = httpx.Response(200, json={"value": []}, headers={"Set-Cookie": "who=ken; Path=/"})
    graph = GraphStub(first, page())

    await graph.devices.find(GRACE, TOKEN)
    await graph.devices.find(GRACE, TOKEN)

    assert "cookie" not in graph.asked[1].headers


def test_a_real_iphone_is_read_whole() -> None:
    phone = device(IPHONE)

    assert phone.platform is Platform.IOS
    assert (phone.name, phone.serial, phone.owner_upn) == (
        "Grace's iPhone",
        "F2LX1234ABCD",
        "grace.hopper@contoso.com",
    )
    assert phone.last_sync_at == datetime(2026, 11, 23, 6, 55, 31, tzinfo=UTC)
    assert not phone.personal
    assert effect_of_reset(phone) is Effect.REMOVES_PASSCODE


def test_what_no_database_stores_is_left_out_of_a_device() -> None:
    phone = device({"id": "1", "deviceName": "Ada\ud800's\x00 phone", "serialNumber": "\udfff"})

    assert (phone.name, phone.serial) == ("Ada's phone", "")


@pytest.mark.parametrize(
    "nameless",
    [{**IPHONE, "id": ""}, {**IPHONE, "id": None}, {**IPHONE, "id": 7}, {**IPHONE, "id": "1" * 65}]
    + [{**IPHONE, "id": f"{IPHONE['id']}{odd}"} for odd in ("\x00", "/..", "<mailto:x|y>", " ", "?")],
)
@pytest.mark.parametrize("target", [GRACE, APP], ids=["person", "app"])
async def test_a_row_without_an_id_is_no_device(nameless: dict[str, object], target: Target) -> None:
    found = await GraphStub(page(nameless)).devices.find(target, TOKEN)

    assert found.devices == []


def test_an_enrolment_that_v1_does_not_list_is_kept() -> None:
    assert effect_of_reset(device(ANDROID)) is Effect.NEW_WORK_PROFILE_PASSCODE


def test_unset_and_odd_values_read_as_empty() -> None:
    odd = device(
        {
            "id": "1",
            "deviceName": None,
            "operatingSystem": "AndroidForWork",
            "managedDeviceOwnerType": "Personal",
            "lastSyncDateTime": "0001-01-01T00:00:00Z",
            "imei": 35,
        }
    )

    assert (odd.name, odd.imei, odd.last_sync_at) == ("", "", None)
    assert odd.platform is Platform.ANDROID
    assert odd.personal


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("iOS", Platform.IOS),
        ("iPadOS", Platform.IPADOS),
        ("visionOS", Platform.VISIONOS),
        ("Android", Platform.ANDROID),
        ("AndroidEnterprise", Platform.ANDROID),
        ("Windows", Platform.WINDOWS),
        ("macOS", Platform.MACOS),
        ("Mac OS X", Platform.MACOS),
        ("Linux", Platform.OTHER),
        ("", Platform.OTHER),
    ],
)
def test_operating_systems(text: str, platform: Platform) -> None:
    assert device({"operatingSystem": text}).platform is platform


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-23T09:41:07.1234567Z", datetime(2026, 11, 23, 9, 41, 7, 123456, tzinfo=UTC)),
        ("2026-11-23T10:41:07+01:00", datetime(2026, 11, 23, 9, 41, 7, tzinfo=UTC)),
        ("2026-11-23T09:41:07", datetime(2026, 11, 23, 9, 41, 7, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59-14:00", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("0001-01-01T00:00:00-14:00", None),
        ("soon", None),
        (None, None),
    ],
)
def test_moments(text: str | None, at: datetime | None) -> None:
    assert moment(text) == at
