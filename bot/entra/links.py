"""Sign-in links for a browser: to Microsoft, back, and on when the person has seen who is tied to whom."""

import asyncio
import secrets
from collections.abc import Mapping
from typing import Final

from bot.domain.errors import SignInRefused, TicketUnusable
from bot.domain.limits import Quota
from bot.domain.secret import Secret
from bot.domain.sign_in import Ticket
from bot.entra import arrivals, bindings
from bot.entra.bindings import digest
from bot.entra.client import EntraClient
from bot.entra.vault import CannotOpen, Vault
from bot.ports import Arrival, Clock, Confirmation, Invitation, LinkRow, TicketRows

PAGE: Final = "/sign-in"
CALLBACK: Final = f"{PAGE}/callback"


class EntraLinks:
    """Fulfils the port `SignInLinks`.

    `public_url` is where a browser reaches Unlatch; `{public_url}/sign-in/callback` is the redirect URI to
    register.
    """

    def __init__(
        self, client: EntraClient, vault: Vault, tickets: TicketRows, clock: Clock, *, public_url: str
    ) -> None:
        self._client = client
        self._vault = vault
        self._tickets = tickets
        self._clock = clock
        self._public_url = public_url.rstrip("/")

    async def invite(self, ticket: Ticket, secret: Secret, quota: Quota) -> Invitation:
        """Store the ticket; the invitation is the URL of its link. Raises TooOften."""
        await self._tickets.add(ticket, quota)
        return Invitation(f"{self._public_url}{PAGE}/{secret.reveal()}")

    async def ticket(self, secret: Secret) -> Ticket:
        """The ticket behind a link that may be opened, or raise TicketUnusable."""
        return (await self._row(secret)).ticket

    async def begin(self, secret: Secret, *, login_hint: str | None) -> str:
        """Microsoft's address for the link's browser. A link has one flow, however often it is opened.

        Raises TicketUnusable, or CouldNotVerify where Entra is away; then the link is still good.
        """
        row = await self._row(secret)
        if not row.flow:
            await self._start(row.ticket, login_hint)
            row = await self._row(secret)  # of two that open it at once, one began
        flow = self._opened(row.flow, bindings.of_flow(row.ticket, row.state_digest))
        return self._client.address_of(Secret(flow.decode()))

    async def finish(self, form: Mapping[str, str]) -> Arrival:
        """Redeem the answer of Microsoft, once per `state`.

        Raises TicketUnusable, SignInRefused (with the ticket), or CouldNotVerify where Entra is away.
        """
        now, state = self._clock.now(), digest(form.get("state", ""))
        ticket, sealed = await self._taken(state)
        flow = Secret(self._opened(sealed, bindings.of_flow(ticket, state)).decode())
        try:
            account, cache = await asyncio.to_thread(self._client.redeem, flow, form, now=now)
        except SignInRefused as refused:
            refused.ticket = ticket
            raise
        return Arrival(ticket=ticket, account=account, cache=cache)

    async def hold(self, arrival: Arrival) -> Confirmation:
        """Keep the arrival for the browser that brought it: sealed, under the digest of both its secrets."""
        given = Confirmation(Secret(secrets.token_urlsafe(32)), Secret(secrets.token_urlsafe(32)))
        key = _key(given)
        binding = bindings.of_arrival(arrival.ticket, key)
        sealed = self._vault.seal(arrivals.packed(arrival), bound_to=binding)
        await self._tickets.hold(arrival.ticket, key=key, arrival=sealed, now=self._clock.now())
        return given

    async def take(self, confirmation: Confirmation) -> Arrival:
        """Take the arrival out, once, or raise TicketUnusable."""
        key = _key(confirmation)
        ticket, sealed = await self._taken(key)
        return arrivals.unpacked(self._opened(sealed, bindings.of_arrival(ticket, key)), ticket)

    async def _row(self, secret: Secret) -> LinkRow:
        row = await self._tickets.find(digest(secret.reveal()), now=self._clock.now())
        if row is None:
            raise TicketUnusable
        return row

    async def _taken(self, key: str) -> tuple[Ticket, bytes]:
        taken = await self._tickets.take(key, now=self._clock.now())
        if taken is None:
            raise TicketUnusable
        return taken

    async def _start(self, ticket: Ticket, login_hint: str | None) -> None:
        started = await asyncio.to_thread(
            self._client.start,
            redirect_uri=f"{self._public_url}{CALLBACK}",
            login_hint=login_hint,
            claims=ticket.claims,
        )
        state = digest(started.state)
        binding = bindings.of_flow(ticket, state)
        sealed = self._vault.seal(started.flow.reveal().encode(), bound_to=binding)
        now = self._clock.now()
        await self._tickets.begin(ticket.digest, state_digest=state, flow=sealed, now=now)

    def _opened(self, sealed: bytes, binding: bindings.Binding) -> bytes:
        try:
            return self._vault.open(sealed, bound_to=binding)
        except CannotOpen as error:
            raise TicketUnusable from error


def _key(confirmation: Confirmation) -> str:
    return digest(f"{confirmation.page.reveal()}.{confirmation.cookie.reveal()}")
