"""What Entra answers, changed: no account comes of what is not Entra's."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx
import jwt
from bot.domain.errors import UnlatchError
from bot.domain.people import Account
from bot.domain.values import Secret
from bot.entra.client import EntraClient
from hypothesis import strategies as st
from tests.proofs.fuzz.openings import Play, check_error, check_storable
from tests.proofs.fuzz.strategies import Answer, answers, dumped, mutated, usually
from tests.unit.entra import fake_entra
from tests.unit.entra.fake_entra import CALLBACK, CLIENT_ID, ISSUER, ORIGIN, STEP_UP, TENANT, FakeEntra

TOKEN: Final = {
    **{"token_type": "Bearer", "scope": "openid profile", "expires_in": 3599, "access_token": "a-token"},
    **{"refresh_token": "a-token", "id_token": "ID-TOKEN", "client_info": "eyJ1aWQiOiJ1IiwidXRpZCI6InQifQ"},
}
ERROR: Final = {
    **{
        "error": "invalid_grant",
        "error_description": "AADSTS50076: You must use multi-factor authentication",
    },
    **{"error_codes": [50076], "suberror": "basic_action", "claims": STEP_UP},
}
CONFIGURATION, KEYS = "openid-configuration", "keys"
CLAIMS: Final = {
    **{"iss": ISSUER, "aud": CLIENT_ID, "tid": TENANT, "oid": fake_entra.KEN_OID, "sub": "s", "ver": "2.0"},
    **{"name": "Ken Ito", "preferred_username": "ken@contoso.com"},
}
SIGNERS: Final = {"Entra": fake_entra.KEY, "a stranger": fake_entra.ANOTHER_KEY, "nobody": None}


@dataclass(frozen=True)
class Case:
    """Which answer is changed. ID-TOKEN in it stands for a token of `claims`, signed by that signer."""

    part: str
    answer: Answer
    claims: Any
    signer: str


def _good(name: str) -> Any:
    entra = FakeEntra(fake_entra.a_clock())
    return entra.handle_request(httpx.Request("GET", f"{ORIGIN}/{name}")).json()


PARTS: Final = {
    **{name: answers(_good(name)) for name in (CONFIGURATION, KEYS)},
    **dict.fromkeys(("token", "refresh"), answers(TOKEN, TOKEN, ERROR)),
}
cases = st.sampled_from([*PARTS, "token", "token"]).flatmap(
    lambda part: st.builds(
        Case,
        st.just(part),
        PARTS[part],
        usually(CLAIMS, mutated(CLAIMS)),
        usually("Entra", st.sampled_from([*SIGNERS])),
    )
)


@asynccontextmanager
async def opening() -> AsyncIterator[Play]:
    """A sign-in, or a refresh of one, in which one answer is the case's."""
    yield lambda case: asyncio.to_thread(_play, case)


def _play(case: Case) -> None:
    entra = FakeEntra(fake_entra.a_clock())
    client = fake_entra.a_client(entra)
    try:
        _sign_in(client, entra, case)
    except UnlatchError as error:
        check_error(error)
    finally:
        client.close()


def _sign_in(client: EntraClient, entra: FakeEntra, case: Case) -> None:
    part, answer, nonce = case.part, case.answer, ""

    def instead(request: httpx.Request) -> httpx.Response | None:
        called = request.method == "POST" if part in ("token", "refresh") else request.url.path.endswith(part)
        content = answer.content.replace(b'"ID-TOKEN"', json.dumps(_token(case, nonce)).encode())
        return httpx.Response(answer.status, content=content, headers=answer.headers) if called else None

    if part != "refresh":
        entra.instead = instead
    _, flow = client.begin_flow(redirect_uri=CALLBACK, login_hint=None, claims=answer.body[:500])
    url = client.authorization_url(flow)
    nonce = fake_entra.query_of(url).get("nonce", "")
    if not nonce:  # Entra named an address that leads nowhere
        return
    account, cache = client.redeem(flow, entra.sign_in(url), now=fake_entra.a_clock().now())
    check_storable({"name": account.name, "username": account.username, "oid": account.oid})
    if part == "token":
        _check_account(account, case)
    entra.instead = instead
    stale = cache.reveal().replace('"expires_on": "', '"expires_on": "0')
    token, _ = client.silent_token(Secret(stale), claims=STEP_UP)
    httpx.Request("GET", "http://graph.example", headers={"authorization": f"Bearer {token.reveal()}"})


def _check_account(account: Account, case: Case) -> None:
    """It is the one of a token that Entra signed for us, by a reading of our own."""
    claims = json.loads(dumped(case.claims))
    assert case.signer == "Entra"
    assert (claims["iss"], claims["tid"], claims["oid"]) == (ISSUER, account.tenant, account.oid)
    assert claims["aud"] in (CLIENT_ID, [CLIENT_ID])
    assert account.tenant == TENANT


def _token(case: Case, nonce: str) -> str:
    now = int(fake_entra.a_clock().now().timestamp())
    key = SIGNERS[case.signer]
    try:
        times = {"iat": now, "exp": now + 600, "nbf": now - 600, "nonce": nonce}
        claims = times | json.loads(dumped(case.claims))
        return jwt.encode(claims, key, "none" if key is None else "RS256", headers={"kid": "key-1"})
    except (ValueError, TypeError, RecursionError):
        return "e30.e30."
