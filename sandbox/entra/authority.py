"""Entra without HTTP: accounts, sessions, tokens and revocations of one tenant."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from sandbox.cast import CLIENT_ID, CLIENT_SECRET, TENANT_ID, Account, Cast
from sandbox.clock import Clock
from sandbox.entra import tokens
from sandbox.entra.grants import AuthorizationRequest, Code, Grants, Issued, Refresh, Session
from sandbox.entra.keys import key_of_this_process
from sandbox.entra.parameters import CONSENTED, Claims, Scopes, parse_claims
from sandbox.entra.refusals import Refusal

EXCHANGE: Final = "api://AzureADTokenExchange"
"""The audience of a token that another identity provider gave to be exchanged at Entra."""
CAPABLE: Final = '{"access_token": {"xms_cc": {"values": ["CP1"]}}}'
"""The claims request by which a client says that it handles claims challenges."""


@dataclass(frozen=True, slots=True)
class FederatedCredential:
    """Which tokens of another identity provider authenticate the app."""

    issuer: str
    subject: str
    key: RSAPublicKey


class Authority:
    """One tenant with one app registration.

    Everything public may be set while it runs: `redirect_uris` (exact strings), `consented` (short names of
    Graph permissions), `multitenant`, `token_lifetime` (None: Entra's own), `client_secrets`,
    `federated` (None: no other identity provider),
    `expired_secrets`, `has_certificate` (whether one was uploaded; any will do),
    `policy`: a claims request (JSON) that every redemption of a code has to meet,
    and `tamper`: claims that replace those of the next id_tokens (None leaves a claim out).
    """

    def __init__(self, cast: Cast, clock: Clock, *, redirect_uris: Iterable[str] = ()) -> None:
        self.tenant = TENANT_ID
        self.client_id = CLIENT_ID
        self.app_name = cast.bot.name
        self.client_secrets = {CLIENT_SECRET}
        self.federated: FederatedCredential | None = None
        self.expired_secrets: set[str] = set()
        self.has_certificate = True
        self.accounts: dict[str, Account] = {account.oid: account for account in cast.accounts}
        self.redirect_uris = list(redirect_uris)
        self.consented = set(CONSENTED)
        self.multitenant = False
        self.token_lifetime: timedelta | None = None
        self.tamper: dict[str, object] = {}
        self.policy = ""
        self.on_change: list[Callable[[], None]] = []
        self.key = key_of_this_process()
        self.clock = clock
        self.grants = Grants()
        self._generations: Counter[str] = Counter()
        self._proved_at: dict[str, datetime] = {}
        """By account: when the person last gave credentials, in the one browser that there is."""

    # What tests and the page may do to an account.

    def revoke(self, oid: str) -> None:
        """End every session of this account: its codes and refresh tokens answer AADSTS50173 from now on."""
        self._generations[oid] += 1
        self._proved_at.pop(oid, None)

    def access_token(
        self,
        oid: str,
        *,
        permissions: Iterable[str] | None = None,
        claims: str = CAPABLE,
        lifetime: timedelta | None = None,
    ) -> str:
        """Mint a delegated Graph token without a sign-in; default: all consented permissions."""
        demands = parse_claims(claims)
        names = self.consented if permissions is None else permissions
        return self._access_token(self.session(self.accounts[oid], demands), sorted(names), demands, lifetime)

    def app_only_token(self) -> str:
        """Mint an app-only token; the app was granted no role."""
        claims = tokens.app_only_claims(self.tenant, self.client_id, now=self.clock.now())
        return self.key.sign(claims)

    # What the endpoints do.

    def knows_tenant(self, tenant: str) -> bool:
        """Whether sign-ins may go to this tenant's address."""
        homes = {account.tenant_id for account in self.accounts.values()}
        return tenant == self.tenant or (self.multitenant and tenant in homes)

    def check_client(self, tenant: str, client_id: str) -> None:
        if not self.knows_tenant(tenant):
            raise Refusal(90002, tenant=tenant)
        if client_id != self.client_id:
            raise Refusal(700016, client_id=client_id, tenant=tenant)

    def scopes(self, text: str) -> Scopes:
        return Scopes.parse(text, app=self.app_name, consented=self.consented)

    def session(self, account: Account, met: Claims) -> Session:
        """Begin a session of this account now, in a browser that is signed in if it was before."""
        now = self.clock.now()
        return Session(
            account=account,
            signed_in_at=now,
            generation=self._generations[account.oid],
            met=met,
            proved_at=self._proved_at.setdefault(account.oid, now),
        )

    def _prove(self, request: AuthorizationRequest, oid: str) -> None:
        """Ask for credentials where the app wants that (`prompt`, `max_age`)."""
        now, proved_at = self.clock.now(), self._proved_at.get(oid)
        old = proved_at is not None and request.max_age is not None and now - proved_at > request.max_age
        if old or request.prompt == "login":
            self._proved_at[oid] = now

    def sign_in(self, request: AuthorizationRequest, oid: str) -> str:
        """Sign an account in for a request and return the code; refuse an account of another tenant."""
        account = self.accounts[oid]
        if account.tenant_id != request.tenant and not self.multitenant:
            raise Refusal(50020, upn=account.upn, tenant=request.tenant, app=self.app_name)
        self._prove(request, oid)
        session = self.session(account, request.claims)
        session = replace(session, auth_time=request.max_age is not None)
        self._changed()
        return self.grants.code_for(Code(session=session, request=request, issued_at=self.clock.now()))

    def is_current(self, session: Session) -> bool:
        """Whether the session's account was not revoked since."""
        return session.generation == self._generations[session.account.oid]

    def check_session(self, session: Session) -> None:
        """Refuse a session that was revoked."""
        if not self.is_current(session):
            raise Refusal(50173, issued_at=session.signed_in_at)

    def issued(self, uti: str) -> Issued | None:
        """What is known of an access token by its `uti`."""
        return self.grants.issued.get(uti)

    def token_response(
        self, session: Session, scopes: Scopes, asked: Claims, *, nonce: str = ""
    ) -> dict[str, object]:
        """The whole answer of the token endpoint."""
        demands = {**session.met, **asked}
        lifetime = self.token_lifetime or tokens.access_lifetime(demands)
        seconds = int(lifetime.total_seconds())
        body: dict[str, object] = {
            "token_type": "Bearer",
            "scope": scopes.granted(),
            "expires_in": seconds,
            "ext_expires_in": seconds,
            "access_token": self._access_token(
                session, scopes.permissions(self.consented), demands, lifetime
            ),
            "client_info": tokens.client_info(session.account),
        }
        if scopes.offline:
            body["refresh_token"] = self._refresh_token(session, scopes)
        if scopes.identity:
            body["id_token"] = self._id_token(session, nonce)
        self._changed()
        return body

    def _access_token(
        self, session: Session, permissions: list[str], demands: Claims, lifetime: timedelta | None
    ) -> str:
        claims = tokens.access_claims(
            session,
            client_id=self.client_id,
            permissions=permissions,
            claims=demands,
            now=self.clock.now(),
            lifetime=lifetime or self.token_lifetime or tokens.access_lifetime(demands),
        )
        self.grants.issued[str(claims["uti"])] = Issued(
            session=session, claims=demands, issued_at=self.clock.now()
        )
        return self.key.sign(claims)

    def _id_token(self, session: Session, nonce: str) -> str:
        claims = tokens.id_claims(session, client_id=self.client_id, nonce=nonce, now=self.clock.now())
        tampered = {**claims, **self.tamper}
        return self.key.sign({name: value for name, value in tampered.items() if value is not None})

    def _refresh_token(self, session: Session, scopes: Scopes) -> str:
        now = self.clock.now()
        refresh = Refresh(session=session, client_id=self.client_id, scopes=scopes, issued_at=now)
        return self.grants.refresh_for(refresh)

    def _changed(self) -> None:
        for changed in self.on_change:
            changed()
