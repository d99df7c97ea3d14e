"""What Entra answers, and what a browser brings back from it, changed: no account comes of any of it."""

import asyncio
import json
import time
from datetime import UTC, datetime
from functools import cache
from random import Random
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
from bot.domain.errors import UnlatchError
from bot.domain.secret import Secret
from bot.entra import EntraClient
from bot.slack.wording import ENGLISH
from sandbox.entra.keys import SigningKey
from tests.fuzz import mutation
from tests.fuzz.far_sides import BASE, CLIENT_ID, TENANT_ID, Microsoft
from tests.fuzz.grounds import Case
from tests.fuzz.house import entra_client
from tests.fuzz.judge import Wrong, check_text

STATUSES: Final = (200, 200, 200, 400, 400, 401, 404, 429, 500, 503, 302)
TOKEN: Final = {
    "token_type": "Bearer",
    "scope": "openid profile",
    "expires_in": 3599,
    "access_token": "an-access-token",
    "refresh_token": "a-refresh-token",
    "id_token": "$ID",
    "client_info": "eyJ1aWQiOiJ1IiwidXRpZCI6InQifQ",
}
ERROR: Final = {
    "error": "invalid_grant",
    "error_description": "AADSTS50076: You must use multi-factor authentication.",
    "error_codes": [50076],
    "suberror": "basic_action",
    "claims": '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}',
}
CODE: Final = {
    "user_code": "ABCD-EFGH",
    "device_code": "a-device-code",
    "verification_uri": "https://login.microsoft.com/device",
    "expires_in": 900,
    "interval": 5,
    "message": "To sign in, open the page and enter the code.",
}
CLAIMS: Final = {
    "iss": f"https://login.microsoftonline.com/{TENANT_ID}/v2.0",
    "aud": CLIENT_ID,
    "tid": TENANT_ID,
    "oid": "0c000000-0000-4000-8000-000000000002",
    "sub": "s",
    "name": "Ken Ito",
    "preferred_username": "ken@contoso.com",
    "ver": "2.0",
}
PARTS: Final = ("token", "token", "token", "form", "openid-configuration", "keys", "refresh", "devicecode")


def draw(dice: Random) -> Case:
    """Which answer is changed, and how."""
    part = dice.choice(PARTS)
    body = {"form": {"state": "$STATE", "code": "c"}, "token": dice.choice((TOKEN, ERROR))}.get(part, TOKEN)
    if part in ("openid-configuration", "keys"):
        body = dice.choice(
            (
                {"issuer": BASE, "jwks_uri": BASE, "token_endpoint": BASE},
                {"keys": [{"kty": "RSA", "kid": "k"}]},
            )
        )
    if part == "devicecode":
        body = dice.choice((CODE, CODE, TOKEN, ERROR))
    if part == "refresh":
        body = dice.choice((TOKEN, ERROR, ERROR))
    text = mutation.dumped(mutation.value(dice, body) if dice.random() < 0.6 else body)
    return {
        "part": part,
        "status": dice.choice(STATUSES),
        "body": mutation.broken(dice, text) if dice.random() < 0.05 else text,
        "claims": mutation.dumped(mutation.value(dice, CLAIMS)),
        "signed": dice.choice(("by a stranger", "not", "cut")),
        "retry": dice.choice(("", "1", "²", "x")),
    }


async def play(case: Case) -> None:
    """Go through a sign-in; whatever comes of it is a sentence, and no account."""
    microsoft = Microsoft()
    client = entra_client(microsoft, secret=None if case["part"] == "devicecode" else "fuzz")
    try:
        await asyncio.to_thread(_through, client, microsoft, case)
    except UnlatchError as error:
        check_text(ENGLISH.refusal(error))
    finally:
        client.close()


def _through(client: EntraClient, microsoft: Microsoft, case: Case) -> None:
    part = case["part"]
    if part in ("openid-configuration", "keys"):
        microsoft.instead[part] = _answer(case, nonce="")
    if part == "devicecode":
        microsoft.instead |= {"devicecode": _answer(case, nonce=""), "token": _answer(case, nonce="")}
        client.poll_code(client.start_code(claims=None).flow, claims=None, now=datetime.now(UTC))
        return
    started = client.start(
        redirect_uri=f"{BASE}/sign-in/callback", login_hint=None, claims=case["body"][:500]
    )
    if part in ("token", "refresh"):
        [nonce] = parse_qs(urlsplit(client.address_of(started.flow)).query)["nonce"]
        microsoft.instead["token"] = _answer(case, nonce=nonce)
    if part == "refresh":
        client.silent(Secret(_cache()), claims=None)
        return
    account, _ = client.redeem(started.flow, _form(case, started.state), now=datetime.now(UTC))
    raise Wrong(f"signed in as {account}")


def _answer(case: Case, *, nonce: str) -> httpx.Response:
    return httpx.Response(
        case["status"],
        content=_with_id(case, nonce).encode("utf-8", "surrogatepass"),
        headers={"content-type": "application/json", "retry-after": case["retry"].encode("latin-1")},
    )


def _with_id(case: Case, nonce: str) -> str:
    """A token that nobody signed whom we trust."""
    if '"$ID"' not in case["body"]:
        return str(case["body"])
    now = int(time.time())
    try:
        claims = json.loads(case["claims"])
        token = jwt.encode(
            {"exp": now + 600, "nbf": now - 600, "nonce": nonce} | claims,
            _stranger(case),
            algorithm=_algorithm(case),
            headers={"kid": "sandbox-1"},
        )
    except (ValueError, TypeError, RecursionError):
        token = "e30.e30."
    return str(case["body"].replace('"$ID"', json.dumps(token[:-7] if case["signed"] == "cut" else token)))


def _stranger(case: Case) -> Any:
    return "" if case["signed"] == "not" else _key()._private


def _algorithm(case: Case) -> str:
    return "none" if case["signed"] == "not" else "RS256"


@cache
def _key() -> SigningKey:
    return SigningKey.fresh("sandbox-1")


def _form(case: Case, state: str) -> dict[str, str]:
    if case["part"] != "form":
        return {"state": state, "code": "c"}
    try:
        form = json.loads(case["body"])
    except (ValueError, RecursionError):
        form = {}
    pairs = form.items() if isinstance(form, dict) else ()
    return {str(name): str(text).replace("$STATE", state)[:5000] for name, text in pairs}


@cache
def _cache() -> str:
    """MSAL's own format, with an access token that has run out."""
    home = "u.t"
    host = BASE.partition("//")[2]
    account = {
        "home_account_id": home,
        "environment": host,
        "realm": TENANT_ID,
        "local_account_id": "u",
        "username": "ken@contoso.com",
        "authority_type": "MSSTS",
    }
    refresh = {
        "credential_type": "RefreshToken",
        "secret": "r",
        "home_account_id": home,
        "environment": host,
        "client_id": CLIENT_ID,
        "target": "",
    }
    return json.dumps(
        {
            "Account": {"a": account},
            "RefreshToken": {"r": refresh},
            "AccessToken": {},
            "IdToken": {},
            "AppMetadata": {},
        }
    )
