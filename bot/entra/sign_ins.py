"""Sign-ins: a link for one person, Microsoft's answer to it, and the tokens kept from it."""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from weakref import WeakValueDictionary

from bot.domain.errors import LostRace, SignInNeeded, SignInRefused, TicketUnusable
from bot.domain.identifiers import UserId
from bot.domain.limits import Quota
from bot.domain.people import Account
from bot.domain.secret import Secret
from bot.domain.sign_in import Ticket
from bot.domain.why import Code, Why
from bot.entra.client import EntraClient, Silent
from bot.entra.vault import CannotOpen, Vault
from bot.ports import Arrival, Clock, SignInRow, SignInRows, TicketRows

MAX_AGE: Final = timedelta(hours=8)
PAGE: Final = "/sign-in"
CALLBACK: Final = f"{PAGE}/callback"

_log: Final = logging.getLogger(__name__)


class EntraSignIns:
    """Fulfils the port `SignIns`.

    `public_url` is where a browser reaches Unlatch; `{public_url}/sign-in/callback` is the redirect URI to
    register. A sign-in older than `max_age` is forgotten.
    """

    def __init__(
        self,
        client: EntraClient,
        vault: Vault,
        tickets: TicketRows,
        rows: SignInRows,
        clock: Clock,
        *,
        public_url: str,
        max_age: timedelta = MAX_AGE,
    ) -> None:
        self._client = client
        self._vault = vault
        self._tickets = tickets
        self._rows = rows
        self._clock = clock
        self._public_url = public_url.rstrip("/")
        self._max_age = max_age
        self._locks: WeakValueDictionary[UserId, asyncio.Lock] = WeakValueDictionary()

    async def warm(self) -> None:
        """Fetch what the first sign-in needs, at the start; raises CouldNotVerify."""
        await asyncio.to_thread(self._client.warm)

    async def link(self, ticket: Ticket, secret: Secret, quota: Quota) -> str:
        """Store the ticket and return the URL of its page; `secret` is the ticket's own text."""
        await self._tickets.add(ticket, quota)
        return f"{self._public_url}{PAGE}/{secret.reveal()}"

    async def ticket(self, secret: Secret) -> Ticket:
        """The ticket behind a link, unused and in time, or raise TicketUnusable."""
        ticket = await self._tickets.find(_digest(secret.reveal()), now=self._clock.now())
        if ticket is None:
            raise TicketUnusable
        return ticket

    async def begin(self, secret: Secret, *, login_hint: str | None) -> str:
        """Start Microsoft's flow for the ticket (once) and return the address to send the browser to.

        Raises TicketUnusable, or CouldNotVerify where Entra is away; then the ticket is still good.
        """
        ticket = await self.ticket(secret)
        started = await asyncio.to_thread(
            self._client.start,
            redirect_uri=f"{self._public_url}{CALLBACK}",
            login_hint=login_hint,
            claims=ticket.claims,
        )
        state = _digest(started.state)
        sealed = self._vault.seal(started.flow.reveal().encode(), bound_to=_for_flow(ticket, state))
        now = self._clock.now()
        if not await self._tickets.begin(ticket.digest, state_digest=state, flow=sealed, now=now):
            raise TicketUnusable
        return started.url

    async def finish(self, form: Mapping[str, str]) -> Arrival:
        """Redeem the answer of Microsoft, once per `state`.

        Raises TicketUnusable, SignInRefused (with the ticket), or CouldNotVerify where Entra is away.
        """
        now = self._clock.now()
        state = _digest(form.get("state", ""))
        taken = await self._tickets.take(state, now=now)
        if taken is None:
            raise TicketUnusable
        ticket, sealed = taken
        try:
            flow = Secret(self._vault.open(sealed, bound_to=_for_flow(ticket, state)).decode())
            account, cache = await asyncio.to_thread(self._client.redeem, flow, form, now=now)
        except CannotOpen as error:
            raise TicketUnusable from error
        except SignInRefused as refused:
            refused.ticket = ticket
            raise
        return Arrival(ticket=ticket, account=account, cache=cache)

    async def keep(self, user: UserId, arrival: Arrival) -> None:
        """Tie the account to the Slack user and keep its tokens; an account of another user is refused."""
        row = self._row(user, arrival.account, arrival.cache)
        async with self._lock(user):
            try:
                await self._rows.put(row)
            except LostRace as lost:
                facts = {"account": arrival.account.username}
                raise SignInRefused(Why(Code.ACCOUNT_TAKEN, facts), arrival.ticket) from lost

    async def account(self, user: UserId) -> Account | None:
        """Whom the Slack user is signed in as."""
        row = await self._current(user)
        return None if row is None else _account(row)

    async def tied_to(self, account: Account) -> UserId | None:
        """Which Slack user this account is tied to."""
        user = await self._rows.tied_to(account.tenant, account.oid)
        if user is None or await self._current(user) is None:
            return None
        return user

    async def token(self, user: UserId, *, claims: str | None = None) -> Secret:
        """A Graph access token of the user, or raise SignInNeeded, or CouldNotVerify where Entra is away."""
        async with self._lock(user):
            for _ in range(2):
                row = await self._current(user)
                if row is None:
                    raise SignInNeeded(claims)
                silent = await self._silent(row, claims)
                if await self._kept(row, silent):
                    break
                # Another replica refreshed meanwhile, or the person signed in or out: look at the row again.
            return silent.token

    async def forget(self, user: UserId) -> bool:
        """Drop the user's tokens; False where there were none."""
        async with self._lock(user):
            return await self._rows.delete(user)

    async def sweep(self) -> int:
        """Remove links and flows that are past their time."""
        return await self._tickets.sweep(now=self._clock.now())

    async def _current(self, user: UserId) -> SignInRow | None:
        """The user's row; one that is too old is forgotten."""
        row = await self._rows.get(user)
        if row is None or self._clock.now() < row.signed_in_at + self._max_age:
            return row
        await self._rows.delete(user)
        return None

    async def _silent(self, row: SignInRow, claims: str | None) -> Silent:
        try:
            cache = Secret(self._vault.open(row.sealed, bound_to=_for_cache(row)).decode())
        except CannotOpen as error:
            _log.warning("entra.cannot_open", extra={"user": row.user, "key": row.key_id})
            raise SignInNeeded(claims) from error
        return await asyncio.to_thread(self._client.silent, cache, claims=claims)

    async def _kept(self, row: SignInRow, silent: Silent) -> bool:
        """Store the cache where it changed; False where the row changed since it was read."""
        if silent.cache is None:
            return True
        sealed = self._vault.seal(silent.cache.reveal().encode(), bound_to=_for_cache(row))
        return await self._rows.update_cache(
            row.user, version=row.version, key_id=self._vault.key_id, sealed=sealed
        )

    def _row(self, user: UserId, account: Account, cache: Secret) -> SignInRow:
        bound_to = _cache_of(user, account.tenant, account.oid)
        return SignInRow(
            user=user,
            tenant=account.tenant,
            oid=account.oid,
            username=account.username,
            name=account.name,
            emails=account.emails,
            signed_in_at=account.signed_in_at,
            key_id=self._vault.key_id,
            sealed=self._vault.seal(cache.reveal().encode(), bound_to=bound_to),
        )

    def _lock(self, user: UserId) -> asyncio.Lock:
        """One a user in this process; held weakly, so that it goes when nobody waits."""
        return self._locks.setdefault(user, asyncio.Lock())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _account(row: SignInRow) -> Account:
    return Account(
        tenant=row.tenant,
        oid=row.oid,
        username=row.username,
        name=row.name,
        emails=row.emails,
        signed_in_at=row.signed_in_at,
    )


def _for_flow(ticket: Ticket, state: str) -> tuple[str, ...]:
    return ("flow", ticket.team, ticket.user, ticket.digest, state)


def _for_cache(row: SignInRow) -> tuple[str, ...]:
    return _cache_of(row.user, row.tenant, row.oid)


def _cache_of(user: UserId, tenant: str, oid: str) -> tuple[str, ...]:
    return ("cache", tenant, oid, user)
