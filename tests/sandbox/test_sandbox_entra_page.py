"""The sign-in page: what it shows, what it refuses, and where it sends the browser."""

import re
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from local_microsoft import BASE, KEN, REDIRECT, Microsoft, authorize_url, pkce
from sandbox.cast import OTHER_TENANT_ID, TENANT_ID

ACCOUNT_PAGE = f"/entra/{TENANT_ID}/oauth2/v2.0/authorize/account"


def page(microsoft: Microsoft, **changes: str) -> httpx.Response:
    return microsoft.browser.get(authorize_url(pkce()[1], **changes))


def test_the_page_offers_every_account_the_hinted_one_first_and_strangers_last(microsoft):
    text = page(microsoft, login_hint="KEN@contoso.com").text

    shown = re.findall(r'class="upn">([^<]+)<', text)
    assert shown[0] == "ken@contoso.com"
    assert [upn.endswith("@contoso.com") for upn in shown] == [True, True, True, False, False]
    assert text.count("suggested") == 1
    assert "<strong>Sandbox sign-in:</strong> no real Microsoft account" in text
    assert "Use nobody: cancel" in text


def test_the_page_runs_no_script_and_posts_to_the_app_only(microsoft):
    shown = page(microsoft, scope='openid "><script>alert(1)</script>')
    policy = page(microsoft).headers["content-security-policy"]

    assert "<script" not in shown.text
    for rule in ("default-src 'none'", "script-src 'none'", "frame-ancestors 'none'"):
        assert rule in policy
    assert "form-action 'self' http://127.0.0.1:3000;" in policy


# Where the redirect URI is not known to be the app's, the error stays on the page; else it goes to the app.
ON_THE_PAGE = [
    ({"client_id": "00000000-0000-4000-8000-000000000000"}, 700016),
    ({"client_id": ""}, 900144),
    ({"redirect_uri": f"{REDIRECT}/"}, 50011),
    ({"redirect_uri": "http://evil.example/callback"}, 50011),
    ({"redirect_uri": ""}, 900144),
    ({"tenant": "not-a-tenant"}, 90002),
    ({"tenant": OTHER_TENANT_ID}, 90002),
]
TO_THE_APP = [
    ({"response_type": "token"}, "unsupported_response_type", 700051),
    ({"response_mode": "fragment"}, "invalid_request", 9002313),
    ({"scope": ""}, "invalid_request", 900144),
    ({"scope": "openid https://vault.azure.net/.default"}, "invalid_scope", 70011),
    ({"scope": "DeviceManagementManagedDevices.PriviligedOperation.All"}, "invalid_client", 650053),
    ({"scope": "DeviceManagementManagedDevices.ReadWrite.All"}, "invalid_grant", 65001),
    ({"code_challenge": ""}, "invalid_request", 900144),
    ({"code_challenge": "short"}, "invalid_request", 9002313),
    ({"code_challenge_method": "plain"}, "invalid_request", 9002313),
    ({"code_challenge_method": ""}, "invalid_request", 9002313),
    ({"state": ""}, "invalid_request", 900144),
    ({"nonce": ""}, "invalid_request", 900144),
    ({"prompt": "whatever"}, "invalid_request", 9002313),
    ({"prompt": "none"}, "login_required", 50058),
    ({"max_age": "soon"}, "invalid_request", 9002313),
    ({"claims": "eyJhY2Nlc3NfdG9rZW4iOnt9fQ=="}, "invalid_request", 9002313),
]


@pytest.mark.parametrize(("changes", "code"), ON_THE_PAGE)
def test_strictness_on_the_page(microsoft, changes, code):
    answer = page(microsoft, **changes)

    assert (answer.status_code, answer.headers.get("location")) == (400, None)
    assert f"AADSTS{code}:" in answer.text


@pytest.mark.parametrize(("changes", "error", "code"), TO_THE_APP)
def test_strictness_towards_the_app(microsoft, changes, error, code):
    answer = page(microsoft, **changes)

    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(REDIRECT)
    assert query["error"] == [error]
    assert query["error_description"][0].startswith(f"AADSTS{code}:")


def test_a_parameter_given_twice_is_refused(microsoft):
    answer = microsoft.browser.get(authorize_url(pkce()[1]) + "&state=another")

    assert answer.status_code == 400
    assert "AADSTS9002313" in answer.text


def test_an_old_page_an_invented_page_and_an_invented_account_sign_nobody_in(microsoft):
    [key] = re.findall(r'name="flow" value="([^"]+)"', page(microsoft).text)
    microsoft.hands.advance(timedelta(minutes=30))

    old = microsoft.browser.post(ACCOUNT_PAGE, data={"flow": key, "account": KEN})
    invented = microsoft.browser.post(ACCOUNT_PAGE, data={"flow": "invented", "account": KEN})
    stranger = microsoft.pick(authorize_url(pkce()[1]), "an-invented-account")

    assert [answer.status_code for answer in (old, invented, stranger)] == [400] * 3
    assert "ask for a new sign-in link" in old.text


def test_discovery_gives_the_browser_http_and_the_client_https_of_the_same_place(microsoft):
    document = microsoft.browser.get(f"/entra/{TENANT_ID}/v2.0/.well-known/openid-configuration").json()

    assert document["issuer"] == f"https://login.microsoftonline.com/{TENANT_ID}/v2.0"
    assert document["authorization_endpoint"].startswith(f"{BASE}/entra/")
    assert document["token_endpoint"] == f"https://127.0.0.1:8080/entra/{TENANT_ID}/oauth2/v2.0/token"
    assert document["jwks_uri"].startswith("https://127.0.0.1:8080/")
    assert "device_authorization_endpoint" not in document


def test_another_tenant_exists_only_for_a_multitenant_app(microsoft):
    path = f"/entra/{OTHER_TENANT_ID}/v2.0/.well-known/openid-configuration"

    alone = microsoft.browser.get(path)
    microsoft.entra.multitenant = True

    assert (alone.status_code, alone.json()["error_codes"]) == (400, [90002])
    assert microsoft.browser.get(path).status_code == 200
    assert microsoft.browser.get("/entra/unknown/discovery/v2.0/keys").status_code == 400


def test_no_code_state_or_token_reaches_the_journal(microsoft):
    verifier, challenge = pkce()
    form = microsoft.come_back(authorize_url(challenge))
    tokens = microsoft.redeem(form["code"], verifier).json()

    written = repr(microsoft.journal.calls)

    for secret in (form["code"], "the-state", verifier, tokens["access_token"], tokens["refresh_token"]):
        assert secret not in written
    assert "Ken Ito signed in" in written


def auth_time(microsoft: Microsoft, **changes: str) -> int | None:
    """The `auth_time` of a sign-in with these parameters, in minutes since the first."""
    verifier, challenge = pkce()
    code = microsoft.come_back(authorize_url(challenge, **changes))["code"]
    token = microsoft.redeem(code, verifier).json()["id_token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    return None if "auth_time" not in claims else (claims["auth_time"] - 1795428000) // 60


def test_auth_time_tells_when_credentials_were_last_given(microsoft):
    assert auth_time(microsoft) is None  # only an app that sends max_age is told

    microsoft.hands.advance(timedelta(minutes=10))
    assert auth_time(microsoft, max_age="600") == 0
    microsoft.hands.advance(timedelta(minutes=1))
    assert auth_time(microsoft, max_age="600") == 11  # more than ten minutes ago: asked again

    microsoft.hands.advance(timedelta(minutes=1))
    assert "confirm that it is you" in page(microsoft, prompt="login").text
    assert auth_time(microsoft, max_age="600", prompt="login") == 12

    microsoft.hands.advance(timedelta(minutes=1))
    microsoft.entra.revoke(KEN)
    assert auth_time(microsoft, max_age="600") == 13
