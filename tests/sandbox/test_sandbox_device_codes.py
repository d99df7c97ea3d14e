"""Device codes of the sandbox: as strict as Entra about pace, time, tenant, policy and secrets."""

import json
import re
from datetime import timedelta
from html import unescape
from typing import Any

import httpx
import pytest
from microsoft_desk import AIKO, KEN, KEN_AT_FABRIKAM, MEI, SCOPES, STEP_UP, Desk
from sandbox.cast import CLIENT_ID, CLIENT_SECRET, TENANT_ID

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
FIVE = timedelta(seconds=5)


@pytest.fixture
def desk() -> Desk:
    return Desk(token_of=None)


def issue(desk: Desk, **changes: str) -> dict[str, Any]:
    form = {"client_id": CLIENT_ID, "scope": " ".join(["openid", "profile", "offline_access", *SCOPES])}
    url = f"/entra/{TENANT_ID}/oauth2/v2.0/devicecode"
    answer: dict[str, Any] = desk.browser.post(url, data=form | changes).json()
    return answer


def use(desk: Desk, code: str, oid: str = KEN) -> httpx.Response:
    page = desk.browser.post("/entra/devicelogin", data={"code": code})
    assert page.status_code == 200, page.text
    [kept] = re.findall(r'name="code" value="([^"]+)"', page.text)
    return desk.browser.post("/entra/devicelogin/account", data={"code": unescape(kept), "account": oid})


def poll(desk: Desk, issued: dict[str, Any], **changes: str) -> dict[str, Any]:
    desk.hands.advance(FIVE)
    form = {"grant_type": GRANT, "client_id": CLIENT_ID, "device_code": issued["device_code"]}
    answer: dict[str, Any] = desk.token(form | changes).json()
    return answer


def test_a_code_is_used_by_a_person_and_redeemed_once_without_a_secret(desk: Desk) -> None:
    issued = issue(desk)
    assert (issued["expires_in"], issued["interval"]) == (900, 5)
    assert issued["verification_uri"].endswith("/entra/devicelogin")
    assert poll(desk, issued)["error"] == "authorization_pending"

    assert "You have signed in to Unlatch" in use(desk, issued["user_code"].lower()).text

    tokens = poll(desk, issued)
    assert tokens["id_token"]
    assert poll(desk, issued)["error"] == "invalid_grant"
    form = {
        "grant_type": "refresh_token",
        "client_id": CLIENT_ID,
        "refresh_token": tokens["refresh_token"],
    }
    assert "access_token" in desk.token(form).json()


def test_a_refresh_token_of_a_confidential_client_still_takes_the_secret(desk: Desk) -> None:
    result = desk.sign_in(desk.msal())
    form = {
        "grant_type": "refresh_token",
        "client_id": CLIENT_ID,
        "refresh_token": result["refresh_token"],
    }

    assert desk.token(form).json()["error_codes"] == [7000218]
    assert "access_token" in desk.token(form | {"client_secret": CLIENT_SECRET}).json()


def test_who_polls_too_often_is_told_to_slow_down_and_has_to(desk: Desk) -> None:
    issued = issue(desk)
    poll(desk, issued)
    form = {"grant_type": GRANT, "client_id": CLIENT_ID, "device_code": issued["device_code"]}

    assert desk.token(form).json()["error"] == "slow_down"
    assert poll(desk, issued)["error"] == "slow_down"


def test_a_code_ends_after_fifteen_minutes_on_the_page_and_at_the_endpoint(desk: Desk) -> None:
    issued = issue(desk)
    desk.hands.advance(timedelta(minutes=15))

    assert desk.browser.post("/entra/devicelogin", data={"code": issued["user_code"]}).status_code == 400
    assert poll(desk, issued)["error"] == "expired_token"


@pytest.mark.parametrize("typed", ["", "ABCDEFGHJ", "<script>"])
def test_a_wrong_code_is_refused_and_never_repeated(desk: Desk, typed: str) -> None:
    issue(desk)
    for path in ("/entra/devicelogin", "/entra/devicelogin/account"):
        page = desk.browser.post(path, data={"code": typed, "account": KEN})
        assert page.status_code == 400
        assert typed == "" or typed not in page.text
    assert desk.browser.get("/entra/devicelogin").status_code == 200


def test_a_used_code_is_used_up(desk: Desk) -> None:
    issued = issue(desk)
    use(desk, issued["user_code"])

    assert desk.browser.post("/entra/devicelogin", data={"code": issued["user_code"]}).status_code == 400


def test_who_cancels_declines(desk: Desk) -> None:
    issued = issue(desk)
    use(desk, issued["user_code"], "nobody")

    assert poll(desk, issued)["error"] == "authorization_declined"


def test_an_account_of_another_tenant_and_a_blocking_policy_are_refused_on_the_page(desk: Desk) -> None:
    issued = issue(desk)

    assert "AADSTS50020" in use(desk, issued["user_code"], KEN_AT_FABRIKAM).text
    desk.entra.device_codes_blocked = True
    assert "AADSTS53003" in use(desk, issued["user_code"]).text
    assert poll(desk, issued)["error"] == "authorization_pending"


def test_an_app_that_is_no_public_client_gets_no_token(desk: Desk) -> None:
    desk.entra.public_client_flows = False
    issued = issue(desk)
    use(desk, issued["user_code"])

    assert poll(desk, issued)["error_codes"] == [7000218]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"client_id": "00000000-0000-4000-8000-000000000000"}, 700016),
        ({"client_id": ""}, 900144),
        ({"scope": ""}, 900144),
        ({"claims": "eyJh"}, 9002313),
    ],
)
def test_a_wrong_question_gets_no_code(desk: Desk, changes: dict[str, str], code: int) -> None:
    assert issue(desk, **changes)["error_codes"] == [code]


def test_what_was_asked_in_addition_is_met_by_who_used_the_code(desk: Desk) -> None:
    issued, plain = issue(desk, claims=STEP_UP), issue(desk)
    for code in (issued, plain):
        use(desk, code["user_code"], AIKO)

    assert "access_token" in poll(desk, issued, claims=STEP_UP)
    assert json.loads(poll(desk, plain, claims=STEP_UP)["claims"]) == json.loads(STEP_UP)


def test_a_revocation_ends_a_used_code(desk: Desk) -> None:
    issued = issue(desk)
    use(desk, issued["user_code"], MEI)
    desk.entra.revoke(MEI)

    assert poll(desk, issued)["error_codes"] == [50173]
