"""The sign-in page: what it shows, what it refuses, and where it sends the browser."""

import re
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from microsoft_desk import BASE, KEN, KEN_AT_FABRIKAM, OLGA, REDIRECT, Desk, authorize_url, pkce
from sandbox.cast import OTHER_TENANT_ID, TENANT_ID


@pytest.fixture
def desk() -> Desk:
    return Desk(token_of=None)


def page(desk: Desk, **changes: str) -> httpx.Response:
    return desk.browser.get(authorize_url(pkce()[1], **changes))


def test_the_page_says_that_it_is_a_sandbox_and_offers_everybody_and_nobody(desk: Desk) -> None:
    text = page(desk).text

    assert "<strong>Sandbox sign-in:</strong> no real Microsoft account" in text
    for upn in ("mei@contoso.com", "ken@contoso.com", "aiko@contoso.com", "ken@fabrikam.com"):
        assert upn in text
    assert "Use nobody: cancel" in text


def test_the_hinted_account_comes_first_and_others_of_the_tenant_before_strangers(desk: Desk) -> None:
    text = page(desk, login_hint="KEN@contoso.com").text

    shown = re.findall(r'class="upn">([^<]+)<', text)
    assert shown[0] == "ken@contoso.com"
    assert [upn.endswith("@contoso.com") for upn in shown] == [True, True, True, False, False]
    assert text.count("suggested") == 1


def test_nothing_that_was_typed_into_the_address_becomes_markup(desk: Desk) -> None:
    text = page(desk, scope='openid "><script>alert(1)</script>').text

    assert "<script" not in text


def test_the_page_allows_no_script_and_a_form_to_the_app_only(desk: Desk) -> None:
    policy = page(desk).headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "script-src 'none'" in policy
    assert "form-action 'self' http://127.0.0.1:3000;" in policy
    assert "frame-ancestors 'none'" in policy


def test_the_form_that_goes_back_sends_itself_and_has_a_button_without_scripts(desk: Desk) -> None:
    answer = desk.pick(authorize_url(pkce()[1], response_mode="form_post"))

    assert f'action="{REDIRECT}"' in answer.text
    assert '<script src="/entra/submit.js" defer>' in answer.text
    assert ">Continue</button>" in answer.text
    assert "form-action http://127.0.0.1:3000;" in answer.headers["content-security-policy"]
    assert desk.browser.get("/entra/submit.js").headers["content-type"].startswith("text/javascript")
    assert desk.browser.get("/entra/sign-in.css").headers["content-type"].startswith("text/css")


def test_a_query_answer_keeps_the_query_of_the_redirect_uri(desk: Desk) -> None:
    desk.entra.redirect_uris.append(f"{REDIRECT}?kept=1")

    location = desk.pick(authorize_url(pkce()[1], redirect_uri=f"{REDIRECT}?kept=1")).headers["location"]

    query = parse_qs(urlsplit(location).query)
    assert query["kept"] == ["1"]
    assert query["state"] == ["the-state"]
    assert query["code"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"client_id": "00000000-0000-4000-8000-000000000000"}, "AADSTS700016"),
        ({"client_id": ""}, "AADSTS900144"),
        ({"redirect_uri": "http://127.0.0.1:3000/sign-in/callback/"}, "AADSTS50011"),
        ({"redirect_uri": "http://evil.example/callback"}, "AADSTS50011"),
        ({"redirect_uri": ""}, "AADSTS900144"),
        ({"tenant": "not-a-tenant"}, "AADSTS90002"),
        ({"tenant": OTHER_TENANT_ID}, "AADSTS90002"),
    ],
)
def test_a_request_that_may_not_be_the_apps_stays_on_the_page(
    desk: Desk, changes: dict[str, str], code: str
) -> None:
    answer = page(desk, **changes)

    assert answer.status_code == 400
    assert code in answer.text
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"response_type": "token"}, "unsupported_response_type", "AADSTS700051"),
        ({"response_mode": "fragment"}, "invalid_request", "AADSTS9002313"),
        ({"scope": ""}, "invalid_request", "AADSTS900144"),
        ({"scope": "openid https://vault.azure.net/.default"}, "invalid_scope", "AADSTS70011"),
        (
            {"scope": "DeviceManagementManagedDevices.PriviligedOperation.All"},
            "invalid_client",
            "AADSTS650053",
        ),
        ({"scope": "DeviceManagementManagedDevices.ReadWrite.All"}, "invalid_grant", "AADSTS65001"),
        ({"code_challenge": ""}, "invalid_request", "AADSTS900144"),
        ({"code_challenge": "short"}, "invalid_request", "AADSTS9002313"),
        ({"code_challenge_method": "plain"}, "invalid_request", "AADSTS9002313"),
        ({"code_challenge_method": ""}, "invalid_request", "AADSTS9002313"),
        ({"state": ""}, "invalid_request", "AADSTS900144"),
        ({"nonce": ""}, "invalid_request", "AADSTS900144"),
        ({"prompt": "whatever"}, "invalid_request", "AADSTS9002313"),
        ({"prompt": "none"}, "login_required", "AADSTS50058"),
        ({"max_age": "soon"}, "invalid_request", "AADSTS9002313"),
        ({"claims": "eyJhY2Nlc3NfdG9rZW4iOnt9fQ=="}, "invalid_request", "AADSTS9002313"),
    ],
)
def test_a_wrong_request_of_the_app_goes_back_to_it(
    desk: Desk, changes: dict[str, str], error: str, code: str
) -> None:
    answer = page(desk, **changes)

    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(REDIRECT)
    assert query["error"] == [error]
    assert query["error_description"][0].startswith(code)


def test_a_parameter_given_twice_is_refused(desk: Desk) -> None:
    answer = desk.browser.get(authorize_url(pkce()[1]) + "&state=another")

    assert answer.status_code == 400
    assert "AADSTS9002313" in answer.text


def test_after_a_refused_account_another_can_be_picked(desk: Desk) -> None:
    refused = desk.pick(authorize_url(pkce()[1]), OLGA)
    [again] = re.findall(r'class="again" href="([^"]+)"', refused.text)

    page_again = desk.browser.get(again)

    assert refused.status_code == 400
    assert "AADSTS50020" in refused.text
    assert "Pick an account" in page_again.text
    assert [call.note for call in desk.journal.calls][1] == "AADSTS50020 olga@fabrikam.com"


def test_a_page_left_open_too_long_asks_to_start_again(desk: Desk) -> None:
    shown = page(desk)
    [key] = re.findall(r'name="flow" value="([^"]+)"', shown.text)
    desk.hands.advance(timedelta(minutes=30))

    path = f"/entra/{TENANT_ID}/oauth2/v2.0/authorize/account"
    answer = desk.browser.post(path, data={"flow": key, "account": KEN})

    assert answer.status_code == 400
    assert "ask for a new sign-in link" in answer.text


def test_an_invented_page_or_account_signs_nobody_in(desk: Desk) -> None:
    path = f"/entra/{TENANT_ID}/oauth2/v2.0/authorize/account"

    assert desk.browser.post(path, data={"flow": "invented", "account": KEN}).status_code == 400
    assert desk.pick(authorize_url(pkce()[1]), "an-invented-account").status_code == 400


def test_discovery_gives_the_browser_http_and_the_client_https_of_the_same_place(desk: Desk) -> None:
    document = desk.browser.get(f"/entra/{TENANT_ID}/v2.0/.well-known/openid-configuration").json()

    assert document["issuer"] == f"https://login.microsoftonline.com/{TENANT_ID}/v2.0"
    assert document["authorization_endpoint"].startswith(f"{BASE}/entra/")
    assert document["token_endpoint"] == f"https://127.0.0.1:8080/entra/{TENANT_ID}/oauth2/v2.0/token"
    assert document["jwks_uri"].startswith("https://127.0.0.1:8080/")


def test_an_unknown_tenant_has_no_discovery_and_no_keys(desk: Desk) -> None:
    answer = desk.browser.get("/entra/unknown/v2.0/.well-known/openid-configuration")

    assert answer.status_code == 400
    assert answer.json()["error_codes"] == [90002]
    assert desk.browser.get("/entra/unknown/discovery/v2.0/keys").status_code == 400


def test_the_other_tenant_exists_only_for_a_multitenant_app(desk: Desk) -> None:
    path = f"/entra/{OTHER_TENANT_ID}/v2.0/.well-known/openid-configuration"

    alone = desk.browser.get(path).status_code
    desk.entra.multitenant = True
    shared = desk.browser.get(path).status_code

    assert (alone, shared) == (400, 200)
    assert "code" in desk.come_back(authorize_url(pkce()[1]), KEN_AT_FABRIKAM)


def test_no_code_state_or_secret_reaches_the_journal(desk: Desk) -> None:
    verifier, challenge = pkce()
    form = desk.come_back(authorize_url(challenge))
    tokens = desk.redeem(form["code"], verifier).json()

    written = repr(desk.journal.calls)

    for secret in (form["code"], "the-state", verifier, tokens["access_token"], tokens["refresh_token"]):
        assert secret not in written
    assert "Ken Ito signed in" in written


# How long ago somebody proved who they are


def proved(desk: Desk, **changes: str) -> int | None:
    """The `auth_time` of a sign-in with these parameters."""
    verifier, challenge = pkce()
    fields = desk.come_back(authorize_url(challenge, **changes))
    claims = jwt.decode(
        desk.redeem(fields["code"], verifier).json()["id_token"], options={"verify_signature": False}
    )
    return claims.get("auth_time")


def now(desk: Desk) -> int:
    return int(desk.hands.now().timestamp())


def test_the_time_is_told_only_to_who_asks_for_it(desk: Desk) -> None:
    assert proved(desk) is None
    assert proved(desk, max_age="600") == now(desk)


def test_a_browser_that_is_signed_in_asks_for_nothing_until_that_is_too_long_ago(desk: Desk) -> None:
    first = now(desk)
    proved(desk)
    desk.hands.advance(timedelta(minutes=10))

    assert proved(desk, max_age="600") == first
    desk.hands.advance(timedelta(seconds=1))
    assert proved(desk, max_age="600") == now(desk)


def test_prompt_login_asks_anew_whatever_the_browser_remembers(desk: Desk) -> None:
    proved(desk)
    desk.hands.advance(timedelta(minutes=1))

    assert "prove who you are anew" in page(desk, prompt="login").text
    assert proved(desk, max_age="600", prompt="login") == now(desk)


def test_a_revoked_account_proves_anew_who_it_is(desk: Desk) -> None:
    proved(desk)
    desk.hands.advance(timedelta(minutes=1))
    desk.entra.revoke(KEN)

    assert proved(desk, max_age="600") == now(desk)
