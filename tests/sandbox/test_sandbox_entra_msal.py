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
from local_microsoft import (
    AIKO,
    IPHONE,
    KEN,
    KEN_AT_FABRIKAM,
    MEI,
    SCOPES,
    STEP_UP,
    Microsoft,
)
from sandbox.cast import CLIENT_ID, TENANT_ID
from sandbox.clock import SystemClock


@pytest.fixture
def microsoft() -> Microsoft:
    return Microsoft(token_of=None)


def test_msal_signs_a_person_in_and_graph_knows_whose_token_it_is(microsoft: Microsoft) -> None:
    result = microsoft.sign_in(microsoft.msal())

    assert result["id_token_claims"]["oid"] == KEN
    assert result["id_token_claims"]["tid"] == TENANT_ID
    assert result["id_token_claims"]["aud"] == CLIENT_ID
    assert result["id_token_claims"]["iss"] == f"https://login.microsoftonline.com/{TENANT_ID}/v2.0"
    assert result["id_token_claims"]["email"] == "ken@contoso.com"
    assert set(SCOPES) <= set(result["scope"].split())
    graph = microsoft.browser.get(
        f"/graph/v1.0/deviceManagement/managedDevices/{IPHONE}",
        headers={"Authorization": f"Bearer {result['access_token']}"},
    )
    assert graph.status_code == 200
    assert microsoft.journal.calls[-1].bearer.who == "Ken Ito"


def test_the_access_token_names_the_person_and_lasts_60_to_90_minutes(microsoft: Microsoft) -> None:
    result = microsoft.sign_in(microsoft.msal())

    claims = jwt.decode(
        result["access_token"],
        jwt.PyJWK(microsoft.browser.get(f"/entra/{TENANT_ID}/discovery/v2.0/keys").json()["keys"][0]),
        algorithms=["RS256"],
        audience="https://graph.microsoft.com",
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )
    assert claims["upn"] == "ken@contoso.com"
    assert claims["xms_cc"] == ["CP1"]
    assert "DeviceManagementManagedDevices.PrivilegedOperations.All" in claims["scp"].split()
    assert 3600 <= claims["exp"] - claims["iat"] <= 5400


def test_a_silent_token_comes_from_the_cache_until_it_is_old_and_then_from_the_refresh_token(
    microsoft: Microsoft,
) -> None:
    app = microsoft.msal()
    first = microsoft.sign_in(app)
    [account] = app.get_accounts()
    asked_before = len(microsoft.journal.calls)

    cached = app.acquire_token_silent(SCOPES, account)
    renewed = app.acquire_token_silent(SCOPES, account, force_refresh=True)

    assert cached["access_token"] == first["access_token"]
    assert renewed["access_token"] != first["access_token"]
    assert [call.note for call in list(microsoft.journal.calls)[asked_before:]] == ["refresh"]


def test_a_certificate_signs_in_as_well_as_a_secret() -> None:
    microsoft = Microsoft(token_of=None, clock=SystemClock())  # MSAL dates its assertion by the real time
    result = microsoft.sign_in(microsoft.msal(client_credential=_certificate()))

    assert result["id_token_claims"]["oid"] == KEN


def test_a_revoked_session_is_challenged_at_graph_until_the_person_signs_in_again(
    microsoft: Microsoft,
) -> None:
    app = microsoft.msal()
    token = microsoft.sign_in(app)["access_token"]
    microsoft.intune.revoke_session(KEN)

    challenged = _devices(microsoft, token)
    claims = _challenge(challenged.headers["www-authenticate"])
    refused = app.acquire_token_silent_with_error(SCOPES, app.get_accounts()[0], claims_challenge=claims)
    again = microsoft.sign_in(microsoft.msal(), claims_challenge=claims)["access_token"]

    assert challenged.status_code == 401
    assert refused["error_codes"] == [50173]
    assert _devices(microsoft, again).status_code == 200
    assert _devices(microsoft, token).status_code == 401


def test_a_client_without_the_capability_is_not_challenged(microsoft: Microsoft) -> None:
    token = microsoft.sign_in(microsoft.msal(client_capabilities=None))["access_token"]

    microsoft.intune.revoke_session(KEN)

    assert _devices(microsoft, token).status_code == 200


def test_claims_that_graph_demands_need_a_person_and_then_a_token_with_them_is_enough(
    microsoft: Microsoft,
) -> None:
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


def test_a_step_up_of_the_tenant_refuses_refreshes_until_its_claims_were_met(microsoft: Microsoft) -> None:
    app = microsoft.msal()
    microsoft.sign_in(app)
    microsoft.entra.require_step_up(KEN, STEP_UP)

    refused = app.acquire_token_silent_with_error(SCOPES, app.get_accounts()[0], force_refresh=True)
    microsoft.sign_in(app, claims_challenge=refused["claims"])
    renewed = app.acquire_token_silent_with_error(SCOPES, app.get_accounts()[0], force_refresh=True)

    assert (refused["suberror"], refused["claims"]) == ("basic_action", STEP_UP)
    assert "access_token" in renewed


def test_a_cancelled_sign_in_comes_back_as_declined(microsoft: Microsoft) -> None:
    result = microsoft.sign_in(microsoft.msal(), "nobody")

    assert result["error"] == "access_denied"
    assert result["error_description"].startswith("AADSTS65004")


def test_a_multitenant_app_gets_the_other_tenant_in_tid_and_iss(microsoft: Microsoft) -> None:
    microsoft.entra.multitenant = True

    claims = microsoft.sign_in(microsoft.msal(), KEN_AT_FABRIKAM)["id_token_claims"]

    assert claims["oid"] == KEN_AT_FABRIKAM
    assert claims["tid"] != TENANT_ID
    assert claims["tid"] in claims["iss"]


@pytest.mark.parametrize(
    ("claim", "value"),
    [("aud", "another-app"), ("iss", "https://evil.example/"), ("tid", "0"), ("exp", 1), ("oid", None)],
)
def test_an_id_token_can_be_tampered_with(microsoft: Microsoft, claim: str, value: object) -> None:
    microsoft.entra.tamper = {claim: value}

    claims = microsoft.sign_in(microsoft.msal(), AIKO)["id_token_claims"]

    assert claims.get(claim) == value


def test_msal_notices_a_nonce_of_another_flow(microsoft: Microsoft) -> None:
    microsoft.entra.tamper = {"nonce": "of another flow"}

    with pytest.raises(RuntimeError, match="nonce"):
        microsoft.sign_in(microsoft.msal())


def test_a_token_without_a_person_is_refused_and_counted(microsoft: Microsoft) -> None:
    result = microsoft.msal().acquire_token_for_client(["https://graph.microsoft.com/.default"])

    assert result["error"] == "unauthorized_client"
    assert microsoft.entra.app_only_attempts == 1
    assert microsoft.journal.calls[-1].bearer.who == "the application alone"


def test_max_age_is_answered_with_the_time_of_the_sign_in() -> None:
    microsoft = Microsoft(token_of=None, clock=SystemClock())  # MSAL compares with the real time

    result = microsoft.sign_in(microsoft.msal(), MEI, max_age=60)

    assert abs(result["id_token_claims"]["auth_time"] - microsoft.clock.now().timestamp()) < 60


def test_a_refresh_token_of_ninety_days_is_too_old(microsoft: Microsoft) -> None:
    app = microsoft.msal()
    microsoft.sign_in(app)
    microsoft.hands.advance(timedelta(days=90))

    refused = app.acquire_token_silent_with_error(SCOPES, app.get_accounts()[0], force_refresh=True)

    assert refused["error_codes"] == [70008]


def _devices(microsoft: Microsoft, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return microsoft.browser.get("/graph/v1.0/deviceManagement/managedDevices", headers=headers)


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
