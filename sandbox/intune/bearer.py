"""Whose token a Graph call carries, and what it allows: signature, audience, tenant, time, scopes, claims."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import jwt

from sandbox.entra import Entra
from sandbox.entra.grants import Issued
from sandbox.entra.parameters import Claims, carried, parse_claims
from sandbox.intune import refusals
from sandbox.journal import Bearer

AUDIENCES: Final = ("https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000")
UNKNOWN: Final = Bearer(kind="unknown", who="a token that was refused")
APPLICATION: Final = Bearer(kind="unknown", who="the application alone")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whom a valid token speaks for. `scopes` is empty for an application alone."""

    oid: str
    upn: str
    name: str
    scopes: frozenset[str]
    capable: bool
    issued: Issued | None

    @property
    def bearer(self) -> Bearer:
        return Bearer(kind="user", who=self.name) if self.upn else APPLICATION

    def may(self, scopes: tuple[str, ...]) -> bool:
        """Whether one of the scopes is among this person's; never for an application alone."""
        return bool(self.upn) and not self.scopes.isdisjoint(scopes)


class TokenChecks:
    """Checks tokens, and remembers which accounts must come back with which claims."""

    def __init__(self, entra: Entra) -> None:
        self._entra = entra
        self._demands: dict[str, str] = {}
        self._revoked: dict[str, str] = {}

    def demand(self, oid: str, claims: str) -> None:
        """Refuse this account's tokens that were not obtained with these claims (a claims request, JSON)."""
        parse_claims(claims)
        self._demands[oid] = claims

    def revoke(self, oid: str, claims: str) -> None:
        """Challenge tokens of sessions from before now, if the client said that it handles challenges."""
        self._revoked[oid] = claims

    def caller(self, authorization: str | None) -> Caller:
        """Return who calls, or raise 401. Ask `challenge` next."""
        if not authorization:
            raise refusals.bad_token("Access token is empty.")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise refusals.bad_token("CompactToken parsing failed with error code: 80049217")
        claims = self._claims(token)
        self._check_times(claims)
        if claims.get("tid") != self._entra.tenant:
            raise refusals.bad_token("Access token validation failure. Invalid tenant.")
        return _caller(claims, self._entra)

    def challenge(self, caller: Caller) -> None:
        """Raise 401 with a claims challenge where this account has to come back with a better token."""
        claims = caller.issued.claims if caller.issued else {}
        if unmet := self._unmet(caller.oid, claims):
            raise refusals.claims_challenge(unmet)
        if caller.capable and caller.oid in self._revoked and not self._is_current(caller):
            raise refusals.claims_challenge(self._revoked[caller.oid])

    def _unmet(self, oid: str, claims: Claims) -> str:
        demanded = self._demands.get(oid, "")
        return "" if carried(parse_claims(demanded), claims) else demanded

    def _is_current(self, caller: Caller) -> bool:
        return caller.issued is not None and self._entra.is_current(caller.issued.session)

    def _claims(self, token: str) -> Mapping[str, object]:
        try:
            claims: dict[str, object] = jwt.decode(
                token,
                self._entra.key.public,
                algorithms=["RS256"],
                audience=AUDIENCES,
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except jwt.InvalidAudienceError as error:
            raise refusals.bad_token("Access token validation failure. Invalid audience.") from error
        except jwt.InvalidSignatureError as error:
            raise refusals.bad_token("Access token validation failure. Invalid signature.") from error
        except jwt.InvalidTokenError as error:
            raise refusals.bad_token("IDX14100: JWT is not well formed.") from error
        return claims

    def _check_times(self, claims: Mapping[str, object]) -> None:
        """Against the sandbox's own clock."""
        now = self._entra.clock.now().timestamp()
        expires, begins = claims.get("exp"), claims.get("nbf", 0)
        if not isinstance(expires, int) or now >= expires:
            raise refusals.bad_token("Lifetime validation failed, the token is expired.")
        if not isinstance(begins, int) or now < begins - 1:
            raise refusals.bad_token("Lifetime validation failed, the token is not yet valid.")


def _caller(claims: Mapping[str, object], entra: Entra) -> Caller:
    is_person = claims.get("idtyp") != "app" and bool(claims.get("scp"))
    capabilities = claims.get("xms_cc")
    return Caller(
        oid=str(claims.get("oid", "")),
        upn=str(claims.get("upn", "")) if is_person else "",
        name=str(claims.get("name", "")),
        scopes=frozenset(str(claims.get("scp", "")).split()),
        capable=isinstance(capabilities, list) and "CP1" in capabilities,
        issued=entra.issued(str(claims.get("uti", ""))),
    )
