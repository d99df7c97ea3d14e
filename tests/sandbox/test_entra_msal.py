"""MSAL against the sandbox's Entra: the whole flow, refresh, revocation, step-up."""

import base64
import json
from datetime import UTC, datetime, timedelta

import httpx
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from microsoft_desk import (
    AIKO,
    IPHONE,
    KEN,
    KEN_AT_FABRIKAM,
    MEI,
    REDIRECT,
    SCOPES,
    STEP_UP,
    Desk,
    authorize_url,
    pkce,
)
from sandbox.cast import CLIENT_ID, TENANT_ID
from sandbox.clock import SystemClock


@pytest.fixture
def desk() -> Desk:
    return Desk(token_of=None)


def test_msal_signs_a_person_in_and_graph_knows_whose_token_it_is(desk: Desk) -> None:
    result = desk.sign_in(desk.msal())

    assert result["id_token_claims"]["oid"] == KEN
    assert result["id_token_claims"]["tid"] == TENANT_ID
    assert result["id_token_claims"]["aud"] == CLIENT_ID
    assert result["id_token_claims"]["iss"] == f"https://login.microsoftonline.com/{TENANT_ID}/v2.0"
    assert result["id_token_claims"]["email"] == "ken@contoso.com"
    assert set(SCOPES) <= set(result["scope"].split())
    graph = desk.browser.get(
        f"/graph/v1.0/deviceManagement/managedDevices/{IPHONE}",
        headers={"Authorization": f"Bearer {result['access_token']}"},
    )
    assert graph.status_code == 200
    assert desk.journal.calls[-1].bearer.who == "Ken Ito"


def test_the_access_token_names_the_person_and_lasts_60_to_90_minutes(desk: Desk) -> None:
    result = desk.sign_in(desk.msal())

    claims = jwt.decode(
        result["access_token"],
        jwt.PyJWK(desk.browser.get(f"/entra/{TENANT_ID}/discovery/v2.0/keys").json()["keys"][0]),
        algorithms=["RS256"],
        audience="https://graph.microsoft.com",
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )
    assert claims["upn"] == "ken@contoso.com"
    assert claims["xms_cc"] == ["CP1"]
    assert "DeviceManagementManagedDevices.PrivilegedOperations.All" in claims["scp"].split()
    assert 3600 <= claims["exp"] - claims["iat"] <= 5400


def test_a_silent_token_comes_from_the_cache_until_it_is_old_and_then_from_the_refresh_token(
    desk: Desk,
) -> None:
    app = desk.msal()
    first = desk.sign_in(app)
    [account] = app.get_accounts()
    asked_before = len(desk.journal.calls)

    cached = app.acquire_token_silent(SCOPES, account)
    renewed = app.acquire_token_silent(SCOPES, account, force_refresh=True)

    assert cached["access_token"] == first["access_token"]
    assert renewed["access_token"] != first["access_token"]
    assert [call.note for call in list(desk.journal.calls)[asked_before:]] == ["refresh"]


def test_a_certificate_signs_in_as_well_as_a_secret() -> None:
    desk = Desk(token_of=None, clock=SystemClock())  # MSAL dates its assertion by the real time
    result = desk.sign_in(desk.msal(client_credential=_certificate()))

    assert result["id_token_claims"]["oid"] == KEN


def test_after_a_revocation_msal_says_that_the_person_has_to_sign_in(desk: Desk) -> None:
    app = desk.msal()
    desk.sign_in(app)
    desk.entra.revoke(KEN)

    refused = app.acquire_token_silent_with_error(SCOPES, app.get_accounts()[0], force_refresh=True)

    assert refused["error"] == "invalid_grant"
    assert refused["error_codes"] == [50173]
    assert desk.sign_in(desk.msal())["access_token"]


def test_a_revoked_session_is_challenged_at_graph_until_the_person_signs_in_again(desk: Desk) -> None:
    app = desk.msal()
    token = desk.sign_in(app)["access_token"]
    desk.intune.revoke_session(KEN)

    challenged = _devices(desk, token)
    claims = _challenge(challenged.headers["www-authenticate"])
    refused = app.acquire_token_silent_with_error(SCOPES, app.get_accounts()[0], claims_challenge=claims)
    again = desk.sign_in(desk.msal(), claims_challenge=claims)["access_token"]

    assert challenged.status_code == 401
    assert refused["error_codes"] == [50173]
    assert _devices(desk, again).status_code == 200
    assert _devices(desk, token).status_code == 401


def test_a_client_without_the_capability_is_not_challenged(desk: Desk) -> None:
    token = desk.sign_in(desk.msal(client_capabilities=None))["access_token"]

    desk.intune.revoke_session(KEN)

    assert _devices(desk, token).status_code == 200


def test_claims_that_graph_demands_need_a_person_and_then_a_token_with_them_is_enough(desk: Desk) -> None:
    app = desk.msal()
    token = desk.sign_in(app)["access_token"]
    desk.intune.demand_claims(KEN, STEP_UP)

    claims = _challenge(_devices(desk, token).headers["www-authenticate"])
    silent = app.acquire_token_silent_with_error(SCOPES, app.get_accounts()[0], claims_challenge=claims)
    better = desk.sign_in(app, claims_challenge=claims)["access_token"]
    renewed = app.acquire_token_silent(SCOPES, app.get_accounts()[0], force_refresh=True)["access_token"]

    assert json.loads(claims) == json.loads(STEP_UP)
    assert silent["error_codes"] == [50076]
    assert json.loads(silent["claims"])["access_token"]["acrs"]["value"] == "c1"
    assert _devices(desk, better).status_code == 200
    assert _devices(desk, renewed).status_code == 200


def test_a_step_up_of_the_tenant_refuses_refreshes_until_its_claims_were_met(desk: Desk) -> None:
    app = desk.msal()
    desk.sign_in(app)
    desk.entra.require_step_up(KEN, STEP_UP)

    refused = app.acquire_token_silent_with_error(SCOPES, app.get_accounts()[0], force_refresh=True)
    desk.sign_in(app, claims_challenge=refused["claims"])
    renewed = app.acquire_token_silent_with_error(SCOPES, app.get_accounts()[0], force_refresh=True)

    assert (refused["suberror"], refused["claims"]) == ("basic_action", STEP_UP)
    assert "access_token" in renewed


def test_a_cancelled_sign_in_comes_back_as_declined(desk: Desk) -> None:
    result = desk.sign_in(desk.msal(), "nobody")

    assert result["error"] == "access_denied"
    assert result["error_description"].startswith("AADSTS65004")


def test_an_account_of_another_tenant_stays_on_the_page(desk: Desk) -> None:
    flow = desk.msal().initiate_auth_code_flow(SCOPES, REDIRECT, response_mode="form_post")

    page = desk.pick(flow["auth_uri"], KEN_AT_FABRIKAM)

    assert page.status_code == 400
    assert "AADSTS50020" in page.text
    assert "http://127.0.0.1:3000" not in page.text


def test_a_multitenant_app_gets_the_other_tenant_in_tid_and_iss(desk: Desk) -> None:
    desk.entra.multitenant = True

    claims = desk.sign_in(desk.msal(), KEN_AT_FABRIKAM)["id_token_claims"]

    assert claims["oid"] == KEN_AT_FABRIKAM
    assert claims["tid"] != TENANT_ID
    assert claims["tid"] in claims["iss"]


@pytest.mark.parametrize(
    ("claim", "value"),
    [("aud", "another-app"), ("iss", "https://evil.example/"), ("tid", "0"), ("exp", 1), ("oid", None)],
)
def test_an_id_token_can_be_tampered_with(desk: Desk, claim: str, value: object) -> None:
    desk.entra.tamper = {claim: value}

    claims = desk.sign_in(desk.msal(), AIKO)["id_token_claims"]

    assert claims.get(claim) == value


def test_msal_notices_a_nonce_of_another_flow(desk: Desk) -> None:
    desk.entra.tamper = {"nonce": "of another flow"}

    with pytest.raises(RuntimeError, match="nonce"):
        desk.sign_in(desk.msal())


def test_a_token_without_a_person_is_refused_and_counted(desk: Desk) -> None:
    result = desk.msal().acquire_token_for_client(["https://graph.microsoft.com/.default"])

    assert result["error"] == "unauthorized_client"
    assert desk.entra.app_only_attempts == 1
    assert desk.journal.calls[-1].bearer.who == "the application alone"


def test_max_age_is_answered_with_the_time_of_the_sign_in() -> None:
    desk = Desk(token_of=None, clock=SystemClock())  # MSAL compares with the real time

    result = desk.sign_in(desk.msal(), MEI, max_age=60)

    assert abs(result["id_token_claims"]["auth_time"] - desk.clock.now().timestamp()) < 60


def test_a_refresh_token_of_ninety_days_is_too_old(desk: Desk) -> None:
    app = desk.msal()
    desk.sign_in(app)
    desk.hands.advance(timedelta(days=90))

    refused = app.acquire_token_silent_with_error(SCOPES, app.get_accounts()[0], force_refresh=True)

    assert refused["error_codes"] == [70008]


def test_the_page_of_msal_and_the_page_by_hand_are_the_same(desk: Desk) -> None:
    """MSAL's request passes the strict checks; so does one written after the documentation."""
    verifier, challenge = pkce()

    form = desk.come_back(authorize_url(challenge))

    assert form["state"] == "the-state"
    assert desk.redeem(form["code"], verifier).json()["token_type"] == "Bearer"


def _devices(desk: Desk, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return desk.browser.get("/graph/v1.0/deviceManagement/managedDevices", headers=headers)


def _challenge(header: str) -> str:
    assert 'error="insufficient_claims"' in header
    return base64.b64decode(header.partition('claims="')[2].partition('"')[0]).decode()


def _certificate() -> dict[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "unlatch")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "private_key": private.decode(),
        "public_certificate": certificate.public_bytes(serialization.Encoding.PEM).decode(),
    }
