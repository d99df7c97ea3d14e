"""Stored sign-ins: who is signed in as whom, their tokens, and the rotation of the keys that seal them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from weakref import WeakValueDictionary

import structlog

from bot.domain.audit import Entry, Event
from bot.domain.errors import Code, LostRace, SignInNeeded, SignInRefused
from bot.domain.people import Account, SignInResult, SignOutReason
from bot.domain.values import Facts, Secret, UserId
from bot.entra.client import EntraClient
from bot.entra.vault import CannotOpen, Vault, for_sign_in, key_of
from bot.store import sign_ins as rows
from bot.store.database import Database, Transaction
from bot.store.requests import seal_keys
from bot.store.sign_ins import SignInRow
from bot.timing import Timing

SWEEP_LIMIT: Final = 100
PAGE: Final = 100
NEEDED_FOR: Final = timedelta(days=1)
"""A finished request is read for at most so long: for its messages, and to show its passcode."""

log = structlog.get_logger()


@dataclass(repr=False, eq=False)
class EntraSignIns:
    """The Protocol `SignIns`; a sign-in older than `timing.sign_in_max_age` is forgotten."""

    client: EntraClient
    vault: Vault
    database: Database
    timing: Timing
    now: Callable[[], datetime]
    _locks: WeakValueDictionary[UserId, asyncio.Lock] = field(init=False, default_factory=WeakValueDictionary)
    """One a user, in this process; held weakly, so that it goes when no task waits."""

    async def keep(self, user: UserId, result: SignInResult, entry: Entry) -> None:
        account = result.account
        head = await self.database.read(self.database.audit_log.look)
        unsealed = SignInRow(user=user, **asdict(account), sealed=b"", log_seq=head.seq, log_hash=head.hash)
        sealed = self.vault.seal(result.cache.reveal().encode(), for_sign_in(unsealed))
        row = replace(unsealed, sealed=sealed)
        async with self._lock(user):
            try:
                await self.database.run(lambda tx: rows.put_sign_in(tx, row, entry))
            except LostRace as lost:
                raise SignInRefused(Code.ACCOUNT_TAKEN, link=result.link, account=account.username) from lost

    async def account(self, user: UserId) -> Account | None:
        row = await self._current(user)
        if row is None:
            return None
        return Account(**{part.name: getattr(row, part.name) for part in fields(Account)})

    async def linked_to(self, account: Account) -> UserId | None:
        find = partial(rows.linked_to, tenant=account.tenant, oid=account.oid)
        user = await self.database.read(find)
        return None if user is None or await self._current(user) is None else user

    async def token(self, user: UserId, *, claims: str | None = None, fresh: bool = False) -> Secret:
        async with self._lock(user):
            for _ in range(2):
                row = await self._current(user)
                if row is None:
                    raise SignInNeeded(claims)
                kept = Secret(self.vault.open(row.sealed, for_sign_in(row)).decode())
                ask = partial(self.client.silent_token, kept, claims=claims, fresh=fresh)
                token, cache = await self.client.in_thread(ask)
                if cache is None or await _update_sealed(
                    self.database, self.vault, row, cache.reveal().encode()
                ):
                    break
                # Another replica refreshed meanwhile, or the person signed in or out: read the row again.
            return token

    async def forget(self, user: UserId, reason: SignOutReason, facts: Facts | None = None) -> bool:
        now = self.now()

        def unit(tx: Transaction) -> bool:
            row = rows.get_sign_in(tx, user)
            return row is not None and rows.delete_sign_in(tx, user, _signed_out(row, reason, now, facts))

        return await self.database.run(unit)  # a refresh under way finds another version, and keeps nothing

    async def sweep(self) -> None:
        now = self.now()
        than = now - self.timing.sign_in_max_age
        old = await self.database.read(partial(rows.sign_ins_older, than=than, limit=SWEEP_LIMIT))
        for row in old:
            await _forget(self.database, row, _signed_out(row, SignOutReason.TOO_OLD, now))
        await self.database.run(lambda tx: rows.sweep_links(tx, now=now))

    async def _current(self, user: UserId) -> SignInRow | None:
        """Return the user's row, if the bot wrote it and it is the last; one that is too old is forgotten."""
        now, audit_log = self.now(), self.database.audit_log
        row = await self.database.read(
            lambda connection: rows.genuine_sign_in(connection, user, audit_log, self._is_sealed)
        )
        if row is None or now < row.signed_in_at + self.timing.sign_in_max_age:
            return row
        await _forget(self.database, row, _signed_out(row, SignOutReason.TOO_OLD, now))
        return None

    def _is_sealed(self, row: SignInRow) -> bool:
        if self.vault.opens(row.sealed, for_sign_in(row)):
            return True
        reason = "it was changed, or no key of VAULT_KEYS opens it"
        log.critical("sign_in_unusable", user=row.user, reason=reason, key=key_of(row.sealed))
        return False

    def _lock(self, user: UserId) -> asyncio.Lock:
        return self._locks.setdefault(user, asyncio.Lock())


# Key rotation


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """What a rotation found and did. Keys go by their names, which reveal nothing of them."""

    resealed: int
    current: int
    """Sealed under the newest key already."""
    unreadable: Mapping[UserId, str]
    """Rows that no key opens, and the key that each names."""
    unused: Sequence[str]
    """Keys in VAULT_KEYS that seal nothing any more."""
    under_way: Sequence[str]
    """Older keys that seal only sign-ins and requests under way, which end by themselves."""


async def rotate(
    database: Database, vault: Vault, *, now: Callable[[], datetime], forget_unreadable: bool = False
) -> Rotated:
    """Reseal every sign-in under the newest key. Safe to run twice, and while replicas refresh tokens.

    Raises StoreError; what was resealed by then stays so.
    """
    resealed = current = 0
    unreadable: dict[UserId, str] = {}
    async for row in _all_rows(database):
        if not vault.opens(row.sealed, for_sign_in(row)):
            key = key_of(row.sealed)
            entry = _signed_out(row, SignOutReason.UNREADABLE, now(), {"key": key})
            if not forget_unreadable or await _forget(database, row, entry):
                unreadable[row.user] = key
        elif key_of(row.sealed) == vault.key_id:
            current += 1
        else:
            resealed += await _reseal(database, vault, row)
    used = {key_of(row.sealed) async for row in _all_rows(database)}
    begun = {key_of(sealed) for sealed in await database.read(rows.sealed_links)}
    begun |= await database.read(lambda connection: seal_keys(connection, now() - NEEDED_FOR))
    begun -= used
    return Rotated(
        resealed=resealed,
        current=current,
        unreadable=unreadable,
        unused=[key for key in vault.key_ids[1:] if key not in used | begun],
        under_way=[key for key in vault.key_ids[1:] if key in begun],
    )


async def _all_rows(database: Database) -> AsyncIterator[SignInRow]:
    """Return every row, a page at a time: memory does not grow with the number of people."""
    after: UserId | None = None
    while page := await database.read(partial(rows.sign_ins_after, user=after, limit=PAGE)):
        for row in page:
            yield row
        after = page[-1].user


async def _reseal(database: Database, vault: Vault, row: SignInRow) -> bool:
    """Compare-and-set: where a replica refreshed meanwhile, its newer tokens are resealed instead."""
    seen: SignInRow | None = row
    while seen is not None and key_of(seen.sealed) != vault.key_id:
        try:
            content = vault.open(seen.sealed, for_sign_in(seen))
        except CannotOpen:
            return False
        if await _update_sealed(database, vault, seen, content):
            return True
        seen = await database.read(lambda connection: rows.get_sign_in(connection, row.user))
    return False


# Both


async def _update_sealed(database: Database, vault: Vault, row: SignInRow, content: bytes) -> bool:
    sealed = vault.seal(content, for_sign_in(row))
    return await database.run(lambda tx: rows.update_sealed(tx, row.user, version=row.version, sealed=sealed))


async def _forget(database: Database, row: SignInRow, entry: Entry) -> bool:
    """Delete this row, not one that the person has signed in to since."""
    return await database.run(lambda tx: rows.delete_sign_in(tx, row.user, entry, version=row.version))


def _signed_out(row: SignInRow, reason: SignOutReason, at: datetime, facts: Facts | None = None) -> Entry:
    """Return the audit entry of a sign-in that is deleted."""
    all_facts = {"reason": str(reason), **row.as_facts(), **(facts or {})}
    return Entry(event=Event.SIGNED_OUT, at=at, actor=row.user, facts=all_facts)
