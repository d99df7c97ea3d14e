"""Whatever people, clocks, crashes and Microsoft do, in any order: the promises that never break."""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from bot.domain.audit import Entry, Event
from bot.domain.errors import ApproverRefused, DeviceRefused, NotExecuted, UnknownPath, UnlatchError
from bot.domain.people import Person
from bot.domain.request import ResetRequest, Status
from bot.domain.values import DeviceId, RequestId
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from tests.support.bot import Bot
from tests.support.builders import AIKO, CAST, KEN, LEOS_LAPTOP, LEOS_PHONE, LEOS_TABLET, MEI, account_of
from tests.support.fakes import ACCEPTED, LOST, LOST_BUT_EXECUTED, Answer, Stopped

WHO = st.sampled_from(CAST[:6])  # all but the bot and a deactivated account
MAY_DECIDE = {KEN.id, AIKO.id, MEI.id}
REFUSALS = [ApproverRefused(status=403), ApproverRefused(status=401, claims="{}"), DeviceRefused(status=404)]
ERRORS = [NotExecuted(), UnknownPath(status=400), *REFUSALS]
ANSWER = st.sampled_from([ACCEPTED, LOST, LOST_BUT_EXECUTED, *(Answer(error=error) for error in ERRORS)])
TARGET = st.sampled_from(["leo@contoso.com", "serial:LEO1", "app:leos-app"])
DEVICE = st.sampled_from([LEOS_PHONE.id, LEOS_TABLET.id])
TIME = st.sampled_from([timedelta(seconds=each) for each in (1, 5, 60, 180, 960, 7200)])
WORKERS = st.sampled_from([1, 2])
STEPS = st.integers(min_value=0, max_value=14)
"""After how many awaited steps a process stops."""
Attempts = dict[str, RequestId | None]
"""Which request each attempt was started for, by its client-request-id."""


class AnyOrder(RuleBasedStateMachine):
    """Every rule is what one person, worker or vendor does, or a process that stops in the midst of it."""

    new_bot: Callable[[], Awaitable[Bot]]
    requests = Bundle("requests")

    @initialize()
    def start(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.bot = self.loop.run_until_complete(type(self).new_bot())
        self.bot.rules(requests_per_hour=10**6, open_requests=10**6)
        self.bot.sign_ins.accounts |= {person.id: account_of(person) for person in CAST}
        self.bot.intune.found = [LEOS_PHONE, LEOS_TABLET]
        self.over: dict[RequestId, ResetRequest] = {}

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            kept = repr(self.loop.run_until_complete(self._read()))
            assert "the new passcode" not in kept
            assert "token of" not in kept
            self.loop.close()

    def do(self, *calls: Awaitable[object], steps: int | None = None) -> None:
        """Let them run at once; refusals are answers. After `steps` the process stops."""
        self.bot.steps.left = steps
        answers = self.loop.run_until_complete(_at_once(*calls))
        self.bot.steps.left = None
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, UnlatchError | Stopped):
                raise answer

    @rule(target=requests, by=WHO, typed=TARGET, verified=st.booleans())
    def submit(self, by: Person, typed: str, verified: bool) -> RequestId:
        request = self.loop.run_until_complete(self.bot.submit(by=by, target=typed))
        if verified:
            self.do(self.bot.advance(request.id))
        return request.id

    @rule(target=requests, by=WHO, answer=ANSWER, workers=WORKERS)
    def submit_approve_and_send(self, by: Person, answer: Answer, workers: int) -> RequestId:
        request = self.submit(MEI, "app:another", True)
        self.approve(request, by, LEOS_PHONE.id, answer, True)
        self.do(*(self.bot.advance_due() for _ in range(workers)))
        return request

    @rule(request=requests, by=WHO, device=DEVICE, answer=ANSWER, knowingly=st.booleans())
    def approve(
        self, request: RequestId, by: Person, device: DeviceId, answer: Answer, knowingly: bool
    ) -> None:
        self.bot.intune.answers[:] = [answer]
        self.do(self.bot.approve(request, by=by, device=device, knowingly=knowingly))

    @rule(request=requests, steps=STEPS)
    def approve_and_stop(self, request: RequestId, steps: int) -> None:
        self.do(self.bot.approve(request, by=KEN), steps=steps)

    @rule(request=requests, by=WHO, what=st.sampled_from(["close", "deny", "look", "withdraw"]))
    def decide(self, request: RequestId, by: Person, what: str) -> None:
        self.do(getattr(self.bot, what)(request, by=by))

    @rule(request=requests, first=WHO, second=WHO, withdraws=st.booleans())
    def two_at_once(self, request: RequestId, first: Person, second: Person, withdraws: bool) -> None:
        other = self.bot.withdraw if withdraws else self.bot.approve
        self.do(self.bot.approve(request, by=first), other(request, by=second))

    @rule(one=requests, another=requests)
    def two_requests_for_one_phone_at_once(self, one: RequestId, another: RequestId) -> None:
        self.do(*(self.bot.approve(each, knowingly=True) for each in (one, another)))

    @rule(request=requests)
    def everybody_looks_at_the_passcode(self, request: RequestId) -> None:
        self.do(*(self.bot.reveal(request, by=person) for person in CAST))

    @rule(request=requests, found=st.sampled_from([[LEOS_PHONE, LEOS_TABLET], [], [LEOS_LAPTOP]]))
    def review(self, request: RequestId, found: list) -> None:
        self.bot.intune.found = found
        self.do(self.bot.review(request))
        self.bot.intune.found = [LEOS_PHONE, LEOS_TABLET]

    @rule(number=WORKERS, steps=st.none() | STEPS)
    def work(self, number: int, steps: int | None) -> None:
        self.do(*(self.bot.advance_due() for _ in range(number)), steps=steps)

    @rule(request=requests)
    def a_worker_wakes_too_early(self, request: RequestId) -> None:
        self.do(self.bot.advance(request), self.bot.advance(request))

    @rule(request=requests, steps=st.none() | STEPS)
    def publish(self, request: RequestId, steps: int | None) -> None:
        self.do(self.bot.publish(request), steps=steps)

    @rule(time=TIME, worked=st.booleans())
    def time_passes(self, time: timedelta, worked: bool) -> None:
        self.bot.clock.advance(time)
        if worked:
            self.do(self.bot.advance_due())

    @rule()
    def a_while_passes(self) -> None:
        for _ in range(10):
            self.time_passes(timedelta(minutes=2), True)

    @rule(state=st.sampled_from(["done", "done", "failed", "active"]))
    def phones_answer(self, state: str) -> None:
        self.bot.intune.finish(state)
        self.time_passes(timedelta(minutes=1), True)

    @rule()
    def a_reset_in_the_portal(self) -> None:
        self.bot.intune.show(LEOS_PHONE.id, "pending")

    @rule(signed_in=st.booleans())
    def ken_signs_in_or_out(self, signed_in: bool) -> None:
        if signed_in:
            self.bot.sign_ins.accounts[KEN.id] = account_of(KEN, at=self.bot.clock.now())
        else:
            self.bot.sign_ins.accounts.pop(KEN.id, None)

    @rule(slack=st.booleans())
    def work_during_an_outage(self, slack: bool) -> None:
        down = self.bot.directory if slack else self.bot.sign_ins
        down.down = True
        self.do(self.bot.advance_due())
        down.down = False

    @rule(there=st.booleans())
    def aiko_joins_or_leaves(self, there: bool) -> None:
        for members in self.bot.directory.members.values():
            (members.add if there else members.discard)(AIKO.id)

    @invariant()
    def the_promises_hold(self) -> None:
        entries, rows = self.loop.run_until_complete(self._read())
        started = [entry for entry in entries if entry.event is Event.ATTEMPT_STARTED]
        requests_of = {entry.facts["client_request_id"]: entry.request_id for entry in started}
        attempts_have_their_posts(self.bot, requests_of, rows)
        resets_have_their_approvals(self.bot, requests_of, entries)
        requests_do_not_meet(self.bot, rows)
        people_did_what_they_may(entries, rows)
        for row in rows.values():
            if row.is_over:
                ended = as_it_ended(row)
                assert self.over.setdefault(row.id, ended) == ended
            assert row.id not in self.over or row.is_over
            waits_for_the_clock = not (row.is_over or row.needs_a_human)
            assert (row.next_at is not None) == waits_for_the_clock

    async def _read(self) -> tuple[list[Entry], dict[RequestId, ResetRequest]]:
        return await self.bot.entries(), await self.bot.rows()


def as_it_ended(row: ResetRequest) -> ResetRequest:
    """Return the row without what may change after the end: who can read the passcode, and who cannot."""
    approval = row.approval and replace(row.approval, looker=None)
    cause = None if row.status is Status.DONE else row.cause
    return replace(row, approval=approval, cause=cause, version=0)


def attempts_have_their_posts(bot: Bot, started: Attempts, rows: dict[RequestId, ResetRequest]) -> None:
    """Every POST was announced by a row of its own, and attempts are counted one by one."""
    posted = Counter(post.client_request_id for post in bot.intune.posts)
    assert set(posted.values()) <= {1}
    assert set(posted) <= set(started)
    for row in rows.values():
        assert row.attempts == list(started.values()).count(row.id)


def resets_have_their_approvals(bot: Bot, started: Attempts, entries: list[Entry]) -> None:
    """Nothing is reset more often than it was approved, nor as another person than an approver of it."""
    approvals = [(entry.request_id, entry.actor) for entry in entries if entry.event is Event.APPROVED]
    resets = Counter(started[post.client_request_id] for post in bot.intune.resets)
    assert resets <= Counter(request_id for request_id, _ in approvals)
    for post in bot.intune.posts:
        assert (started[post.client_request_id], post.token.split()[2]) in approvals


def requests_do_not_meet(bot: Bot, rows: dict[RequestId, ResetRequest]) -> None:
    """No target waits twice, no device is held twice, no request takes another one's reset for its own."""
    for kept in ([row.open_target for row in rows.values()], [row.held_device for row in rows.values()]):
        assert max(Counter(filter(None, kept)).values(), default=1) == 1
    for row in rows.values():
        if row.attempt is not None and row.approval is not None and row.attempt.seen_at is not None:
            ours = row.attempt.client_request_id
            assert bot.intune.started_by.get((row.attempt.seen_at, row.approval.device.id), ours) == ours


def people_did_what_they_may(entries: list[Entry], rows: dict[RequestId, ResetRequest]) -> None:
    for entry in entries:
        requester = rows[entry.request_id].asked_by if entry.request_id in rows else None
        if entry.event in (Event.APPROVED, Event.DENIED, Event.CLOSED, Event.LOOKED):
            assert entry.actor in MAY_DECIDE - {requester}
        if entry.event in (Event.WITHDRAWN, Event.PASSCODE_VIEWED):
            assert entry.actor == requester
    looked = {(entry.request_id, entry.actor) for entry in entries if entry.event is Event.LOOKED}
    for row in rows.values():
        if row.approval is not None and row.approval.looker is not None:
            assert (row.id, row.approval.looker.by) in looked
        assert row.status in (Status.RECEIVED, Status.REFUSED) or row.asked_by in MAY_DECIDE


async def _at_once(*calls: Awaitable[object]) -> list[object]:
    return list(await asyncio.gather(*calls, return_exceptions=True))


@pytest.fixture(autouse=True)
def _new_bot(new_bot: Callable[[], Awaitable[Bot]]) -> None:
    AnyOrder.new_bot = staticmethod(new_bot)


TestAnyOrder = AnyOrder.TestCase
EXAMPLES = int(os.environ.get("ANY_ORDER_EXAMPLES", "10"))
TestAnyOrder.settings = settings(max_examples=EXAMPLES, stateful_step_count=40, deadline=None, database=None)
