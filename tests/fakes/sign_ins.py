"""An Entra that a test holds in its hand: who is signed in as whom, and what comes back from a browser."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bot.domain.errors import CouldNotVerify, SignInNeeded, TicketUnusable, TooOften
from bot.domain.identifiers import UserId
from bot.domain.limits import Quota
from bot.domain.people import Account, Person
from bot.domain.record import Entry, Event
from bot.domain.secret import Secret
from bot.domain.sign_in import Ended, Ticket
from bot.ports import Arrival, CodeUsed, Confirmation, Invitation
from bot.resets.evidence import of_account
from tests.fakes.clock import NOON, HandClock
from tests.fakes.people import AIKO, KEN
from tests.fakes.store import FakeRecord

TENANT = "contoso-tenant"


def account_of(person: Person, *, at: datetime = NOON, **changes: object) -> Account:
    """The person's own account in Entra."""
    email = person.email or ""
    values: dict[str, object] = {
        "tenant": TENANT,
        "oid": f"oid-{person.name}",
        "username": email,
        "name": person.name,
        "emails": frozenset({email}),
        "signed_in_at": at,
    }
    return Account(**(values | changes))  # type: ignore[arg-type]  # a test names the fields it changes


def token_text(user: UserId) -> str:
    """What a token of this user looks like."""
    return f"token of {user}"


def _approvers() -> dict[UserId, Account]:
    return {person.id: account_of(person) for person in (KEN, AIKO)}


@dataclass
class FakeSignIns:
    """Kept sign-ins, links and device codes in one.

    `answers` holds what Microsoft sends back for a `state`: an account, or a refusal to raise. `used` holds
    what came of device codes.
    """

    clock: HandClock
    record: FakeRecord = field(default_factory=FakeRecord)
    accounts: dict[UserId, Account] = field(default_factory=_approvers)
    ended: set[UserId] = field(default_factory=set)
    """Whose tokens no longer renew themselves."""
    away: bool = False
    tickets: dict[str, Ticket] = field(default_factory=dict)
    spent: dict[str, int] = field(default_factory=dict)
    begun: dict[str, Ticket] = field(default_factory=dict)
    hints: list[str | None] = field(default_factory=list)
    answers: dict[str, Account | Exception] = field(default_factory=dict)
    held: dict[tuple[str, str], Arrival] = field(default_factory=dict)
    """By the secret of the page and the one of the cookie."""
    used: list[CodeUsed] = field(default_factory=list)
    seen_at: dict[UserId, datetime] = field(default_factory=dict)

    async def invite(self, ticket: Ticket, secret: Secret, quota: Quota) -> Invitation:
        await asyncio.sleep(0)
        self.spent[quota.key] = self.spent.get(quota.key, 0) + 1
        if self.spent[quota.key] > quota.limit:
            raise TooOften(limit=quota.limit, until=quota.until(self.clock.now()), first=True)
        self.tickets[ticket.digest] = ticket
        return Invitation(f"https://unlatch.contoso.com/sign-in/{secret.reveal()}")

    async def ticket(self, secret: Secret) -> Ticket:
        await asyncio.sleep(0)
        ticket = self.tickets.get(hashlib.sha256(secret.reveal().encode()).hexdigest())
        if ticket is None or self.clock.now() >= ticket.expires_at:
            raise TicketUnusable
        return ticket

    async def begin(self, secret: Secret, *, login_hint: str | None) -> str:
        """The address that it returns is the `state` itself."""
        ticket = await self.ticket(secret)
        for state, begun in self.begun.items():
            if begun.digest == ticket.digest:
                return state
        state = f"state-{len(self.hints)}"
        self.hints.append(login_hint)
        self.begun[state] = ticket
        return state

    async def finish(self, form: Mapping[str, str]) -> Arrival:
        await asyncio.sleep(0)
        ticket = self.begun.pop(form.get("state", ""), None)
        if ticket is None:
            raise TicketUnusable
        self.tickets.pop(ticket.digest, None)
        answer = self.answers[form["state"]]
        if isinstance(answer, Exception):
            raise answer
        return Arrival(ticket=ticket, account=answer, cache=Secret("cache"))

    async def hold(self, arrival: Arrival) -> Confirmation:
        await asyncio.sleep(0)
        number = len(self.hints)
        self.held[f"page-{number}", f"cookie-{number}"] = arrival
        return Confirmation(Secret(f"page-{number}"), Secret(f"cookie-{number}"))

    async def take(self, confirmation: Confirmation) -> Arrival:
        await asyncio.sleep(0)
        arrival = self.held.pop((confirmation.page.reveal(), confirmation.cookie.reveal()), None)
        if arrival is None:
            raise TicketUnusable
        return arrival

    async def poll(self) -> Sequence[CodeUsed]:
        await asyncio.sleep(0)
        used, self.used = self.used, []
        return used

    async def keep(self, user: UserId, arrival: Arrival) -> None:
        await asyncio.sleep(0)
        self.accounts[user] = arrival.account
        self.ended.discard(user)

    async def account(self, user: UserId) -> Account | None:
        await asyncio.sleep(0)
        return self.accounts.get(user)

    async def tied_to(self, account: Account) -> UserId | None:
        await asyncio.sleep(0)
        key = (account.tenant, account.oid)
        holders = [user for user, held in self.accounts.items() if (held.tenant, held.oid) == key]
        return holders[0] if holders else None

    async def token(self, user: UserId, *, claims: str | None = None) -> Secret:
        await asyncio.sleep(0)
        if self.away:
            raise CouldNotVerify("entra")
        if user not in self.accounts or user in self.ended:
            raise SignInNeeded(claims)
        return Secret(token_text(user) + (f" with {claims}" if claims else ""))

    async def unseen(self, *, since: datetime, limit: int) -> Sequence[UserId]:
        await asyncio.sleep(0)
        due = [user for user in self.accounts if self.seen_at.get(user, since) <= since][:limit]
        self.seen_at |= dict.fromkeys(due, self.clock.now())
        return due

    async def sweep(self) -> int:
        await asyncio.sleep(0)
        return 0

    async def forget(
        self, user: UserId, why: Ended = Ended.ASKED, facts: Mapping[str, str] | None = None
    ) -> bool:
        await asyncio.sleep(0)
        account = self.accounts.pop(user, None)
        if account is None:
            return False
        noted = {"reason": str(why), **of_account(account), **(facts or {})}
        entry = Entry(event=Event.SIGNED_OUT, at=self.clock.now(), actor=user, facts=noted)
        self.record.entries.append(entry)
        return True
