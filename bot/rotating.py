"""`unlatch vault rotate`: seal every sign-in anew beside the running bot, and say which keys can go."""

from collections.abc import Sequence

from bot.entra import Rotated, rotate
from bot.entrance import vault_of
from bot.settings import Settings
from bot.store import open_store
from bot.wiring import SystemClock


async def run(settings: Settings, *, forget_unreadable: bool) -> int:
    """Rotate and print what came of it; 1 where rows are left that no key opens. Raises StoreAway."""
    store = open_store(settings.database_url)
    try:
        rotated = await rotate(
            vault_of(settings),
            store.sign_ins,
            store.tickets,
            SystemClock(),
            forget_unreadable=forget_unreadable,
        )
    finally:
        await store.close()
    print("\n".join(told(rotated)))
    return 1 if rotated.unreadable and not rotated.forgotten else 0


def told(rotated: Rotated) -> list[str]:
    """What the operator reads. A key goes by its name, the beginning of its SHA-256."""
    lines = [
        f"{rotated.resealed} sign-ins are sealed anew with the newest key, {rotated.keys[0]}; "
        f"{rotated.current} were already."
    ]
    done = "was forgotten" if rotated.forgotten else "has to sign in again"
    lines += [
        f"No key in VAULT_KEYS opens the sign-in of {user} (sealed with {key}): this person {done}."
        for user, key in rotated.unreadable.items()
    ]
    if rotated.unreadable and not rotated.forgotten:
        lines.append("Put the missing key back, or remove these with --forget-unreadable.")
    if rotated.unused:
        lines.append(f"No longer used, take out of VAULT_KEYS: {_places(rotated, rotated.unused)}.")
    if rotated.under_way:
        lines.append(
            "Still used by sign-ins under way, run this again in twenty minutes: "
            f"{_places(rotated, rotated.under_way)}."
        )
    return lines


def _places(rotated: Rotated, keys: Sequence[str]) -> str:
    return ", ".join(f"key {rotated.keys.index(key) + 1} ({key})" for key in keys)
