"""Whatever people, clocks, crashes and Microsoft do, in any order: the promises that never break."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import timedelta

from bot.domain.errors import (
    ApproverRefused,
    DeviceRefused,
    NeverLeft,
    UnlatchError,
)
from bot.domain.identifiers import DeviceId, RequestId
from bot.domain.limits import Limits
from bot.domain.people import Person
from bot.domain.record import Entry, Event
from bot.domain.request import ResetRequest, Status
from bot.ports import Claimed
from bot.resets.drive import drive
from bot.resets.show import show
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from tests.fakes.board import FakeBoard
from tests.fakes.desk import HANGS, LOST, LOST_BUT_ARRIVED, a_desk
from tests.fakes.devices import LEOS_LAPTOP, LEOS_PHONE, LEOS_TABLET, Answer
from tests.fakes.people import AIKO, APPROVER_CHANNEL, CAST, GUS, KEN, LEO, MEI, OLGA
from tests.fakes.sign_ins import account_of

WHO = st.sampled_from([MEI, KEN, AIKO, LEO, GUS, OLGA])
MAY_DECIDE = {KEN.id, AIKO.id, MEI.id}
ANSWERS: dict[str, Callable[[], Answer]] = {
    "accepted": lambda: Answer(arrives=True),
    "lost": lambda: LOST,
    "lost but arrived": lambda: LOST_BUT_ARRIVED,
    "hangs": lambda: HANGS,
    "never left": lambda: Answer(error=NeverLeft()),
    "forbidden": lambda: Answer(error=ApproverRefused(status=403)),
    "sign in again": lambda: Answer(error=ApproverRefused(status=401, claims="{}")),
    "no such device": lambda: Answer(error=DeviceRefused(status=404)),
}
ANSWER = st.sampled_from(sorted(ANSWERS))
TARGET = st.sampled_from(["leo@contoso.com", "serial:LEO1", "app:leos-app"])
STEPS = st.sampled_from(
    [
        timedelta(seconds=1),
        timedelta(seconds=5),
        timedelta(minutes=1),
        timedelta(minutes=3),
        timedelta(minutes=16),
        timedelta(hours=2),
    ]
)
MOMENT = st.integers(min_value=0, max_value=14)
"""After how many turns of the loop a process dies."""


class AnyOrder(RuleBasedStateMachine):
    """One loop a run; every step is what one person or one worker does, or a death in the midst of it."""

    requests = Bundle("requests")

    @initialize()
    def open(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.desk = a_desk(limits=Limits(asks=10**6))
        self.desk.sign_ins.accounts |= {person.id: account_of(person) for person in CAST}
        self.desk.graph.found = [LEOS_PHONE, LEOS_TABLET]
        self.board = FakeBoard()
        self.ends: dict[RequestId, ResetRequest] = {}

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.close()

    def do(self, coroutine: Coroutine[object, object, object]) -> None:
        """Let it run; refusals are answers, and a call that hangs is cut off where it hangs."""
        self.loop.run_until_complete(_until_still(coroutine, turns=200))

    def die(self, coroutine: Coroutine[object, object, object], turns: int) -> None:
        self.loop.run_until_complete(_until_still(coroutine, turns=turns))

    # What people do

    @rule(target=requests, by=WHO, target_=TARGET)
    def ask(self, by: Person, target_: str) -> RequestId:
        return self.loop.run_until_complete(self.desk.ask(by=by, target=target_)).id

    @rule(target=requests, target_=TARGET)
    def ask_and_be_checked(self, target_: str) -> RequestId:
        request = self.loop.run_until_complete(self.desk.ask(by=MEI, target=target_))
        self.do(self.desk.drive(request.id))
        return request.id

    @rule(target=requests, by=WHO, answer=ANSWER, workers=st.integers(min_value=1, max_value=2))
    def ask_approve_and_send(self, by: Person, answer: str, workers: int) -> RequestId:
        request = self.ask_and_be_checked("app:a-new-one")
        self.approve(request, by, LEOS_PHONE.id, answer, knowingly=True)
        self.do(_together(*(self.desk.drive_due() for _ in range(workers))))
        return request

    @rule(
        request=requests,
        by=WHO,
        device=st.sampled_from([LEOS_PHONE.id, LEOS_TABLET.id]),
        answer=ANSWER,
        knowingly=st.booleans(),
    )
    def approve(self, request: RequestId, by: Person, device: DeviceId, answer: str, knowingly: bool) -> None:
        self.desk.graph.answers[:] = [ANSWERS[answer]()]
        self.do(self.desk.approve(request, by=by, device=device, knowingly=knowingly))

    @rule(request=requests, by=WHO)
    def close(self, request: RequestId, by: Person) -> None:
        self.do(self.desk.close(request, by=by))

    @rule(request=requests, moment=MOMENT)
    def approve_and_die(self, request: RequestId, moment: int) -> None:
        self.die(self.desk.approve(request, by=KEN), moment)

    @rule(request=requests, first=WHO, second=WHO, withdraws=st.booleans())
    def two_at_once(self, request: RequestId, first: Person, second: Person, withdraws: bool) -> None:
        other = self.desk.withdraw if withdraws else self.desk.approve
        self.do(_together(self.desk.approve(request, by=first), other(request, by=second)))

    @rule(one=requests, another=requests)
    def two_requests_for_one_phone_at_once(self, one: RequestId, another: RequestId) -> None:
        both = (self.desk.approve(each, knowingly=True) for each in (one, another))
        self.do(_together(*both))

    @rule(request=requests, by=WHO)
    def deny(self, request: RequestId, by: Person) -> None:
        self.do(self.desk.deny(request, by=by))

    @rule(request=requests, by=WHO)
    def withdraw(self, request: RequestId, by: Person) -> None:
        self.do(self.desk.withdraw(request, by=by))

    @rule(request=requests)
    def everybody_looks_at_the_passcode(self, request: RequestId) -> None:
        for person in CAST:
            self.do(self.desk.reveal(request, by=person))

    @rule(request=requests, found=st.sampled_from(["all", "none", "laptop"]))
    def review(self, request: RequestId, found: str) -> None:
        others = {"none": [], "laptop": [LEOS_LAPTOP]}
        self.desk.graph.found = others.get(found, [LEOS_PHONE, LEOS_TABLET])
        self.do(self.desk.review(request))
        self.desk.graph.found = [LEOS_PHONE, LEOS_TABLET]

    # What the workers do, one or two of them, alive or dying

    @rule()
    def two_workers(self) -> None:
        self.do(_together(self.desk.drive_due(), self.desk.drive_due()))

    @rule(moment=MOMENT)
    def a_worker_dies(self, moment: int) -> None:
        self.die(self.desk.drive_due(), moment)

    @rule(request=requests)
    def a_worker_wakes_too_early(self, request: RequestId) -> None:
        row = self.desk.row(request)
        self.do(drive(self.desk.desk, row))

    @rule(request=requests, moment=MOMENT)
    def show(self, request: RequestId, moment: int) -> None:
        row = self.desk.requests.rows[request]
        claimed = Claimed(row.request, row.shown)
        self.die(show(self.desk.desk, self.board, claimed, stuck=lambda *_: None), moment)

    # What the world does

    @rule(step=STEPS)
    def nobody_works_for(self, step: timedelta) -> None:
        self.desk.clock.pass_(step)

    @rule(step=STEPS)
    def time_passes(self, step: timedelta) -> None:
        self.desk.clock.pass_(step)
        self.do(self.desk.drive_due())

    @rule()
    def a_while_passes(self) -> None:
        for _ in range(10):
            self.desk.clock.pass_(timedelta(minutes=2))
            self.do(self.desk.drive_due())

    @rule(state=st.sampled_from(["done", "done", "failed", "active"]))
    def phones_answer(self, state: str) -> None:
        self.desk.graph.finish(state)
        self.time_passes(timedelta(minutes=1))

    @rule()
    def someone_resets_in_the_portal(self) -> None:
        self.desk.graph.shows(LEOS_PHONE.id, "pending")

    @rule(signed_in=st.booleans())
    def ken_signs_in_or_out(self, signed_in: bool) -> None:
        if signed_in:
            self.desk.sign_ins.accounts[KEN.id] = account_of(KEN, at=self.desk.clock.now())
        else:
            self.desk.sign_ins.accounts.pop(KEN.id, None)

    @rule(who=st.sampled_from(["slack", "entra"]))
    def work_during_an_outage(self, who: str) -> None:
        down = self.desk.people if who == "slack" else self.desk.sign_ins
        down.away = True
        self.do(self.desk.drive_due())
        down.away = False

    @rule(there=st.booleans())
    def aiko_leaves_or_joins(self, there: bool) -> None:
        members = self.desk.people.members[APPROVER_CHANNEL]
        (members.add if there else members.discard)(AIKO.id)

    # What never breaks

    @invariant()
    def every_post_had_an_attempt_of_its_own_on_the_record_first(self) -> None:
        started = [entry.facts["client_request_id"] for entry in self.entries(Event.ATTEMPT_STARTED)]
        posted = [post.client_request_id for post in self.desk.graph.posts]
        assert len(set(posted)) == len(posted)
        assert set(posted) <= set(started)

    @invariant()
    def nothing_is_reset_more_often_than_it_was_approved(self) -> None:
        calls = {
            entry.facts["client_request_id"]: entry.request_id
            for entry in self.entries(Event.ATTEMPT_STARTED)
        }
        approvals = [entry.request_id for entry in self.entries(Event.APPROVED)]
        resets = [calls[post.client_request_id] for post in self.desk.graph.resets]
        for request_id in self.desk.requests.rows:
            assert resets.count(request_id) <= approvals.count(request_id)

    @invariant()
    def no_request_takes_another_ones_reset_for_its_own(self) -> None:
        for row in self.desk.requests.rows.values():
            attempt, approval = row.request.attempt, row.request.approval
            if attempt is not None and approval is not None and attempt.seen_at is not None:
                key = attempt.seen_at, approval.device.id
                assert (
                    self.desk.graph.started.get(key, attempt.client_request_id) == attempt.client_request_id
                )

    @invariant()
    def nothing_waits_twice_and_no_device_is_held_twice(self) -> None:
        rows = [row.request for row in self.desk.requests.rows.values()]
        targets = [row.open_target for row in rows if row.open_target]
        held = [row.holds for row in rows if row.holds]
        assert len(set(targets)) == len(targets)
        assert len(set(held)) == len(held)

    @invariant()
    def every_reset_is_made_as_whoever_approved_it(self) -> None:
        for post in self.desk.graph.posts:
            assert post.token.split()[-1] in {KEN.id, AIKO.id, MEI.id}
            entry = next(
                entry
                for entry in self.entries(Event.ATTEMPT_STARTED)
                if entry.facts["client_request_id"] == post.client_request_id
            )
            approvers = [
                each.actor for each in self.entries(Event.APPROVED) if each.request_id == entry.request_id
            ]
            assert post.token.removeprefix("token of ") in approvers

    @invariant()
    def nobody_decides_on_their_own_request_or_from_outside(self) -> None:
        for entry in [*self.entries(Event.APPROVED), *self.entries(Event.DENIED)]:
            assert entry.actor in MAY_DECIDE
            assert entry.request_id is not None
            assert entry.actor != self.desk.row(entry.request_id).asked_by

    @invariant()
    def only_who_asked_takes_it_back(self) -> None:
        for entry in self.entries(Event.WITHDRAWN):
            assert entry.request_id is not None
            assert entry.actor == self.desk.row(entry.request_id).asked_by

    @invariant()
    def attempts_are_counted_one_by_one(self) -> None:
        for request_id, row in self.desk.requests.rows.items():
            started = [
                entry for entry in self.entries(Event.ATTEMPT_STARTED) if entry.request_id == request_id
            ]
            assert row.request.attempts == len(started)
            assert row.request.attempt is None or row.request.attempt.number == row.request.attempts

    @invariant()
    def what_is_over_stays_as_it_was(self) -> None:
        for request_id, row in self.desk.requests.rows.items():
            if request_id in self.ends:
                assert row.request == self.ends[request_id]
            elif row.request.is_over:
                self.ends[request_id] = row.request

    @invariant()
    def what_waits_for_the_clock_has_its_time(self) -> None:
        for row in self.desk.requests.rows.values():
            waits = not (row.request.is_over or row.request.needs_a_human)
            assert (row.request.next_at is not None) == waits

    @invariant()
    def only_who_asked_and_passed_the_checks_gets_anywhere(self) -> None:
        for row in self.desk.requests.rows.values():
            if row.request.status not in (Status.RECEIVED, Status.REFUSED):
                assert row.request.asked_by in MAY_DECIDE

    @invariant()
    def nobody_but_who_asked_has_seen_a_passcode(self) -> None:
        for entry in self.entries(Event.PASSCODE_SEEN):
            assert entry.request_id is not None
            assert entry.actor == self.desk.row(entry.request_id).asked_by

    @invariant()
    def nothing_secret_is_kept(self) -> None:
        kept = repr((self.desk.record.entries, self.desk.requests.rows))
        assert "the new passcode" not in kept
        assert [person for person in CAST if f"token of {person.id}" in kept] == []

    def entries(self, event: Event) -> list[Entry]:
        return [entry for entry in self.desk.record.entries if entry.event is event]


async def _until_still(coroutine: Coroutine[object, object, object], *, turns: int) -> None:
    """Run it for so many turns of the loop, then cancel what is left of it, as a dying process does."""
    task = asyncio.ensure_future(coroutine)
    for _ in range(turns):
        await asyncio.sleep(0)
        if task.done():
            break
    task.cancel()
    with suppress(asyncio.CancelledError, UnlatchError):
        await task


async def _together(*calls: Awaitable[object]) -> None:
    for each in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(each, BaseException) and not isinstance(each, UnlatchError):
            raise each


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=200, stateful_step_count=40, deadline=None, database=None)


def test_a_death_at_any_moment_of_a_reset_leaves_no_second_one():
    for moment in range(40):
        asyncio.run(_dies_at(moment))


async def _dies_at(moment: int) -> None:
    desk = a_desk()
    request_id = await desk.approved()

    await _until_still(desk.drive(request_id), turns=moment)
    for _ in range(60):
        desk.later(seconds=30)
        await desk.drive_due()

    assert len(desk.graph.posts) <= 1
    row = desk.row(request_id)
    if desk.graph.resets:
        assert row.status is Status.SENT
    else:
        assert row.needs_a_human
        assert len(desk.graph.posts) == 1 or row.attempts == 1
