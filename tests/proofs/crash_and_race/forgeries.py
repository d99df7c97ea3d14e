"""What whoever can write to the database writes behind the bot's back, with everything but the keys.

A forged row is a copy of a genuine one under another id, seal and all, changed so that it would reset a
phone, be decided, or stop the queues. Whatever the bot does on its word, the checks count: a reset that no
approval in the audit log explains, a message about a request that nobody asked for.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Final

from bot.domain.audit import Event
from bot.domain.values import utc_text
from bot.slack.payloads import Action
from bot.slack.wording import CATALOG_EN as ENGLISH
from bot.store.audit_log import hash_after
from bot.store.database import Database, Transaction
from bot.store.tables import audit, metadata, requests, sign_ins
from sqlalchemy import Connection, Executable, Table, delete, insert, select, text, update
from tests.proofs.crash_and_race.checks import Fault
from tests.proofs.crash_and_race.kill_cases import asked
from tests.proofs.crash_and_race.kill_points import Death
from tests.proofs.crash_and_race.people import GAVE_UP, TOMAS, People
from tests.proofs.crash_and_race.processes import Installation, Life
from tests.support.user_actions import KEN, MEI, OLGA

POISON: Final[Mapping[str, str]] = {
    **{"approval": "[]", "attempt": '"x"', "cause": "{", "messages": "[" * 9999, "seal": "null"},
    **{"status": "sent on", "target_kind": "", "decided_at": "yesterday", "asked_at": ""},
}
"""What no release of the bot stores in these columns."""
SQLITE_TRIGGERS: Final = import_module("bot.store.migrations.versions.0001_initial").SQLITE_TRIGGERS
LIFE: Final = Life(faster=6)
"""An approval may be used for 20 seconds: long enough to put it back."""
SAID_SECONDS: Final = 20.0
Copy = dict[Table, list[dict[str, Any]]]


async def forge(database: Database, rng: random.Random) -> set[str]:
    """Insert a forged row, due now; returns its id, and none where there is no approved one to copy."""

    def unit(tx: Transaction) -> set[str]:
        genuine = requests.c.delivery != requests.c.id
        approved = tx.execute(select(requests).where(requests.c.approval != "null", genuine)).all()
        if not approved:
            return set()
        theirs, now = dict(rng.choice(approved)._mapping), utc_text(datetime.now(UTC))
        approval = json.loads(theirs["approval"]) | {"at": now}
        forged = f"f0{rng.getrandbits(120):030x}"
        row = theirs | {"id": forged, "delivery": forged, "open_target": None, "held_device": None}
        row |= {"advance_leased_until": None, "publish_leased_until": None, "next_at": now, "publish_at": now}
        row |= {"status": "approved", "attempt": "null", "approval": json.dumps(approval), "decided_at": now}
        match rng.choice(("approved", "received", "poison")):
            case "received":
                row |= {"status": "received", "approval": "null", "version": 1, "decided_at": None}
            case "poison":
                row |= [rng.choice([*POISON.items()])]
        tx.execute(insert(requests).values(row))
        return {forged}

    return await database.run(unit)


async def copy_of(database: Database) -> Copy:
    tables = metadata.sorted_tables
    return await database.read(
        lambda connection: {
            table: [dict(row._mapping) for row in connection.execute(select(table))] for table in tables
        }
    )


async def put_back(database: Database, copy: Copy) -> None:
    """Make the database what it was; no bot runs. The audit log's triggers are gone for that moment."""

    def unit(tx: Transaction) -> None:
        _triggers(tx, on=False)
        for table, rows in copy.items():
            tx.execute(delete(table))
            if rows:
                tx.execute(insert(table), rows)
        _triggers(tx, on=True)

    await database.run(unit)


async def rebuild(database: Database, *, without: Event) -> None:
    """Make the audit log anew from row 1 on, without one event: the chain fits, the signatures do not."""

    def unit(tx: Transaction) -> None:
        rows = [dict(row._mapping) for row in tx.execute(select(audit).order_by(audit.c.seq))]
        _triggers(tx, on=False)
        tx.execute(delete(audit))
        previous = database.audit_log.genesis.hash
        kept = [row for row in rows if row["event"] != without]
        for seq, row in enumerate(kept, start=1):
            row["seq"] = seq
            row["hash"] = previous = hash_after(previous, row)
        tx.execute(insert(audit), kept)
        _triggers(tx, on=True)

    await database.run(unit)


def _triggers(tx: Transaction, *, on: bool) -> None:
    """Switch what keeps the audit log append-only off, and on again."""
    if tx.is_postgresql:
        tx.execute(text(f"ALTER TABLE audit {'ENABLE' if on else 'DISABLE'} TRIGGER ALL"))
        return
    for trigger in SQLITE_TRIGGERS:
        name = trigger.split()[2]
        tx.execute(text(trigger if on else f"DROP TRIGGER {name}"))


@dataclass
class Attacks:
    """Each counts a fault where a phone was reset, a modal shows what it should not, or nothing was said."""

    bots: Installation
    people: People
    faults: list[Fault] = field(default_factory=list)
    _before: int = 0
    """Lines in the log of earlier lives."""

    async def run(self) -> list[Fault]:
        """A swapped owner, an old copy with the kept heads and without, a sign-in put back, a rebuilt log."""
        request, copy = await self._approved_and_stopped()
        await self.bots.start(LIFE)
        await self.people.until(lambda: request in self.people.offered(Action.SHOW_PASSCODE), 30)
        resets = len(self.bots.sandbox.intune.resets)
        await self._swapped_owner(request)
        await self._restart(put_back(self.bots.database, copy))
        await self._said("audit_broken", request)
        del self.bots.environments[0]["AUDIT_HEADS"]
        await self._restart(put_back(self.bots.database, copy))
        await self._reopened(request)
        await self._sign_in_put_back(request)
        await self._restart(rebuild(self.bots.database, without=Event.SIGNED_OUT))
        await self._said("audit_broken")
        await self._opens(KEN, Action.APPROVE, request, "error.AuditBroken.title")
        if "was not written by Unlatch" not in await self.bots.unlatch("audit", "verify"):
            self.faults.append(("lost", "audit verify does not name the rebuilt log"))
        if more := len(self.bots.sandbox.intune.resets) - resets:
            self.faults.append(("doubled", f"{more} resets on the word of whoever writes to the database"))
        return self.faults

    async def _approved_and_stopped(self) -> tuple[str, Copy]:
        """The moment of a copy that could reset: an approval is stored, and its attempt not begun."""
        bot = await self.bots.start(replace(LIFE, death=Death(at="before move approved to attempting")))
        request = await asked(self.people, TOMAS)
        with suppress(*GAVE_UP):
            await self.people.approve(KEN, request)
        await bot.ended.wait()
        return request, await copy_of(self.bots.database)

    async def _restart(self, meanwhile: Awaitable[None]) -> None:
        await self.bots.end()
        self._before = len(list(self.bots.lines(0)))
        await meanwhile
        await self.bots.start(LIFE)

    async def _swapped_owner(self, request: str) -> None:
        row = update(requests).where(requests.c.id == request)
        await self._write(row.values(asked_by=OLGA))
        await self._opens(MEI, Action.SHOW_PASSCODE, request, "code.tampered.title")
        await self._write(row.values(asked_by=MEI))

    async def _sign_in_put_back(self, request: str) -> None:
        read = self.bots.database.read
        rows = await read(lambda connection: connection.execute(select(sign_ins)).all())
        await self.people.command(KEN, "sign-out")
        kens = select(sign_ins.c.user).where(sign_ins.c.user == KEN)
        await self._until(f"{KEN} is signed out", lambda connection: connection.scalar(kens) is None)
        await self._write(insert(sign_ins).values([dict(row._mapping) for row in rows]))
        await self._opens(KEN, Action.APPROVE, request, "sign_in.title")

    async def _reopened(self, request: str) -> None:
        """Without a kept head Intune itself is the witness: the device was reset after the review."""
        wanted = select(audit.c.seq).where(audit.c.request_id == request, audit.c.event == Event.REOPENED)
        await self._until("it waits again", lambda connection: connection.scalar(wanted))

    async def _opens(self, user: str, action: str, request: str, title: str) -> None:
        await self.people.until(lambda: request in self.people.offered(action), SAID_SECONDS)
        found = await self.people.open(user, action, request=request)
        if found != ENGLISH[title]:
            self.faults.append(("doubled", f"{action} by {user} opened “{found}”"))

    async def _said(self, event: str, request: str | None = None) -> None:
        """Wait for a line in the log of this life."""

        def said(_: Connection) -> bool:
            lines = list(self.bots.lines(0))[self._before :]
            return (event, request) in [(line["event"], line.get("request")) for line in lines]

        await self._until(f"{event} of {request} is in the log", said)

    async def _until(self, what: str, seen: Callable[[Connection], object]) -> None:
        try:
            async with asyncio.timeout(SAID_SECONDS):
                while not await self.bots.database.read(seen):  # noqa: ASYNC110  it is another process
                    await asyncio.sleep(0.05)
        except TimeoutError:
            self.faults.append(("stuck", f"waited in vain until {what}"))

    async def _write(self, statement: Executable) -> None:
        await self.bots.database.run(lambda tx: tx.execute(statement) and None)
