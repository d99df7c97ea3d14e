"""Graph: what is followed, dropped, refused or not known, whose token opens what, and what a reset does.

Every answer is as Microsoft's own OpenAPI description of it says.
Source: tests/specs/graph-v1.0-intune.openapi.json, cut from Microsoft's (MIT licence). Real Graph leaves the
description in one place that matters here, and so does the sandbox, on purpose: v1.0 returns enrolment types
of Android Enterprise that its enum lacks (microsoft-graph-docs issue 18926). A test names them, and fails
if another value turns up.
"""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from openapi_schema_validator import OAS30ReadValidator, oas30_strict_format_checker
from sandbox.cast import DEFAULT_CAST, OTHER_TENANT_ID
from sandbox.entra import SigningKey
from sandbox.intune.fleet import Role, Traps
from tests.sandbox.conftest import ACTION_TIME, BASE, Microsoft, unwrapped
from tests.support.user_actions import FIELD_APP, KEN_ACCOUNT, KEN_AT_FABRIKAM, MEI_ACCOUNT, PHONES

IPHONE, PIXEL, GALAXY, IPAD, OWN_PHONE, LAPTOP, UNSEEN, SCANNER = PHONES
DEVICES = "deviceManagement/managedDevices"
APPS = "deviceManagement/detectedApps"
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


FILTERS = [
    *((f"serialNumber eq '{number}'", [IPHONE]) for number in ("F2LX1234ABCD", "f2lx1234abcd")),
    ("deviceName eq 'Field phone'", [PIXEL, GALAXY]),
    ("deviceName eq 'Ada''s iPhone'", [IPHONE]),
    ("userPrincipalName eq 'priya@contoso.com'", [GALAXY, IPAD]),
    ("serialNumber eq 'no device has this'", []),
    # iPadOS reports its IMEI in groups, and it is compared as it is written.
    ("imei eq '354210987654321'", []),
    ("imei eq '354210987654321' or imei eq '35 421098 765432 1'", [IPAD]),
    # Intune drops what it does not support, and says nothing.
    ("deviceName eq 'Ada''s iPhone' or deviceName eq 'Field phone'", [IPHONE]),
    *((text, PHONES) for text in ("userId eq '0e000000-0000-4000-8000-000000000001'", f"id eq '{IPHONE}'")),
    *((text, PHONES) for text in ("emailAddress eq 'ada@contoso.com'", "contains(userPrincipalName,'lea')")),
    ("contains(emailAddress,'LEA@contoso')", [LAPTOP, UNSEEN]),
    *((f"{name} eq ''", PHONES) for name in ("userPrincipalName", "serialNumber")),
]
INVALID = "$filter=invented eq 'x'|$filter=deviceName eq 'Ada's iPhone'|$filter=serialNumber eq 'unclosed|"
INVALID += "$select=invented|$filters=x|$select=id&$select=imei|$skiptoken=invented"
UNKNOWN = "$filter=serialNumber|$filter=serialNumber is 'x'|$filter=serialNumber ne 'x'|$top=2|$count=true|"
UNKNOWN += "$filter=serialNumber eq 'x' or imei eq 'y'|$filter=serialNumber eq 'x' and imei eq 'y'|"
UNKNOWN += "$filter=startswith(deviceName,'x')|$filter=lastSyncDateTime lt 2020-01-01T00:00:00Z|"
UNKNOWN += "$orderby=deviceName|$expand=users"
REFUSED = [*((query, 400) for query in INVALID.split("|")), *((query, 501) for query in UNKNOWN.split("|"))]


@pytest.mark.parametrize(("text", "expected"), FILTERS)
async def test_a_filter_is_followed_or_dropped_as_intune_does(microsoft, text, expected):
    assert ids(await microsoft.graph.get(DEVICES, params={"$filter": text})) == expected


@pytest.mark.parametrize(("query", "status"), REFUSED)
async def test_a_query_is_refused_as_graph_does_or_not_known_with_501(microsoft, query, status):
    found, code, said = await refusal(microsoft, f"{DEVICES}?{query}")
    assert (found, code) == (status, {400: "BadRequest", 501: "NotImplemented"}[status])
    assert said.startswith("The sandbox does not know this: ") is (status == 501)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["me", "users/ada@contoso.com", f"{DEVICES}/{IPHONE}/wipe", "../beta/me"])
async def test_an_address_that_the_sandbox_does_not_know_is_501(microsoft, method, path):
    assert (await refusal(microsoft, path, method))[:2] == (501, "NotImplemented")


RESETS = [
    ("POST", f"users/ada@contoso.com/managedDevices/{PIXEL}", {}, 404, "ResourceNotFound"),
    ("POST", f"{APPS}/{FIELD_APP}/managedDevices/{PIXEL}", {}, 400, "BadRequest"),
    ("POST", f"{DEVICES}/00000000-0000-4000-8000-000000000000", {}, 404, "ResourceNotFound"),
    ("POST", f"{DEVICES}/{LAPTOP}", {}, 400, "BadRequest"),  # Windows: refused without a reason
    ("POST", f"{DEVICES}/{PIXEL}", {"json": {}}, 400, "BadRequest"),
    ("POST", f"{DEVICES}/{PIXEL}", {"content": b" "}, 400, "BadRequest"),
    ("GET", f"{DEVICES}/{PIXEL}", {}, 405, "Request_BadRequest"),
    ("PATCH", f"{DEVICES}/{PIXEL}", {}, 405, "Request_BadRequest"),
]


@pytest.mark.parametrize(("method", "path", "options", "status", "code"), RESETS)
async def test_a_refused_reset_has_no_effect(microsoft, method, path, options, status, code):
    answer = await microsoft.graph.request(method, f"{path}/resetPasscode", **options)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert microsoft.intune.resets == []


async def test_action_results_and_hidden_properties_come_only_with_one_device(microsoft):
    await microsoft.graph.post(RESET_IPHONE)
    names = ("id", "deviceActionResults", "udid", "enrollmentProfileName")
    chosen = {"$select": ",".join(names)}
    listed = (await microsoft.graph.get(DEVICES, params=chosen)).json()["value"][0]
    alone = (await microsoft.graph.get(f"{DEVICES}/{IPHONE}", params=chosen)).json()
    plain = (await microsoft.graph.get(f"{DEVICES}/{IPHONE}")).json()
    assert [listed[name] for name in names] == [IPHONE, [], None, ""]
    assert alone["deviceActionResults"][0]["actionState"] == "pending"
    assert (alone["udid"], alone["enrollmentProfileName"]) == ("00008140-000A1B2C3D4E5F60", "ADE-Corporate")
    assert (plain["udid"], len(plain["deviceActionResults"])) == (None, 1)
    assert set(alone) == {"@odata.context", *names}


async def test_a_list_comes_in_pages_that_only_their_own_link_continues(microsoft):
    microsoft.intune.reading.page_size = 3
    params = {"$filter": "operatingSystem eq 'Android'", "$select": "id"}
    first = await microsoft.graph.get(DEVICES, params=params)
    link = first.json()["@odata.nextLink"]
    second = await microsoft.graph.get(link)
    elsewhere = link.replace(DEVICES, f"deviceManagement/detectedApps/{FIELD_APP}/managedDevices")
    assert ids(first) + ids(second) == [PIXEL, GALAXY, OWN_PHONE, SCANNER]
    assert link.startswith(f"{BASE}/graph/v1.0/{DEVICES}?$filter=")
    assert "@odata.nextLink" not in second.json()
    assert (await microsoft.graph.get(elsewhere)).status_code == 400


async def test_devices_are_listed_below_a_user_and_a_detected_app(microsoft):
    priya = "users/0e000000-0000-4000-8000-000000000003/managedDevices"
    lists = {
        priya: [GALAXY, IPAD],
        "users/Priya@contoso.com/managedDevices": [GALAXY, IPAD],
        "users/mei@contoso.com/managedDevices": [],
        f"deviceManagement/detectedApps/{FIELD_APP}/managedDevices": [PIXEL, GALAXY, SCANNER],
    }
    assert {path: ids(await microsoft.graph.get(path)) for path in lists} == lists
    assert (await refusal(microsoft, f"{priya}/{IPHONE}"))[:2] == (404, "ResourceNotFound")
    for unknown in ("olga@fabrikam.com", "lea@contoso.com"):  # the second is only a mail address
        other = await refusal(microsoft, f"users/{unknown}/managedDevices")
        assert other[:2] == (404, "Request_ResourceNotFound")


BELOW_USER = f"users/tomas@contoso.com/managedDevices/{PIXEL}/resetPasscode"
BELOW_APP = f"{APPS}/{FIELD_APP}/managedDevices/{PIXEL}/resetPasscode"


@pytest.mark.parametrize(
    ("unknown", "answers"),
    [
        (["app"], {BELOW_USER: (204, ""), BELOW_APP: (400, "BadRequest")}),
        (["user"], {BELOW_USER: (400, "No method match route template"), BELOW_APP: (204, "")}),
        ([], {BELOW_USER: (204, ""), BELOW_APP: (204, "")}),
    ],
    ids=["at the start", "as some report", "as Microsoft's page has it"],
)
async def test_a_path_that_graph_does_not_know_resets_nothing(microsoft, unknown, answers):
    microsoft.intune.set_traps(Traps(unknown_paths=unknown))
    for path, (status, code) in answers.items():
        answer = await microsoft.graph.post(path)
        assert answer.status_code == status
        assert status == 204 or answer.json()["error"]["code"] == code
    assert len(microsoft.intune.resets) == [status for status, _ in answers.values()].count(204)


async def test_results_are_seen_as_late_as_was_asked_for(microsoft):
    microsoft.intune.set_traps(Traps(results_after=2))
    await microsoft.graph.post(RESET_IPHONE)
    assert await results(microsoft, IPHONE) == []
    microsoft.clock.advance(timedelta(seconds=2))
    assert [result["actionState"] for result in await results(microsoft, IPHONE)] == ["pending"]


async def test_a_role_may_read_without_resetting_and_leave_devices_out(microsoft):
    microsoft.intune.set_role(KEN_ACCOUNT, Role(reset_passcode=False, read=True, out_of_scope=[PIXEL]))
    assert PIXEL not in ids(await microsoft.graph.get(DEVICES))
    assert (await refusal(microsoft, f"{DEVICES}/{PIXEL}"))[:2] == (404, "ResourceNotFound")
    assert (await refusal(microsoft, RESET_IPHONE, "POST"))[:2] == (403, "Forbidden")


async def test_a_token_of_before_keeps_its_role_where_that_is_asked_for(microsoft):
    microsoft.intune.set_role(KEN_ACCOUNT, Role(reset_passcode=False))
    old = {"Authorization": f"Bearer {microsoft.entra.access_token(KEN_ACCOUNT)}"}
    microsoft.clock.advance(timedelta(seconds=1))
    microsoft.intune.set_role(KEN_ACCOUNT, Role(reset_passcode=True))
    assert (await microsoft.graph.get(DEVICES, headers=old)).status_code == 200
    microsoft.intune.set_traps(Traps(stale_tokens=True))
    assert (await microsoft.graph.get(DEVICES, headers=old)).status_code == 401
    new = {"Authorization": f"Bearer {microsoft.entra.access_token(KEN_ACCOUNT)}"}
    assert (await microsoft.graph.get(DEVICES, headers=new)).status_code == 200


async def test_a_list_may_repeat_itself_and_a_record_vanish(microsoft):
    microsoft.intune.set_traps(Traps(repeats_pages=True))
    first = (await microsoft.graph.get(DEVICES)).json()
    assert (await microsoft.graph.get(first["@odata.nextLink"])).json() == first
    microsoft.intune.remove(PIXEL)
    assert (await refusal(microsoft, f"{DEVICES}/{PIXEL}"))[:2] == (404, "ResourceNotFound")


@pytest.mark.parametrize(
    "said", [{"deviceEnrollmentType": "appleAccountDrivenUserEnrollment"}, {"managementAgent": "eas"}]
)
async def test_a_device_that_is_managed_in_part_is_not_reset(microsoft, said):
    microsoft.intune.describe(IPHONE, **said)
    assert (await refusal(microsoft, RESET_IPHONE, "POST"))[:2] == (400, "BadRequest")
    with pytest.raises(KeyError):
        microsoft.intune.describe(IPHONE, colour="black")


def changed(microsoft: Microsoft, **claims: object) -> str:
    """Ken's token with other claims, signed by Entra itself."""
    token = microsoft.entra.access_token(KEN_ACCOUNT)
    return microsoft.entra.key.sign(jwt.decode(token, options={"verify_signature": False}) | claims)


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


async def test_reading_and_resetting_need_their_own_permissions(microsoft):
    microsoft.carry(microsoft.entra.access_token(KEN_ACCOUNT, permissions=[READ]))
    reset = await refusal(microsoft, RESET_IPHONE, "POST")
    microsoft.carry(microsoft.entra.access_token(KEN_ACCOUNT, permissions=[PRIVILEGED]))
    read = await refusal(microsoft)
    assert reset[:2] == read[:2] == (403, "Forbidden")
    assert f"must have one of the following scopes: {PRIVILEGED}" in reset[2]
    assert READ in read[2]
    assert microsoft.intune.resets == []


async def test_without_the_role_reading_is_401_that_no_sign_in_cures_and_resetting_403(microsoft):
    microsoft.carry(microsoft.entra.access_token(MEI_ACCOUNT))
    answer = await microsoft.graph.get(DEVICES)
    status, code, said = await refusal(microsoft, RESET_IPHONE, "POST")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UnknownError")
    assert json.loads(answer.json()["error"]["message"])["ErrorCode"] == "Forbidden"
    assert "not authorized" in unwrapped(answer.json())["Message"]
    assert "www-authenticate" not in answer.headers
    assert (status, code) == (403, "Forbidden")
    assert said.startswith("User is not authorized to perform this operation")
    assert microsoft.intune.resets == []


async def test_an_application_alone_resets_and_reads_nothing(microsoft):
    for token in (microsoft.entra.app_only_token(), changed(microsoft, idtyp="app")):
        microsoft.carry(token)
        assert (await refusal(microsoft, RESET_IPHONE, "POST"))[:2] == (403, "Forbidden")
        assert (await refusal(microsoft))[:2] == (403, "Forbidden")
        assert microsoft.journal.calls[-1].bearer.who == "the application alone"
    assert microsoft.intune.resets == []


async def results(microsoft: Microsoft, device: str) -> list[dict[str, Any]]:
    microsoft.carry(microsoft.entra.access_token(KEN_ACCOUNT))  # the one before may have expired
    answer = await microsoft.graph.get(f"{DEVICES}/{device}?$select=deviceActionResults")
    return list(answer.json()["deviceActionResults"])


def lock(microsoft: Microsoft, device: str) -> str:
    [found] = [phone["lock"] for phone in microsoft.intune.snapshot() if phone["id"] == device]
    return str(found)


async def test_android_gets_a_new_passcode_when_it_is_done_and_the_newest_opens_it(microsoft):
    seen = []
    await microsoft.graph.post(f"{DEVICES}/{PIXEL}/resetPasscode")
    for _ in range(4):
        [first] = await results(microsoft, PIXEL)
        seen.append((first["actionState"], first["passcode"] is not None, lock(microsoft, PIXEL)))
        microsoft.clock.advance(ACTION_TIME / 3)
    await microsoft.graph.post(f"{DEVICES}/{PIXEL}/resetPasscode")
    microsoft.clock.advance(ACTION_TIME)
    _, second = await results(microsoft, PIXEL)
    running = ("active", False, "locked")
    assert seen == [("pending", False, "locked"), running, running, ("done", True, "temporary passcode")]
    assert first["@odata.type"] == "#microsoft.graph.resetPasscodeActionResult"
    assert first["lastUpdatedDateTime"] == "2026-11-23T10:00:06.0000000Z"
    assert re.fullmatch(r"\d{8}", first["passcode"])
    assert microsoft.intune.unlock(PIXEL, first["passcode"]) is (first["passcode"] == second["passcode"])
    assert microsoft.intune.unlock(PIXEL, second["passcode"])
    places = f"{microsoft.intune.snapshot()} {microsoft.journal.calls} {microsoft.intune.resets}"
    assert second["passcode"] not in f"{places} {microsoft.intune._fleet.phones}"


async def test_the_page_is_told_what_a_reset_will_really_do(microsoft):
    microsoft.intune.set_behaviour(PIXEL, "fails")
    microsoft.intune.set_behaviour(SCANNER, "completes")
    told = {phone["id"]: phone["on_reset"] for phone in microsoft.intune.snapshot()}
    expected = {IPHONE: "completes", PIXEL: "fails", SCANNER: "stays silent", LAPTOP: "cannot be reset"}
    assert expected.items() <= told.items()


@pytest.mark.parametrize(
    ("device", "behaviour", "state", "error"),
    [
        (PIXEL, "fails", "failed", 2016),
        (PIXEL, "not supported", "notSupported", 0),
        (PIXEL, "stays silent", "pending", 0),
        (OWN_PHONE, "", "notSupported", 0),  # its reset token was never activated
        (SCANNER, "completes", "pending", 0),  # a retirement takes precedence
        (UNSEEN, "", "pending", None),
    ],
)
async def test_an_accepted_reset_may_come_to_nothing(microsoft, device, behaviour, state, error):
    if behaviour:
        microsoft.intune.set_behaviour(device, behaviour)
    await microsoft.graph.post(f"{DEVICES}/{device}/resetPasscode")
    microsoft.intune.set_behaviour(device, "completes")  # counts for the next reset only
    microsoft.clock.advance(timedelta(days=30))
    [result] = await results(microsoft, device)
    assert (result["actionState"], result.get("errorCode"), result.get("passcode")) == (state, error, None)
    assert lock(microsoft, device) == "locked"


SPECS = Path(__file__).parents[1] / "specs"
OPENAPI: dict[str, Any] = json.loads((SPECS / "graph-v1.0-intune.openapi.json").read_text())
ENROLMENTS = OPENAPI["components"]["schemas"]["microsoft.graph.deviceEnrollmentType"]["enum"]
DESCRIBED_ENROLMENTS = set(ENROLMENTS)
ENTERPRISE = ("FullyManaged", "CorporateWorkProfile", "DedicatedDevice")
OUTSIDE_THE_ENUM = {f"androidEnterprise{kind}" for kind in ENTERPRISE}
ENROLMENTS.extend(sorted(OUTSIDE_THE_ENUM))
ADAS = f"users/{DEFAULT_CAST.phone_owners[0].oid}/managedDevices"
READS = f"users/priya@contoso.com/managedDevices|users/nobody@contoso.com/managedDevices|{ADAS}/{PIXEL}|"
READS += f"{ADAS}?$select=id,deviceName|{ADAS}/{IPHONE}|{DEVICES}|{DEVICES}?$filter=nothing eq 'x'|"
READS += f"{DEVICES}?$top=2|{DEVICES}/00000000-0000-4000-8000-000000000000|{APPS}/unknown/managedDevices|"
READS += f"{DEVICES}/{IPHONE}?$select=deviceActionResults,udid|{APPS}/{FIELD_APP}/managedDevices"
RESET = (f"{DEVICES}/{IPHONE}", f"{DEVICES}/{LAPTOP}", f"{ADAS}/{IPHONE}", f"{ADAS}/{PIXEL}")
ANSWERS = [("GET", path) for path in READS.split("|")] + [("POST", f"{path}/resetPasscode") for path in RESET]


@pytest.mark.parametrize(
    "who", [KEN_ACCOUNT, MEI_ACCOUNT, None], ids=["approver", "without the role", "without a token"]
)
@pytest.mark.parametrize(("method", "path"), ANSWERS)
async def test_every_answer_and_refusal_is_as_described(method, path, who):
    answer = await Microsoft(token_of=who).graph.request(method, path)
    assert who is not None or answer.status_code == 401
    check(method, answer)


@pytest.mark.parametrize("device", PHONES)
@pytest.mark.parametrize("behaviour", ["completes", "fails", "not supported", "stays silent"])
async def test_every_phone_is_as_described_at_every_step_of_a_reset(device, behaviour):
    microsoft = Microsoft()
    microsoft.intune.set_behaviour(device, behaviour)
    await microsoft.graph.post(f"{DEVICES}/{device}/resetPasscode")
    for _ in range(4):
        check("GET", await microsoft.graph.get(f"{DEVICES}/{device}"))
        microsoft.clock.advance(ACTION_TIME / 3)


async def test_devices_have_exactly_the_properties_that_are_described_and_the_known_enrolment_types():
    rows = (await Microsoft().graph.get("deviceManagement/managedDevices")).json()["value"]
    described = OPENAPI["components"]["schemas"]["microsoft.graph.managedDevice"]["properties"]
    for row in rows:
        assert {name for name in row if "@" not in name} == {name for name in described if "@" not in name}
    assert {row["deviceEnrollmentType"] for row in rows} - DESCRIBED_ENROLMENTS == OUTSIDE_THE_ENUM


def check(method: str, answer: httpx.Response) -> None:
    """Validate one answer against the description of its address and status."""
    path, status = answer.request.url.path.removeprefix("/graph/v1.0"), str(answer.status_code)
    responses: dict[str, Any] = next(
        operations[method.lower()]["responses"]
        for template, operations in OPENAPI["paths"].items()
        if method.lower() in operations and re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path)
    )
    described = responses.get(status) or responses[f"{status[0]}XX"]
    if "$ref" in described:
        described = OPENAPI["components"]["responses"][described["$ref"].rpartition("/")[2]]
    if answer.status_code == 204:
        assert "content" not in described
        assert answer.content == b""
        return
    assert answer.headers["content-type"] == "application/json"
    schema = described["content"]["application/json"]["schema"] | {"components": OPENAPI["components"]}
    validator = OAS30ReadValidator(schema, format_checker=oas30_strict_format_checker)
    assert [error.message[:300] for error in validator.iter_errors(answer.json())] == []
