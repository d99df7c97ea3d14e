"""The sign-in at Entra: what the browser is sent with, and an id_token that is verified claim by claim."""

import json
from collections.abc import Mapping
from datetime import timedelta

import httpx
import jwt
import pytest
from bot.domain.errors import Code, CouldNotVerify, SignInRefused
from bot.domain.people import Account
from bot.domain.values import Secret
from bot.entra.client import EntraClient
from tests.unit.entra.fake_entra import (
    ANOTHER_KEY,
    CALLBACK,
    CLIENT_ID,
    ISSUER,
    KEN_OID,
    ORIGIN,
    OTHER_TENANT,
    STEP_UP,
    TENANT,
    FakeEntra,
    Form,
    a_client,
    a_clock,
    query_of,
)


class Browser:
    """One sign-in of Ken: `form` is what his browser brings back."""

    def __init__(self, fresh_within: timedelta | None = None) -> None:
        self.clock = a_clock()
        self.entra = FakeEntra(self.clock)
        self.client: EntraClient = a_client(self.entra, fresh_within=fresh_within)
        self.flow = Secret("")
        self.form: Form = {}
        self.begin()

    def begin(self, claims: str | None = None) -> Form:
        """Return the query that the browser is sent to Microsoft with."""
        _, self.flow = self.client.begin_flow(
            redirect_uri=CALLBACK, login_hint="ken@contoso.com", claims=claims
        )
        url = self.client.authorization_url(self.flow)
        assert url.startswith(f"{ORIGIN}/{TENANT}/authorize?")
        self.form = self.entra.sign_in(url)
        return query_of(url)

    def redeem(self, form: Form | None = None) -> Account:
        account, _ = self.client.redeem(self.flow, self.form if form is None else form, now=self.clock.now())
        return account

    def refusal(self, form: Form | None = None) -> tuple[Code, Mapping[str, str]]:
        with pytest.raises(SignInRefused) as caught:
            self.redeem(form)
        assert caught.value.__context__ is None, "MSAL puts claims of the token into its messages"
        return caught.value.code, caught.value.facts


@pytest.fixture
def ken() -> Browser:
    return Browser()


def test_an_approver_signs_in(ken):
    assert ken.redeem() == Account(
        tenant=TENANT,
        oid=KEN_OID,
        username="ken@contoso.com",
        name="Ken Ito",
        emails=frozenset({"ken@contoso.com"}),
        signed_in_at=ken.clock.now(),
    )


def test_the_browser_is_sent_with_pkce_the_redirect_uri_and_the_claims_that_were_asked_for(ken):
    query = ken.begin(claims=STEP_UP)

    claims = json.loads(query.pop("claims"))["access_token"]
    assert claims == {"acrs": {"essential": True, "value": "c1"}, "xms_cc": {"values": ["CP1"]}}
    assert (
        query.items()
        >= {
            "client_id": CLIENT_ID,
            "response_mode": "form_post",
            "redirect_uri": CALLBACK,
            "prompt": "select_account",
            "login_hint": "ken@contoso.com",
            "code_challenge_method": "S256",
        }.items()
    )
    assert len(query["state"]) >= 16
    assert len(query["nonce"]) >= 16


@pytest.mark.parametrize("claims", ["not json", "[]", '{"access_token": 1}', "eyJhIjp7fX0="])
def test_claims_of_another_shape_do_not_break_the_sign_in(ken, claims):
    ken.begin(claims)

    assert ken.redeem().oid == KEN_OID


# Entra's errors


@pytest.mark.parametrize(
    ("error", "description", "code", "named"),
    [
        ("access_denied", "", Code.CONSENT_DENIED, "access_denied"),
        ("access_denied", "AADSTS65004: User declined to consent", Code.CONSENT_DENIED, "AADSTS65004"),
        ("consent_required", "AADSTS65001: has not consented", Code.CONSENT_DENIED, "AADSTS65001"),
        ("access_denied", "AADSTS90094: admin permission", Code.CONSENT_DENIED, "AADSTS90094"),
        ("access_denied", "AADSTS50105: not assigned to a role", Code.ENTRA_ERROR, "AADSTS50105"),
        ("server_error", "AADSTS90033: a transient error. Trace ID: 1", Code.ENTRA_ERROR, "AADSTS90033"),
        ("<script>", "ken@contoso.com did it", Code.ENTRA_ERROR, "unknown"),
        ("interaction_required", "", Code.ENTRA_ERROR, "interaction_required"),
    ],
)
def test_of_an_error_only_its_code_is_kept(ken, error, description, code, named):
    form = {"state": ken.form["state"], "error": error, "error_description": description}

    assert ken.refusal(form) == (code, {"code": named})


def test_a_wrong_client_secret_is_an_entra_error_with_its_number(ken):
    ken.entra.token_error = {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid secret"}

    assert ken.refusal() == (Code.ENTRA_ERROR, {"code": "AADSTS7000215"})


@pytest.mark.parametrize("odd", [{}, {"code": ""}, {"error": ""}, {"state": "of another", "code": "x"}])
def test_an_answer_without_its_state_and_a_code_or_error_is_refused(ken, odd):
    assert ken.refusal({"state": ken.form["state"], **odd}) == (Code.BAD_TOKEN, {"part": "answer"})


# The id_token


def bad(part: str) -> tuple[Code, Mapping[str, str]]:
    return Code.BAD_TOKEN, {"part": part}


ACCOUNT = {"account": "ken@contoso.com"}


@pytest.mark.parametrize(
    ("claims", "refusal"),
    [
        ({"aud": "00000000-0000-4000-8000-000000000000"}, bad("aud")),
        ({"aud": None}, bad("token")),
        ({"iss": f"https://login.microsoftonline.com/{OTHER_TENANT}/v2.0"}, bad("iss")),
        ({"iss": None}, bad("token")),
        ({"exp": 1_700_000_000}, bad("exp")),
        ({"exp": None}, bad("token")),
        ({"exp": "soon"}, bad("exp")),
        ({"nbf": 4_000_000_000}, bad("nbf")),
        ({"nbf": "later"}, bad("nbf")),
        ({"oid": None}, bad("oid")),
        ({"nonce": "of another sign-in"}, bad("answer")),
        ({"nonce": None}, bad("answer")),
        ({"tid": OTHER_TENANT}, (Code.WRONG_TENANT, ACCOUNT)),
        ({"tid": None}, (Code.WRONG_TENANT, ACCOUNT)),
        ({"tid": 7}, (Code.WRONG_TENANT, ACCOUNT)),
        ({"idp": f"https://sts.windows.net/{OTHER_TENANT}/"}, (Code.GUEST_ACCOUNT, ACCOUNT)),
        ({"idp": "live.com"}, (Code.GUEST_ACCOUNT, ACCOUNT)),
        ({"acct": 1}, (Code.GUEST_ACCOUNT, ACCOUNT)),
        ({"acct": "1"}, (Code.GUEST_ACCOUNT, ACCOUNT)),
    ],
    ids=str,
)
def test_an_id_token_with_a_wrong_claim_of_another_tenant_or_of_a_guest_is_refused(ken, claims, refusal):
    ken.entra.claims = claims

    assert ken.refusal() == refusal


@pytest.mark.parametrize(
    ("offset", "lets_in"), [(-119, True), (-121, False), (3600 + 119, True), (3600 + 121, False)]
)
def test_the_times_of_an_id_token_have_two_minutes_of_leeway_on_our_clock(ken, offset, lets_in):
    issued_at = int(ken.clock.now().timestamp())
    ken.entra.claims = {"nbf": issued_at, "exp": issued_at + 3600}
    ken.clock.advance(seconds=offset)

    if lets_in:
        assert ken.redeem().signed_in_at == ken.clock.now()
    else:
        assert ken.refusal() == (Code.BAD_TOKEN, {"part": "nbf" if offset < 0 else "exp"})


def test_a_key_that_entra_began_to_use_today_is_fetched(ken):
    ken.client.warm_up()
    ken.entra.signing_key = ken.entra.published_key = ANOTHER_KEY
    ken.entra.key_id = "key-2"

    assert ken.redeem().oid == KEN_OID


@pytest.mark.parametrize(
    ("key", "algorithm", "headers", "part"),
    [
        ("", "none", {"kid": "key-1"}, "header"),
        ("k" * 32, "HS256", {"kid": "key-1"}, "header"),
        (ANOTHER_KEY, "RS256", {}, "header"),
        (ANOTHER_KEY, "RS256", {"kid": "unknown"}, "key"),
        (ANOTHER_KEY, "RS256", {"kid": "key-1"}, "signature"),
    ],
    ids=["unsigned", "symmetric", "no key named", "unknown key", "another key"],
)
def test_an_id_token_that_no_key_of_entra_signed_is_refused(ken, key, algorithm, headers, part):
    ken.entra.sign = lambda claims: jwt.encode(claims, key, algorithm, headers)

    assert ken.refusal() == (Code.BAD_TOKEN, {"part": part})


@pytest.mark.parametrize("id_token", [None, "", "x", "a.b.c", "e30.e30.", "e30.W10.e30", 7])
def test_an_answer_without_a_readable_id_token_is_refused(ken, id_token):
    body = {"access_token": "a", "refresh_token": "r", "expires_in": 3600, "scope": "x", "id_token": id_token}
    answer = {name: value for name, value in body.items() if value is not None}
    ken.entra.instead = lambda request: httpx.Response(200, json=answer) if request.method == "POST" else None

    assert ken.refusal()[0] is Code.BAD_TOKEN


@pytest.mark.parametrize(
    ("claims", "emails"),
    [
        ({}, {"ken@contoso.com"}),
        ({"tid": TENANT.upper(), "acct": 0}, {"ken@contoso.com"}),
        ({"idp": f"https://sts.windows.net/{TENANT}/"}, {"ken@contoso.com"}),
        ({"email": "Ken.Ito@Contoso.com"}, {"ken@contoso.com", "ken.ito@contoso.com"}),
        ({"email": "Ken.Ito@Contoso.com", "preferred_username": "not an address"}, {"ken.ito@contoso.com"}),
        ({"email": "a@b.c", "xms_edov": True, "email_verified": "1"}, {"ken@contoso.com", "a@b.c"}),
        *(
            ({"email": "boss@contoso.com", flag: unverified}, {"ken@contoso.com"})
            for flag in ("xms_edov", "email_verified")
            for unverified in (False, 0, "0", "false")
        ),
    ],
    ids=lambda given: str(sorted(given)) if isinstance(given, set) else str(given),
)
def test_a_member_is_let_in_with_the_addresses_that_are_not_called_unverified(ken, claims, emails):
    ken.entra.claims = claims

    account = ken.redeem()

    assert (account.tenant, account.emails) == (TENANT, emails)


# A fresh sign-in

TEN_MINUTES = timedelta(minutes=10)


def test_a_fresh_sign_in_is_asked_for_and_its_time_kept():
    ken = Browser(fresh_within=TEN_MINUTES)
    query = ken.begin()
    at = ken.clock.now().replace(microsecond=0)
    ken.entra.claims = {"auth_time": int(at.timestamp())}

    assert (query["prompt"], query["max_age"]) == ("login", "600")
    assert ken.redeem().authenticated_at == at


@pytest.mark.parametrize(
    ("ago", "lets_in"),
    [
        (timedelta(minutes=11), True),  # 10 minutes and the leeway
        (timedelta(minutes=13), False),
        (-timedelta(minutes=1), True),
        (-timedelta(minutes=3), False),
    ],
)
def test_a_sign_in_that_is_not_fresh_is_refused_with_that_reason(ago, lets_in):
    ken = Browser(fresh_within=TEN_MINUTES)
    ken.entra.claims = {"auth_time": int((ken.clock.now() - ago).timestamp())}

    if lets_in:
        assert ken.redeem().authenticated_at is not None
    else:
        assert ken.refusal() == (Code.STALE_SIGN_IN, {"account": "ken@contoso.com"})


@pytest.mark.parametrize("auth_time", [None, "now", True, 10**30])
def test_an_answer_that_does_not_say_when_is_refused_where_a_fresh_sign_in_is_asked_for(ken, auth_time):
    strict = Browser(fresh_within=TEN_MINUTES)
    ken.entra.claims = strict.entra.claims = {"auth_time": auth_time}

    assert strict.refusal()[0] is Code.NO_SIGN_IN_TIME
    assert ken.redeem().authenticated_at is None


# Entra does not answer


@pytest.mark.parametrize("status", [200, 500, 503])
def test_an_entra_that_answers_html_could_not_verify(ken, status):
    ken.entra.answer(status, "<html>secret-token</html>")

    with pytest.raises(CouldNotVerify) as caught:
        ken.redeem()
    assert caught.value.__context__ is None


def test_a_warm_up_without_entra_says_so_and_can_be_repeated():
    entra = FakeEntra(a_clock())
    client = a_client(entra)
    for failing in (entra.cut, lambda: entra.answer(400, '{"error": "invalid_tenant"}')):
        failing()
        with pytest.raises(CouldNotVerify):
            client.warm_up()
    entra.answer(200, "{}")  # MSAL would believe it for a day
    with pytest.raises(CouldNotVerify):
        client.warm_up()

    entra.mend()
    client.warm_up()


@pytest.mark.parametrize("keys", ["http://\u202eevil.example/", "\x1fhttp://evil.example/"], ids=ascii)
def test_an_address_of_keys_that_no_client_can_call_is_an_outage(ken, keys):
    names = {"authorization_endpoint": "authorize", "token_endpoint": "token"}
    configuration = {name: f"{ORIGIN}/{TENANT}/{path}" for name, path in names.items()}
    configuration |= {"issuer": ISSUER, "jwks_uri": keys}
    ken.entra.instead = lambda request: (
        httpx.Response(200, json=configuration) if request.url.path.endswith("configuration") else None
    )

    with pytest.raises(CouldNotVerify):
        a_client(ken.entra).redeem(ken.flow, ken.form, now=ken.clock.now())


def test_a_configuration_whose_endpoint_is_no_address_is_not_believed_for_a_day():
    entra = FakeEntra(a_clock())
    client = a_client(entra)
    broken = {"issuer": ISSUER, "token_endpoint": f"{ORIGIN}/token", "authorization_endpoint": None}
    entra.answer(200, json.dumps(broken))
    with pytest.raises(CouldNotVerify):
        client.begin_flow(redirect_uri=CALLBACK, login_hint=None, claims=None)

    entra.mend()
    client.begin_flow(redirect_uri=CALLBACK, login_hint=None, claims=None)


def test_discovery_is_asked_for_once_by_msal_and_once_by_us_over_plain_http_without_cookies(ken):
    ken.redeem()
    ken.begin()
    ken.redeem()

    assert {request.url.scheme for request in ken.entra.requests} == {"http"}, "MSAL knows https only"
    paths = [request.url.path.rpartition("/")[2] for request in ken.entra.requests if request.method == "GET"]
    assert sorted(paths) == ["keys", "openid-configuration", "openid-configuration"]
    assert not any("cookie" in request.headers for request in ken.entra.requests), "it would be another's"


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "3600"}], ids=str)
@pytest.mark.parametrize("status", [200, 400, 429, 503])
def test_an_answer_to_one_approvers_code_is_not_given_to_the_next(ken, status, headers):
    """MSAL keeps such answers, and the key under which it does leaves out the code."""
    ken.entra.instead = lambda request: (
        httpx.Response(status, headers=headers, json={"error": "temporarily_unavailable"})
        if request.method == "POST"
        else None
    )
    with pytest.raises((SignInRefused, CouldNotVerify) if status < 429 else CouldNotVerify):
        ken.redeem()

    ken.entra.mend()
    ken.begin()
    assert ken.redeem().oid == KEN_OID
