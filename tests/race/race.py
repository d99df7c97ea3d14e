"""Many rounds on one stage, some at a time; then quiet, and the verdict."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bot.domain.identifiers import RequestId
from bot.domain.record import Event
from bot.domain.request import ResetRequest
from bot.store import Store
from bot.store.schema import audit, requests
from sandbox.cast import ON_CALL
from sandbox.slack.workspace import Message
from sqlalchemy import func, or_, select
from tests.race.plan import plan
from tests.race.playing import Played, play
from tests.race.stage import Stage, staged
from tests.race.verdict import Evidence, Fault, Wrong, faults_of, strangers

AT_ONCE: Final = 24
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
    async with staged(database_url, folder, requesters=AT_ONCE, **game) as stage:
        played = await _all_played(stage, seed, rounds, replicas)
        await _quiet(stage.store)
        faults = [*await _verdict(stage, played), *_logged(stage)]
        winners = await _winners(stage.store)
    faults += [
        (f"replica {number}", Fault(Wrong.STUCK, f"ended with {bot.process.returncode}"))
        for number, bot in enumerate(stage.bots)
        if bot.process is not None and bot.process.returncode != 0
    ]
    return Tally(len(played), faults, winners)


async def _all_played(stage: Stage, seed: int, rounds: int, replicas: int) -> list[Played]:
    """Every requester takes the next round when the last one is over."""
    numbers = iter(range(1, rounds + 1))
    played: list[Played] = []

    async def turns(requester: int) -> None:
        for number in numbers:
            drawn = plan(seed, number, replicas=replicas)
            played.append(await play(stage, drawn, stage.requesters[requester]))

    await asyncio.gather(*(turns(requester) for requester in range(len(stage.requesters))))
    await stage.road.arrived()
    return played


async def _quiet(store: Store) -> None:
    """Wait until no row is due or held; what is not quiet in time shows in the verdict."""
    columns = ("next_at", "drive_leased_until", "show_at", "show_leased_until")
    busy = select(func.count()).where(or_(*(requests.c[name].is_not(None) for name in columns)))
    ends = asyncio.get_running_loop().time() + QUIET
    while asyncio.get_running_loop().time() < ends:
        async with store.engine.connect() as connection:
            if not await connection.scalar(busy):
                return
        await asyncio.sleep(0.2)  # the rows change in other processes


async def _verdict(stage: Stage, played: Sequence[Played]) -> list[tuple[str, Fault]]:
    rows = {
        one.request_id: await stage.store.requests.get(one.request_id) for one in played if one.request_id
    }
    record, messages = await _record(stage.store), _by_request(stage)
    resets = stage.sandbox.intune.resets
    attempts = {row.attempt.client_request_id: row.id for row in rows.values() if row.attempt}
    found = [("Intune", fault) for fault in strangers(resets, attempts)]
    found += await _strange_rows(stage.store, len(played))
    for one in played:
        name = str(one.plan)
        row = rows.get(one.request_id)
        if row is None:
            found.append((name, Fault(Wrong.STUCK, f"waited in vain until {one.stuck}")))
            continue
        about = messages[row.id]
        evidence = Evidence(
            played=one,
            row=row,
            record=record[row.id],
            resets=[reset for reset in resets if attempts.get(reset.client_request_id) == row.id],
            cards=[message for message in about if message.channel == ON_CALL],
            receipts=[message for message in about if message.channel != ON_CALL],
        )
        found += [(name, fault) for fault in (*faults_of(evidence), *_still_due(row))]
    return found


def _still_due(row: ResetRequest) -> Iterator[Fault]:
    if row.next_at is not None:
        due = (row.next_at - datetime.now(UTC)).total_seconds()
        yield Fault(Wrong.STUCK, f"{row.status}, and due in {due:.0f} s")


async def _strange_rows(store: Store, rounds: int) -> list[tuple[str, Fault]]:
    """Every command made one row, however often it arrived."""
    async with store.engine.connect() as connection:
        count = int(await connection.scalar(select(func.count()).select_from(requests)) or 0)
    if count == rounds:
        return []
    wrong = Wrong.DOUBLED if count > rounds else Wrong.LOST
    return [("the database", Fault(wrong, f"{count} rows for {rounds} rounds"))]


async def _record(store: Store) -> Mapping[RequestId, Sequence[tuple[Event, str | None]]]:
    found: dict[RequestId, list[tuple[Event, str | None]]] = defaultdict(list)
    async with store.engine.connect() as connection:
        for row in (await connection.execute(select(audit).order_by(audit.c.id))).mappings():
            if row["request_id"]:
                found[RequestId(row["request_id"])].append((Event(row["event"]), row["actor"]))
    return found


def _by_request(stage: Stage) -> Mapping[RequestId, Sequence[Message]]:
    found: dict[RequestId, list[Message]] = defaultdict(list)
    for conversation in stage.slack.workspace.conversations.values():
        for message in conversation.messages.values():
            payload = (message.metadata or {}).get("event_payload", {})
            found[RequestId(payload.get("request_id", ""))].append(message)
    return found


def _logged(stage: Stage) -> Iterator[tuple[str, Fault]]:
    """Nothing crashed, whatever came of it."""
    for number, bot in enumerate(stage.bots):
        for line in bot.lines:
            entry = json.loads(line) if line.startswith("{") else {"level": "error", "event": line}
            if entry.get("level") in ("error", "critical"):
                yield f"replica {number}", Fault(Wrong.STUCK, line)


async def _winners(store: Store) -> Mapping[str, int]:
    query = select(requests.c.status, func.count()).group_by(requests.c.status).order_by(requests.c.status)
    async with store.engine.connect() as connection:
        return {str(status): int(count) for status, count in await connection.execute(query)}
