"""Sign-in links for a browser: to Microsoft, back, and on once the person has confirmed the account."""

import asyncio
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Final

from bot.domain.errors import Code, Refusal, SignInRefused
from bot.domain.people import Account
from bot.domain.sign_in import Confirmation, SignInLink, SignInResult
from bot.domain.values import Secret, utc_text
from bot.entra.client import EntraClient
from bot.entra.vault import AssociatedData, CannotOpen, Vault, for_flow, for_result
from bot.store import sign_ins as rows
from bot.store.database import Database
from bot.timing import Timing

PATH: Final = "/sign-in"
CALLBACK_PATH: Final = f"{PATH}/callback"


class EntraLinks:
    """Fulfils the Protocol `SignInLinks`. One row lives through link, flow and result.

    `public_url` is where a browser reaches Unlatch; `{public_url}/sign-in/callback` is the redirect URI to
    register.
    """

    def __init__(
        self,
        client: EntraClient,
        vault: Vault,
        database: Database,
        *,
        public_url: str,
        timing: Timing,
        now: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._vault = vault
        self._database = database
        self._public_url = public_url.rstrip("/")
        self._timing = timing
        self._now = now

    async def create(self, link: SignInLink, secret: Secret, *, limit: int) -> str:
        """Store the link and return its URL. Raises Refusal(QUOTA_EXCEEDED) after `limit` in an hour."""
        now = self._now()
        await self._database.run(lambda tx: rows.add_link(tx, link, now=now, limit=limit))
        return f"{self._public_url}{PATH}/{secret.reveal()}"

    async def get(self, secret: Secret) -> SignInLink:
        """Return the link that may be opened, or raise Refusal(LINK_UNUSABLE)."""
        return (await self._find(secret)).link

    async def authorization_url(self, secret: Secret, *, login_hint: str | None) -> str:
        """Return Microsoft's address for the link's browser. A link has one flow, however often it is opened.

        Raises Refusal(LINK_UNUSABLE), or CouldNotVerify where Entra does not answer; the link stays usable.
        """
        row = await self._find(secret)
        if not row.sealed:
            await self._begin_flow(row.link, login_hint)
            row = await self._find(secret)  # of two that open it at once, one began the flow
        flow = self._open(row.sealed, for_flow(row.link, row.state_digest))
        return self._client.authorization_url(Secret(flow.decode()))

    async def redeem(self, form: Mapping[str, str]) -> SignInResult:
        """Redeem Microsoft's answer, once per `state`.

        Raises Refusal(LINK_UNUSABLE), SignInRefused with the link, or CouldNotVerify where Entra does not
        answer.
        """
        state = _digest(form.get("state", ""))
        row = await self._take(state)
        flow = Secret(self._open(row.sealed, for_flow(row.link, state)).decode())
        try:
            account, cache = await asyncio.to_thread(self._client.redeem, flow, form, now=self._now())
        except SignInRefused as refused:
            refused.link = row.link
            raise
        return SignInResult(link=row.link, account=account, cache=cache)

    async def hold(self, result: SignInResult) -> Confirmation:
        """Keep the result, encrypted, for the browser that holds both secrets."""
        confirmation = Confirmation(
            page=Secret(secrets.token_urlsafe(32)), cookie=Secret(secrets.token_urlsafe(32))
        )
        state, now = _confirmation_digest(confirmation), self._now()
        sealed = self._vault.seal(_packed(result), for_result(result.link, state))
        await self._database.run(
            lambda tx: rows.hold_result(
                tx,
                result.link.digest,
                state_digest=state,
                sealed=sealed,
                now=now,
                expires_at=now + self._timing.link_lifetime,
            )
        )
        return confirmation

    async def take(self, confirmation: Confirmation) -> SignInResult:
        """Take the result out, once, or raise Refusal(LINK_UNUSABLE)."""
        state = _confirmation_digest(confirmation)
        row = await self._take(state)
        return _unpacked(self._open(row.sealed, for_result(row.link, state)), row.link)

    async def _find(self, secret: Secret) -> rows.LinkRow:
        digest, now = _digest(secret.reveal()), self._now()
        row = await self._database.read(lambda connection: rows.find_link(connection, digest, now=now))
        if row is None:
            raise Refusal(Code.LINK_UNUSABLE)
        return row

    async def _take(self, state_digest: str) -> rows.LinkRow:
        now = self._now()
        row = await self._database.run(lambda tx: rows.take(tx, state_digest, now=now))
        if row is None:
            raise Refusal(Code.LINK_UNUSABLE)
        return row

    async def _begin_flow(self, link: SignInLink, login_hint: str | None) -> None:
        state, flow = await asyncio.to_thread(
            self._client.begin_flow,
            redirect_uri=f"{self._public_url}{CALLBACK_PATH}",
            login_hint=login_hint,
            claims=link.claims,
        )
        state_digest, now = _digest(state), self._now()
        sealed = self._vault.seal(flow.reveal().encode(), for_flow(link, state_digest))
        await self._database.run(
            lambda tx: rows.begin_flow(
                tx,
                link.digest,
                state_digest=state_digest,
                sealed=sealed,
                now=now,
                expires_at=now + self._timing.link_lifetime,
            )
        )

    def _open(self, sealed: bytes, associated: AssociatedData) -> bytes:
        try:
            return self._vault.open(sealed, associated)
        except CannotOpen as error:
            raise Refusal(Code.LINK_UNUSABLE) from error


def _digest(text: str) -> str:
    """Return what is stored of a secret that a browser brings back: its SHA-256, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def _confirmation_digest(confirmation: Confirmation) -> str:
    return _digest(f"{confirmation.page.reveal()}.{confirmation.cookie.reveal()}")


def _packed(result: SignInResult) -> bytes:
    """Return the account and the cache as bytes to seal; the link is in the row."""
    content = asdict(result.account) | {
        "emails": sorted(result.account.emails),
        "cache": result.cache.reveal(),
    }
    return json.dumps(content, default=utc_text).encode()


def _unpacked(content: bytes, link: SignInLink) -> SignInResult:
    kept = json.loads(content)
    cache = Secret(kept.pop("cache"))
    for name in ("signed_in_at", "authenticated_at"):
        kept[name] = kept[name] and datetime.fromisoformat(kept[name])
    kept["emails"] = frozenset(kept["emails"])
    return SignInResult(link=link, account=Account(**kept), cache=cache)
