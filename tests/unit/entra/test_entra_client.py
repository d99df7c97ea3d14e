"""The sign-in at Entra: what the browser is sent with, and an id_token that is verified claim by claim."""

import asyncio
import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial

import httpx
import jwt
import pytest
from bot.domain.errors import Code, CouldNotVerify, SignInRefused
from bot.domain.people import Account
from bot.entra.authority import Credential
from bot.timing import Timing
from cryptography.hazmat.primitives.asymmetric import rsa
from structlog.testing import capture_logs
from tests.unit.entra import fake_entra
from tests.unit.entra.fake_entra import CALLBACK, KEN_OID, KEY, STEP_UP, TENANT, FakeEntra, a_client, a_clock

TEN_MINUTES = timedelta(minutes=10)
SHORT_KEY = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505  to be refused
BUSY = '{"error": "temporarily_unavailable"}'
NOWHERE = {"authorization_endpoint": None, "token_endpoint": fake_entra.ORIGIN, "issuer": fake_entra.ISSUER}
MFA = {"error": "invalid_grant", "suberror": "basic_action"}


class Browser:
    """One sign-in of Ken: `form` is what his browser brings back."""

    def __init__(self, fresh_within: timedelta | None = None) -> None:
        self.clock = a_clock()
        self.entra = FakeEntra(self.clock)
        self.client = a_client(self.entra, fresh_within=fresh_within)
        self.begin()

    def begin(self, claims: str | None = None) -> fake_entra.Form:
        """Return the query that the browser is sent to Microsoft with."""
        asked = {"login_hint": "ken@contoso.com", "claims": claims}
        _, self.flow = self.client.begin_flow(redirect_uri=CALLBACK, **asked)
        url = self.client.authorization_url(self.flow)
        assert url.startswith(f"{fake_entra.ORIGIN}/{TENANT}/authorize?")
        self.form = self.entra.sign_in(url)
        return fake_entra.query_of(url)

    def redeem(self, form: fake_entra.Form | None = None) -> Account:
        account, _ = self.client.redeem(self.flow, self.form if form is None else form, now=self.clock.now())
        return account

    def refusal(self, form: fake_entra.Form | None = None) -> tuple[Code, Mapping[str, str]]:
        with capture_logs() as logged, pytest.raises(SignInRefused) as caught:
            self.redeem(form)
        assert caught.value.__context__ is None, "MSAL puts claims of the token into its messages"
        assert all(line.get("error", "AnyError").isidentifier() for line in logged), "so only its class"
        return caught.value.code, caught.value.facts


@pytest.fixture
def ken() -> Browser:
    return Browser()


def test_the_browser_is_sent_with_pkce_the_redirect_uri_and_the_claims_that_were_asked_for(ken):
    query = ken.begin(claims=STEP_UP)
    claims = json.loads(query.pop("claims"))["access_token"]
    assert claims == {"acrs": {"essential": True, "value": "c1"}, "xms_cc": {"values": ["CP1"]}}
    ours = {"client_id": fake_entra.CLIENT_ID, "response_mode": "form_post", "redirect_uri": CALLBACK}
    kens = {"prompt": "select_account", "login_hint": "ken@contoso.com", "code_challenge_method": "S256"}
    assert query == query | ours | kens
    assert len(query["state"]) >= 16
    assert len(query["nonce"]) >= 16


@pytest.mark.parametrize("claims", ["not json", "[]", '{"access_token": 1}', "eyJhIjp7fX0="])
def test_claims_of_another_shape_do_not_break_the_sign_in(ken, claims):
    ken.begin(claims)
    assert ken.redeem().oid == KEN_OID


DENIED, REFUSED = Code.CONSENT_DENIED, Code.ENTRA_ERROR
REFUSALS = [
    *(("e05", "access_denied", codes, DENIED, None) for codes in ((), (65004,))),
    *(("e05", "consent_required", codes, DENIED, "admin") for codes in ((), (65001,))),
    *(("e05", "access_denied", (code,), DENIED, "admin") for code in (90094, 90095, 900941)),
    *(("e05", "access_denied", (code,), REFUSED, "admin") for code in (50105, 53003, 7000112, 700016)),
    *(("e05", "invalid_client", (code,), REFUSED, "admin") for code in (7000215, 7000222, 1234567)),
    *(("e05", "invalid_grant", (code,), REFUSED, "more") for code in (50076, 50079, 50158)),
    *(("e05", "invalid_request", (50020,), REFUSED, "account"), ("e05", "other", (54005,), REFUSED, None)),
    ("e04", "invalid_grant", (70002, 54005), REFUSED, None),
    ("e04", "invalid_grant", (70000, 65001), DENIED, "admin"),
    *(("", "<script>", (), REFUSED, None), ("", "interaction_required", (), REFUSED, None)),
]


@pytest.mark.parametrize(("row", "error", "numbers", "code", "case"), REFUSALS)
def test_of_an_error_its_specific_code_is_kept_and_who_can_mend_it(ken, row, error, numbers, code, case):
    text = " ".join(f"AADSTS{number}: ken@contoso.com. Trace ID: 90033" for number in numbers)
    named = f"AADSTS{numbers[-1]}" if numbers else error.replace("<script>", "unknown")
    found = ken.refusal({"state": ken.form["state"], "error": error, "error_description": text})
    assert found == (code, {"code": named} | ({"case": case} if case else {})), row


@pytest.mark.parametrize("codes", [[1, 54005], [54005], [None, 54005]], ids=str)
def test_e04_of_several_numbers_the_last_that_entra_lists_goes_before_its_text(ken, codes):
    ken.entra.token_error = {"error": "x", "error_description": "AADSTS70000: no", "error_codes": codes}
    assert ken.refusal() == (REFUSED, {"code": "AADSTS54005"})


@pytest.mark.parametrize("at", ["callback", "token"])
@pytest.mark.parametrize("code", ["AADSTS90033", "AADSTS50196", "AADSTS1234567", ""])
def test_e05_a_fault_that_passes_refuses_nobody(ken, code, at):
    error = {"": "temporarily_unavailable", "AADSTS1234567": "server_error"}.get(code, "invalid_grant")
    failed = ken.entra.token_error = {"error": error, "error_description": code}
    with pytest.raises(CouldNotVerify) as caught:
        ken.redeem({"state": ken.form["state"], **failed} if at == "callback" else None)
    assert (caught.value.lasts, code in caught.value.facts["what"]) == (False, True)


@pytest.mark.parametrize("claims", [STEP_UP, None, "not json", ["odd"]], ids=str)
@pytest.mark.parametrize("number", [50076, 53003])
def test_e01_claims_at_the_redemption_of_the_code_are_kept_for_the_next_sign_in(ken, number, claims):
    ken.entra.token_error = MFA | {"error_description": f"AADSTS{number}: more", "claims": claims}
    with pytest.raises(SignInRefused) as caught:
        ken.redeem()
    assert caught.value.claims == (STEP_UP if claims == STEP_UP else None)
    assert caught.value.facts["case"] == ("admin" if number == 53003 and claims != STEP_UP else "more")
    ken.begin(claims=STEP_UP)
    with pytest.raises(SignInRefused) as caught:
        ken.redeem()
    assert (caught.value.claims, caught.value.facts["case"] == "admin") == (None, number == 53003)


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"preferred_username": None, "upn": "ken.ito@contoso.com"}, "ken.ito@contoso.com"),
        ({"preferred_username": " ", "email": "ken@contoso.com"}, "ken@contoso.com"),
        ({"preferred_username": None}, KEN_OID),
        ({"preferred_username": "+49 30 1", "upn": "ken@contoso.com"}, "+49 30 1"),
    ],
)
def test_e03_an_account_without_a_user_name_is_called_by_what_there_is(ken, claims, name):
    ken.entra.claims = claims
    account = ken.redeem()
    assert account.username == name
    assert account.emails == {text for text in map(str, claims.values()) if "@" in text}


def test_e06_a_secret_of_odd_characters_arrives_whole(ken, monkeypatch):
    secret = "x8Q~+%2B/=&#;.-_ A\u00e9"
    monkeypatch.setattr(fake_entra, "CLIENT_SECRET", secret)
    ken.client = a_client(ken.entra, credential=Credential(secret))
    ken.begin()
    assert ken.redeem().oid == KEN_OID


@pytest.mark.parametrize("odd", [{}, {"code": ""}, {"error": ""}, {"state": "of another", "code": "x"}])
def test_an_answer_without_its_state_and_a_code_or_error_is_refused(ken, odd):
    assert ken.refusal({"state": ken.form["state"], **odd}) == (Code.BAD_TOKEN, {"part": "answer"})


ACCOUNT = {"account": "ken@contoso.com"}
WRONG = {
    "aud": [{"aud": "00000000-0000-4000-8000-000000000000"}],
    "iss": [{"iss": f"https://login.microsoftonline.com/{fake_entra.OTHER_TENANT}/v2.0"}],
    "exp": [{"exp": 1_700_000_000}, {"exp": "soon"}],
    "nbf": [{"nbf": 4_000_000_000}, {"nbf": "later"}],
    "oid": [{"oid": None}],
    "token": [{"aud": None}, {"iss": None}, {"exp": None}],
    "answer": [{"nonce": "of another sign-in"}, {"nonce": None}],
    Code.WRONG_TENANT: [{"tid": fake_entra.OTHER_TENANT}, {"tid": None}, {"tid": 7}],
    Code.GUEST_ACCOUNT: [
        *({"idp": f"https://sts.windows.net/{fake_entra.OTHER_TENANT}/"}, {"idp": "live.com"}),
        *({"acct": 1}, {"acct": "1"}),
    ],
}


@pytest.mark.parametrize(("part", "claims"), [(part, one) for part in WRONG for one in WRONG[part]], ids=str)
def test_an_id_token_with_a_wrong_claim_of_another_tenant_or_of_a_guest_is_refused(ken, part, claims):
    ken.entra.claims = claims
    refusal = (part, ACCOUNT) if isinstance(part, Code) else (Code.BAD_TOKEN, {"part": part})
    assert ken.refusal() == refusal


@pytest.mark.parametrize(
    ("claim", "seconds", "refused"),
    [
        *(("nbf", 120, None), ("nbf", 121, (Code.BAD_TOKEN, {"part": "nbf"}))),
        *(("exp", -118, None), ("exp", -121, (Code.BAD_TOKEN, {"part": "exp"}))),
        *(("auth_time", -720, None), ("auth_time", -721, (Code.STALE_SIGN_IN, ACCOUNT))),
        *(("auth_time", 120, None), ("auth_time", 121, (Code.STALE_SIGN_IN, ACCOUNT))),
    ],
)
def test_the_times_of_an_id_token_have_two_minutes_of_leeway(claim, seconds, refused):
    ken = Browser(fresh_within=TEN_MINUTES)
    ken.clock.advance(microseconds=-ken.clock.now().microsecond)
    now = int(ken.clock.now().timestamp())
    ken.entra.claims = {"auth_time": now, claim: now + seconds}
    if refused:
        assert ken.refusal() == refused
    else:
        assert ken.redeem().authenticated_at is not None


def test_a_key_that_entra_began_to_use_today_is_fetched(ken):
    ken.client.warm_up()
    ken.entra.signing_key = ken.entra.published_key = fake_entra.ANOTHER_KEY
    ken.entra.key_id = "key-2"
    assert ken.redeem().oid == KEN_OID


def test_keys_are_fetched_again_daily_and_for_an_unknown_name_once_a_minute(ken):
    def fetched() -> int:
        return [request.url.path.rpartition("/")[2] for request in ken.entra.requests].count("keys")

    def again(*, key_id: str, **later: int) -> int:
        ken.clock.advance(**later)
        ken.entra.sign = lambda claims: jwt.encode(claims, KEY, "RS256", {"kid": key_id})
        ken.begin()
        before = fetched()
        with suppress(SignInRefused):
            ken.redeem()
        return fetched() - before

    assert again(key_id="key-1") == 1
    assert [again(key_id="key-1", hours=23), again(key_id="key-1", hours=1)] == [0, 1]
    assert [again(key_id="unknown", minutes=1), again(key_id="unknown", seconds=59)] == [1, 0]
    assert again(key_id="unknown", seconds=1) == 1


@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")  # of the side that signs
@pytest.mark.parametrize(
    ("key", "algorithm", "headers", "published", "part"),
    [
        ("", "none", {"kid": "key-1"}, KEY, "header"),
        ("k" * 32, "HS256", {"kid": "key-1"}, KEY, "header"),
        (fake_entra.ANOTHER_KEY, "RS256", {}, KEY, "header"),
        (fake_entra.ANOTHER_KEY, "RS256", {"kid": "unknown"}, KEY, "key"),
        (fake_entra.ANOTHER_KEY, "RS256", {"kid": "key-1"}, KEY, "signature"),
        (SHORT_KEY, "RS256", {"kid": "key-1"}, SHORT_KEY, "key"),
    ],
    ids=["unsigned", "symmetric", "no key named", "unknown key", "another key", "a short key"],
)
def test_an_id_token_without_a_strong_key_of_entra_is_refused(ken, key, algorithm, headers, published, part):
    ken.entra.published_key = published
    ken.entra.sign = lambda claims: jwt.encode(claims, key, algorithm, headers)
    assert ken.refusal() == (Code.BAD_TOKEN, {"part": part})


@pytest.mark.parametrize("id_token", [{}, *({"id_token": odd} for odd in ("", "x", "e30.W10.e30", 7))])
def test_an_answer_without_a_readable_id_token_is_refused(ken, id_token):
    body = {"access_token": "a", "refresh_token": "r", "expires_in": 3600, "scope": "x"}
    ken.entra.answer(200, json.dumps(body | id_token))
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
    username = claims.get("preferred_username", "ken@contoso.com")
    who = {"tenant": TENANT, "oid": KEN_OID, "username": username, "name": "Ken Ito"}
    assert account == Account(**who, emails=emails, signed_in_at=ken.clock.now())


@pytest.mark.parametrize("auth_time", [None, "now", True, 10**30])
def test_a_fresh_sign_in_is_asked_for_and_its_time_kept_or_missed(ken, auth_time):
    strict = Browser(fresh_within=TEN_MINUTES)
    ken.entra.claims = strict.entra.claims = {"auth_time": auth_time}
    assert strict.refusal()[0] is Code.NO_SIGN_IN_TIME
    assert ken.redeem().authenticated_at is None
    query = strict.begin()
    assert (query["prompt"], query["max_age"]) == ("login", "600")
    at = strict.clock.now().replace(microsecond=0)
    strict.entra.claims = {"auth_time": int(at.timestamp())}
    assert strict.redeem().authenticated_at == at


@pytest.mark.parametrize(
    ("status", "body"),
    [(0, ""), (400, '{"error": "invalid_tenant"}'), (200, "{}"), (200, json.dumps(NOWHERE))],
    ids=["no route", "an error", "empty", "an endpoint that is no address"],
)
def test_a_discovery_that_does_not_work_is_an_outage_and_not_believed_for_a_day(status, body):
    entra = FakeEntra(a_clock())
    client = a_client(entra)
    start = partial(client.begin_flow, redirect_uri=CALLBACK, login_hint=None, claims=None)
    entra.answer(status, body)
    for call in (start, client.warm_up):
        with pytest.raises(CouldNotVerify):
            call()
    entra.mend()
    start()
    client.warm_up()


def test_discovery_is_asked_for_once_by_msal_and_once_by_us_over_plain_http_without_cookies(ken):
    ken.redeem()
    ken.begin()
    ken.redeem()
    assert {request.url.scheme for request in ken.entra.requests} == {"http"}, "MSAL knows https only"
    paths = [request.url.path.rpartition("/")[2] for request in ken.entra.requests if request.method == "GET"]
    assert sorted(paths) == ["keys", "openid-configuration", "openid-configuration"]
    assert not any("cookie" in request.headers for request in ken.entra.requests), "it would be another's"


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "3600"}], ids=str)
@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, BUSY, CouldNotVerify),
        (400, BUSY, CouldNotVerify),
        (400, json.dumps({"error": "invalid_grant"}), SignInRefused),
        (429, BUSY, CouldNotVerify),
        (503, BUSY, CouldNotVerify),
        (200, "<html>secret-token</html>", CouldNotVerify),
    ],
)
def test_an_answer_to_one_approvers_code_is_not_given_to_the_next(ken, status, body, error, headers):
    """MSAL keeps such answers, and the key under which it does leaves out the code."""
    ken.entra.answer(status, body, headers)
    with pytest.raises(error) as caught:
        ken.redeem()
    assert caught.value.__context__ is None
    ken.entra.mend()
    ken.begin()
    assert ken.redeem().oid == KEN_OID


async def test_an_entra_that_hangs_is_waited_for_once(ken):
    answer, asked = threading.Event(), []

    def hang(request: httpx.Request) -> None:
        asked.append(request)
        answer.wait(10)

    ken.entra.instead = hang
    soon = Timing(entra_timeout=timedelta(seconds=0.1), entra_away=timedelta(seconds=0.3))
    client = a_client(ken.entra, timing=soon)
    for _ in range(3):
        with pytest.raises(CouldNotVerify), capture_logs() as logged:
            await client.in_thread(client.begin_flow, redirect_uri=CALLBACK, login_hint=None, claims=None)
        assert [line["event"] for line in logged] == ["entra_no_answer"]
    assert len(asked) == 1
    answer.set()
    ken.entra.mend()
    async with asyncio.timeout(20):
        while True:
            with suppress(CouldNotVerify):
                await client.in_thread(client.warm_up)
                break
            await asyncio.sleep(0.05)


def test_a_silent_entra_is_told_by_every_call_and_forgotten_with_its_first_answer(ken):
    def silent(request: httpx.Request) -> None:
        raise httpx.ReadTimeout("", request=request)

    away = a_client(ken.entra, timing=Timing(entra_away=timedelta(microseconds=1)))
    for client, asked in ((ken.client, 1), (away, 2)):
        before = len(ken.entra.requests)
        ken.entra.instead = silent
        for _ in range(2):
            with pytest.raises(CouldNotVerify):
                client.warm_up()
        assert len(ken.entra.requests) == before + asked
        ken.entra.mend()
    away.warm_up()
    away.warm_up()
