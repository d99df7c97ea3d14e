"""Many rounds on one there, some at a time; then quiet, and the verdict."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bot.domain.audit import Event
from bot.domain.request import ResetRequest
from bot.domain.values import RequestId
from bot.store.database import Database
from bot.store.requests import get_request
from bot.store.tables import audit, requests
from sandbox.cast import ON_CALL
from sandbox.slack.workspace import Message
from sqlalchemy import func, or_, select
from tests.proofs.crash_and_race.race_checks import Fault, RoundAtRest, Wrong, faults_of, strangers
from tests.proofs.crash_and_race.race_plan import plan
from tests.proofs.crash_and_race.race_rounds import Round, run_round
from tests.proofs.crash_and_race.replicas import Replicas, replicas_of

AT_ONCE: Final = 12
"""Rounds at a time."""
QUIET: Final = 180.0
"""Seconds within which everything that was begun has ended."""


@dataclass(frozen=True, slots=True)
class Tally:
    """`faults` by what they are about."""

    rounds: int
    faults: Sequence[tuple[str, Fault]]
    winners: Mapping[str, int]

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.rounds + other.rounds,
            [*self.faults, *other.faults],
            Counter(self.winners) + Counter(other.winners),
        )

    def __str__(self) -> str:
        found = Counter(fault.wrong for _, fault in self.faults)
        return f"{self.rounds} rounds, " + ", ".join(f"{found[wrong]} {wrong}" for wrong in Wrong)


async def race(
    database_url: str, folder: Path, *, seed: int, rounds: int, replicas: int, socket_mode: bool = False
) -> Tally:
    """Play `rounds` rounds over `replicas` processes on one database."""
    game = {"replicas": replicas, "rounds": rounds, "socket_mode": socket_mode}
    async with replicas_of(database_url, folder, requesters=AT_ONCE, **game) as there:
        round_ = await _all_rounds(there, seed, rounds, replicas)
        await _quiet(there.database)
        faults = [*await _findings(there, round_), *_logged(there)]
        winners = await _winners(there.database)
    faults += [
        (f"replica {number}", Fault(Wrong.STUCK, f"ended with {bot.process.returncode}"))
        for number, bot in enumerate(there.bots)
        if bot.process is not None and bot.process.returncode != 0
    ]
    return Tally(len(round_), faults, winners)


async def _all_rounds(there: Replicas, seed: int, rounds: int, replicas: int) -> list[Round]:
    """Every requester takes the next round when the last one is over."""
    numbers = iter(range(1, rounds + 1))
    round_: list[Round] = []

    async def turns(requester: int) -> None:
        for number in numbers:
            drawn = plan(seed, number, replicas=replicas)
            round_.append(await run_round(there, drawn, there.requesters[requester]))

    await asyncio.gather(*(turns(requester) for requester in range(len(there.requesters))))
    await there.proxy.arrived()
    return round_


async def _quiet(database: Database) -> None:
    """Wait until no row is due or held; what is not quiet in time shows in the findings."""
    columns = ("next_at", "advance_leased_until", "publish_at", "publish_leased_until")
    busy = select(func.count()).where(or_(*(requests.c[name].is_not(None) for name in columns)))
    ends = asyncio.get_running_loop().time() + QUIET
    while asyncio.get_running_loop().time() < ends:
        if not await database.read(lambda connection: connection.scalar(busy)):
            return
        await asyncio.sleep(0.2)  # the rows change in other processes


async def _findings(there: Replicas, round_: Sequence[Round]) -> list[tuple[str, Fault]]:
    ids = [one.request_id for one in round_ if one.request_id]
    rows = {id_: await there.database.read(lambda c, id_=id_: get_request(c, id_)) for id_ in ids}
    record, messages = await _record(there.database), _by_request(there)
    resets = there.sandbox.intune.resets
    attempts = {row.attempt.client_request_id: row.id for row in rows.values() if row.attempt}
    found = [("Intune", fault) for fault in strangers(resets, attempts)]
    found += await _strange_rows(there.database, len(round_))
    for one in round_:
        name = str(one.plan)
        row = rows.get(one.request_id)
        if row is None:
            found.append((name, Fault(Wrong.STUCK, f"waited in vain until {one.stuck}")))
            continue
        about = messages[row.id]
        outcome = RoundAtRest(
            round_=one,
            row=row,
            record=record[row.id],
            resets=[reset for reset in resets if attempts.get(reset.client_request_id) == row.id],
            cards=[message for message in about if message.channel == ON_CALL],
            receipts=[message for message in about if message.channel != ON_CALL],
        )
        found += [(name, fault) for fault in (*faults_of(outcome), *_still_due(row))]
    return found


def _still_due(row: ResetRequest) -> Iterator[Fault]:
    if row.next_at is not None:
        due = (row.next_at - datetime.now(UTC)).total_seconds()
        yield Fault(Wrong.STUCK, f"{row.status}, and due in {due:.0f} s")


async def _strange_rows(database: Database, rounds: int) -> list[tuple[str, Fault]]:
    """Every command made one row, however often it arrived."""
    query = select(func.count()).select_from(requests)
    count = await database.read(lambda connection: connection.scalar(query) or 0)
    if count == rounds:
        return []
    wrong = Wrong.DOUBLED if count > rounds else Wrong.LOST
    return [("the database", Fault(wrong, f"{count} rows for {rounds} rounds"))]


async def _record(database: Database) -> Mapping[RequestId, Sequence[tuple[Event, str | None]]]:
    found: dict[RequestId, list[tuple[Event, str | None]]] = defaultdict(list)
    query = select(audit).order_by(audit.c.seq)
    for row in await database.read(lambda connection: connection.execute(query).all()):
        if row.request_id:
            found[RequestId(row.request_id)].append((Event(row.event), row.actor))
    return found


def _by_request(there: Replicas) -> Mapping[RequestId, Sequence[Message]]:
    found: dict[RequestId, list[Message]] = defaultdict(list)
    for conversation in there.slack.workspace.conversations.values():
        for message in conversation.messages.values():
            payload = (message.metadata or {}).get("event_payload", {})
            found[RequestId(payload.get("request_id", ""))].append(message)
    return found


def _logged(there: Replicas) -> Iterator[tuple[str, Fault]]:
    """Nothing crashed, whatever came of it."""
    for number, bot in enumerate(there.bots):
        for line in bot.lines:
            entry = json.loads(line) if line.startswith("{") else {"level": "error", "event": line}
            if entry.get("level") in ("error", "critical"):
                yield f"replica {number}", Fault(Wrong.STUCK, line)


async def _winners(database: Database) -> Mapping[str, int]:
    query = select(requests.c.status, func.count()).group_by(requests.c.status).order_by(requests.c.status)
    rows = await database.read(lambda connection: connection.execute(query).all())
    return {str(status): int(count) for status, count in rows}
