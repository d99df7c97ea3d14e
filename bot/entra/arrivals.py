"""An arrival as bytes to seal, while it waits for the person to go on."""

import json
from datetime import datetime

from bot.domain.people import Account
from bot.domain.secret import Secret
from bot.domain.sign_in import Ticket
from bot.ports import Arrival


def packed(arrival: Arrival) -> bytes:
    """The account and the cache; the ticket is in the row."""
    account = arrival.account
    content = {
        "tenant": account.tenant,
        "oid": account.oid,
        "username": account.username,
        "name": account.name,
        "emails": sorted(account.emails),
        "signed_in_at": account.signed_in_at.isoformat(),
        "authenticated_at": account.authenticated_at and account.authenticated_at.isoformat(),
        "cache": arrival.cache.reveal(),
    }
    return json.dumps(content).encode()


def unpacked(content: bytes, ticket: Ticket) -> Arrival:
    """The arrival again."""
    kept = json.loads(content)
    account = Account(
        tenant=kept["tenant"],
        oid=kept["oid"],
        username=kept["username"],
        name=kept["name"],
        emails=frozenset(kept["emails"]),
        signed_in_at=datetime.fromisoformat(kept["signed_in_at"]),
        authenticated_at=kept["authenticated_at"] and datetime.fromisoformat(kept["authenticated_at"]),
    )
    return Arrival(ticket=ticket, account=account, cache=Secret(kept["cache"]))
