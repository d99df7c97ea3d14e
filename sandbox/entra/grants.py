"""What Entra remembers between requests: questions on the page, codes, refresh and access tokens."""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

from sandbox.cast import Account
from sandbox.entra import refusals
from sandbox.entra.claims import Demands
from sandbox.entra.scopes import Scopes

ResponseMode = Literal["form_post", "query"]

PAGE_LIFETIME: Final = timedelta(minutes=30)
CODE_LIFETIME: Final = timedelta(minutes=10)
REFRESH_LIFETIME: Final = timedelta(days=90)
_VERIFIER: Final = re.compile(r"[A-Za-z0-9\-._~]{43,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One valid authorize request, waiting for somebody to pick an account."""

    tenant: str
    client_id: str
    redirect_uri: str
    response_mode: ResponseMode
    scopes: Scopes
    state: str
    nonce: str
    challenge: str
    claims: Demands
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
    met: Demands
    """The claims that were demanded, and met, when the person signed in."""
    proved_at: datetime
    """When the person last proved who they are; a browser that is signed in asks for no password."""
    says_when: bool = False
    """Whether the app asked how long ago that was (`max_age`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """An authorization code: once, and for ten minutes."""

    session: Session
    question: Question
    issued_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """A refresh token. As at Entra, a new one does not end the old one."""

    session: Session
    client_id: str
    scopes: Scopes
    issued_at: datetime
    public: bool = False
    """Given to a public client: redeemed without a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """What is known of an issued access token, by its `uti`."""

    session: Session
    claims: Demands


@dataclass(slots=True)
class Grants:
    """Everything outstanding, by its secret."""

    questions: dict[str, Question] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    redeemed: set[str] = field(default_factory=set)
    refreshes: dict[str, Refresh] = field(default_factory=dict)
    issued: dict[str, Issued] = field(default_factory=dict)

    def ask(self, question: Question) -> str:
        """Keep a question and return its key; those whose page is too old by now are forgotten."""
        oldest = question.asked_at - PAGE_LIFETIME
        self.questions = {key: kept for key, kept in self.questions.items() if kept.asked_at > oldest}
        key = secrets.token_urlsafe(24)
        self.questions[key] = question
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
            raise refusals.redeemed_code()
        code = self.codes.pop(key, None)
        if code is None:
            raise refusals.bad_code("the code is not one of ours")
        self.redeemed.add(key)
        if now >= code.issued_at + CODE_LIFETIME:
            raise refusals.expired_grant()
        return code

    def refresh(self, key: str, *, now: datetime) -> Refresh:
        """Find a refresh token, or refuse it."""
        refresh = self.refreshes.get(key)
        if refresh is None:
            raise refusals.bad_code("the refresh token is not one of ours")
        if now >= refresh.issued_at + REFRESH_LIFETIME:
            raise refusals.expired_grant()
        return refresh


def check_verifier(verifier: str, challenge: str) -> None:
    """Compare a PKCE verifier with its S256 challenge (RFC 7636, section 4.6)."""
    if not _VERIFIER.fullmatch(verifier):
        raise refusals.wrong_verifier()
    digest = hashlib.sha256(verifier.encode()).digest()
    computed = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    if not hmac.compare_digest(computed, challenge):
        raise refusals.wrong_verifier()
