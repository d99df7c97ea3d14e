"""What Entra answers and a browser brings back from it, changed: no account comes of what is not Entra's."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import jwt
from bot.domain.errors import UnlatchError
from bot.domain.people import Account
from bot.domain.values import Secret
from bot.entra.client import EntraClient
from hypothesis import strategies as st
from tests.proofs.fuzz.checks import check_error, check_storable
from tests.proofs.fuzz.ground import Play
from tests.proofs.fuzz.strategies import dumped, json_text, mutated, near, usually
from tests.unit.entra.fake_entra import (
    ANOTHER_KEY,
    CALLBACK,
    CLIENT_ID,
    ISSUER,
    KEN_OID,
    KEY,
    ORIGIN,
    STEP_UP,
    TENANT,
    FakeEntra,
    a_client,
    a_clock,
    query_of,
)

STATUSES: Final = (200, 200, 200, 201, 400, 400, 401, 404, 429, 500, 503, 302)
TOKEN: Final = {
    "token_type": "Bearer",
    "scope": "openid profile",
    "expires_in": 3599,
    "access_token": "an-access-token",
    "refresh_token": "a-refresh-token",
    "id_token": "ID-TOKEN",
    "client_info": "eyJ1aWQiOiJ1IiwidXRpZCI6InQifQ",
}
ERROR: Final = {
    "error": "invalid_grant",
    "error_description": "AADSTS50076: You must use multi-factor authentication.",
    "error_codes": [50076],
    "suberror": "basic_action",
    "claims": STEP_UP,
}
CONFIGURATION: Final = "openid-configuration"
DOCUMENTS: Final[Mapping[str, Any]] = {
    name: FakeEntra(a_clock()).handle_request(httpx.Request("GET", f"{ORIGIN}/{name}")).json()
    for name in (CONFIGURATION, "keys")
}
CLAIMS: Final = {
    "iss": ISSUER,
    "aud": CLIENT_ID,
    "tid": TENANT,
    "oid": KEN_OID,
    "sub": "s",
    "name": "Ken Ito",
    "preferred_username": "ken@contoso.com",
    "ver": "2.0",
}
KEYS: Final = {"Entra's": KEY, "a stranger's": ANOTHER_KEY, "none": None}


@dataclass(frozen=True)
class Case:
    """Which answer is changed. ID-TOKEN in `body` stands for a token of `claims`, signed with that key."""

    part: str
    body: str
    status: int = 200
    claims: str = dumped(CLAIMS)
    signed: str = "Entra's"
    cut: bool = False
    form: Mapping[str, str] = field(default_factory=dict)
    retry_after: str = ""


@st.composite
def _cases(draw: st.DrawFn) -> Case:
    part = draw(st.sampled_from(("token", "token", "token", "refresh", "refresh", "form", *DOCUMENTS)))
    goods = [DOCUMENTS[part]] if part in DOCUMENTS else [TOKEN, TOKEN, ERROR]
    good = draw(st.sampled_from(goods))
    names = st.sampled_from(("state", "code", "error", "error_description", "client_info", "iss"))
    return Case(
        part,
        draw(st.just(dumped(good)) | json_text(mutated(good))),
        draw(st.just(200) | st.sampled_from(STATUSES)),
        draw(json_text(mutated(CLAIMS))) if part == "token" else dumped(CLAIMS),
        draw(usually("Entra's", st.sampled_from(list(KEYS)))),
        draw(st.integers(0, 9)) == 9,
        draw(st.dictionaries(names, near("x"), max_size=2)) if part == "form" else {},
        draw(st.sampled_from(("", "1", "x"))),
    )


cases = _cases()
examples = (
    *(
        Case(CONFIGURATION, dumped({**DOCUMENTS[CONFIGURATION], name: text}))
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
        for text in (None, "\x1fhttp://evil.example/", "http://\u202eevil.example/")
    ),
    *(Case("token", dumped(TOKEN), signed=signed) for signed in KEYS),
    *(Case("token", dumped(TOKEN), claims=dumped({**CLAIMS, name: "x"})) for name in ("iss", "aud", "tid")),
    *(Case("token", dumped({**TOKEN, name: None})) for name in TOKEN),
    *(Case("refresh", dumped({**TOKEN, "access_token": text})) for text in ("é", "a\r\nb", "\ud800", "")),
)


@asynccontextmanager
async def opening() -> AsyncIterator[Play]:
    """A sign-in, or a refresh of one, in which one answer is the case's."""
    yield lambda case: asyncio.to_thread(_play, case)


def _play(case: Case) -> None:
    entra = FakeEntra(a_clock())
    client = a_client(entra)
    try:
        _sign_in(client, entra, case)
    except UnlatchError as error:
        check_error(error)
    finally:
        client.close()


def _sign_in(client: EntraClient, entra: FakeEntra, case: Case) -> None:
    now = a_clock().now()
    if case.part in DOCUMENTS:
        entra.instead = lambda request: _answer(case, "") if request.url.path.endswith(case.part) else None
    state, flow = client.begin_flow(redirect_uri=CALLBACK, login_hint=None, claims=case.body[:500])
    url = client.authorization_url(flow)
    good = entra.sign_in(url)
    form = {**good, **case.form}
    if case.part == "token":
        nonce = query_of(url)["nonce"]
        entra.instead = lambda request: _answer(case, nonce) if request.method == "POST" else None
    account, cache = client.redeem(flow, form, now=now)
    if case.part == "refresh":
        entra.instead = lambda request: _answer(case, "") if request.method == "POST" else None
        stale = cache.reveal().replace('"expires_on": "', '"expires_on": "0')
        token, _ = client.silent_token(Secret(stale), claims=STEP_UP)
        httpx.Request("GET", "http://graph.example", headers={"authorization": f"Bearer {token.reveal()}"})
        return
    assert form.get("state") == state
    assert form.get("code") == good["code"]
    _check_account(account, case)


def _check_account(account: Account, case: Case) -> None:
    """It is the one of a token that Entra signed for us, by a reading of our own."""
    check_storable({"name": account.name, "username": account.username, "oid": account.oid})
    if case.part != "token":
        return
    assert (case.signed, case.cut) == ("Entra's", False)
    claims = json.loads(case.claims)
    assert (claims["iss"], claims["tid"], claims["oid"]) == (ISSUER, TENANT, account.oid)
    assert claims["aud"] in (CLIENT_ID, [CLIENT_ID])
    assert account.tenant == TENANT


def _answer(case: Case, nonce: str) -> httpx.Response:
    body = case.body
    if '"ID-TOKEN"' in body:
        body = body.replace('"ID-TOKEN"', json.dumps(_token(case, nonce)))
    headers = {"content-type": "application/json", "retry-after": case.retry_after}
    return httpx.Response(case.status, content=body.encode("utf-8", "surrogatepass"), headers=headers)


def _token(case: Case, nonce: str) -> str:
    now = int(a_clock().now().timestamp())
    key = KEYS[case.signed]
    try:
        claims = {"iat": now, "exp": now + 600, "nbf": now - 600, "nonce": nonce, **json.loads(case.claims)}
        token = jwt.encode(claims, key, "none" if key is None else "RS256", headers={"kid": "key-1"})
    except (ValueError, TypeError, RecursionError):
        return "e30.e30."
    return token[:-7] if case.cut else token
