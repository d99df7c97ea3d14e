"""Whose token opens what: signature, audience, tenant, time, permission, role, claims."""

import base64
import json
from datetime import timedelta
from typing import Any

import jwt
import pytest
from microsoft_desk import AIKO, IPHONE, KEN, KEN_AT_FABRIKAM, MEI, STEP_UP, Desk, unwrapped
from sandbox.cast import OTHER_TENANT_ID, TENANT_ID
from sandbox.entra import SigningKey

DEVICES = "deviceManagement/managedDevices"
RESET_IPHONE = f"{DEVICES}/{IPHONE}/resetPasscode"
READ = "DeviceManagementManagedDevices.Read.All"
PRIVILEGED = "DeviceManagementManagedDevices.PrivilegedOperations.All"


@pytest.fixture
def desk() -> Desk:
    return Desk()


def changed(desk: Desk, **claims: object) -> str:
    """Ken's token with other claims, signed by Entra itself."""
    good: dict[str, Any] = jwt.decode(desk.entra.access_token(KEN), options={"verify_signature": False})
    return desk.entra.key.sign(good | claims)


async def refusal(desk: Desk, path: str = DEVICES, method: str = "GET") -> tuple[int, str, str]:
    """Status, code and the innermost message."""
    answer = await desk.graph.request(method, path)
    error = answer.json()["error"]
    assert set(error["innerError"]) == {"date", "request-id", "client-request-id"}
    inner = unwrapped(answer.json())
    return answer.status_code, error["code"], inner.get("message", inner.get("Message"))


async def test_without_a_token_graph_says_where_to_get_one(desk: Desk) -> None:
    del desk.graph.headers["Authorization"]

    answer = await desk.graph.get(DEVICES)

    assert answer.json()["error"]["code"] == "InvalidAuthenticationToken"
    assert answer.headers["www-authenticate"].startswith('Bearer realm="", authorization_uri=')
    assert "insufficient_claims" not in answer.headers["www-authenticate"]
    assert desk.journal.calls[-1].bearer.kind == "none"


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"aud": "https://management.azure.com"}, "Invalid audience"),
        ({"tid": OTHER_TENANT_ID}, "Invalid tenant"),
        ({"exp": 1}, "expired"),
        ({"exp": "never"}, "expired"),
        ({"nbf": 99999999999}, "not yet valid"),
    ],
)
async def test_a_token_for_something_else_is_refused(desk: Desk, claims: Any, message: str) -> None:
    desk.carry(changed(desk, **claims))

    status, code, said = await refusal(desk)

    assert (status, code) == (401, "InvalidAuthenticationToken")
    assert message in said
    assert desk.journal.calls[-1].bearer.kind == "unknown"


async def test_a_token_of_the_other_tenant_is_refused(desk: Desk) -> None:
    desk.carry(desk.entra.access_token(KEN_AT_FABRIKAM))

    assert (await refusal(desk))[0] == 401


async def test_a_token_that_entra_did_not_sign_is_refused(desk: Desk) -> None:
    claims = jwt.decode(desk.entra.access_token(KEN), options={"verify_signature": False})
    for token in (SigningKey.fresh("stranger").sign(claims), jwt.encode(claims, None, "none"), "not.a.jwt"):
        desk.carry(token)
        assert (await refusal(desk))[:2] == (401, "InvalidAuthenticationToken")


async def test_a_token_expires_on_the_clock_of_the_sandbox(desk: Desk) -> None:
    desk.carry(desk.entra.access_token(KEN, lifetime=timedelta(minutes=60)))

    desk.hands.advance(timedelta(minutes=60) - timedelta(seconds=1))
    assert (await desk.graph.get(DEVICES)).status_code == 200
    desk.hands.advance(timedelta(seconds=1))
    assert (await desk.graph.get(DEVICES)).status_code == 401


async def test_reading_and_resetting_need_their_own_permissions(desk: Desk) -> None:
    desk.carry(desk.entra.access_token(KEN, permissions=[READ]))
    reset = await refusal(desk, RESET_IPHONE, "POST")
    desk.carry(desk.entra.access_token(KEN, permissions=[PRIVILEGED]))
    read = await refusal(desk)

    assert reset[:2] == read[:2] == (403, "Forbidden")
    assert f"must have one of the following scopes: {PRIVILEGED}" in reset[2]
    assert READ in read[2]
    assert (await desk.graph.get("users/ada@contoso.com")).json()["error"]["code"] == (
        "Authorization_RequestDenied"
    )
    assert desk.intune.resets == []


async def test_a_person_without_the_role_reads_nothing_and_no_sign_in_cures_that(desk: Desk) -> None:
    """Intune answers 401 here, without a challenge: whoever signs in again and again never gets further."""
    desk.carry(desk.entra.access_token(MEI))

    answer = await desk.graph.get(DEVICES)

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UnknownError")
    assert json.loads(answer.json()["error"]["message"])["ErrorCode"] == "Forbidden"
    assert "not authorized" in unwrapped(answer.json())["Message"]
    assert "www-authenticate" not in answer.headers


async def test_a_person_without_the_role_resets_nothing(desk: Desk) -> None:
    desk.carry(desk.entra.access_token(MEI))

    status, code, said = await refusal(desk, RESET_IPHONE, "POST")

    assert (status, code) == (403, "Forbidden")
    assert said.startswith("User is not authorized to perform this operation")
    assert desk.intune.resets == []


async def test_a_role_can_be_given_and_taken_while_it_runs(desk: Desk) -> None:
    desk.intune.set_role(KEN, False)
    taken = (await desk.graph.post(RESET_IPHONE)).status_code
    desk.intune.set_role(KEN, True)
    given = (await desk.graph.post(RESET_IPHONE)).status_code

    assert (taken, given) == (403, 204)
    with pytest.raises(KeyError):
        desk.intune.set_role(KEN_AT_FABRIKAM, True)


async def test_an_application_alone_resets_and_reads_nothing(desk: Desk) -> None:
    desk.carry(desk.entra.app_only_token())

    assert (await refusal(desk, RESET_IPHONE, "POST"))[:2] == (403, "Forbidden")
    assert (await refusal(desk))[:2] == (403, "Forbidden")
    assert (await refusal(desk, "me"))[0] == 400
    assert desk.intune.resets == []
    assert desk.journal.calls[-1].bearer.who == "the application alone"


async def test_an_application_alone_gains_nothing_by_a_scope_in_its_token(desk: Desk) -> None:
    desk.carry(changed(desk, idtyp="app"))

    assert (await refusal(desk, RESET_IPHONE, "POST"))[:2] == (403, "Forbidden")
    assert desk.intune.resets == []


async def test_demanded_claims_are_base64_in_the_challenge_and_concern_one_account(desk: Desk) -> None:
    desk.intune.demand_claims(KEN, STEP_UP)

    answer = await desk.graph.post(RESET_IPHONE)

    header = answer.headers["www-authenticate"]
    encoded = header.partition('claims="')[2].rstrip('"')
    assert answer.status_code == 401
    assert 'error="insufficient_claims"' in header
    assert json.loads(base64.b64decode(encoded)) == json.loads(STEP_UP)
    desk.carry(desk.entra.access_token(KEN, claims=STEP_UP))
    assert (await desk.graph.post(RESET_IPHONE)).status_code == 204
    desk.carry(desk.entra.access_token(AIKO))
    assert (await desk.graph.post(RESET_IPHONE)).status_code == 204


async def test_every_answer_carries_ids_a_date_and_the_callers_own_id(desk: Desk) -> None:
    answer = await desk.graph.get(DEVICES, headers={"client-request-id": "mine"})
    refused = await desk.graph.get(f"{DEVICES}/{TENANT_ID}", headers={"client-request-id": "mine"})

    assert answer.headers["client-request-id"] == refused.headers["client-request-id"] == "mine"
    assert answer.headers["date"] == "Mon, 23 Nov 2026 10:00:00 GMT"
    inner = refused.json()["error"]["innerError"]
    assert inner["client-request-id"] == "mine"
    assert inner["request-id"] == refused.headers["request-id"]
    assert inner["date"] == "2026-11-23T10:00:00"
