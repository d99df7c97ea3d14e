"""What Entra keeps between requests: authorization requests, codes, refresh and access tokens."""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

from sandbox.cast import Account
from sandbox.entra.parameters import Claims, Scopes
from sandbox.entra.refusals import Refusal

ResponseMode = Literal["form_post", "query"]

PAGE_LIFETIME: Final = timedelta(minutes=30)
CODE_LIFETIME: Final = timedelta(minutes=10)
REFRESH_LIFETIME: Final = timedelta(days=90)
_VERIFIER: Final = re.compile(r"[A-Za-z0-9\-._~]{43,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """One valid authorization request (RFC 6749, 4.1.1); its page waits until an account is picked."""

    tenant: str
    client_id: str
    redirect_uri: str
    response_mode: ResponseMode
    scopes: Scopes
    state: str
    nonce: str
    challenge: str
    claims: Claims
    login_hint: str
    prompt: str
    max_age: timedelta | None
    asked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One sign-in of one account; codes and tokens stem from it. Older than a revocation: worth nothing."""

    account: Account
    signed_in_at: datetime
    generation: int
    met: Claims
    """The claims that were demanded, and met, when the person signed in."""
    proved_at: datetime
    """When the person last gave credentials; a browser that is signed in asks for none."""
    auth_time: bool = False
    """Whether the app asked for the time of that (`max_age`), so that the id_token carries it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """An authorization code: once, and for ten minutes."""

    session: Session
    request: AuthorizationRequest
    issued_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """A refresh token. As at Entra, a new one does not end the old one."""

    session: Session
    client_id: str
    scopes: Scopes
    issued_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """What is known of an issued access token, by its `uti`."""

    session: Session
    claims: Claims
    issued_at: datetime


@dataclass(slots=True)
class Grants:
    """Everything outstanding, by its secret."""

    requests: dict[str, AuthorizationRequest] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    redeemed: set[str] = field(default_factory=set)
    refreshes: dict[str, Refresh] = field(default_factory=dict)
    issued: dict[str, Issued] = field(default_factory=dict)

    def keep(self, request: AuthorizationRequest) -> str:
        """Keep a request and return its key; forget those whose page is too old."""
        oldest = request.asked_at - PAGE_LIFETIME
        self.requests = {key: kept for key, kept in self.requests.items() if kept.asked_at > oldest}
        key = secrets.token_urlsafe(24)
        self.requests[key] = request
        return key

    def code_for(self, code: Code) -> str:
        key = f"1.{secrets.token_urlsafe(48)}"
        self.codes[key] = code
        return key

    def refresh_for(self, refresh: Refresh) -> str:
        key = f"1.{secrets.token_urlsafe(64)}"
        self.refreshes[key] = refresh
        return key

    def redeem(self, key: str, *, now: datetime) -> Code:
        """Use up a code, or refuse it."""
        if key in self.redeemed:
            raise Refusal(54005)
        code = self.codes.pop(key, None)
        if code is None:
            raise Refusal(70000, why="the code is not one of ours")
        self.redeemed.add(key)
        if now >= code.issued_at + CODE_LIFETIME:
            raise Refusal(70008)
        return code

    def refresh(self, key: str, *, now: datetime) -> Refresh:
        """Find a refresh token, or refuse it."""
        refresh = self.refreshes.get(key)
        if refresh is None:
            raise Refusal(70000, why="the refresh token is not one of ours")
        if now >= refresh.issued_at + REFRESH_LIFETIME:
            raise Refusal(70008)
        return refresh


def check_verifier(verifier: str, challenge: str) -> None:
    """Compare a PKCE verifier with its S256 challenge (RFC 7636, section 4.6)."""
    if not _VERIFIER.fullmatch(verifier):
        raise Refusal(501481)
    digest = hashlib.sha256(verifier.encode()).digest()
    computed = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    if not hmac.compare_digest(computed, challenge):
        raise Refusal(501481)
