"""Check an id_token ourselves: since 1.38 MSAL checks nothing of it but the nonce.

Source: Microsoft's pages "ID tokens" and "ID token claims reference"; OpenID Connect Core, section 3.1.3.7.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import jwt

from bot.domain.errors import SignInRefused
from bot.domain.json_objects import read_object
from bot.domain.people import Account
from bot.domain.storable import storable
from bot.domain.why import Code, Why
from bot.entra.authority import Authority
from bot.entra.wire import EntraAway, Wire

LEEWAY: Final = timedelta(minutes=2)
_ALGORITHM: Final = "RS256"
_GUEST: Final = 1
_OK: Final = 200

Claims = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Provider:
    """What the OpenID configuration says: who issues, and with which keys."""

    issuer: str
    keys: Mapping[str, jwt.PyJWK]


class IdTokens:
    """Checks id_tokens of one app in one tenant; remembers the provider's keys. Synchronous."""

    def __init__(self, wire: Wire, authority: Authority, *, tenant: str, client_id: str) -> None:
        self._wire = wire
        self._authority = authority
        self._tenant = tenant
        self._client_id = client_id
        self._provider: Provider | None = None

    def warm(self) -> None:
        """Fetch the configuration and the keys; raises EntraAway."""
        self._provider = self._fetched()

    def account(self, token: str, *, now: datetime, max_age: timedelta | None = None) -> Account:
        """Whose token this is; raises SignInRefused, or EntraAway where the keys cannot be had.

        With `max_age` the person must have proved who they are within it, and the token must say when.
        """
        provider, key = self._key(_key_id(token))
        claims = self._signed(token, key)
        if not _same(claims.get("tid"), self._tenant):
            raise SignInRefused(Why(Code.WRONG_TENANT, {"account": _text(claims, "preferred_username")}))
        _check_issuer(claims, provider.issuer.replace("{tenantid}", self._tenant))
        _check_time(claims, now)
        _check_home(claims, self._tenant)
        _check_fresh(claims, now, max_age)
        return self._account(claims, now)

    def _key(self, key_id: str) -> tuple[Provider, jwt.PyJWK]:
        """The key of this name; an unknown name may be a new key, so ask once more."""
        provider = self._provider
        if provider is None or key_id not in provider.keys:
            self._provider = provider = self._fetched()
        if key_id not in provider.keys:
            raise _bad("key")
        return provider, provider.keys[key_id]

    def _signed(self, token: str, key: jwt.PyJWK) -> Claims:
        """The claims, where the signature and the audience are right; times are checked on our own clock."""
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
                },
            )
        except jwt.InvalidAudienceError:
            error = _bad("aud")
        except jwt.InvalidSignatureError:
            error = _bad("signature")
        except jwt.InvalidTokenError:
            error = _bad("token")
        raise error

    def _account(self, claims: Claims, now: datetime) -> Account:
        oid = _text(claims, "oid")
        if not oid:
            raise _bad("oid")
        return Account(
            tenant=self._tenant,
            oid=oid,
            username=_text(claims, "preferred_username"),
            name=_text(claims, "name"),
            emails=_emails(claims),
            signed_in_at=now,
            authenticated_at=_authenticated_at(claims),
        )

    def _fetched(self) -> Provider:
        configuration = self._json(self._authority.discovery_url)
        issuer, keys_url = configuration.get("issuer"), configuration.get("jwks_uri")
        if not isinstance(issuer, str) or not isinstance(keys_url, str):
            raise EntraAway("the OpenID configuration names no issuer or no keys")
        return Provider(issuer, _keys(self._json(keys_url)))

    def _json(self, url: str) -> Mapping[str, object]:
        answer = self._wire.get(url)
        body = read_object(answer.text) if answer.status_code == _OK else None
        if body is None:
            raise EntraAway("the OpenID configuration cannot be read")
        return body


def _keys(document: Mapping[str, object]) -> dict[str, jwt.PyJWK]:
    """The RSA keys by name; keys of other kinds are none of ours."""
    entries = document.get("keys")
    rsa = [
        entry
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and entry.get("kty") == "RSA" and isinstance(entry.get("kid"), str)
    ]
    try:
        return {entry["kid"]: jwt.PyJWK(entry, algorithm=_ALGORITHM) for entry in rsa}
    except jwt.PyJWTError as error:
        raise EntraAway("the provider's keys cannot be read") from error


def _key_id(token: str) -> str:
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError:
        header = {}
    key_id = header.get("kid")
    if not isinstance(key_id, str) or header.get("alg") != _ALGORITHM:
        raise _bad("header")
    return key_id


def _check_issuer(claims: Claims, issuer: str) -> None:
    if claims.get("iss") != issuer:
        raise _bad("iss")


def _check_time(claims: Claims, now: datetime) -> None:
    expires, begins = claims.get("exp"), claims.get("nbf", 0)
    if not isinstance(expires, int | float) or now.timestamp() >= expires + LEEWAY.total_seconds():
        raise _bad("exp")
    if not isinstance(begins, int | float) or now.timestamp() < begins - LEEWAY.total_seconds():
        raise _bad("nbf")


def _check_fresh(claims: Claims, now: datetime, max_age: timedelta | None) -> None:
    """Microsoft answers `max_age` with `auth_time`; without it nobody knows how old the sign-in is."""
    if max_age is None:
        return
    proved_at = _authenticated_at(claims)
    if proved_at is None:
        raise SignInRefused(Why(Code.NO_SIGN_IN_TIME))
    if not proved_at - LEEWAY <= now <= proved_at + max_age + LEEWAY:
        raise SignInRefused(Why(Code.STALE_SIGN_IN, {"account": _text(claims, "preferred_username")}))


def _authenticated_at(claims: Claims) -> datetime | None:
    """When the person last proved who they are, in whole seconds."""
    seconds = claims.get("auth_time")
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _check_home(claims: Claims, tenant: str) -> None:
    """A guest's home is elsewhere: `idp` names it, and `acct` is 1."""
    homes = (claims.get("iss"), f"https://sts.windows.net/{tenant}/")
    if claims.get("idp", homes[0]) not in homes or claims.get("acct") in (_GUEST, str(_GUEST)):
        raise SignInRefused(Why(Code.GUEST_ACCOUNT, {"account": _text(claims, "preferred_username")}))


def _emails(claims: Claims) -> frozenset[str]:
    """The sign-in name and `email`, unless the token says that nobody verified the latter."""
    unverified = any(claims.get(flag) in (False, 0, "0", "false") for flag in ("xms_edov", "email_verified"))
    addresses = [_text(claims, "preferred_username"), "" if unverified else _text(claims, "email")]
    return frozenset(address.casefold() for address in addresses if "@" in address)


def _same(claim: object, tenant: str) -> bool:
    return isinstance(claim, str) and claim.casefold() == tenant.casefold()


def _text(claims: Claims, name: str) -> str:
    value = claims.get(name)
    return storable(value) if isinstance(value, str) else ""


def _bad(part: str) -> SignInRefused:
    """`part` says which check failed; nothing of the token is kept."""
    return SignInRefused(Why(Code.BAD_TOKEN, {"part": part}))
