"""What each sealed thing is bound to. It is not stored: a row that was moved or swapped does not open."""

import hashlib

from bot.domain.identifiers import UserId
from bot.domain.sign_in import Ticket
from bot.ports import SignInRow

Binding = tuple[str, ...]


def digest(text: str) -> str:
    """SHA-256, hexadecimal: what is stored of a secret that somebody brings back."""
    return hashlib.sha256(text.encode()).hexdigest()


def of_flow(ticket: Ticket, state: str) -> Binding:
    """A browser's flow: to the link, its owner, and Microsoft's `state`."""
    return ("flow", ticket.team, ticket.user, ticket.digest, state)


def of_arrival(ticket: Ticket, key: str) -> Binding:
    """An arrival that waits for a yes: to its owner, what it is for, and the two secrets of the browser."""
    return ("arrival", ticket.team, ticket.user, ticket.request_id or "", key)


def of_code(ticket: Ticket) -> Binding:
    """A device code: to its owner, what it is for, and the row."""
    return ("code", ticket.team, ticket.user, ticket.request_id or "", ticket.digest)


def of_cache(user: UserId, tenant: str, oid: str) -> Binding:
    """A token cache: to the account and the Slack user who is tied to it."""
    return ("cache", tenant, oid, user)


def of_row(row: SignInRow) -> Binding:
    """The token cache of a stored sign-in."""
    return of_cache(row.user, row.tenant, row.oid)
