"""Kept sign-ins: who is signed in as whom, and the tokens that Microsoft gives for it."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from weakref import WeakValueDictionary

from bot.domain.errors import LostRace, SignInNeeded, SignInRefused
from bot.domain.identifiers import UserId
from bot.domain.people import Account
from bot.domain.record import Entry, Event
from bot.domain.secret import Secret
from bot.domain.sign_in import Ended
from bot.domain.why import Code, Why
from bot.entra import bindings
from bot.entra.client import EntraClient, Silent
from bot.entra.vault import CannotOpen, Vault
from bot.ports import Arrival, Clock, SignInRow, SignInRows, TicketRows

MAX_AGE: Final = timedelta(hours=8)
SWEPT_AT_ONCE: Final = 100

_log: Final = logging.getLogger(__name__)


class EntraSignIns:
    """Fulfils the port `SignIns`. A sign-in older than `max_age` is forgotten."""

    def __init__(
        self,
        client: EntraClient,
        vault: Vault,
        tickets: TicketRows,
        rows: SignInRows,
        clock: Clock,
        *,
        max_age: timedelta = MAX_AGE,
    ) -> None:
        self._client = client
        self._vault = vault
        self._tickets = tickets
        self._rows = rows
        self._clock = clock
        self._max_age = max_age
        self._locks: WeakValueDictionary[UserId, asyncio.Lock] = WeakValueDictionary()

    async def warm(self) -> None:
        """Fetch what the first sign-in needs, at the start; raises CouldNotVerify."""
        await asyncio.to_thread(self._client.warm)

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

    async def forget(self, user: UserId, why: Ended, facts: Mapping[str, str] | None = None) -> bool:
        """Drop the user's tokens and say why in the record; False where there were none."""
        async with self._lock(user):
            row = await self._rows.get(user)
            return row is not None and await self._rows.delete(user, self._ended(row, why, facts))

    async def unseen(self, *, since: datetime, limit: int) -> Sequence[UserId]:
        """Signed-in users whom nobody has looked up since then."""
        return await self._rows.unseen(since=since, now=self._clock.now(), limit=limit)

    async def sweep(self) -> int:
        """Remove links, flows and sign-ins that are past their time, also where nobody looks at them."""
        now = self._clock.now()
        past = await self._rows.older(now - self._max_age, limit=SWEPT_AT_ONCE)
        gone = [await self._grown_old(row) for row in past]
        return sum(gone) + await self._tickets.sweep(now=now)

    async def _current(self, user: UserId) -> SignInRow | None:
        """The user's row; one that is too old is forgotten."""
        row = await self._rows.get(user)
        if row is None or self._clock.now() < row.signed_in_at + self._max_age:
            return row
        await self._grown_old(row)
        return None

    async def _grown_old(self, row: SignInRow) -> bool:
        """Forget this row, not one that the person has signed in to since."""
        entry = self._ended(row, Ended.TOO_OLD)
        return await self._rows.delete(row.user, entry, version=row.version)

    async def _silent(self, row: SignInRow, claims: str | None) -> Silent:
        try:
            cache = Secret(self._vault.open(row.sealed, bound_to=bindings.of_row(row)).decode())
        except CannotOpen as error:
            _log.warning("entra.cannot_open", extra={"user": row.user, "key": row.key_id})
            raise SignInNeeded(claims) from error
        return await asyncio.to_thread(self._client.silent, cache, claims=claims)

    async def _kept(self, row: SignInRow, silent: Silent) -> bool:
        """Store the cache where it changed; False where the row changed since it was read."""
        if silent.cache is None:
            return True
        sealed = self._vault.seal(silent.cache.reveal().encode(), bound_to=bindings.of_row(row))
        return await self._rows.update_cache(
            row.user, version=row.version, key_id=self._vault.key_id, sealed=sealed
        )

    def _row(self, user: UserId, account: Account, cache: Secret) -> SignInRow:
        binding = bindings.of_cache(user, account.tenant, account.oid)
        return SignInRow(
            user=user,
            tenant=account.tenant,
            oid=account.oid,
            username=account.username,
            name=account.name,
            emails=account.emails,
            signed_in_at=account.signed_in_at,
            authenticated_at=account.authenticated_at,
            key_id=self._vault.key_id,
            sealed=self._vault.seal(cache.reveal().encode(), bound_to=binding),
        )

    def _ended(self, row: SignInRow, why: Ended, facts: Mapping[str, str] | None = None) -> Entry:
        return sign_out_entry(row, why, facts, at=self._clock.now())

    def _lock(self, user: UserId) -> asyncio.Lock:
        """One a user in this process; held weakly, so that it goes when nobody waits."""
        return self._locks.setdefault(user, asyncio.Lock())


def sign_out_entry(
    row: SignInRow, why: Ended, facts: Mapping[str, str] | None = None, *, at: datetime
) -> Entry:
    """What the record says of a sign-in that is forgotten."""
    whose = {"account": row.username, "oid": row.oid, "tenant": row.tenant}
    noted = {"reason": str(why), **whose, **(facts or {})}
    return Entry(event=Event.SIGNED_OUT, at=at, actor=row.user, facts=noted)


def _account(row: SignInRow) -> Account:
    return Account(
        tenant=row.tenant,
        oid=row.oid,
        username=row.username,
        name=row.name,
        emails=row.emails,
        signed_in_at=row.signed_in_at,
        authenticated_at=row.authenticated_at,
    )
