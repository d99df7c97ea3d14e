"""Sign-in links for a browser: to Microsoft, back, and on once the person has confirmed the account."""

import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final

from pydantic import TypeAdapter

from bot.domain.errors import Code, CouldNotVerify, Refusal, SignInRefused, StoreError
from bot.domain.people import Account, Confirmation, SignInLink, SignInResult
from bot.domain.values import Secret
from bot.entra.client import EntraClient
from bot.entra.vault import CannotOpen, Step, Vault, for_link
from bot.store import sign_ins as rows
from bot.store.database import Database
from bot.timing import Timing

PATH: Final = "/sign-in"
CALLBACK_PATH: Final = f"{PATH}/callback"
_SHAPE: Final = re.compile(r"[\w-]{16,64}", re.ASCII)
"""Of a link's secret, a page's, a cookie's, and of MSAL's `state`."""
_RESULT: Final = TypeAdapter(tuple[Account, str])
"""The account and the cache, to seal; the link is in the row."""


@dataclass(repr=False, eq=False)
class EntraLinks:
    """The Protocol `SignInLinks`; one row lives through link, flow and result.

    Browsers reach Unlatch at `public_url`; `{public_url}/sign-in/callback` is the redirect URI to register.
    """

    client: EntraClient
    vault: Vault
    database: Database
    public_url: str
    timing: Timing
    now: Callable[[], datetime]

    async def create(self, link: SignInLink, secret: Secret, *, limit: int) -> str:
        now = self.now()
        await self.database.run(lambda tx: rows.add_link(tx, link, now=now, limit=limit))
        return f"{self.public_url.rstrip('/')}{PATH}/{secret.reveal()}"

    async def get(self, secret: Secret) -> SignInLink:
        return (await self._find(secret)).link

    async def authorization_url(
        self, secret: Secret, *, login_hint: str | None, identity_only: bool = False
    ) -> str:
        row = await self._find(secret)
        if not row.sealed:
            state, flow = await self.client.in_thread(
                self.client.begin_flow,
                redirect_uri=f"{self.public_url.rstrip('/')}{CALLBACK_PATH}",
                login_hint=login_hint,
                claims=row.link.claims,
                identity_only=identity_only,
            )
            await self._keep(rows.begin_flow, "flow", row.link, _digest(state), flow.reveal())
            row = await self._find(secret)  # of two that open it at once, one began the flow
        return self.client.authorization_url(Secret(self._opened("flow", row)))

    @asynccontextmanager
    async def redeem(self, form: Mapping[str, str]) -> AsyncIterator[SignInResult]:
        async with self._taken("flow", _digest(form.get("state", ""))) as (link, flow):
            try:
                account, cache = await self.client.in_thread(
                    self.client.redeem, Secret(flow), form, now=self.now()
                )
            except SignInRefused as refused:
                refused.link = link
                raise
            yield SignInResult(link=link, account=account, cache=cache)

    async def hold(self, result: SignInResult) -> Confirmation:
        confirmation = Confirmation(*(Secret(secrets.token_urlsafe(32)) for _ in range(2)))
        digest = _confirmation_digest(confirmation)
        content = _RESULT.dump_json((result.account, result.cache.reveal())).decode()
        await self._keep(rows.hold_result, "result", result.link, digest, content)
        return confirmation

    @asynccontextmanager
    async def take(self, confirmation: Confirmation) -> AsyncIterator[SignInResult]:
        async with self._taken("result", _confirmation_digest(confirmation)) as (link, content):
            account, cache = _RESULT.validate_json(content)
            yield SignInResult(link=link, account=account, cache=Secret(cache))

    async def _find(self, secret: Secret) -> rows.LinkRow:
        digest, now = _digest(secret.reveal()), self.now()
        audit_log = self.database.audit_log
        row = await self.database.read(lambda one: rows.find_link(one, digest, audit_log, now=now))
        if row is None:
            raise Refusal(Code.LINK_UNUSABLE)
        return row

    @asynccontextmanager
    async def _taken(self, step: Step, state_digest: str) -> AsyncIterator[tuple[SignInLink, str]]:
        """Take it out, and put it back where a fault that passes comes between.

        Anybody can ask for what is not there, so that costs a read and no transaction that writes.
        """
        now = self.now()
        waits = await self.database.read(partial(rows.is_waiting, state_digest=state_digest, now=now))
        row = await self.database.run(lambda tx: rows.take(tx, state_digest, now=now)) if waits else None
        if row is None:
            raise Refusal(Code.LINK_UNUSABLE)
        try:
            yield row.link, self._opened(step, row)
        except (CouldNotVerify, StoreError):
            with suppress(StoreError):
                await self.database.run(lambda tx: rows.put_back(tx, row))
            raise

    async def _keep(
        self, store: Callable[..., object], step: Step, link: SignInLink, state_digest: str, content: str
    ) -> None:
        """Encrypt a flow or a result into the link's row, for what the browser will bring back."""
        now = self.now()
        link = replace(link, expires_at=now + self.timing.link_lifetime)
        sealed = self.vault.seal(content.encode(), for_link(step, link, state_digest))
        row = rows.LinkRow(link, state_digest, sealed)
        await self.database.run(lambda tx: store(tx, row, now=now))

    def _opened(self, step: Step, row: rows.LinkRow) -> str:
        try:
            return self.vault.open(row.sealed, for_link(step, row.link, row.state_digest)).decode()
        except CannotOpen as error:
            raise Refusal(Code.LINK_UNUSABLE) from error


def _digest(*brought: str) -> str:
    """Return what is stored of secrets that a browser brings back: their SHA-256, hexadecimal.

    Raises Refusal(LINK_UNUSABLE) for what cannot be one of ours: it costs no look.
    """
    if not all(map(_SHAPE.fullmatch, brought)):
        raise Refusal(Code.LINK_UNUSABLE)
    return hashlib.sha256(".".join(brought).encode()).hexdigest()


def _confirmation_digest(confirmation: Confirmation) -> str:
    return _digest(confirmation.page.reveal(), confirmation.cookie.reveal())
