"""Device codes: an app asks for one, a person types it on a page here, and the app asks until it is used."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from sandbox.entra import pages, refusals
from sandbox.entra.authority import Authority
from sandbox.entra.authorize import NOBODY
from sandbox.entra.claims import Demands, parse_claims
from sandbox.entra.grants import Session
from sandbox.entra.refusals import Refusal
from sandbox.entra.scopes import Scopes

LIFE: Final = timedelta(minutes=15)
INTERVAL: Final = timedelta(seconds=5)
EARLY: Final = timedelta(seconds=1)
"""How much sooner than it was told to an app may ask."""
_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_LENGTH: Final = 9


@dataclass(slots=True, kw_only=True)
class DeviceCode:
    """One code, from the question of the app to its tokens."""

    user_code: str
    tenant: str
    scopes: Scopes
    claims: Demands
    issued_at: datetime
    interval: timedelta = INTERVAL
    asked_at: datetime | None = None
    session: Session | None = None
    """Who typed it and signed in."""
    declined: bool = False


@dataclass(slots=True)
class DeviceCodes:
    """All codes of the tenant, and the page where they are typed."""

    authority: Authority
    codes: dict[str, DeviceCode] = field(default_factory=dict)
    """By the secret that only the app has."""

    def issue(self, tenant: str, scopes: Scopes, claims: str) -> dict[str, object]:
        """The answer of the devicecode endpoint, but for the address of the page."""
        device_code, user_code = secrets.token_urlsafe(48), _user_code()
        self.codes[device_code] = DeviceCode(
            user_code=user_code,
            tenant=tenant,
            scopes=scopes,
            claims=parse_claims(claims),
            issued_at=self.authority.clock.now(),
        )
        return {
            "user_code": user_code,
            "device_code": device_code,
            "expires_in": int(LIFE.total_seconds()),
            "interval": int(INTERVAL.total_seconds()),
        }

    def redeem(self, device_code: str) -> DeviceCode:
        """The used code, once; raises what the app is to do instead."""
        code, now = self.codes.get(device_code), self.authority.clock.now()
        if code is None:
            raise refusals.bad_code("the device code is not one of ours, or was redeemed")
        if now >= code.issued_at + LIFE:
            raise refusals.expired_device_code()
        early = code.asked_at is not None and now - code.asked_at < code.interval - EARLY
        code.asked_at = now
        if early:
            code.interval += INTERVAL
            raise refusals.slow_down()
        if code.declined:
            raise refusals.declined_device_code()
        if code.session is None:
            raise refusals.authorization_pending()
        del self.codes[device_code]
        return code

    # The page

    def ask(self, _request: Request) -> Response:
        """Where a code is typed."""
        return pages.type_code()

    async def typed(self, request: Request) -> tuple[Response, str]:
        """A code was typed: who are you?"""
        form = await request.form()
        code = self._waiting(str(form.get("code", "")))
        if code is None:
            return pages.type_code(wrong=True), "wrong code"
        accounts = self.authority.accounts.values()
        page = pages.device_picker(code.user_code, code.tenant, accounts, self.authority.app_name)
        return page, ""

    async def picked(self, request: Request) -> tuple[Response, str]:
        """An account was picked, or nobody."""
        form = await request.form()
        code, oid = self._waiting(str(form.get("code", ""))), str(form.get("account", ""))
        if code is None:
            return pages.type_code(wrong=True), "wrong code"
        if oid == NOBODY:
            code.declined = True
            return pages.device_done(self.authority.app_name, declined=True), "cancelled"
        try:
            code.session = self.authority.device_session(code.tenant, oid, code.claims)
        except Refusal as refusal:
            return pages.refused(refusal), f"AADSTS{refusal.code}"
        return pages.device_done(self.authority.app_name), f"{code.session.account.name} used a code"

    def _waiting(self, typed: str) -> DeviceCode | None:
        """The code that was typed, while nobody has used it."""
        wanted, now = typed.strip().upper().replace("-", ""), self.authority.clock.now()
        for code in self.codes.values():
            unused = code.session is None and not code.declined
            if code.user_code == wanted and unused and now < code.issued_at + LIFE:
                return code
        return None


def _user_code() -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
