"""MSAL against the sandbox's Entra: the whole flow, refresh, revocation, step-up."""

import base64
import json

import httpx
from local_microsoft import KEN, SCOPES, STEP_UP, Microsoft
from sandbox.cast import CLIENT_ID, TENANT_ID


def test_msal_signs_a_person_in_and_graph_knows_whose_token_it_is(microsoft):
    result = microsoft.sign_in(microsoft.msal())

    claims = result["id_token_claims"]
    assert (claims["oid"], claims["tid"], claims["aud"]) == (KEN, TENANT_ID, CLIENT_ID)
    assert claims["iss"] == f"https://login.microsoftonline.com/{TENANT_ID}/v2.0"
    assert claims["email"] == "ken@contoso.com"
    assert set(SCOPES) <= set(result["scope"].split())
    assert _devices(microsoft, result["access_token"]).status_code == 200
    assert microsoft.journal.calls[-1].bearer.who == "Ken Ito"


def test_a_revoked_session_is_challenged_at_graph_until_the_person_signs_in_again(microsoft):
    app = microsoft.msal()
    token = microsoft.sign_in(app)["access_token"]
    incapable = microsoft.sign_in(microsoft.msal(client_capabilities=None))["access_token"]
    microsoft.intune.revoke_session(KEN)

    challenged = _devices(microsoft, token)
    claims = _challenge(challenged.headers["www-authenticate"])
    refused = app.acquire_token_silent_with_error(SCOPES, app.get_accounts()[0], claims_challenge=claims)
    again = microsoft.sign_in(microsoft.msal(), claims_challenge=claims)["access_token"]

    assert challenged.status_code == 401
    assert refused["error_codes"] == [50173]
    assert _devices(microsoft, again).status_code == 200
    assert _devices(microsoft, token).status_code == 401
    assert _devices(microsoft, incapable).status_code == 200, "without the capability there is no challenge"


def test_claims_that_graph_demands_need_a_person_and_then_a_token_with_them_is_enough(microsoft):
    app = microsoft.msal()
    token = microsoft.sign_in(app)["access_token"]
    microsoft.intune.demand_claims(KEN, STEP_UP)

    claims = _challenge(_devices(microsoft, token).headers["www-authenticate"])
    silent = app.acquire_token_silent_with_error(SCOPES, app.get_accounts()[0], claims_challenge=claims)
    better = microsoft.sign_in(app, claims_challenge=claims)["access_token"]
    renewed = app.acquire_token_silent(SCOPES, app.get_accounts()[0], force_refresh=True)["access_token"]

    assert json.loads(claims) == json.loads(STEP_UP)
    assert silent["error_codes"] == [50076]
    assert json.loads(silent["claims"])["access_token"]["acrs"]["value"] == "c1"
    assert _devices(microsoft, better).status_code == 200
    assert _devices(microsoft, renewed).status_code == 200


def test_a_step_up_of_the_tenant_refuses_refreshes_until_its_claims_were_met(microsoft):
    app = microsoft.msal()
    microsoft.sign_in(app)
    microsoft.entra.require_step_up(KEN, STEP_UP)

    refused = app.acquire_token_silent_with_error(SCOPES, app.get_accounts()[0], force_refresh=True)
    microsoft.sign_in(app, claims_challenge=refused["claims"])
    renewed = app.acquire_token_silent_with_error(SCOPES, app.get_accounts()[0], force_refresh=True)

    assert (refused["suberror"], refused["claims"]) == ("basic_action", STEP_UP)
    assert "access_token" in renewed


def test_a_cancelled_sign_in_comes_back_as_declined(microsoft):
    result = microsoft.sign_in(microsoft.msal(), "nobody")

    assert (result["error"], result["error_description"][:11]) == ("access_denied", "AADSTS65004")


def _devices(microsoft: Microsoft, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return microsoft.browser.get("/graph/v1.0/deviceManagement/managedDevices", headers=headers)


def _challenge(header: str) -> str:
    assert 'error="insufficient_claims"' in header
    return base64.b64decode(header.partition('claims="')[2].partition('"')[0]).decode()
