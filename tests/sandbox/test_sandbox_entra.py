"""Entra: what its page and its token endpoint refuse, the shape of what they answer, and MSAL against it."""

import base64
from datetime import timedelta

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from sandbox.cast import CLIENT_ID, OTHER_TENANT_ID, TENANT_ID
from sandbox.entra.authority import CAPABLE, EXCHANGE, FederatedCredential
from tests.sandbox.conftest import REDIRECT, RESET, SCOPES, STEP_UP, Microsoft, authorize_url, pkce
from tests.support.user_actions import KEN_ACCOUNT

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def a_code(microsoft: Microsoft, oid: str = KEN_ACCOUNT, **changes: str) -> tuple[str, str]:
    verifier, challenge = pkce()
    page = authorize_url(challenge, response_mode="form_post", **changes)
    return microsoft.come_back(page, oid)["code"], verifier


def code_of(answer: httpx.Response) -> int | None:
    """The AADSTS number of an answer; None if it gave tokens."""
    return answer.json().get("error_codes", [None])[0]


def test_without_openid_and_offline_access_there_is_an_access_token_alone(microsoft):
    tokens = microsoft.redeem(*a_code(microsoft, scope=RESET)).json()
    assert {"access_token", "id_token", "refresh_token"} & set(tokens) == {"access_token"}


@pytest.mark.parametrize(("claims", "hours"), [("", (1, 1.5)), (CAPABLE, (20, 28))], ids=["plain", "CP1"])
def test_the_token_of_a_client_that_takes_challenges_lives_for_a_day(microsoft, claims, hours):
    tokens = microsoft.redeem(*a_code(microsoft), claims=claims).json()
    assert hours[0] <= tokens["expires_in"] / 3600 < hours[1]


def test_an_error_response_has_every_field_of_entras(microsoft):
    answer = microsoft.token({"grant_type": "refresh_token"}, **{"client-request-id": "mine"})
    body = answer.json()
    assert body["error_description"].startswith("AADSTS900144: ")
    assert f"Trace ID: {body['trace_id']}" in body["error_description"]
    assert body["correlation_id"] == answer.headers["client-request-id"] == "mine"


def test_a_code_works_once_and_for_ten_minutes(microsoft):
    late, early = a_code(microsoft), a_code(microsoft)
    microsoft.clock.advance(timedelta(minutes=10) - timedelta(seconds=1))
    assert [code_of(microsoft.redeem(*early)) for _ in range(2)] == [None, 54005]
    microsoft.clock.advance(timedelta(seconds=1))
    assert code_of(microsoft.redeem(*late)) == 70008


TOKEN_ENDPOINT = [
    *(({"client_secret": "wrong"}, 401, 7000215), ({"client_secret": ""}, 401, 7000218)),
    *(({name: ""}, 400, 900144) for name in ("client_id", "code", "code_verifier", "grant_type")),
    ({"client_id": "another"}, 400, 700016),
    *(({"redirect_uri": "http://127.0.0.1:3000/elsewhere"}, 400, 70000), ({"code": "invented"}, 400, 70000)),
    ({"code_verifier": pkce()[0]}, 400, 501481),
    *(
        ({"grant_type": kind}, 400, 70003)
        for kind in ("password", "urn:ietf:params:oauth:grant-type:device_code")
    ),
    ({"grant_type": "client_credentials", "scope": RESET}, 400, 70011),
    ({"grant_type": "refresh_token", "refresh_token": "invented"}, 400, 70000),
    *(({"scope": RESET}, 400, 65001), ({"scope": "Mail.Send"}, 400, 650053)),
    *(({"claims": "eyJhIjp7fX0="}, 400, 9002313), ({"claims": STEP_UP}, 400, 50076)),
]


@pytest.mark.parametrize(("changes", "status", "code"), TOKEN_ENDPOINT)
def test_strictness_of_the_token_endpoint(microsoft, changes, status, code):
    answer = microsoft.redeem(*a_code(microsoft), **changes)
    assert (answer.status_code, code_of(answer)) == (status, code)


def test_e01_a_policy_answers_a_code_with_claims_until_a_sign_in_carries_them(microsoft):
    microsoft.entra.policy = STEP_UP
    refused = microsoft.redeem(*a_code(microsoft))
    assert (code_of(refused), refused.json()["claims"]) == (50076, STEP_UP)
    assert code_of(microsoft.redeem(*a_code(microsoft, claims=refused.json()["claims"]))) is None


FEDERATED = {"iss": "https://cluster.example", "sub": "system:serviceaccount:unlatch:unlatch"}
FEDERATED |= {"aud": EXCHANGE, "jti": None, "x5t": None}
ASSERTIONS = [
    *(({}, None), ({"aud": "https://login.microsoftonline.com/elsewhere"}, 700023), ({"x5t": None}, 5002723)),
    *(
        ({"sub": "another"}, 700030),
        ({"jti": None}, 700030),
        ({"exp": 1}, 700024),
        ({"exp": 99999999999}, 700024),
    ),
    *((FEDERATED, None), (FEDERATED | {"exp": 1}, 700024), (FEDERATED | {"aud": "api://another"}, 700212)),
    (FEDERATED | {"iss": "https://elsewhere"}, 700211),
    (FEDERATED | {"sub": "system:serviceaccount:default:another"}, 700213),
    (FEDERATED | {"key": rsa.generate_private_key(public_exponent=65537, key_size=2048)}, 50013),
]


@pytest.mark.parametrize(("changes", "code"), ASSERTIONS)
def test_an_assertion_must_be_the_apps_with_a_certificate_or_of_the_issuer_that_the_app_trusts(
    microsoft, changes, code
):
    audience = f"https://127.0.0.1:8080/entra/{TENANT_ID}/oauth2/v2.0/token"
    good = {"iss": CLIENT_ID, "sub": CLIENT_ID, "aud": audience, "jti": "once", "x5t": "thumb", "key": KEY}
    good["exp"] = int(microsoft.clock.now().timestamp()) + 600
    claims = {name: value for name, value in (good | changes).items() if value is not None}
    header, key = {"x5t": claims.pop("x5t")} if "x5t" in claims else {}, claims.pop("key")
    microsoft.entra.federated = FederatedCredential(FEDERATED["iss"], FEDERATED["sub"], KEY.public_key())
    form = {"client_assertion": jwt.encode(claims, key, algorithm="RS256", headers=header)}
    form["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert code_of(microsoft.redeem(*a_code(microsoft), client_secret="", **form)) == code


def page(microsoft: Microsoft, **changes: str) -> httpx.Response:
    return microsoft.browser.get(authorize_url(pkce()[1], **changes))


def test_the_page_runs_no_script_and_posts_to_the_app_only(microsoft):
    shown = page(microsoft, scope='openid "><script>alert(1)</script>')
    assert "<script" not in shown.text
    policy = page(microsoft).headers["content-security-policy"]
    for rule in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'self' http://127.0.0.1:3000;"):
        assert rule in policy


# Where the redirect URI is not known to be the app's, the error stays on the page; else it goes to the app.
INVALID = {"response_mode": "fragment", "code_challenge": "short", "prompt": "whatever", "max_age": "soon"}
PAGE = [
    ({"client_id": "00000000-0000-4000-8000-000000000000"}, None, 700016),
    *(({name: ""}, None, 900144) for name in ("client_id", "redirect_uri")),
    *(({"redirect_uri": uri}, None, 50011) for uri in (f"{REDIRECT}/", "http://evil.example/callback")),
    *(({"tenant": tenant}, None, 90002) for tenant in ("not-a-tenant", OTHER_TENANT_ID)),
    ({"response_type": "token"}, "unsupported_response_type", 700051),
    *(({name: ""}, "invalid_request", 900144) for name in ("scope", "code_challenge", "state", "nonce")),
    ({"scope": "openid https://vault.azure.net/.default"}, "invalid_scope", 70011),
    ({"scope": "DeviceManagementManagedDevices.PriviligedOperation.All"}, "invalid_client", 650053),
    ({"scope": "DeviceManagementManagedDevices.ReadWrite.All"}, "invalid_grant", 65001),
    *(({name: odd}, "invalid_request", 9002313) for name, odd in INVALID.items()),
    *(({"code_challenge_method": method}, "invalid_request", 9002313) for method in ("plain", "")),
    ({"prompt": "none"}, "login_required", 50058),
    ({"claims": "eyJhY2Nlc3NfdG9rZW4iOnt9fQ=="}, "invalid_request", 9002313),
]


@pytest.mark.parametrize(("changes", "error", "code"), PAGE)
def test_strictness_of_the_page(microsoft, changes, error, code):
    answer = page(microsoft, **changes)
    if error is None:
        assert (answer.status_code, f"AADSTS{code}:" in answer.text) == (400, True)
    else:
        back = httpx.URL(answer.headers["location"])
        assert (answer.status_code, str(back).startswith(REDIRECT)) == (303, True)
        assert back.params["error"] == error
        assert back.params["error_description"].startswith(f"AADSTS{code}:")


def test_a_parameter_given_twice_is_refused(microsoft):
    answer = microsoft.browser.get(authorize_url(pkce()[1]) + "&state=another")
    assert (answer.status_code, "AADSTS9002313" in answer.text) == (400, True)


def test_no_code_state_or_token_reaches_the_journal(microsoft):
    code, verifier = a_code(microsoft)
    tokens = microsoft.redeem(code, verifier).json()
    written = repr(microsoft.journal.calls)
    assert "Ken Ito signed in" in written
    for secret in (code, "the-state", verifier, tokens["access_token"], tokens["refresh_token"]):
        assert secret not in written


def test_a_revoked_session_is_challenged_at_graph_until_the_person_signs_in_again(microsoft):
    app = microsoft.msal()
    token = microsoft.sign_in(app)["access_token"]
    incapable = microsoft.sign_in(microsoft.msal(client_capabilities=None))["access_token"]
    microsoft.intune.revoke_session(KEN_ACCOUNT)
    challenged = _devices(microsoft, token)
    header = challenged.headers["www-authenticate"]
    claims = base64.b64decode(header.partition('claims="')[2].partition('"')[0]).decode()
    refused = app.acquire_token_silent_with_error(SCOPES, app.get_accounts()[0], claims_challenge=claims)
    again = microsoft.sign_in(microsoft.msal(), claims_challenge=claims)["access_token"]
    assert (challenged.status_code, 'error="insufficient_claims"' in header) == (401, True)
    assert refused["error_codes"] == [50173]
    assert [_devices(microsoft, each).status_code for each in (again, token)] == [200, 401]
    assert _devices(microsoft, incapable).status_code == 200, "without the capability there is no challenge"


def test_a_cancelled_sign_in_comes_back_as_declined(microsoft):
    result = microsoft.sign_in(microsoft.msal(), "nobody")
    assert (result["error"], result["error_description"][:11]) == ("access_denied", "AADSTS65004")


def _devices(microsoft: Microsoft, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return microsoft.browser.get("/graph/v1.0/deviceManagement/managedDevices", headers=headers)
