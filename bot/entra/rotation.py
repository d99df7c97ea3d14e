"""Rotation: seal every sign-in under the newest key, beside replicas that refresh and people who sign in."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bot.domain.identifiers import UserId
from bot.domain.sign_in import Ended
from bot.entra import bindings
from bot.entra.sign_ins import sign_out_entry
from bot.entra.vault import CannotOpen, Vault, key_of
from bot.ports import Clock, SignInRow, SignInRows, TicketRows

PAGE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """What was found and done. Keys go by their names, which reveal nothing of them."""

    keys: Sequence[str]
    """All of VAULT_KEYS, newest first."""
    resealed: int = 0
    current: int = 0
    """Sealed under the newest key already."""
    unreadable: Mapping[UserId, str] = field(default_factory=dict)
    """Rows that no key opens, and the key that each names."""
    forgotten: bool = False
    """Whether those were removed."""
    unused: Sequence[str] = ()
    """Keys in VAULT_KEYS that nothing is sealed with any more."""
    under_way: Sequence[str] = ()
    """Older keys that only sign-ins under way are sealed with; those end by themselves."""


async def rotate(
    vault: Vault, rows: SignInRows, tickets: TicketRows, clock: Clock, *, forget_unreadable: bool = False
) -> Rotated:
    """Seal each row anew that is not under the newest key. Safe to run twice, and while others write.

    Raises StoreAway; what was sealed by then stays so.
    """
    resealed = current = 0
    unreadable: dict[UserId, str] = {}
    async for row in _all(rows):
        if key_of(row.sealed) == vault.key_id and _opens(vault, row):
            current += 1
        elif _opens(vault, row):
            resealed += await _resealed(vault, rows, row)
        elif not forget_unreadable or await _forgotten(rows, row, clock):
            unreadable[row.user] = key_of(row.sealed)
    used = {key_of(row.sealed) async for row in _all(rows)}
    begun = {key_of(sealed) for sealed in await tickets.sealed()} - used
    return Rotated(
        keys=vault.key_ids,
        resealed=resealed,
        current=current,
        unreadable=unreadable,
        forgotten=forget_unreadable,
        unused=[key for key in vault.key_ids[1:] if key not in used | begun],
        under_way=[key for key in vault.key_ids[1:] if key in begun],
    )


async def _all(rows: SignInRows) -> AsyncIterator[SignInRow]:
    """Every row, a page at a time: memory does not grow with the number of people."""
    page = await rows.after(None, limit=PAGE)
    while page:
        for row in page:
            yield row
        page = await rows.after(page[-1].user, limit=PAGE)


def _opens(vault: Vault, row: SignInRow) -> bool:
    try:
        vault.open(row.sealed, bound_to=bindings.of_row(row))
    except CannotOpen:
        return False
    return True


async def _resealed(vault: Vault, rows: SignInRows, row: SignInRow) -> bool:
    """Compare-and-set: where a replica refreshed meanwhile, its newer tokens are sealed anew instead."""
    seen: SignInRow | None = row
    while seen is not None and key_of(seen.sealed) != vault.key_id and _opens(vault, seen):
        content = vault.open(seen.sealed, bound_to=bindings.of_row(seen))
        sealed = vault.seal(content, bound_to=bindings.of_row(seen))
        if await rows.update_cache(seen.user, version=seen.version, key_id=vault.key_id, sealed=sealed):
            return True
        seen = await rows.get(seen.user)
    return False


async def _forgotten(rows: SignInRows, row: SignInRow, clock: Clock) -> bool:
    """Remove this row, not one that the person has signed in to since."""
    facts = {"key": key_of(row.sealed)}
    entry = sign_out_entry(row, Ended.UNREADABLE, facts, at=clock.now())
    return await rows.delete(row.user, entry, version=row.version)
