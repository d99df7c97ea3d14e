"""Device codes: each is shown to one person, and asked about until that person has used it or it is old."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from bot.domain.errors import CouldNotVerify, SignInRefused, TicketUnusable
from bot.domain.limits import Quota
from bot.domain.secret import Secret
from bot.domain.sign_in import Ticket
from bot.entra import bindings
from bot.entra.client import EntraClient
from bot.entra.device_code import Pending
from bot.entra.vault import CannotOpen, Vault
from bot.ports import Arrival, Clock, CodeRows, CodeUsed, Invitation, LinkRow

AT_ONCE: Final = 8
LEASE: Final = timedelta(minutes=1)
"""Longer than a question to Entra may take, so that no other replica asks about the same code meanwhile."""
PAUSE: Final = timedelta(seconds=10)
"""Before the next question where Entra was away."""


class EntraCodes:
    """Fulfils the port `DeviceCodes`. Replicas share the questions: one at a time asks about a code."""

    def __init__(self, client: EntraClient, vault: Vault, rows: CodeRows, clock: Clock) -> None:
        self._client = client
        self._vault = vault
        self._rows = rows
        self._clock = clock

    async def invite(self, ticket: Ticket, secret: Secret, quota: Quota) -> Invitation:  # noqa: ARG002  the code is the secret
        """Ask Microsoft for a code, store what it takes to ask about it, and hand the code out.

        Raises TooOften, CouldNotVerify, SignInRefused.
        """
        await self._rows.spend(quota, now=self._clock.now())
        started = await asyncio.to_thread(self._client.start_code, claims=ticket.claims)
        now = self._clock.now()
        ticket = replace(ticket, expires_at=now + started.life)
        await self._rows.add_code(
            ticket, flow=self._sealed(ticket, started.flow), poll_at=now + started.interval
        )
        return Invitation(started.url, started.code)

    async def poll(self) -> Sequence[CodeUsed]:
        """Ask about the codes that are due; those that Microsoft is done with, each exactly once."""
        now, first = self._clock.now(), await self._rows.next_code()
        if first is None or now < first:
            return []
        due = await self._rows.due_codes(now=now, lease=LEASE, limit=AT_ONCE)
        asked = await asyncio.gather(*(self._asked(row) for row in due))
        return [used for used in asked if used is not None]

    async def _asked(self, row: LinkRow) -> CodeUsed | None:
        """What came of one code; None while it waits, or where another replica has it."""
        try:
            outcome = await self._outcome(row)
        except CouldNotVerify:
            await self._again(row, PAUSE, row.flow)
            return None
        if isinstance(outcome, Pending):
            await self._again(row, outcome.interval, self._sealed(row.ticket, outcome.flow))
            return None
        ended = await self._rows.end_code(row.ticket.digest)
        return CodeUsed(row.ticket, outcome) if ended else None

    async def _outcome(self, row: LinkRow) -> Arrival | SignInRefused | TicketUnusable | Pending:
        ticket, now = row.ticket, self._clock.now()
        if now >= ticket.expires_at:
            return TicketUnusable()
        try:
            flow = Secret(self._vault.open(row.flow, bound_to=bindings.of_code(ticket)).decode())
            found = await asyncio.to_thread(self._client.poll_code, flow, claims=ticket.claims, now=now)
        except CannotOpen:
            return TicketUnusable()
        except SignInRefused as refused:
            refused.ticket = ticket
            return refused
        if isinstance(found, Pending):
            return found
        account, cache = found
        return Arrival(ticket=ticket, account=account, cache=cache)

    async def _again(self, row: LinkRow, pause: timedelta, flow: bytes) -> None:
        await self._rows.poll_again(row.ticket.digest, poll_at=self._clock.now() + pause, flow=flow)

    def _sealed(self, ticket: Ticket, flow: Secret) -> bytes:
        return self._vault.seal(flow.reveal().encode(), bound_to=bindings.of_code(ticket))
