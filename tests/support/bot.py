"""The use cases over a real database and fakes of the vendors, in the words of what people do."""

from collections.abc import Awaitable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import count, repeat
from typing import Any

import pytest
from bot.domain.audit import Entry, Event
from bot.domain.errors import LostRace, Refusal
from bot.domain.people import Account, Confirmation, Person
from bot.domain.request import MessageState, ResetRequest, Status
from bot.domain.values import DeviceId, RequestId, Secret, utc_text
from bot.store import requests, tables
from bot.store.database import Transaction
from bot.store.requests import Claimed, Queue
from bot.use_cases import decide, reveal, review, sign_in, submit
from bot.use_cases.deps import Deps
from bot.use_cases.execute import advance
from bot.use_cases.publish import publish
from sqlalchemy import select, update
from tests.support import fakes
from tests.support.builders import AIKO, KEN, LEOS_PHONE, MEI, RULES, TIMING, account_of, actor
from tests.support.clock import Clock
from tests.support.database import entry_of
from tests.support.fakes import LOST, Answer, Steps, Stopped, StoppingDatabase

AS_KEN = {"approver": KEN.id, "account": "ken@contoso.com", "oid": "oid-Ken", "device": LEOS_PHONE.id}
"""What the audit log says of everything that Ken's approval leads to."""
LEASE = timedelta(seconds=90)


class Bot:
    """One process: `deps` and its parts. `wakes` and `heads` count calls of `wake_worker` and `keep_head`.

    Mei may ask; Ken and Aiko may approve and are signed in; Leo has one phone; it is noon.
    """

    def __init__(self, database: Any, *, log_starts_after: int = 1) -> None:
        self._database = database
        self._log_starts_after = log_starts_after
        self.steps = Steps()
        self.database: Any = StoppingDatabase(database, self.steps)
        self.clock = Clock()
        self.directory = fakes.FakeDirectory(steps=self.steps)
        self.intune = fakes.FakeIntune(self.clock, steps=self.steps)
        self.links = fakes.FakeLinks(self.clock, steps=self.steps)
        self.sign_ins = fakes.FakeSignIns(self.clock, self.database, steps=self.steps)
        self.notifier = fakes.FakeNotifier(steps=self.steps)
        self.wakes, self.heads = 0, 0
        self.heads_written: Iterator[bool | Exception] = repeat(True)
        self.deliveries, self.guids = count(1), count(1)
        self.deps = Deps(
            **{part: vars(self)[part] for part in ("database", "directory", "intune", "links", "sign_ins")},
            rules=RULES,
            timing=TIMING,
            now=self.clock.now,
            new_guid=lambda: f"call-{next(self.guids)}",
            wake_worker=self._wake,
            keep_head=self._keep,
            write_head=self._write_head,
        )

    def on_the_same_database(self) -> "Bot":
        """Return another replica, with vendors of its own."""
        return Bot(self._database, log_starts_after=self._log_starts_after)

    def rules(self, **changes: object) -> None:
        self.deps = replace(self.deps, rules=replace(self.deps.rules, **changes))  # type: ignore[arg-type]

    def _wake(self) -> None:
        self.wakes += 1

    def _keep(self) -> None:
        self.heads += 1

    async def _write_head(self) -> bool:
        self._keep()
        written = next(self.heads_written)
        if isinstance(written, Exception):
            raise written
        return written

    # What people do

    async def submit(self, *, by: Person = MEI, **typed: str) -> ResetRequest:
        usual = {"target": "leo@contoso.com", "reason": "Locked out before his flight", "ticket": None}
        delivery = f"delivery-{next(self.deliveries)}"
        return await submit.submit(self.deps, actor(by), delivery=delivery, **usual | typed)

    async def review(self, request_id: RequestId, *, by: Person = KEN) -> review.Review:
        return await review.review(self.deps, request_id, actor(by))

    async def approve(
        self, request_id: RequestId, *, by: Person = KEN, device: DeviceId = LEOS_PHONE.id, **how: Any
    ) -> ResetRequest:
        """Approve what the row says now, or what it said at the revision `reviewed`."""
        if "reviewed" not in how:
            with suppress(Refusal):
                how["reviewed"] = (await self.row(request_id)).revision
        how = {"reviewed": 0, "knowingly": False} | how
        return await decide.approve(self.deps, request_id, actor(by), device, **how)

    async def deny(self, request_id: RequestId, *, by: Person = KEN) -> ResetRequest:
        return await decide.deny(self.deps, request_id, actor(by), "Call him")

    async def check_may_decide(self, request_id: RequestId, *, by: Person = KEN) -> ResetRequest:
        return await decide.check_may_decide(self.deps, request_id, actor(by))

    async def withdraw(self, request_id: RequestId, *, by: Person = MEI) -> ResetRequest:
        return await decide.withdraw(self.deps, request_id, actor(by))

    async def close(self, request_id: RequestId, *, by: Person = KEN) -> ResetRequest:
        return await decide.close(self.deps, request_id, actor(by))

    async def look(self, request_id: RequestId, *, by: Person = AIKO) -> ResetRequest:
        return await decide.look_on(self.deps, request_id, actor(by))

    async def reveal(self, request_id: RequestId, *, by: Person = MEI) -> Secret:
        _, passcode = await reveal.reveal(self.deps, request_id, actor(by))
        return passcode

    async def offer(self, by: Person = KEN, **then: Any) -> Secret:
        nowhere: dict[str, Any] = {"request_id": None, "view_id": None, "need": None}
        url = await sign_in.offer(self.deps, actor(by), **nowhere | then)
        return Secret(url.rpartition("/")[2])

    async def comes_back(
        self, answer: Account | Exception, *, by: Person = KEN, **then: Any
    ) -> tuple[Person, Account, Confirmation]:
        """Follow this person's link, and bring Microsoft's answer back."""
        state = await sign_in.authorization_url(self.deps, await self.offer(by, **then))
        self.links.answers[state] = answer
        return await sign_in.receive(self.deps, {"state": state})

    # The worker

    async def advance(self, request_id: RequestId) -> ResetRequest:
        """Do what the row needs, due or not, and return what it has become."""
        await advance(self.deps, await self.row(request_id))
        return await self.row(request_id)

    async def advance_due(self) -> None:
        """Claim and advance, once, everything that is due."""
        for claimed in await self.claim(Queue.ADVANCE):
            with suppress(LostRace):
                await advance(self.deps, claimed.request)
            await self.database.run(lambda tx, claimed=claimed: requests.release(tx, claimed, due_at=None))

    async def publish(self, request_id: RequestId) -> timedelta | None:
        """Bring Slack up to date, due or not; return the pause until the next try."""
        claimed = await self.claim_publish(request_id)
        due_at, messages = await publish(self.deps, self.notifier, claimed)
        await self.database.run(lambda tx: requests.release(tx, claimed, due_at=due_at, messages=messages))
        return None if due_at is None else due_at - self.clock.now()

    async def claim_publish(self, request_id: RequestId) -> Claimed:
        table = tables.requests
        due = {"publish_at": utc_text(self.clock.now()), "publish_leased_until": None}
        make_due = update(table).where(table.c.id == request_id).values(due)
        await self.database.run(lambda tx: tx.execute(make_due) and None)
        return next(each for each in await self.claim(Queue.PUBLISH) if each.request.id == request_id)

    async def claim(self, queue: Queue) -> list[Claimed]:
        now = self.clock.now()
        limits = {"lease": LEASE, "limit": 1000}
        return list(await self.database.run(lambda tx: requests.claim(tx, queue, now=now, **limits)))

    # Where a request stands, reached as people reach it

    async def pending(self, **typed: Any) -> RequestId:
        request = await self.submit(**typed)
        assert (await self.advance(request.id)).status is Status.PENDING
        return request.id

    async def approved(self, *, by: Person = KEN, knowingly: bool = False) -> RequestId:
        request_id = await self.pending()
        await self.approve(request_id, by=by, knowingly=knowingly)
        return request_id

    async def sent(self, *, knowingly: bool = False) -> RequestId:
        request_id = await self.approved(knowingly=knowingly)
        assert (await self.advance(request_id)).status is Status.SENT
        return request_id

    async def done(self, *, passcode: str = "the new passcode", knowingly: bool = False) -> RequestId:
        request_id = await self.sent(knowingly=knowingly)
        self.intune.finish(passcode=passcode)
        assert (await self.advance(request_id)).status is Status.DONE
        return request_id

    async def uncertain(self, answer: Answer = LOST) -> RequestId:
        request_id = await self.approved()
        self.intune.answers.append(answer)
        assert (await self.advance(request_id)).status is Status.UNCERTAIN
        return request_id

    async def needs_a_human(self) -> RequestId:
        """Uncertain, and looked for in vain."""
        request_id = await self.uncertain()
        self.clock.advance(self.deps.timing.settle)
        assert (await self.advance(request_id)).needs_a_human
        return request_id

    async def end_sign_in(self, how: str) -> None:
        """Let Ken have no sign-in any more with which he approved."""
        match how:
            case "signed out":
                await self.sign_ins.forget(KEN.id)
            case "tokens ended":
                self.sign_ins.expired.add(KEN.id)
            case "another account":
                self.sign_ins.accounts[KEN.id] = account_of(KEN, oid="oid-of-another")

    async def stops_after(self, steps: int, call: Awaitable[object]) -> bool:
        """Let the process stop after so many steps of the call; returns whether it did."""
        self.steps.left = steps
        try:
            await call
        except Stopped:
            return True
        finally:
            self.steps.left = None
        return False

    async def insert(self, *rows: ResetRequest) -> None:
        leases = {"publish_at": None, "advance_leased_until": None, "publish_leased_until": None}

        def unit(tx: Transaction) -> None:
            for row in rows:
                values = requests.request_columns(row) | leases
                values |= requests.message_columns(tx.audit_log, row.id, MessageState())
                values["seal"] = requests.new_seal(tx, values, None)
                tx.execute(requests.INSERT, values)
                tx.entries.append(Entry.of_move(Event.REQUESTED, row, {}))

        await self.database.run(unit)

    async def store(self, old: ResetRequest, new: ResetRequest) -> None:
        """Change a row as another replica would."""
        await self.database.run(lambda tx: requests.move(tx, old, new, None))

    # What can be seen afterwards

    async def row(self, request_id: RequestId) -> ResetRequest:
        log = self.database.audit_log
        return await self.database.read(lambda c: requests.get_request(c, request_id, log))

    async def rows(self) -> dict[RequestId, ResetRequest]:
        ids = select(tables.requests.c.id)
        found = await self.database.read(lambda connection: connection.scalars(ids).all())
        return {each: await self.row(each) for each in found}

    async def entries(self) -> list[Entry]:
        table = tables.audit
        query = select(table).where(table.c.seq > self._log_starts_after).order_by(table.c.seq)
        rows = await self.database.read(lambda connection: connection.execute(query).all())
        return [*map(entry_of, rows)]

    async def events(self) -> list[Event]:
        return [entry.event for entry in await self.entries()]

    async def entry(self, event: Event) -> Entry:
        return [entry for entry in await self.entries() if entry.event is event][-1]

    async def refusals(self) -> list[tuple[str | None, str]]:
        refused = [entry for entry in await self.entries() if entry.event is Event.ACCESS_REFUSED]
        return [(entry.actor, entry.facts["refusal"]) for entry in refused]


async def refused(call: Awaitable[object]) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        await call
    return refusal.value


async def goes_down(part: Any) -> None:
    part.down = True


async def outcome(call: Awaitable[object]) -> object:
    """Return what came of the call: a value, or the exception itself."""
    try:
        return await call
    except Exception as error:  # the test says which one it should have been
        return error
