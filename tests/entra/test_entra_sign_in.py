"""Signing in: a link for one person and one use, and an id_token that we check ourselves."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from app_certificate import certificate, pem, private_key
from bot.domain.errors import CouldNotVerify, SignInRefused, TicketUnusable
from bot.domain.secret import Secret
from bot.domain.why import Code
from bot.entra import Credential, new_key
from bot.entra.bindings import digest
from bot.ports import Confirmation
from entra_desk import AIKO, AIKO_OID, ANOTHER_KEY, BASE, CALLBACK, KEN, KEN_OID, PLENTY, STEP_UP, EntraDesk
from sandbox.cast import CLIENT_ID, KEN_AT_FABRIKAM, OTHER_TENANT_ID, TENANT_ID
from sandbox.entra import SigningKey


async def refusal(desk: EntraDesk, form: Mapping[str, str]) -> tuple[Code, Mapping[str, str]]:
    with pytest.raises(SignInRefused) as caught:
        await desk.links.finish(form)
    assert caught.value.ticket is not None
    assert caught.value.ticket.user == KEN
    assert caught.value.__context__ is None, "MSAL puts claims of the token into its messages"
    assert desk.rows.rows == {}
    return caught.value.why.code, caught.value.why.facts


async def test_an_approver_signs_in(desk: EntraDesk) -> None:
    arrival = await desk.arrive()

    account = arrival.account
    assert (account.tenant, account.oid) == (TENANT_ID, KEN_OID)
    assert (account.username, account.name) == ("ken@contoso.com", "Ken Ito")
    assert account.emails == {"ken@contoso.com"}
    assert account.signed_in_at == desk.clock.now()
    assert arrival.ticket.user == KEN
    await desk.sign_ins.keep(KEN, arrival)
    assert await desk.sign_ins.account(KEN) == account
    assert await desk.sign_ins.tied_to(account) == KEN
    assert (await desk.sign_ins.token(KEN)).reveal().count(".") == 2


async def test_what_the_browser_is_sent_to(desk: EntraDesk) -> None:
    secret = await desk.link(claims=STEP_UP)

    url = await desk.links.begin(secret, login_hint="ken@contoso.com")

    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert url.startswith(f"{BASE}/entra/{TENANT_ID}/oauth2/v2.0/authorize?")
    assert asked["response_mode"] == "form_post"
    assert asked["redirect_uri"] == CALLBACK
    assert asked["prompt"] == "select_account"
    assert asked["login_hint"] == "ken@contoso.com"
    assert asked["code_challenge_method"] == "S256"
    assert asked["client_id"] == CLIENT_ID
    claims = json.loads(asked["claims"])["access_token"]
    assert claims["acrs"] == {"essential": True, "value": "c1"}
    assert claims["xms_cc"] == {"values": ["CP1"]}


@pytest.mark.parametrize("claims", ["not json", "[]", '{"access_token": 1}', "eyJhIjp7fX0="])
async def test_claims_of_another_shape_do_not_break_the_sign_in(desk: EntraDesk, claims: str) -> None:
    assert (await desk.arrive(claims=claims)).account.oid == KEN_OID


async def test_the_link_is_ours_and_finds_its_ticket(desk: EntraDesk) -> None:
    secret = await desk.link()

    ticket = await desk.links.ticket(secret)

    assert ticket.user == KEN
    invitation = await desk.links.invite(ticket, secret, PLENTY)
    assert invitation.url == "https://unlatch.contoso.com/sign-in/link-1"
    with pytest.raises(TicketUnusable):
        await desk.links.ticket(Secret("link-2"))


async def test_a_link_begins_one_flow_however_often_it_is_opened(desk: EntraDesk) -> None:
    secret = await desk.link()
    opened = [desk.links.begin(secret, login_hint=None) for _ in range(3)]

    urls = set(await asyncio.gather(*opened))

    assert len(urls) == 1
    assert len(desk.tickets.flows) == 1


async def test_a_link_that_somebody_came_back_from_leads_nowhere(desk: EntraDesk) -> None:
    secret = await desk.link()
    await desk.links.finish(await desk.come_back(await desk.links.begin(secret, login_hint=None)))

    with pytest.raises(TicketUnusable):
        await desk.links.begin(secret, login_hint=None)


async def test_an_old_link_begins_nothing(desk: EntraDesk) -> None:
    secret = await desk.link()
    desk.clock.advance(timedelta(minutes=10))

    with pytest.raises(TicketUnusable):
        await desk.links.begin(secret, login_hint=None)


async def test_the_answer_of_microsoft_is_redeemed_once(desk: EntraDesk) -> None:
    form = await desk.returned()
    await desk.links.finish(form)

    with pytest.raises(TicketUnusable):
        await desk.links.finish(form)

    assert len(desk.line.forms("authorization_code")) == 1


@pytest.mark.parametrize("form", [{}, {"state": ""}, {"state": "made-up", "code": "x"}, {"code": "x"}])
async def test_an_answer_that_nobody_began_is_nothing(desk: EntraDesk, form: dict[str, str]) -> None:
    await desk.returned()

    with pytest.raises(TicketUnusable):
        await desk.links.finish(form)


async def test_an_answer_that_comes_too_late_is_nothing(desk: EntraDesk) -> None:
    form = await desk.returned()
    desk.clock.advance(timedelta(minutes=10))

    with pytest.raises(TicketUnusable):
        await desk.links.finish(form)


async def test_a_flow_that_was_moved_under_another_ticket_does_not_open(desk: EntraDesk) -> None:
    kens = await desk.returned(KEN)
    aikos = await desk.returned(AIKO, AIKO_OID)
    first, second = desk.tickets.flows
    one, other = desk.tickets.flows[first], desk.tickets.flows[second]
    desk.tickets.flows = {first: (other[0], one[1], one[2]), second: (one[0], other[1], one[2])}

    for form in (kens, aikos):
        with pytest.raises(TicketUnusable):
            await desk.links.finish(form)


async def test_a_flow_sealed_with_a_lost_key_is_an_unusable_link(desk: EntraDesk) -> None:
    form = await desk.returned()

    with pytest.raises(TicketUnusable):
        await desk.process(new_key()).links.finish(form)


async def test_whoever_cancels_is_refused_as_no_consent(desk: EntraDesk) -> None:
    code, facts = await refusal(desk, await desk.returned(oid="nobody"))

    assert (code, facts) == (Code.CONSENT_DENIED, {"code": "AADSTS65004"})


@pytest.mark.parametrize(
    ("error", "described", "code", "named"),
    [
        ("access_denied", "", Code.CONSENT_DENIED, "access_denied"),
        ("consent_required", "AADSTS65001: has not consented", Code.CONSENT_DENIED, "AADSTS65001"),
        ("access_denied", "AADSTS90094: admin permission", Code.CONSENT_DENIED, "AADSTS90094"),
        ("access_denied", "AADSTS50105: not assigned to a role", Code.ENTRA_ERROR, "AADSTS50105"),
        ("server_error", "AADSTS90033: a transient error. Trace ID: 1", Code.ENTRA_ERROR, "AADSTS90033"),
        ("<script>", "ken@contoso.com did it", Code.ENTRA_ERROR, "unknown"),
        ("interaction_required", "", Code.ENTRA_ERROR, "interaction_required"),
    ],
)
async def test_of_an_error_only_its_code_is_kept(
    desk: EntraDesk, error: str, described: str, code: Code, named: str
) -> None:
    form = await desk.returned()
    answer = {"state": form["state"], "error": error, "error_description": described}

    assert await refusal(desk, answer) == (code, {"code": named})


async def test_a_wrong_client_secret_is_an_entra_error_with_its_number(desk: EntraDesk) -> None:
    form = await desk.returned()
    desk.entra.client_secrets = {"another"}

    assert await refusal(desk, form) == (Code.ENTRA_ERROR, {"code": "AADSTS7000215"})


@pytest.mark.parametrize("form", [{}, {"code": ""}, {"error": ""}])
async def test_an_answer_without_code_or_error_is_refused(desk: EntraDesk, form: dict[str, str]) -> None:
    state = (await desk.returned())["state"]

    assert (await refusal(desk, {"state": state, **form}))[0] is Code.BAD_TOKEN


TAMPERED = [
    ({"aud": "00000000-0000-4000-8000-000000000000"}, Code.BAD_TOKEN, "aud"),
    ({"aud": None}, Code.BAD_TOKEN, "token"),
    ({"iss": f"https://login.microsoftonline.com/{OTHER_TENANT_ID}/v2.0"}, Code.BAD_TOKEN, "iss"),
    ({"iss": None}, Code.BAD_TOKEN, "token"),
    ({"exp": 1_700_000_000}, Code.BAD_TOKEN, "exp"),
    ({"exp": None}, Code.BAD_TOKEN, "token"),
    ({"exp": "soon"}, Code.BAD_TOKEN, "exp"),
    ({"nbf": 4_000_000_000}, Code.BAD_TOKEN, "nbf"),
    ({"tid": OTHER_TENANT_ID}, Code.WRONG_TENANT, None),
    ({"tid": None}, Code.WRONG_TENANT, None),
    ({"oid": None}, Code.BAD_TOKEN, "oid"),
    ({"nonce": "of another sign-in"}, Code.BAD_TOKEN, "answer"),
    ({"nonce": None}, Code.BAD_TOKEN, "answer"),
    ({"idp": "https://sts.windows.net/99999999-8888-4777-8666-555555555555/"}, Code.GUEST_ACCOUNT, None),
    ({"idp": "live.com"}, Code.GUEST_ACCOUNT, None),
    ({"acct": 1}, Code.GUEST_ACCOUNT, None),
]


@pytest.mark.parametrize(("claims", "code", "part"), TAMPERED, ids=lambda value: str(value)[:30])
async def test_an_id_token_with_a_wrong_claim_is_refused(
    desk: EntraDesk, claims: dict[str, object], code: Code, part: str | None
) -> None:
    form = await desk.returned()
    desk.entra.tamper = claims

    found, facts = await refusal(desk, form)

    assert found is code
    assert facts == ({"part": part} if part else {"account": "ken@contoso.com"})


async def test_an_account_of_another_tenant_is_refused(desk: EntraDesk) -> None:
    desk.entra.multitenant = True

    code, facts = await refusal(desk, await desk.returned(oid=KEN_AT_FABRIKAM.oid))

    assert (code, facts) == (Code.WRONG_TENANT, {"account": "ken@fabrikam.com"})


async def test_an_id_token_signed_with_another_key_is_refused(desk: EntraDesk) -> None:
    await desk.sign_ins.warm()
    form = await desk.returned()
    desk.entra.key = ANOTHER_KEY

    assert await refusal(desk, form) == (Code.BAD_TOKEN, {"part": "signature"})


async def test_a_key_that_entra_began_to_use_today_is_fetched(desk: EntraDesk) -> None:
    await desk.sign_ins.warm()
    desk.entra.key = SigningKey.fresh("sandbox-2")

    assert (await desk.arrive()).account.oid == KEN_OID


def answered_with(desk: EntraDesk, id_token: object) -> None:
    """The token endpoint answers everything right but the id_token."""

    def answer(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.endswith("/token"):
            return None
        body = {"access_token": "a", "refresh_token": "r", "expires_in": 3600, "scope": "x"}
        return httpx.Response(200, json=body if id_token is None else {**body, "id_token": id_token})

    desk.line.instead = answer


@pytest.mark.parametrize("id_token", [None, "", "x", "a.b.c", "e30.e30.", "e30.W10.e30", 7])
async def test_an_answer_without_a_readable_id_token_is_refused(desk: EntraDesk, id_token: object) -> None:
    form = await desk.returned()
    answered_with(desk, id_token)

    assert (await refusal(desk, form))[0] is Code.BAD_TOKEN


async def test_an_unsigned_id_token_is_refused(desk: EntraDesk) -> None:
    form = await desk.returned()
    desk.entra.key = Unsigned()

    assert await refusal(desk, form) == (Code.BAD_TOKEN, {"part": "header"})


class Unsigned(SigningKey):
    """Says of itself that it signs nothing ("alg": "none")."""

    def __init__(self) -> None:
        self.kid = "sandbox-1"

    def sign(self, claims: Mapping[str, object]) -> str:
        return jwt.encode(dict(claims), key="", algorithm="none", headers={"kid": self.kid})


async def test_an_address_that_nobody_verified_is_not_the_accounts(desk: EntraDesk) -> None:
    form = await desk.returned()
    desk.entra.tamper = {"email": "Boss@Contoso.com", "xms_edov": False}

    assert (await desk.links.finish(form)).account.emails == {"ken@contoso.com"}


async def test_addresses_are_kept_in_lower_case(desk: EntraDesk) -> None:
    form = await desk.returned()
    desk.entra.tamper = {"email": "Ken.Ito@Contoso.com", "preferred_username": "not an address"}

    assert (await desk.links.finish(form)).account.emails == {"ken.ito@contoso.com"}


async def test_while_entra_is_away_a_link_is_not_used_up(desk: EntraDesk) -> None:
    secret = await desk.link()
    desk.line.cut()

    with pytest.raises(CouldNotVerify):
        await desk.links.begin(secret, login_hint=None)

    desk.line.mend()
    assert await desk.links.begin(secret, login_hint=None)


@pytest.mark.parametrize("status", [200, 500, 503])
async def test_an_entra_that_answers_html_could_not_verify(desk: EntraDesk, status: int) -> None:
    form = await desk.returned()
    desk.line.answer(status, "<html>secret-token</html>")

    with pytest.raises(CouldNotVerify):
        await desk.links.finish(form)


async def test_a_start_without_entra_is_said_and_no_crash(desk: EntraDesk) -> None:
    desk.line.cut()
    with pytest.raises(CouldNotVerify):
        await desk.sign_ins.warm()

    desk.line.answer(400, '{"error": "invalid_tenant"}')
    with pytest.raises(CouldNotVerify):
        await desk.sign_ins.warm()

    desk.line.answer(200, "{}")
    with pytest.raises(CouldNotVerify):
        await desk.sign_ins.warm()

    desk.line.mend()
    await desk.sign_ins.warm()


async def test_discovery_is_asked_for_once_by_msal_and_once_by_us(desk: EntraDesk) -> None:
    await desk.sign_in()
    await desk.sign_ins.token(KEN)
    await desk.sign_in(AIKO, AIKO_OID)

    asked = [request.url.path for request in desk.line.sent if request.method == "GET"]
    assert len([path for path in asked if path.endswith("openid-configuration")]) == 2
    assert len([path for path in asked if path.endswith("/keys")]) == 1


async def test_this_machine_is_reached_over_plain_http_though_msal_knows_https_only(desk: EntraDesk) -> None:
    await desk.sign_in()

    assert {str(request.url.copy_with(path="/", query=None)) for request in desk.line.sent} == {f"{BASE}/"}


async def test_a_certificates_assertion_arrives_whole() -> None:
    key = private_key()
    desk = EntraDesk(Credential.certificate(pem(key) + certificate(key)))

    await desk.sign_in()

    (form,) = desk.line.forms("authorization_code")
    assert form["client_assertion"].startswith("eyJ")
    assert "client_secret" not in form


async def test_an_account_that_another_slack_user_has_is_refused(desk: EntraDesk) -> None:
    await desk.sign_in(KEN, KEN_OID)
    arrival = await desk.arrive(AIKO, KEN_OID)

    with pytest.raises(SignInRefused) as caught:
        await desk.sign_ins.keep(AIKO, arrival)

    assert caught.value.why.code is Code.ACCOUNT_TAKEN
    assert caught.value.ticket == arrival.ticket
    assert await desk.sign_ins.account(AIKO) is None


# The yes


async def test_an_arrival_waits_for_both_secrets_and_is_taken_once(desk: EntraDesk) -> None:
    arrival = await desk.arrive()
    given = await desk.links.hold(arrival)

    for half in (Confirmation(given.page, Secret("")), Confirmation(Secret(""), given.cookie)):
        with pytest.raises(TicketUnusable):
            await desk.links.take(half)
    taken = await desk.links.take(given)

    assert taken.account == arrival.account
    assert taken.cache == arrival.cache
    assert (taken.ticket.user, taken.ticket.claims) == (KEN, arrival.ticket.claims)
    with pytest.raises(TicketUnusable):
        await desk.links.take(given)


async def test_the_secrets_of_an_arrival_are_long_and_not_stored(desk: EntraDesk) -> None:
    given = await desk.links.hold(await desk.arrive())
    [(key, (_, sealed, _))] = desk.tickets.flows.items()

    for secret in (given.page.reveal(), given.cookie.reveal()):
        assert len(secret) >= 43
        assert secret not in f"{key} {desk.tickets.flows!r}"
    assert b"RefreshToken" not in sealed


async def test_an_arrival_that_waits_too_long_is_nothing(desk: EntraDesk) -> None:
    given = await desk.links.hold(await desk.arrive())
    desk.clock.advance(timedelta(minutes=10))

    with pytest.raises(TicketUnusable):
        await desk.links.take(given)


@pytest.mark.parametrize("change", [{"user": AIKO}, {"team": "T0FABRIKAM"}, {"request_id": "1" * 32}])
async def test_an_arrival_that_was_moved_to_another_row_does_not_open(
    desk: EntraDesk, change: dict[str, str]
) -> None:
    given = await desk.links.hold(await desk.arrive())
    [(key, (ticket, sealed, until))] = desk.tickets.flows.items()
    desk.tickets.flows[key] = (replace(ticket, **change), sealed, until)

    with pytest.raises(TicketUnusable):
        await desk.links.take(given)


async def test_a_flow_is_no_arrival_and_an_arrival_no_flow(desk: EntraDesk) -> None:
    form = await desk.returned()
    [state] = desk.tickets.flows
    row = desk.tickets.flows[state]
    page, cookie = form["state"], ""
    desk.tickets.flows[digest(f"{page}.{cookie}")] = row

    with pytest.raises(TicketUnusable):
        await desk.links.take(Confirmation(Secret(page), Secret(cookie)))

    given = await desk.links.hold(await desk.arrive())
    state = f"{given.page.reveal()}.{given.cookie.reveal()}"
    with pytest.raises(TicketUnusable):
        await desk.links.finish({"state": state, "code": "x"})


# A fresh sign-in

TEN = timedelta(minutes=10)


def a_strict_desk() -> EntraDesk:
    desk = EntraDesk()
    desk.links = desk.process(fresh_within=TEN).links
    return desk


async def test_a_fresh_sign_in_is_asked_for_and_its_time_kept() -> None:
    desk = a_strict_desk()
    url = await desk.links.begin(await desk.link(), login_hint=None)

    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert (asked["prompt"], asked["max_age"]) == ("login", "600")
    account = await desk.sign_in()
    assert account.authenticated_at == desk.clock.now().replace(microsecond=0)
    assert await desk.sign_ins.account(KEN) == account


async def test_whoever_was_signed_in_for_long_proves_anew_who_they_are() -> None:
    desk = a_strict_desk()
    await desk.sign_in()
    desk.clock.advance(timedelta(hours=3))

    account = await desk.sign_in()

    assert account.authenticated_at == desk.clock.now().replace(microsecond=0)


async def test_an_answer_that_does_not_say_when_is_refused_with_that_reason() -> None:
    desk = a_strict_desk()
    form = await desk.returned()

    for told in (None, "now", True, 10**30):
        desk.entra.tamper = {"auth_time": told}
        form = await desk.returned()
        assert (await refusal(desk, form))[0] is Code.NO_SIGN_IN_TIME


@pytest.mark.parametrize("ago", [timedelta(minutes=13), -timedelta(minutes=3)], ids=["long ago", "to come"])
async def test_an_answer_of_another_time_is_refused_with_that_reason(ago: timedelta) -> None:
    desk = a_strict_desk()
    form = await desk.returned()
    desk.entra.tamper = {"auth_time": int((desk.clock.now() - ago).timestamp())}

    assert await refusal(desk, form) == (Code.STALE_SIGN_IN, {"account": "ken@contoso.com"})


async def test_unless_it_is_asked_for_no_time_is_needed_and_none_invented(desk: EntraDesk) -> None:
    assert (await desk.sign_in()).authenticated_at is None
