"""The token endpoint: one code, one use, by the app that asked; and errors in the shape of Entra's."""

import base64
import json
from datetime import timedelta

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from local_microsoft import AIKO, KEN, REDIRECT, RESET, STEP_UP, Microsoft, authorize_url, pkce
from sandbox.cast import CLIENT_ID, CLIENT_SECRET, TENANT_ID

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)  # any: the sandbox looks at the shape


def a_code(microsoft: Microsoft, oid: str = KEN, **changes: str) -> tuple[str, str]:
    """A fresh code and its verifier."""
    verifier, challenge = pkce()
    return microsoft.come_back(authorize_url(challenge, **changes), oid)["code"], verifier


def refresh_token(microsoft: Microsoft, oid: str = KEN) -> str:
    return str(microsoft.redeem(*a_code(microsoft, oid)).json()["refresh_token"])


def refreshed(microsoft: Microsoft, token: str) -> httpx.Response:
    return microsoft.redeem("", "", grant_type="refresh_token", refresh_token=token)


def code_of(answer: httpx.Response) -> int | None:
    """The AADSTS number of an answer; None if it gave tokens."""
    number: int | None = answer.json().get("error_codes", [None])[0]
    return number


def test_a_token_response_has_every_field_of_entras(microsoft):
    microsoft.entra.token_lifetime = timedelta(minutes=70)

    answer = microsoft.redeem(*a_code(microsoft))
    small = microsoft.redeem(*a_code(microsoft, scope=RESET)).json()

    body = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert (body["token_type"], body["expires_in"], body["ext_expires_in"]) == ("Bearer", 4200, 4200)
    assert {"openid", "profile"} < set(body["scope"].split())
    assert "offline_access" not in body["scope"].split()
    info = json.loads(base64.urlsafe_b64decode(body["client_info"] + "=="))
    assert info == {"uid": KEN, "utid": TENANT_ID}
    assert "access_token" in small  # without openid and offline_access there is nothing else
    assert not {"id_token", "refresh_token"} & set(small)


def test_an_error_response_has_every_field_of_entras(microsoft):
    answer = microsoft.token({"grant_type": "refresh_token"}, **{"client-request-id": "mine"})

    body = answer.json()
    assert body["error_description"].startswith("AADSTS900144: ")
    assert f"Trace ID: {body['trace_id']}" in body["error_description"]
    assert body["correlation_id"] == answer.headers["client-request-id"] == "mine"
    assert body["timestamp"] == "2026-11-23 10:00:00Z"


def test_a_code_works_once_and_for_ten_minutes(microsoft):
    late, early = a_code(microsoft), a_code(microsoft)

    microsoft.hands.advance(timedelta(minutes=10) - timedelta(seconds=1))
    assert [code_of(microsoft.redeem(*early)) for _ in range(2)] == [None, 54005]
    microsoft.hands.advance(timedelta(seconds=1))
    assert code_of(microsoft.redeem(*late)) == 70008


STRICTNESS = [
    ({"client_secret": "wrong"}, 401, 7000215),
    ({"client_secret": ""}, 401, 7000218),
    ({"client_id": ""}, 400, 900144),
    ({"client_id": "another"}, 400, 700016),
    ({"redirect_uri": "http://127.0.0.1:3000/elsewhere"}, 400, 70000),
    ({"code": "invented"}, 400, 70000),
    ({"code": ""}, 400, 900144),
    ({"code_verifier": ""}, 400, 900144),
    ({"code_verifier": pkce()[0]}, 400, 501481),
    ({"grant_type": ""}, 400, 900144),
    ({"grant_type": "password"}, 400, 70003),
    ({"grant_type": "urn:ietf:params:oauth:grant-type:device_code"}, 400, 70003),
    ({"grant_type": "client_credentials"}, 400, 70001),
    ({"grant_type": "refresh_token", "refresh_token": "invented"}, 400, 70000),
    ({"scope": RESET}, 400, 65001),
    ({"scope": "Mail.Send"}, 400, 650053),
    ({"claims": "eyJhIjp7fX0="}, 400, 9002313),
    ({"claims": STEP_UP}, 400, 50076),
]


@pytest.mark.parametrize(("changes", "status", "code"), STRICTNESS)
def test_strictness_of_the_token_endpoint(microsoft, changes, status, code):
    answer = microsoft.redeem(*a_code(microsoft), **changes)

    assert (answer.status_code, code_of(answer)) == (status, code)


def test_only_a_form_is_read_and_its_secret_may_come_in_the_authorization_header(microsoft):
    code, verifier = a_code(microsoft)
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "code_verifier": verifier,
        "redirect_uri": REDIRECT,
    }
    basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()

    assert microsoft.token(form, authorization=f"Basic {basic}").status_code == 200
    assert microsoft.token(form, authorization="Basic ???").status_code == 400
    assert code_of(microsoft.browser.post(f"/entra/{TENANT_ID}/oauth2/v2.0/token", json=form)) == 9002313


def test_a_revocation_ends_codes_and_refresh_tokens_of_one_account(microsoft):
    code = a_code(microsoft)
    ken, aiko = refresh_token(microsoft), refresh_token(microsoft, AIKO)

    microsoft.entra.revoke(KEN)

    assert code_of(microsoft.redeem(*code)) == code_of(refreshed(microsoft, ken)) == 50173
    assert code_of(refreshed(microsoft, aiko)) is None


@pytest.mark.parametrize(
    ("claims", "header", "code"),
    [
        ({}, {"x5t": "thumb"}, None),
        ({"aud": "https://login.microsoftonline.com/elsewhere"}, {"x5t": "thumb"}, 700023),
        ({"iss": "another"}, {"x5t": "thumb"}, 700030),
        ({"jti": None}, {"x5t": "thumb"}, 700030),
        ({"exp": 1}, {"x5t": "thumb"}, 700024),
        ({"exp": 99999999999}, {"x5t": "thumb"}, 700024),
        ({}, {}, 5002723),
    ],
)
def test_an_assertion_must_name_the_app_this_endpoint_and_a_certificate(microsoft, claims, header, code):
    good = {
        "iss": CLIENT_ID,
        "sub": CLIENT_ID,
        "aud": f"https://127.0.0.1:8080/entra/{TENANT_ID}/oauth2/v2.0/token",
        "jti": "once",
        "exp": int(microsoft.clock.now().timestamp()) + 600,
    }
    claims = {name: value for name, value in (good | claims).items() if value is not None}

    answer = microsoft.redeem(
        *a_code(microsoft),
        client_secret="",
        client_assertion=jwt.encode(claims, KEY, algorithm="RS256", headers=header),
        client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    )

    assert code_of(answer) == code
