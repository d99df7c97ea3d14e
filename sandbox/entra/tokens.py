"""The tokens: an id_token for the client, an access token for Graph."""

import base64
import json
import secrets
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from sandbox.cast import Account
from sandbox.entra.grants import Session
from sandbox.entra.parameters import GRAPH, Claims, authentication_contexts, capable

ID_TOKEN_LIFETIME: Final = timedelta(hours=1)
SHORTEST: Final = timedelta(minutes=60)
SPREAD_SECONDS: Final = 30 * 60
SHORTEST_CAPABLE: Final = timedelta(hours=20)
SPREAD_CAPABLE_SECONDS: Final = 8 * 60 * 60


def issuer(tenant: str) -> str:
    """The `iss` of an id_token (v2.0), the real one: a client checks it against the tenant."""
    return f"https://login.microsoftonline.com/{tenant}/v2.0"


def client_info(account: Account) -> str:
    """The account's home, base64url, as MSAL reads it."""
    return _base64url({"uid": account.oid, "utid": account.tenant_id})


def access_lifetime(claims: Claims) -> timedelta:
    """Entra's default, at random: 60 to 90 minutes; 20 to 28 hours for a client that takes challenges."""
    if capable(claims):
        return SHORTEST_CAPABLE + timedelta(seconds=secrets.randbelow(SPREAD_CAPABLE_SECONDS))
    return SHORTEST + timedelta(seconds=secrets.randbelow(SPREAD_SECONDS))


def id_claims(session: Session, *, client_id: str, nonce: str, now: datetime) -> dict[str, object]:
    """The claims of an id_token; `email` as the app registration's optional claim gives it."""
    account = session.account
    claims: dict[str, object] = {
        "ver": "2.0",
        "iss": issuer(account.tenant_id),
        "aud": client_id,
        "tid": account.tenant_id,
        "oid": account.oid,
        "sub": _base64url({"pairwise": client_id[:8] + account.oid}),
        "name": account.name,
        "preferred_username": account.upn,
        "email": account.email,
        "uti": secrets.token_urlsafe(16),
    }
    when = {"auth_time": _seconds(session.proved_at)} if session.auth_time else {}
    return claims | when | _times(now, ID_TOKEN_LIFETIME) | ({"nonce": nonce} if nonce else {})


def access_claims(
    session: Session,
    *,
    client_id: str,
    permissions: Collection[str],
    claims: Claims,
    now: datetime,
    lifetime: timedelta,
) -> dict[str, object]:
    """The claims of a delegated access token for Graph."""
    account = session.account
    body: dict[str, object] = {
        "ver": "1.0",
        "aud": GRAPH,
        "iss": f"https://sts.windows.net/{account.tenant_id}/",
        "appid": client_id,
        "idtyp": "user",
        "tid": account.tenant_id,
        "oid": account.oid,
        "upn": account.upn,
        "name": account.name,
        "scp": " ".join(permissions),
        "uti": secrets.token_urlsafe(16),
    }
    if capable(claims):
        body["xms_cc"] = ["CP1"]
    if contexts := authentication_contexts(claims):
        body["acrs"] = contexts
    return body | _times(now, lifetime)


def app_only_claims(tenant: str, client_id: str, *, now: datetime) -> dict[str, object]:
    """The claims of an app-only token, which the sandbox's Graph refuses."""
    body: dict[str, object] = {
        "ver": "1.0",
        "aud": GRAPH,
        "iss": f"https://sts.windows.net/{tenant}/",
        "appid": client_id,
        "idtyp": "app",
        "tid": tenant,
        "oid": "0a000000-0000-4000-8000-0000000000a1",
        "uti": secrets.token_urlsafe(16),
    }
    return body | _times(now, SHORTEST)


def _times(now: datetime, lifetime: timedelta) -> dict[str, object]:
    return {"iat": _seconds(now), "nbf": _seconds(now), "exp": _seconds(now + lifetime)}


def _seconds(at: datetime) -> int:
    return int(at.timestamp())


def _base64url(content: Mapping[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
