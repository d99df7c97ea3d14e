"""Reading devices from the local Graph: filters that work, filters that are ignored, selections, pages."""

from typing import Any

import pytest
from microsoft_desk import (
    BASE,
    FIELD_APP,
    GALAXY,
    IPAD,
    IPHONE,
    KEN,
    LAPTOP,
    NEVER_SEEN,
    OWN_PHONE,
    PIXEL,
    SCANNER,
    Desk,
)

DEVICES = "deviceManagement/managedDevices"
EVERYTHING = [IPHONE, PIXEL, GALAXY, IPAD, OWN_PHONE, LAPTOP, NEVER_SEEN, SCANNER]


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def found(desk: Desk, filter_text: str) -> list[str]:
    answer = await desk.graph.get(DEVICES, params={"$filter": filter_text})
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["value"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("serialNumber eq 'F2LX1234ABCD'", [IPHONE]),
        ("serialNumber eq 'f2lx1234abcd'", [IPHONE]),
        ("imei eq '357911110123459'", [PIXEL]),
        ("deviceName eq 'Field phone'", [PIXEL, GALAXY]),
        ("deviceName eq 'Ada''s iPhone'", [IPHONE]),
        ("contains(deviceName, 'iphone')", [IPHONE, NEVER_SEEN]),
        ("userPrincipalName eq 'priya@contoso.com'", [GALAXY, IPAD]),
        ("userPrincipalName ne 'lea@contoso.com' and operatingSystem eq 'iOS'", [IPHONE]),
        ("contains(emailAddress,'jonas')", [OWN_PHONE]),
        ("managementState eq 'retireIssued'", [SCANNER]),
        ("complianceState eq 'inGracePeriod' or complianceState eq 'unknown'", [LAPTOP, NEVER_SEEN]),
        ("(operatingSystem eq 'Windows' or operatingSystem eq 'iPadOS')", [IPAD, LAPTOP]),
        ("lastSyncDateTime lt 2020-01-01T00:00:00Z", [NEVER_SEEN]),
        ("enrolledDateTime gt 2026-11-01T00:00:00Z", [GALAXY, NEVER_SEEN]),
        ("serialNumber eq 'nobody has this'", []),
    ],
)
async def test_a_filter_that_intune_supports_is_followed(desk: Desk, text: str, expected: list[str]) -> None:
    assert await found(desk, text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "userId eq '0e000000-0000-4000-8000-000000000001'",
        f"id eq '{IPHONE}'",
        "userDisplayName eq 'Ada Lindqvist'",
        "deviceEnrollmentType eq 'userEnrollment'",
        "wiFiMacAddress eq 'a483e7b1c2d3'",
        "serialNumber ne 'F2LX1234ABCD'",
        "startswith(deviceName,'Ada')",
        "contains(serialNumber,'F2LX')",
        "emailAddress eq 'ada@contoso.com'",
        "userPrincipalName eq ''",
        "serialNumber eq ''",
        "contains(deviceName,'')",
    ],
)
async def test_a_filter_that_intune_does_not_support_returns_everybodys_devices(
    desk: Desk, text: str
) -> None:
    assert await found(desk, text) == EVERYTHING


async def test_an_ignored_condition_leaves_the_other_in_force(desk: Desk) -> None:
    assert await found(desk, "userId eq 'x' and serialNumber eq 'F2LX1234ABCD'") == [IPHONE]


async def test_or_across_properties_drops_a_branch(desk: Desk) -> None:
    text = "serialNumber eq 'F2LX1234ABCD' or imei eq '357911110123459'"

    assert await found(desk, text) == [IPHONE]


async def test_an_imei_is_compared_as_it_is_written(desk: Desk) -> None:
    """iPadOS reports it in groups; whoever types fifteen digits does not find it by this filter."""
    assert await found(desk, "imei eq '354210987654321'") == []
    assert await found(desk, "imei eq '35 421098 765432 1'") == [IPAD]


@pytest.mark.parametrize(
    "text",
    [
        "serialNumber",
        "serialNumber eq",
        "serialNumber is 'x'",
        "serialNumber eq 'unclosed",
        "serialNumber eq 'a' 'b'",
        "contains(deviceName 'x')",
        "contains(deviceName,)",
        "(serialNumber eq 'x'",
        "invented eq 'x'",
        "lastSyncDateTime gt yesterday",
        "serialNumber eq 'x' or",
    ],
)
async def test_a_filter_that_is_no_odata_is_refused(desk: Desk, text: str) -> None:
    answer = await desk.graph.get(DEVICES, params={"$filter": text})

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "BadRequest"


async def test_action_results_and_hidden_properties_come_only_with_one_device(desk: Desk) -> None:
    await desk.graph.post(f"{DEVICES}/{IPHONE}/resetPasscode")
    chosen = {"$select": "id,deviceActionResults,udid,enrollmentProfileName"}

    listed = (await desk.graph.get(DEVICES, params=chosen)).json()["value"][0]
    alone = (await desk.graph.get(f"{DEVICES}/{IPHONE}", params=chosen)).json()
    plain = (await desk.graph.get(f"{DEVICES}/{IPHONE}")).json()

    assert (listed["deviceActionResults"], listed["udid"], listed["enrollmentProfileName"]) == ([], None, "")
    assert alone["deviceActionResults"][0]["actionState"] == "pending"
    assert (alone["udid"], alone["enrollmentProfileName"]) == ("00008140-000A1B2C3D4E5F60", "ADE-Corporate")
    assert (plain["udid"], len(plain["deviceActionResults"])) == (None, 1)


async def test_a_selection_gives_nothing_but_what_was_selected(desk: Desk) -> None:
    body = (await desk.graph.get(f"{DEVICES}/{IPHONE}", params={"$select": "deviceName"})).json()

    assert body == {
        "@odata.context": "https://graph.microsoft.com/v1.0/$metadata"
        "#deviceManagement/managedDevices(deviceName)/$entity",
        "deviceName": "Ada's iPhone",
    }


@pytest.mark.parametrize(
    "query",
    [
        "$select=invented",
        "$top=none",
        "$top=0",
        "$top=1001",
        "$expand=users",
        "$filters=x",
        "$top=1&$top=2",
        "$skiptoken=invented",
    ],
)
async def test_an_option_that_graph_does_not_know_is_refused(desk: Desk, query: str) -> None:
    assert (await desk.graph.get(f"{DEVICES}?{query}")).status_code == 400


async def test_a_list_comes_in_pages_that_only_their_link_continues(desk: Desk) -> None:
    desk.intune.page_size = 3
    url: str | None = f"{DEVICES}?$select=id&$count=true"
    pages: list[dict[str, Any]] = []

    while url:
        pages.append((await desk.graph.get(url)).json())
        url = pages[-1].get("@odata.nextLink")

    assert [len(page["value"]) for page in pages] == [3, 3, 2]
    assert [row["id"] for page in pages for row in page["value"]] == EVERYTHING
    assert pages[0]["@odata.count"] == 8
    assert pages[0]["@odata.nextLink"].startswith(f"{BASE}/graph/v1.0/{DEVICES}?$select=id&$skiptoken=")


async def test_a_link_repeats_the_filter_and_belongs_to_its_list(desk: Desk) -> None:
    params = {"$filter": "operatingSystem eq 'Android'", "$top": "2"}
    first = (await desk.graph.get(DEVICES, params=params)).json()

    second = (await desk.graph.get(first["@odata.nextLink"])).json()
    elsewhere = first["@odata.nextLink"].replace(
        DEVICES, f"deviceManagement/detectedApps/{FIELD_APP}/managedDevices"
    )

    assert [row["id"] for row in first["value"] + second["value"]] == [PIXEL, GALAXY, OWN_PHONE, SCANNER]
    assert (await desk.graph.get(elsewhere)).status_code == 400


async def test_a_users_devices_are_found_by_id_and_by_name_and_are_nobody_elses(desk: Desk) -> None:
    user = (await desk.graph.get("users/Priya@contoso.com")).json()

    by_id = (await desk.graph.get(f"users/{user['id']}/managedDevices")).json()["value"]
    by_name = (await desk.graph.get("users/priya@contoso.com/managedDevices")).json()["value"]
    stranger = await desk.graph.get(f"users/{user['id']}/managedDevices/{IPHONE}")

    assert [row["id"] for row in by_id] == [row["id"] for row in by_name] == [GALAXY, IPAD]
    assert stranger.status_code == 404


async def test_a_user_of_the_other_tenant_does_not_exist(desk: Desk) -> None:
    for path in ("users/olga@fabrikam.com", "users/olga@fabrikam.com/managedDevices"):
        answer = await desk.graph.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "Request_ResourceNotFound")


async def test_somebody_without_devices_has_an_empty_list(desk: Desk) -> None:
    assert (await desk.graph.get("users/mei@contoso.com/managedDevices")).json()["value"] == []


async def test_me_is_whose_token_it_is(desk: Desk) -> None:
    assert (await desk.graph.get("me")).json()["id"] == KEN


async def test_an_app_leads_to_the_devices_that_it_was_found_on(desk: Desk) -> None:
    app = (await desk.graph.get(f"deviceManagement/detectedApps/{FIELD_APP}")).json()
    rows = (await desk.graph.get(f"deviceManagement/detectedApps/{FIELD_APP}/managedDevices")).json()["value"]

    assert app["deviceCount"] == len(rows) == 3
    assert [row["id"] for row in rows] == [PIXEL, GALAXY, SCANNER]


@pytest.mark.parametrize(
    "path",
    ["deviceManagement", f"{DEVICES}/{IPHONE}/wipe", f"{DEVICES}/{IPHONE}/remoteLock", "../beta/me"],
)
async def test_an_address_that_is_not_there_is_a_bad_request(desk: Desk, path: str) -> None:
    for method in ("GET", "POST"):
        answer = await desk.graph.request(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")
    assert desk.intune.resets == []


async def test_the_unusual_phones_are_as_unusual_as_real_ones(desk: Desk) -> None:
    rows = {row["id"]: row for row in (await desk.graph.get(DEVICES)).json()["value"]}

    assert rows[NEVER_SEEN]["lastSyncDateTime"] == "0001-01-01T00:00:00Z"
    assert (rows[OWN_PHONE]["serialNumber"], rows[OWN_PHONE]["imei"]) == ("", "")
    assert rows[SCANNER]["managementState"] == "retireIssued"
    assert rows[LAPTOP]["jailBroken"] == "Unknown"
