"""Graph: whose token opens what, which queries are followed, dropped, refused or not known."""

import base64
import json
from typing import Any

import httpx
import jwt
import pytest
from local_microsoft import (
    AIKO,
    BASE,
    FIELD_APP,
    GALAXY,
    IPAD,
    IPHONE,
    KEN,
    KEN_AT_FABRIKAM,
    MEI,
    OWN_PHONE,
    PHONES,
    PIXEL,
    SCANNER,
    STEP_UP,
    Microsoft,
    unwrapped,
)
from sandbox.cast import OTHER_TENANT_ID
from sandbox.entra import SigningKey

DEVICES = "deviceManagement/managedDevices"
RESET_IPHONE = f"{DEVICES}/{IPHONE}/resetPasscode"
READ = "DeviceManagementManagedDevices.Read.All"
PRIVILEGED = "DeviceManagementManagedDevices.PrivilegedOperations.All"


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["value"]]


async def refusal(microsoft: Microsoft, path: str = DEVICES, method: str = "GET") -> tuple[int, str, str]:
    """Status, code and the innermost message."""
    answer = await microsoft.graph.request(method, path)
    error = answer.json()["error"]
    inner = unwrapped(answer.json())
    return answer.status_code, error["code"], inner.get("message", inner.get("Message"))


# Queries


FILTERS = [
    ("serialNumber eq 'F2LX1234ABCD'", [IPHONE]),
    ("serialNumber eq 'f2lx1234abcd'", [IPHONE]),
    ("deviceName eq 'Field phone'", [PIXEL, GALAXY]),
    ("deviceName eq 'Ada''s iPhone'", [IPHONE]),
    ("userPrincipalName eq 'priya@contoso.com'", [GALAXY, IPAD]),
    ("serialNumber eq 'no device has this'", []),
    # iPadOS reports its IMEI in groups, and it is compared as it is written.
    ("imei eq '354210987654321'", []),
    ("imei eq '354210987654321' or imei eq '35 421098 765432 1'", [IPAD]),
    # Intune drops what it does not support, and says nothing.
    ("deviceName eq 'Ada''s iPhone' or deviceName eq 'Field phone'", [IPHONE]),
    ("userId eq '0e000000-0000-4000-8000-000000000001'", PHONES),
    (f"id eq '{IPHONE}'", PHONES),
    ("emailAddress eq 'ada@contoso.com'", PHONES),
    ("userPrincipalName eq ''", PHONES),
    ("serialNumber eq ''", PHONES),
]
REFUSED = [
    ("$filter=invented eq 'x'", 400),
    ("$filter=deviceName eq 'Ada's iPhone'", 400),
    ("$filter=serialNumber eq 'unclosed", 400),
    ("$filter=serialNumber", 501),
    ("$filter=serialNumber is 'x'", 501),
    ("$filter=serialNumber ne 'x'", 501),
    ("$filter=serialNumber eq 'x' or imei eq 'y'", 501),
    ("$filter=serialNumber eq 'x' and imei eq 'y'", 501),
    ("$filter=contains(deviceName,'x')", 501),
    ("$filter=lastSyncDateTime lt 2020-01-01T00:00:00Z", 501),
    ("$select=invented", 400),
    ("$filters=x", 400),
    ("$select=id&$select=imei", 400),
    ("$skiptoken=invented", 400),
    ("$top=2", 501),
    ("$count=true", 501),
    ("$orderby=deviceName", 501),
    ("$expand=users", 501),
]


@pytest.mark.parametrize(("text", "expected"), FILTERS)
async def test_a_filter_is_followed_or_dropped_as_intune_does(microsoft, text, expected):
    assert ids(await microsoft.graph.get(DEVICES, params={"$filter": text})) == expected


@pytest.mark.parametrize(("query", "status"), REFUSED)
async def test_a_query_is_refused_as_graph_does_or_not_known_with_501(microsoft, query, status):
    found, code, said = await refusal(microsoft, f"{DEVICES}?{query}")

    assert (found, code) == (status, {400: "BadRequest", 501: "NotImplemented"}[status])
    assert said.startswith("The sandbox does not know this: ") is (status == 501)


@pytest.mark.parametrize(
    "path", ["me", "users/ada@contoso.com", "deviceManagement", f"{DEVICES}/{IPHONE}/wipe", "../beta/me"]
)
async def test_an_address_that_the_sandbox_does_not_know_is_501(microsoft, path):
    for method in ("GET", "POST"):
        assert (await refusal(microsoft, path, method))[:2] == (501, "NotImplemented")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_an_action_is_posted(microsoft, method):
    assert (await refusal(microsoft, RESET_IPHONE, method))[:2] == (405, "Request_BadRequest")
    assert microsoft.intune.resets == []


async def test_action_results_and_hidden_properties_come_only_with_one_device(microsoft):
    await microsoft.graph.post(RESET_IPHONE)
    chosen = {"$select": "id,deviceActionResults,udid,enrollmentProfileName"}

    listed = (await microsoft.graph.get(DEVICES, params=chosen)).json()["value"][0]
    alone = (await microsoft.graph.get(f"{DEVICES}/{IPHONE}", params=chosen)).json()
    plain = (await microsoft.graph.get(f"{DEVICES}/{IPHONE}")).json()

    assert (listed["deviceActionResults"], listed["udid"], listed["enrollmentProfileName"]) == ([], None, "")
    assert alone["deviceActionResults"][0]["actionState"] == "pending"
    assert (alone["udid"], alone["enrollmentProfileName"]) == ("00008140-000A1B2C3D4E5F60", "ADE-Corporate")
    assert (plain["udid"], len(plain["deviceActionResults"])) == (None, 1)
    assert set(alone) == {"@odata.context", *chosen["$select"].split(",")}
    assert alone["@odata.context"] == (
        f"https://graph.microsoft.com/v1.0/$metadata#{DEVICES}({chosen['$select']})/$entity"
    )


async def test_a_list_comes_in_pages_that_only_their_own_link_continues(microsoft):
    microsoft.intune.reading.page_size = 3
    url: str | None = f"{DEVICES}?$select=id"
    pages: list[dict[str, Any]] = []
    while url:
        pages.append((await microsoft.graph.get(url)).json())
        url = pages[-1].get("@odata.nextLink")
    link = pages[0]["@odata.nextLink"]
    elsewhere = link.replace(DEVICES, f"deviceManagement/detectedApps/{FIELD_APP}/managedDevices")

    assert [len(page["value"]) for page in pages] == [3, 3, 2]
    assert [row["id"] for page in pages for row in page["value"]] == PHONES
    assert link.startswith(f"{BASE}/graph/v1.0/{DEVICES}?$select=id&$skiptoken=")
    assert (await microsoft.graph.get(elsewhere)).status_code == 400

    params = {"$filter": "operatingSystem eq 'Android'"}
    first = await microsoft.graph.get(DEVICES, params=params)
    second = await microsoft.graph.get(first.json()["@odata.nextLink"])
    assert ids(first) + ids(second) == [PIXEL, GALAXY, OWN_PHONE, SCANNER]


async def test_devices_are_listed_below_a_user_and_a_detected_app(microsoft):
    priya = "users/0e000000-0000-4000-8000-000000000003/managedDevices"
    lists = {
        priya: [GALAXY, IPAD],
        "users/Priya@contoso.com/managedDevices": [GALAXY, IPAD],
        "users/mei@contoso.com/managedDevices": [],
        f"deviceManagement/detectedApps/{FIELD_APP}/managedDevices": [PIXEL, GALAXY, SCANNER],
    }

    for path, expected in lists.items():
        assert ids(await microsoft.graph.get(path)) == expected
    assert (await refusal(microsoft, f"{priya}/{IPHONE}"))[:2] == (404, "ResourceNotFound")
    other = await refusal(microsoft, "users/olga@fabrikam.com/managedDevices")
    assert other[:2] == (404, "Request_ResourceNotFound")


# Tokens


def changed(microsoft: Microsoft, **claims: object) -> str:
    """Ken's token with other claims, signed by Entra itself."""
    token = microsoft.entra.access_token(KEN)
    good: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return microsoft.entra.key.sign(good | claims)


TOKENS = [
    (lambda _it: "not.a.jwt", "not well formed"),
    (lambda _it: SigningKey.fresh("stranger").sign({"aud": "https://graph.microsoft.com"}), "signature"),
    (lambda _it: jwt.encode({"aud": "https://graph.microsoft.com"}, None, "none"), "not well formed"),
    (lambda it: it.entra.access_token(KEN_AT_FABRIKAM), "Invalid tenant"),
    (lambda it: changed(it, tid=OTHER_TENANT_ID), "Invalid tenant"),
    (lambda it: changed(it, aud="https://management.azure.com"), "Invalid audience"),
    (lambda it: changed(it, exp=1), "expired"),
    (lambda it: changed(it, exp="never"), "expired"),
    (lambda it: changed(it, nbf=99999999999), "not yet valid"),
]


@pytest.mark.parametrize(("make", "message"), TOKENS)
async def test_strictness_of_tokens(microsoft, make, message):
    microsoft.carry(make(microsoft))

    status, code, said = await refusal(microsoft)

    assert (status, code) == (401, "InvalidAuthenticationToken")
    assert message in said
    assert microsoft.journal.calls[-1].bearer.kind == "unknown"


async def test_without_a_token_graph_says_where_to_get_one(microsoft):
    del microsoft.graph.headers["Authorization"]

    answer = await microsoft.graph.get(DEVICES)

    assert answer.json()["error"]["code"] == "InvalidAuthenticationToken"
    assert answer.headers["www-authenticate"].startswith('Bearer realm="", authorization_uri=')
    assert "insufficient_claims" not in answer.headers["www-authenticate"]
    assert microsoft.journal.calls[-1].bearer.kind == "none"


async def test_reading_and_resetting_need_their_own_permissions(microsoft):
    microsoft.carry(microsoft.entra.access_token(KEN, permissions=[READ]))
    reset = await refusal(microsoft, RESET_IPHONE, "POST")
    microsoft.carry(microsoft.entra.access_token(KEN, permissions=[PRIVILEGED]))
    read = await refusal(microsoft)

    assert reset[:2] == read[:2] == (403, "Forbidden")
    assert f"must have one of the following scopes: {PRIVILEGED}" in reset[2]
    assert READ in read[2]
    assert microsoft.intune.resets == []


async def test_without_the_role_reading_is_401_that_no_sign_in_cures_and_resetting_403(microsoft):
    microsoft.carry(microsoft.entra.access_token(MEI))

    answer = await microsoft.graph.get(DEVICES)
    reset = await refusal(microsoft, RESET_IPHONE, "POST")

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UnknownError")
    assert json.loads(answer.json()["error"]["message"])["ErrorCode"] == "Forbidden"
    assert "not authorized" in unwrapped(answer.json())["Message"]
    assert "www-authenticate" not in answer.headers
    assert reset[:2] == (403, "Forbidden")
    assert reset[2].startswith("User is not authorized to perform this operation")
    assert microsoft.intune.resets == []


@pytest.mark.parametrize("delegated_scope", [False, True])
async def test_an_application_alone_resets_and_reads_nothing(microsoft, delegated_scope):
    entra = microsoft.entra
    microsoft.carry(changed(microsoft, idtyp="app") if delegated_scope else entra.app_only_token())

    assert (await refusal(microsoft, RESET_IPHONE, "POST"))[:2] == (403, "Forbidden")
    assert (await refusal(microsoft))[:2] == (403, "Forbidden")
    assert microsoft.intune.resets == []
    assert microsoft.journal.calls[-1].bearer.who == "the application alone"


async def test_demanded_claims_are_base64_in_the_challenge_and_concern_one_account(microsoft):
    microsoft.intune.demand_claims(KEN, STEP_UP)

    answer = await microsoft.graph.post(RESET_IPHONE)

    header = answer.headers["www-authenticate"]
    encoded = header.partition('claims="')[2].rstrip('"')
    assert answer.status_code == 401
    assert 'error="insufficient_claims"' in header
    assert json.loads(base64.b64decode(encoded)) == json.loads(STEP_UP)
    for token in (microsoft.entra.access_token(KEN, claims=STEP_UP), microsoft.entra.access_token(AIKO)):
        microsoft.carry(token)
        assert (await microsoft.graph.post(RESET_IPHONE)).status_code == 204
