"""Verify an id_token: since 1.38 MSAL checks nothing of it but the nonce.

Source: Microsoft's pages "ID tokens" and "ID token claims reference"; OpenID Connect Core, section 3.1.3.7.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import jwt

from bot.domain.errors import Code, SignInRefused
from bot.domain.people import Account
from bot.domain.values import read_object, text_at
from bot.entra.authority import Authority, EntraUnavailable, MsalHttp

KEYS_GOOD_FOR: Final = timedelta(days=1)
"""Microsoft's page "Signing key rollover": keys are looked at daily, and an emergency may withdraw one."""
KEYS_APART: Final = timedelta(minutes=1)
"""An unknown name is no reason to fetch the keys more often."""
LEEWAY: Final = timedelta(minutes=2)
"""How far Entra's clock and ours may differ."""
_ALGORITHM: Final = "RS256"

Claims = Mapping[str, object]


class Provider(NamedTuple):
    """What the OpenID configuration says: who issues, and with which keys."""

    issuer: str
    keys: Mapping[str, jwt.PyJWK]


class IdTokenVerifier:
    """Verifies id_tokens for one app in one tenant; remembers the provider's keys. Synchronous."""

    def __init__(self, http: MsalHttp, authority: Authority, *, tenant: str, client_id: str) -> None:
        self._http = http
        self._authority = authority
        self._tenant = tenant
        self._client_id = client_id
        self._provider: Provider | None = None
        self._fetched_at: datetime | None = None
        """When a token last made us fetch the keys."""

    def fetch(self) -> Provider:
        """Fetch the OpenID configuration and the keys; raises EntraUnavailable."""
        configuration = self._json(self._authority.discovery_url)
        issuer, keys_url = configuration.get("issuer"), configuration.get("jwks_uri")
        if not isinstance(issuer, str) or not isinstance(keys_url, str):
            raise EntraUnavailable("the OpenID configuration names no issuer or no keys")
        entries = self._json(keys_url).get("keys")
        try:
            keys = {
                entry["kid"]: jwt.PyJWK(entry, algorithm=_ALGORITHM)
                for entry in (entries if isinstance(entries, list) else [])
                if isinstance(entry, dict) and entry.get("kty") == "RSA" and isinstance(entry.get("kid"), str)
            }
        except jwt.PyJWTError as error:
            raise EntraUnavailable("the provider's keys cannot be read") from error
        self._provider = provider = Provider(issuer, keys)
        return provider

    def verify(self, token: str, *, now: datetime, max_age: timedelta | None = None) -> Account:
        """Return whose token this is; raises SignInRefused, or EntraUnavailable where there are no keys.

        With `max_age` the person must have signed in interactively within it, and the token must say when.
        """
        provider, key = self._key(token, now)
        claims = self._signed(token, key)
        tenant = claims.get("tid")
        if not isinstance(tenant, str) or tenant.casefold() != self._tenant.casefold():
            raise SignInRefused(Code.WRONG_TENANT, account=_username(claims))
        if claims.get("iss") != provider.issuer.replace("{tenantid}", self._tenant):
            raise _bad("iss")
        _check_time(claims, now)
        _check_home(claims, self._tenant)
        _check_fresh(claims, now, max_age)
        oid = text_at(claims, "oid")
        if not oid:
            raise _bad("oid")
        return Account(
            tenant=self._tenant,
            oid=oid,
            username=_username(claims),
            name=text_at(claims, "name"),
            emails=_emails(claims),
            signed_in_at=now,
            authenticated_at=_authenticated_at(claims),
        )

    def _key(self, token: str, now: datetime) -> tuple[Provider, jwt.PyJWK]:
        """Return the key that the token names; an unknown name may be a new key, so fetch them once more."""
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError:
            header = {}
        key_id = header.get("kid")
        if not isinstance(key_id, str) or header.get("alg") != _ALGORITHM:
            raise _bad("header")
        provider, at = self._provider, self._fetched_at
        age = KEYS_GOOD_FOR if provider is None or at is None else now - at
        if provider is None or age >= (KEYS_GOOD_FOR if key_id in provider.keys else KEYS_APART):
            provider = self.fetch()
            self._fetched_at = now
        if key_id not in provider.keys:
            raise _bad("key")
        return provider, provider.keys[key_id]

    def _signed(self, token: str, key: jwt.PyJWK) -> Claims:
        """Return the claims if signature and audience are right; times are checked on our own clock."""
        try:
            return jwt.decode(
                token,
                key=key,
                algorithms=[_ALGORITHM],
                audience=self._client_id,
                options={
                    "require": ["aud", "iss", "exp"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "enforce_minimum_key_length": True,
                },
            )
        except jwt.InvalidAudienceError:
            error = _bad("aud")
        except jwt.InvalidSignatureError:
            error = _bad("signature")
        except jwt.InvalidKeyError:
            error = _bad("key")
        except jwt.InvalidTokenError:
            error = _bad("token")
        # Outside of the except: the library puts claims into its messages.
        raise error

    def _json(self, url: str) -> Mapping[str, object]:
        answer = self._http.get(url)
        body = read_object(answer.text) if answer.status_code == 200 else None
        if body is None:
            raise EntraUnavailable("the OpenID configuration cannot be read")
        return body


def _check_time(claims: Claims, now: datetime) -> None:
    expires, begins = claims.get("exp"), claims.get("nbf", 0)
    if not isinstance(expires, int | float) or now.timestamp() >= expires + LEEWAY.total_seconds():
        raise _bad("exp")
    if not isinstance(begins, int | float) or now.timestamp() < begins - LEEWAY.total_seconds():
        raise _bad("nbf")


def _check_home(claims: Claims, tenant: str) -> None:
    """Refuse a guest, whose home is another tenant: `idp` names it, and `acct` is 1."""
    homes = (claims.get("iss"), f"https://sts.windows.net/{tenant}/")
    if claims.get("idp", homes[0]) not in homes or claims.get("acct") in (1, "1"):
        raise SignInRefused(Code.GUEST_ACCOUNT, account=_username(claims))


def _check_fresh(claims: Claims, now: datetime, max_age: timedelta | None) -> None:
    """Microsoft answers `max_age` with `auth_time`; without it the age of the sign-in is not known."""
    if max_age is None:
        return
    at = _authenticated_at(claims)
    if at is None:
        raise SignInRefused(Code.NO_SIGN_IN_TIME)
    if not at - LEEWAY <= now <= at + max_age + LEEWAY:
        raise SignInRefused(Code.STALE_SIGN_IN, account=_username(claims))


def _authenticated_at(claims: Claims) -> datetime | None:
    """Return when the person last signed in interactively, in whole seconds."""
    seconds = claims.get("auth_time")
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _emails(claims: Claims) -> frozenset[str]:
    """Return the sign-in names, and `email` unless the token says that it is not verified."""
    unverified = any(claims.get(flag) in (False, 0, "0", "false") for flag in ("xms_edov", "email_verified"))
    addresses = [text_at(claims, name) for name in ("preferred_username", "upn")]
    addresses.append("" if unverified else text_at(claims, "email"))
    return frozenset(address.casefold() for address in addresses if "@" in address)


def _username(claims: Claims) -> str:
    """Return what people know the account by; all but `oid` may be missing."""
    names = (text_at(claims, name).strip() for name in ("preferred_username", "upn", "email", "oid"))
    return next(filter(None, names), "")


def _bad(part: str) -> SignInRefused:
    """`part` says which check failed; nothing of the token is kept."""
    return SignInRefused(Code.BAD_TOKEN, part=part)
