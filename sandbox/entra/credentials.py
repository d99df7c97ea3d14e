"""Who asks the token endpoint: the app's secret, or a signed assertion."""

import base64
import binascii
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import unquote

import jwt

from sandbox.entra import refusals

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LONGEST_ASSERTION: Final = timedelta(hours=24)
_ALGORITHMS: Final = {"RS256", "PS256"}


def basic(header: str) -> dict[str, str]:
    """Read `Authorization: Basic` as form fields; nothing if there is none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return {}
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise refusals.malformed("the Authorization header") from error
    return {"client_id": unquote(user), "client_secret": unquote(password)}


def check_credential(
    form: Mapping[str, str],
    *,
    client_id: str,
    secrets: Collection[str],
    audiences: Collection[str],
    now: datetime,
) -> None:
    """Accept the secret or an assertion of the right shape (its signature is not checked), or refuse."""
    if "client_secret" in form:
        if form["client_secret"] not in secrets:
            raise refusals.wrong_secret(client_id)
    elif "client_assertion" in form:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise refusals.malformed("client_assertion_type")
        _check_assertion(form["client_assertion"], client_id, audiences, now)
    else:
        raise refusals.no_client_credential()


def _check_assertion(assertion: str, client_id: str, audiences: Collection[str], now: datetime) -> None:
    try:
        header = jwt.get_unverified_header(assertion)
        claims = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.InvalidTokenError as error:
        raise refusals.bad_assertion(50027, "JWT token is invalid or malformed.") from error
    if header.get("alg") not in _ALGORITHMS or not header.keys() & {"x5t", "x5t#S256", "kid"}:
        raise refusals.bad_assertion(5002723, "Invalid JWT token. The header names no certificate.")
    if claims.get("iss") != client_id or claims.get("sub") != client_id or not claims.get("jti"):
        raise refusals.bad_assertion(
            700030, "Invalid certificate: the assertion is not from this application."
        )
    if claims.get("aud") not in audiences:
        raise refusals.bad_assertion(700023, "Client assertion audience claim does not match Realm issuer.")
    _check_times(claims, now)


def _check_times(claims: Mapping[str, object], now: datetime) -> None:
    expires = claims.get("exp")
    seconds = now.timestamp()
    if not isinstance(expires, int | float) or not (
        seconds < expires <= seconds + _LONGEST_ASSERTION.total_seconds()
    ):
        raise refusals.bad_assertion(700024, "Client assertion is not within its valid time range.")
