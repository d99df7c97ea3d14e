"""The token endpoint: one code, one use, by the app that asked; and errors in the shape of Entra's."""

import base64
import json
from datetime import timedelta

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from microsoft_desk import AIKO, KEN, RESET, STEP_UP, Desk, authorize_url, pkce
from sandbox.cast import CLIENT_ID, CLIENT_SECRET, TENANT_ID


@pytest.fixture
def desk() -> Desk:
    return Desk(token_of=None)


def a_code(desk: Desk, oid: str = KEN, **changes: str) -> tuple[str, str]:
    """A fresh code and its verifier."""
    verifier, challenge = pkce()
    return desk.come_back(authorize_url(challenge, **changes), oid)["code"], verifier


def tokens_of(desk: Desk, oid: str = KEN) -> dict[str, str]:
    body: dict[str, str] = desk.redeem(*a_code(desk, oid)).json()
    return body


def error_code(answer: httpx.Response) -> int:
    code: int = answer.json()["error_codes"][0]
    return code


def test_an_answer_has_every_field_of_entras(desk: Desk) -> None:
    desk.entra.token_lifetime = timedelta(minutes=70)

    answer = desk.redeem(*a_code(desk))

    body = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert body["token_type"] == "Bearer"
    assert body["expires_in"] == body["ext_expires_in"] == 4200
    assert "offline_access" not in body["scope"].split()
    assert {"openid", "profile"} < set(body["scope"].split())
    info = json.loads(base64.urlsafe_b64decode(body["client_info"] + "=="))
    assert info == {"uid": KEN, "utid": TENANT_ID}


def test_without_openid_and_offline_access_there_is_only_an_access_token(desk: Desk) -> None:
    body = desk.redeem(*a_code(desk, scope=RESET)).json()

    assert "access_token" in body
    assert "id_token" not in body
    assert "refresh_token" not in body


def test_a_code_works_once(desk: Desk) -> None:
    code, verifier = a_code(desk)

    assert desk.redeem(code, verifier).status_code == 200
    assert error_code(desk.redeem(code, verifier)) == 54005


def test_a_code_works_for_ten_minutes(desk: Desk) -> None:
    late, early = a_code(desk), a_code(desk)

    desk.hands.advance(timedelta(minutes=10) - timedelta(seconds=1))
    assert desk.redeem(*early).status_code == 200
    desk.hands.advance(timedelta(seconds=1))
    assert error_code(desk.redeem(*late)) == 70008


def test_a_code_works_only_with_its_own_verifier(desk: Desk) -> None:
    code, _ = a_code(desk)

    answer = desk.redeem(code, pkce()[0])

    assert answer.json()["error"] == "invalid_grant"
    assert error_code(answer) == 501481


def test_a_code_of_a_revoked_account_is_refused(desk: Desk) -> None:
    code, verifier = a_code(desk)
    desk.entra.revoke(KEN)

    assert error_code(desk.redeem(code, verifier)) == 50173


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"client_secret": "wrong"}, 401, 7000215),
        ({"client_secret": ""}, 401, 7000218),
        ({"client_id": ""}, 400, 900144),
        ({"client_id": "another"}, 400, 700016),
        ({"redirect_uri": "http://127.0.0.1:3000/elsewhere"}, 400, 70000),
        ({"code": "invented"}, 400, 70000),
        ({"code": ""}, 400, 900144),
        ({"code_verifier": ""}, 400, 900144),
        ({"grant_type": ""}, 400, 900144),
        ({"grant_type": "password"}, 400, 70003),
        ({"grant_type": "client_credentials"}, 400, 70001),
        ({"scope": RESET}, 400, 65001),
        ({"scope": "Mail.Send"}, 400, 650053),
        ({"claims": "eyJhIjp7fX0="}, 400, 9002313),
        ({"claims": STEP_UP}, 400, 50076),
    ],
)
def test_a_wrong_request_is_refused_by_number(
    desk: Desk, changes: dict[str, str], status: int, code: int
) -> None:
    answer = desk.redeem(*a_code(desk), **changes)

    assert (answer.status_code, error_code(answer)) == (status, code)


def test_an_error_has_every_field_of_entras_and_the_callers_own_id(desk: Desk) -> None:
    answer = desk.token({"grant_type": "refresh_token"}, **{"client-request-id": "mine"})

    body = answer.json()
    assert body["error_description"].startswith("AADSTS900144: ")
    assert f"Trace ID: {body['trace_id']}" in body["error_description"]
    assert body["correlation_id"] == answer.headers["client-request-id"] == "mine"
    assert body["timestamp"] == "2026-11-23 10:00:00Z"


def test_a_new_refresh_token_does_not_end_the_old_one(desk: Desk) -> None:
    first = tokens_of(desk)["refresh_token"]

    second = desk.refresh(first).json()["refresh_token"]

    assert second != first
    assert desk.refresh(first).status_code == 200
    assert desk.refresh(second).status_code == 200


def test_a_revocation_ends_all_refresh_tokens_of_one_account_and_of_no_other(desk: Desk) -> None:
    ken, aiko = tokens_of(desk)["refresh_token"], tokens_of(desk, AIKO)["refresh_token"]

    desk.entra.revoke(KEN)

    assert error_code(desk.refresh(ken)) == 50173
    assert desk.refresh(aiko).status_code == 200


def test_a_refresh_may_ask_for_another_consented_permission(desk: Desk) -> None:
    answer = desk.refresh(tokens_of(desk)["refresh_token"], scope=f"{RESET} offline_access")

    claims = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
    assert claims["scp"] == "DeviceManagementManagedDevices.PrivilegedOperations.All"


def test_an_invented_refresh_token_is_refused(desk: Desk) -> None:
    assert error_code(desk.refresh("invented")) == 70000


def test_the_secret_may_come_in_the_authorization_header(desk: Desk) -> None:
    code, verifier = a_code(desk)
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "code_verifier": verifier,
        "redirect_uri": "http://127.0.0.1:3000/sign-in/callback",
    }
    basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()

    assert desk.token(form, authorization=f"Basic {basic}").status_code == 200
    assert desk.token(form, authorization="Basic ???").status_code == 400


def test_a_body_that_is_no_form_is_refused(desk: Desk) -> None:
    answer = desk.browser.post(f"/entra/{TENANT_ID}/oauth2/v2.0/token", json={"grant_type": "refresh_token"})

    assert error_code(answer) == 9002313


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
def test_an_assertion_must_name_the_app_this_endpoint_and_a_certificate(
    desk: Desk, claims: dict[str, object], header: dict[str, str], code: int | None
) -> None:
    good = {
        "iss": CLIENT_ID,
        "sub": CLIENT_ID,
        "aud": f"https://127.0.0.1:8080/entra/{TENANT_ID}/oauth2/v2.0/token",
        "jti": "once",
        "exp": int(desk.clock.now().timestamp()) + 600,
    }
    assertion = _signed({name: v for name, v in (good | claims).items() if v is not None}, header)

    answer = desk.redeem(
        *a_code(desk),
        client_secret="",
        client_assertion=assertion,
        client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    )

    assert answer.json().get("error_codes", [None]) == [code]


def _signed(claims: dict[str, object], header: dict[str, str]) -> str:
    """Any RS256 signature will do: the sandbox looks at the shape."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return jwt.encode(claims, key, algorithm="RS256", headers=header)
