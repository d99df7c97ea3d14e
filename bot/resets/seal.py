"""Seal: sign where the record ends, and let the signature leave the house."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bot.domain.chain import Head
from bot.ports import Chain, Clock, Notary

Ship = Callable[[Head], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """What sealing works with; `ship` takes a head to where the database's owner cannot change it."""

    chain: Chain
    notary: Notary
    ship: Ship
    clock: Clock


async def seal(sealing: Sealing) -> Head | None:
    """Link what has no link yet and sign the tip, if it is not signed: None where there is nothing new.

    The head is stored before it is shipped; of two replicas that sign the same tip one ships.
    """
    await sealing.chain.adopt()
    tip = await sealing.chain.tip()
    if tip.seq <= await sealing.chain.signed_to():
        return None
    head = sealing.notary.sign(tip, sealing.clock.now())
    if not await sealing.chain.keep(head):
        return None
    await sealing.ship(head)
    return head
