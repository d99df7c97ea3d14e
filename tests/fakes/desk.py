"""A staffed desk: the use cases over fakes, in the short sentences that tests speak."""

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import timedelta
from itertools import count

from bot.domain.errors import LostRace, Unknown
from bot.domain.identifiers import DeviceId, RequestId
from bot.domain.limits import Limits
from bot.domain.people import Person
from bot.domain.policy import Rules
from bot.domain.record import Entry, Event
from bot.domain.request import ResetRequest, Status, Timing
from bot.domain.secret import Secret
from bot.ports import Lane
from bot.resets import ask, decide, reveal, review
from bot.resets.desk import Desk
from bot.resets.drive import drive
from tests.fakes.clock import HandClock
from tests.fakes.devices import LEOS_PHONE, Answer, FakeDevices
from tests.fakes.people import APPROVER_CHANNEL, CHANNEL, KEN, MEI, TEAM, FakePeople, actor
from tests.fakes.sign_ins import FakeSignIns
from tests.fakes.store import FakeRecord, FakeRequests

AS_KEN = {
    "approver": KEN.id,
    "account": "ken@contoso.com",
    "oid": "oid-Ken",
    "device": LEOS_PHONE.id,
}
"""What the record says of everything that Ken's approval leads to."""
LOST = Answer(error=Unknown(code="ReadTimeout"))
"""Nobody answers, and the reset did not take effect."""
LOST_BUT_ARRIVED = Answer(error=Unknown(status=502), arrives=True)
HANGS = Answer(arrives=True, hangs=True)


@dataclass
class StaffedDesk:
    """The desk, and a hand on everything around it."""

    desk: Desk
    clock: HandClock
    requests: FakeRequests
    record: FakeRecord
    people: FakePeople
    graph: FakeDevices
    sign_ins: FakeSignIns
    woken: list[None]
    deliveries: count

    async def ask(
        self,
        *,
        by: Person = MEI,
        target: str = "leo@contoso.com",
        reason: str = "Locked out before his flight",
        ticket: str | None = None,
        delivery: str | None = None,
    ) -> ResetRequest:
        return await ask.ask(
            self.desk,
            ask.Ask(
                delivery=delivery or f"delivery-{next(self.deliveries)}",
                team=TEAM,
                actor=actor(by),
                target=target,
                reason=reason,
                ticket=ticket,
            ),
        )

    async def review(self, request_id: RequestId, *, by: Person = KEN) -> review.Review:
        return await review.review(self.desk, request_id, actor(by))

    async def approve(
        self,
        request_id: RequestId,
        *,
        by: Person = KEN,
        device: DeviceId = LEOS_PHONE.id,
        reviewed: int | None = None,
        knowingly: bool = False,
    ) -> ResetRequest:
        """Approve what the row says now, or what it said in the round `reviewed`."""
        if reviewed is None:
            row = self.requests.rows.get(request_id)
            reviewed = row.request.round if row else 0
        return await decide.approve(
            self.desk, request_id, actor(by), device, reviewed=reviewed, knowingly=knowingly
        )

    async def close(self, request_id: RequestId, *, by: Person = KEN) -> ResetRequest:
        return await decide.close(self.desk, request_id, actor(by))

    async def deny(
        self, request_id: RequestId, *, by: Person = KEN, reason: str = "Call him"
    ) -> ResetRequest:
        return await decide.deny(self.desk, request_id, actor(by), reason)

    async def withdraw(self, request_id: RequestId, *, by: Person = MEI) -> ResetRequest:
        return await decide.withdraw(self.desk, request_id, actor(by))

    async def reveal(self, request_id: RequestId, *, by: Person = MEI) -> Secret:
        _, passcode = await reveal.reveal(self.desk, request_id, actor(by))
        return passcode

    async def expire(self, request_id: RequestId) -> ResetRequest:
        self.clock.pass_(self.desk.timing.lifetime)
        return await self.drive(request_id)

    # The worker's part

    async def drive(self, request_id: RequestId) -> ResetRequest:
        """Do what the row needs, and return what it has become."""
        await drive(self.desk, self.row(request_id))
        return self.row(request_id)

    async def drive_due(self) -> None:
        """One pass of the worker over all that is due."""
        limit = len(self.requests.rows)
        now = self.clock.now()
        for claimed in await self.requests.claim(Lane.DRIVE, now=now, lease=timedelta(0), limit=limit):
            try:
                await drive(self.desk, claimed.request)
            except LostRace:
                continue

    def later(self, **time: float) -> None:
        self.clock.pass_(timedelta(**time))

    # Where a request stands, reached the way that people reach it

    async def pending(self, **asked: str) -> RequestId:
        request = await self.ask(**asked)  # type: ignore[arg-type]  # a test names what it changes
        assert (await self.drive(request.id)).status is Status.PENDING
        return request.id

    async def approved(self, *, by: Person = KEN, knowingly: bool = False) -> RequestId:
        request_id = await self.pending()
        await self.approve(request_id, by=by, knowingly=knowingly)
        return request_id

    async def sent(self, *, by: Person = KEN, knowingly: bool = False) -> RequestId:
        request_id = await self.approved(by=by, knowingly=knowingly)
        assert (await self.drive(request_id)).status is Status.SENT
        return request_id

    async def done(self, *, passcode: str = "the new passcode", knowingly: bool = False) -> RequestId:
        request_id = await self.sent(knowingly=knowingly)
        self.graph.finish(passcode=passcode)
        assert (await self.drive(request_id)).status is Status.DONE
        return request_id

    async def uncertain(self, answer: Answer = LOST) -> RequestId:
        request_id = await self.approved()
        self.graph.answers.append(answer)
        assert (await self.drive(request_id)).status is Status.UNCERTAIN
        return request_id

    async def needs_a_human(self) -> RequestId:
        """Uncertain, and looked for in vain."""
        request_id = await self.uncertain()
        self.clock.pass_(self.desk.timing.settle)
        assert (await self.drive(request_id)).needs_a_human
        return request_id

    # What can be seen afterwards

    def row(self, request_id: RequestId) -> ResetRequest:
        return self.requests.rows[request_id].request

    def events(self) -> list[Event]:
        return [entry.event for entry in self.record.entries]

    def last(self, event: Event) -> Entry:
        """The newest entry of this event."""
        return [entry for entry in self.record.entries if entry.event is event][-1]

    def refusals(self) -> list[tuple[str | None, str]]:
        """Who tried what they may not, and which refusal they got."""
        tries = [entry for entry in self.record.entries if entry.event is Event.TRY_REFUSED]
        return [(entry.actor, entry.facts["refusal"]) for entry in tries]


def a_desk(
    *, rules: Rules | None = None, timing: Timing | None = None, limits: Limits | None = None
) -> StaffedDesk:
    """Mei may ask; Ken and Aiko may approve and are signed in; Leo has one phone; it is noon."""
    clock, record, people = HandClock(), FakeRecord(), FakePeople()
    requests, graph, sign_ins = FakeRequests(record), FakeDevices(clock), FakeSignIns(clock, record)
    woken: list[None] = []
    ids = count(1)
    desk = Desk(
        requests=requests,
        record=record,
        people=people,
        devices=graph,
        sign_ins=sign_ins,
        invitations=sign_ins,
        rules=rules or Rules(approver_channel=CHANNEL, requesters=(APPROVER_CHANNEL,)),
        timing=timing or Timing(),
        limits=limits or Limits(),
        clock=clock,
        new_id=lambda: f"call-{next(ids)}",
        wake=lambda: woken.append(None),
    )
    return StaffedDesk(desk, clock, requests, record, people, graph, sign_ins, woken, count(1))


async def outcome(call: Awaitable[object]) -> object:
    """What came of it: the value, or the exception itself."""
    try:
        return await call
    except Exception as error:  # the test says which one it should have been
        return error
