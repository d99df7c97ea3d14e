"""Requests and audit entries for the store's tests."""

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.domain.audit import Entry, Event
from bot.domain.request import Approval, ResetRequest
from bot.domain.target import parse_target
from bot.domain.values import DeviceId, RequestId, UserId
from bot.store import requests
from bot.store.database import Database, Transaction
from tests.support import builders
from tests.support.builders import APPROVAL, LEOS_PHONE, RECEIVED, TIMING
from tests.support.clock import NOON as NOW

LATE = datetime(2099, 1, 1, tzinfo=UTC)
"""After row 1 of the audit log, which is written with the machine's time."""
MEI, KEN = builders.MEI.id, builders.KEN.id
MANY = 10**6


def a_request(
    *, target: str | None = None, by: UserId = MEI, at: datetime = NOW, **changes: Any
) -> ResetRequest:
    """A received request for a person of its own."""
    id_ = RequestId(secrets.token_hex(16))
    wanted = parse_target(target or f"p{id_[:8]}@contoso.com")
    received = replace(RECEIVED, id=id_, delivery=f"delivery-{id_}", target=wanted, asked_by=by, asked_at=at)
    return replace(received, **{"changed_at": at, "next_at": at} | changes)


def a_pending(**given: Any) -> ResetRequest:
    received = a_request(**given)
    return received.accept(target=received.target, now=received.changed_at, timing=TIMING)


def an_approval(device: str = "d1") -> Approval:
    return replace(APPROVAL, device=replace(LEOS_PHONE, id=DeviceId(device), last_sync_at=NOW))


def add(tx: Transaction, request: ResetRequest, *, limit: int = MANY, open_limit: int = MANY) -> ResetRequest:
    entry = Entry.of_move(Event.REQUESTED, request, {}, actor=request.asked_by)
    limits = {"users": {request.asked_by}, "limit": limit, "open_limit": open_limit}
    return requests.add_request(tx, request, entry, **limits)


async def stored(database: Database, request: ResetRequest) -> ResetRequest:
    return await database.run(lambda tx: add(tx, request))


async def get(database: Database, request: ResetRequest) -> ResetRequest:
    return await database.read(lambda c: requests.get_request(c, request.id, database.audit_log))


def note(number: int = 0, at: datetime = LATE) -> Entry:
    """An entry that belongs to no request."""
    return Entry(event=Event.STARTED, at=at + timedelta(seconds=number), facts={"n": str(number)})


async def noted(database: Database, count: int = 1) -> None:
    for number in range(count):
        entry = note(number)
        await database.run(lambda tx, entry=entry: tx.entries.append(entry))
