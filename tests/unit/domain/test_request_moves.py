"""The life of a request: every status and every move, allowed exactly where the table says."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from bot.domain.device import ActionResult, Effect
from bot.domain.errors import Cause, Code, Refusal
from bot.domain.request import MOVES, ResetRequest, Status, checked_reason, checked_ticket
from bot.domain.target import Target, TargetKind
from bot.domain.values import utc_text
from tests.support.builders import AIKO, APPROVAL, ATTEMPT, KEN, LATER, LEOS_PHONE, MEI, RECEIVED, TIMING
from tests.support.builders import a_request as a
from tests.support.clock import NOON

MICROSECOND = timedelta.resolution
SECOND = timedelta(seconds=1)
NOW = {"now": LATER, "timing": TIMING}
THE_LIFE_OF_A_REQUEST = {
    "received": "pending refused",
    "pending": "approved denied withdrawn expired refused",
    "approved": "sent pending failed uncertain",
    "sent": "done failed",
    "uncertain": "sent closed approved",
}
BY_NAME: dict[str, tuple[Status, Callable[[ResetRequest], ResetRequest]]] = {
    "accept": (Status.PENDING, lambda r: r.accept(target=r.target, **NOW)),
    "refuse": (Status.REFUSED, lambda r: r.refuse(Cause(Code.NOT_A_REQUESTER), now=LATER)),
    "approve": (Status.APPROVED, lambda r: r.approve(replace(APPROVAL, at=LATER), reviewed=r.revision)),
    "deny": (Status.DENIED, lambda r: r.deny("No", by=KEN.id, now=LATER)),
    "withdraw": (Status.WITHDRAWN, lambda r: r.withdraw(by=MEI.id, now=LATER)),
    "expire": (Status.EXPIRED, lambda r: r.expire(now=LATER)),
    "reopen": (Status.PENDING, lambda r: r.reopen(Cause(Code.NOT_EXECUTED), **NOW)),
    "mark_sent": (Status.SENT, lambda r: r.mark_sent(**NOW)),
    "mark_uncertain": (Status.UNCERTAIN, lambda r: r.mark_uncertain(**NOW)),
    "confirm_sent": (Status.SENT, lambda r: r.confirm_sent(NOON, **NOW)),
    "mark_done": (Status.DONE, lambda r: r.mark_done(NOON, now=LATER)),
    "close": (Status.CLOSED, lambda r: r.close(by=KEN.id, now=LATER)),
    "fail": (Status.FAILED, lambda r: r.fail(Cause(Code.SILENT), now=LATER)),
}
OVER = [status for status in Status if not MOVES[status]]


def refused(call: Callable[[], object]) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        call()
    return refusal.value


def test_the_table_of_moves_is_the_life_of_a_request():
    drawn = {Status(each): {*map(Status, ends.split())} for each, ends in THE_LIFE_OF_A_REQUEST.items()}
    assert {status: moves for status, moves in MOVES.items() if moves} == drawn
    assert set(OVER) == set(Status) - set(drawn)
    assert {status for status, _ in BY_NAME.values()} == set(Status) - {Status.RECEIVED}


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("status", Status)
def test_a_move_is_allowed_exactly_where_the_table_says(status, name):
    leads_to, move = BY_NAME[name]
    before = a(status, next_at=LATER if status is not Status.UNCERTAIN else None)
    text = repr(before)
    if leads_to in MOVES[status]:
        after = move(before)
        assert (after.status, after.version, after.changed_at) == (leads_to, before.version + 1, LATER)
        assert after.is_over == (leads_to in OVER)
        assert (after.next_at is None) == after.is_over  # what is over is never due again
    else:
        code = refused(lambda: move(before)).code
        assert code in (Code.NOT_WAITING, Code.ALREADY_DECIDED)
    assert repr(before) == text


@pytest.mark.parametrize("by", [AIKO.id, None])
@pytest.mark.parametrize("status", OVER)
@pytest.mark.parametrize("name", ["approve", "deny", "withdraw"])
def test_a_decision_after_the_end_is_told_how_it_ended_by_whom_if_anyone_and_when(status, name, by):
    ended = a(status, decided_by=by, decided_at=by and LATER, changed_at=NOON if by else LATER)
    refusal = refused(lambda: BY_NAME[name][1](ended))
    facts = {"status": status, "by": by or "", "at": utc_text(LATER)}
    assert refusal.cause == Cause(Code.ALREADY_DECIDED, facts)


def test_the_requester_does_not_decide_whatever_was_checked_before():
    own, pending = replace(APPROVAL, by=MEI.id), a(Status.PENDING)
    for decide in (
        lambda: pending.approve(own, reviewed=pending.revision),
        lambda: pending.deny("No", by=MEI.id, now=LATER),
        lambda: a(Status.UNCERTAIN).close(by=MEI.id, now=LATER),
    ):
        assert refused(decide).code is Code.OWN_REQUEST


def test_a_decision_says_by_whom_when_and_why():
    denied = a(Status.PENDING).deny(" Call him. ", by=KEN.id, now=LATER)
    withdrawn = a(Status.PENDING).withdraw(by=MEI.id, now=LATER)
    assert (denied.denial, denied.decided_by, denied.decided_at) == ("Call him.", KEN.id, LATER)
    assert (withdrawn.decided_by, withdrawn.decided_at) == (MEI.id, LATER)


def test_a_decision_names_the_revision_that_was_reviewed():
    pending = a(Status.PENDING, version=7, reminders=2)
    reminded = pending.remind(**NOW)
    assert (pending.revision, reminded.revision) == (5, 5)
    assert reminded.approve(APPROVAL, reviewed=5).revision == 6
    for reviewed in (4, 6, 7):
        outdated = refused(lambda reviewed=reviewed: pending.approve(APPROVAL, reviewed=reviewed))
        assert outdated.code is Code.REVIEW_OUTDATED


def test_a_human_decides_on_an_uncertain_request_only_after_it_was_looked_for_in_vain():
    looked_for = a(Status.UNCERTAIN, next_at=LATER)
    in_vain = looked_for.leave_to_human(Cause(Code.NO_ANSWER), now=LATER)
    assert (looked_for.needs_a_human, in_vain.needs_a_human) == (False, True)
    for decide in (
        lambda r: r.approve(APPROVAL, reviewed=r.revision),
        lambda r: r.close(by=KEN.id, now=LATER),
        lambda r: r.confirm_sent_late(NOON, **NOW),
    ):
        assert decide(in_vain).status in MOVES[Status.UNCERTAIN]
        too_early = refused(lambda decide=decide: decide(looked_for))
        assert too_early.cause == Cause(Code.NOT_WAITING, {"status": "uncertain"})
    assert not a(Status.APPROVED, next_at=None).needs_a_human


def test_another_approval_forgets_the_attempt_but_counts_it():
    uncertain = a(Status.UNCERTAIN, cause=Cause(Code.NO_ANSWER))
    again = uncertain.approve(replace(APPROVAL, by=AIKO.id, at=LATER), reviewed=uncertain.revision)
    assert (again.attempt, again.attempts, again.cause) == (None, 1, None)
    assert (again.decided_by, again.decided_at, again.next_at) == (AIKO.id, LATER, LATER)


def test_an_approval_allows_one_attempt():
    attempted = a(Status.APPROVED, attempts=1).start_attempt(client_request_id="call-2", **NOW)
    assert attempted.attempt == replace(ATTEMPT, started_at=LATER, client_request_id="call-2")
    assert (attempted.status, attempted.attempts, attempted.version) == (Status.APPROVED, 2, 2)
    assert attempted.next_at == LATER + TIMING.attempt
    for other in (attempted, *(a(status, attempt=None) for status in Status if status != "approved")):
        started = refused(lambda other=other: other.start_attempt(client_request_id="call-3", **NOW))
        assert started.code is Code.NOT_WAITING


def test_a_reopened_request_is_no_one_s_decision_and_leaves_time_for_another():
    attempted = a(Status.APPROVED, attempt=ATTEMPT, attempts=1, expires_at=NOON)
    reopened = attempted.reopen(Cause(Code.NOT_EXECUTED), **NOW)
    long = replace(attempted, expires_at=NOON + timedelta(days=1)).reopen(Cause(Code.NOT_EXECUTED), **NOW)
    assert (reopened.approval, reopened.attempt, reopened.decided_by, reopened.decided_at) == (None,) * 4
    assert (reopened.attempts, reopened.cause) == (1, Cause(Code.NOT_EXECUTED))
    assert reopened.expires_at == LATER + TIMING.lifetime / 2
    assert reopened.next_at == LATER + TIMING.remind_every
    assert long.expires_at == NOON + timedelta(days=1)


@pytest.mark.parametrize(
    ("previous", "seen", "started", "ours"),
    [
        (None, None, timedelta(0), True),
        (None, None, -TIMING.skew, True),
        (None, None, -TIMING.skew - MICROSECOND, False),
        (timedelta(0), None, timedelta(0), False),
        (timedelta(0), None, MICROSECOND, True),
        (-timedelta(days=30), None, -TIMING.skew, True),
        (-timedelta(days=30), None, -timedelta(days=1), False),
        # once the device has shown it, only Intune's rounding of that one moment is allowed for
        (None, 20 * SECOND, 19 * SECOND, True),
        (None, 20 * SECOND, 19 * SECOND - MICROSECOND, False),
        (19 * SECOND, 20 * SECOND, 19 * SECOND, False),
    ],
)
def test_ours_is_later_than_the_reset_before_and_not_long_before_the_attempt(previous, seen, started, ours):
    def at(offset):
        return None if offset is None else NOON + offset

    approval, attempt = replace(APPROVAL, previous_reset_at=at(previous)), replace(ATTEMPT, seen_at=at(seen))
    request = a(Status.UNCERTAIN, approval=approval, attempt=attempt)
    assert request.is_ours(NOON + started, timing=TIMING) is ours


def test_ours_is_the_first_of_those_that_can_be_ours_and_none_without_an_attempt():
    before, *ours = [ActionResult(state="done", started_at=NOON + each * SECOND) for each in (-600, 5, 9)]
    for shown in ([before, *ours], [*reversed(ours), before]):
        assert a(Status.SENT).own_action(shown, timing=TIMING) == ours[0]
    assert a(Status.SENT).own_action([before], timing=TIMING) is None
    for without in (a(Status.UNCERTAIN, attempt=None), a(Status.UNCERTAIN, approval=None)):
        assert (without.is_ours(NOON, timing=TIMING), without.ours_since(timing=TIMING)) == (False, None)


@pytest.mark.parametrize(
    ("status", "see"),
    [
        (Status.UNCERTAIN, lambda r: r.confirm_sent(LATER, **NOW)),
        (Status.UNCERTAIN, lambda r: r.confirm_sent_late(LATER, **NOW)),
        (Status.SENT, lambda r: r.poll_later(**NOW, seen_at=LATER)),
        (Status.SENT, lambda r: r.mark_done(LATER, now=LATER)),
    ],
)
def test_a_reset_that_the_device_shows_is_remembered_and_frees_the_device(status, see):
    seen = see(a(status))
    assert seen.attempt == replace(ATTEMPT, seen_at=LATER)
    assert seen.held_device is None


def test_a_device_is_held_from_the_approval_until_the_request_needs_it_no_more():
    pending = a(Status.PENDING)
    approved = pending.approve(APPROVAL, reviewed=pending.revision)
    uncertain = approved.mark_uncertain(**NOW)
    left = uncertain.leave_to_human(Cause(Code.NO_ANSWER), now=LATER)
    closed = left.close(by=KEN.id, now=LATER)
    for holding in (approved, approved.mark_sent(**NOW), uncertain, left):
        assert holding.held_device == LEOS_PHONE.id
    for free in (approved.reopen(Cause(Code.NOT_EXECUTED), **NOW), closed):
        assert free.held_device is None
    assert closed.cause == Cause(Code.CLOSED, {"person": KEN.id})


@pytest.mark.parametrize(("status", "held"), [(Status.SENT, False), (Status.UNCERTAIN, True)])
def test_a_sent_reset_that_the_device_does_not_show_in_time_holds_it_no_longer(status, held):
    settled = NOON + TIMING.settle
    assert a(status).poll_later(now=settled - MICROSECOND, timing=TIMING).held_device == LEOS_PHONE.id
    assert (a(status).poll_later(now=settled, timing=TIMING).held_device is not None) is held


@pytest.mark.parametrize("status", Status)
def test_a_target_is_open_while_its_request_waits_or_may_come_to_wait_again(status):
    open_target = a(status, target=Target(TargetKind.SERIAL, "R58M")).open_target
    waits = status in (Status.PENDING, Status.APPROVED, Status.UNCERTAIN)
    assert open_target == ("serial:r58m" if waits else None)
    assert a(status, target=Target(TargetKind.APP, "outlook")).open_target is None
    names = [a(status, target=Target(TargetKind.NAME, name)) for name in ("Ada's\u00a0phone", "ADA’S phone")]
    assert names[0].open_target == names[1].open_target


def test_a_pending_request_is_due_for_each_reminder_and_at_its_expiry():
    pending = RECEIVED.accept(target=RECEIVED.target, now=NOON, timing=TIMING)
    short = replace(TIMING, lifetime=timedelta(minutes=5))
    assert (pending.expires_at, pending.next_at) == (NOON + TIMING.lifetime, NOON + TIMING.remind_every)
    for minutes, due in ((20, 35), (50, 60)):
        reminded = pending.remind(now=NOON + timedelta(minutes=minutes), timing=TIMING)
        assert (reminded.reminders, reminded.next_at) == (1, NOON + timedelta(minutes=due))
    assert RECEIVED.accept(target=RECEIVED.target, now=NOON, timing=short).next_at == NOON + short.lifetime


def test_a_device_is_polled_less_and_less_often():
    sent = a(Status.SENT, next_at=NOON)
    pauses = []
    while sent.next_at < NOON + TIMING.silent_after:
        now = sent.next_at
        sent = sent.poll_later(now=now, timing=TIMING)
        pauses.append(sent.next_at - now)
    for begun in (a(Status.APPROVED).mark_uncertain(**NOW), a(Status.APPROVED).mark_sent(**NOW)):
        assert begun.next_at == LATER + 5 * SECOND
    assert pauses == sorted(pauses)
    assert (set(pauses), len(pauses)) == ({5 * SECOND, 30 * SECOND, timedelta(minutes=10)}, 183)


@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize("status", Status)
def test_only_a_finished_reset_of_an_android_device_makes_a_passcode(status, effect):
    request = a(status, approval=replace(APPROVAL, effect=effect))
    on_apple = effect in (Effect.REMOVES_PASSCODE, Effect.MAY_REMOVE_PASSCODE)
    assert request.has_passcode is (status is Status.DONE and not on_apple)
    assert a(status, approval=None).has_passcode is False


def test_a_passcode_can_be_seen_for_an_hour():
    done = a(Status.DONE)
    end = NOON + TIMING.reveal_for
    done.check_revealable(by=MEI.id, now=end - MICROSECOND, timing=TIMING)
    late = refused(lambda: done.check_revealable(by=MEI.id, now=end, timing=TIMING))
    assert late.code is Code.REVEAL_EXPIRED
    unfinished = refused(lambda: a(Status.SENT).check_revealable(by=MEI.id, **NOW))
    assert unfinished.cause == Cause(Code.NOT_WAITING, {"status": "sent"})


def test_the_requester_does_not_read_the_device_for_themselves():
    blind = a(Status.SENT, cause=Cause(Code.CANNOT_READ))
    assert refused(lambda: blind.check_can_be_looked_at(by=MEI.id)).code is Code.OWN_REQUEST
    blind.check_can_be_looked_at(by=KEN.id)
    looked = a(Status.UNCERTAIN, next_at=None, cause=Cause(Code.NO_ANSWER))
    assert looked.needs_a_human
    assert not looked.can_be_looked_at
    seen = refused(lambda: a(Status.SENT).check_can_be_looked_at(by=KEN.id))
    assert seen.code is Code.NOT_WAITING


@pytest.mark.parametrize(
    ("check", "text", "kept"),
    [
        (checked_reason, "  locked out\n", "locked out"),
        (checked_reason, "a\x00b\ud800c\udfffd \U0001f600", "abcd \U0001f600"),
        (checked_reason, "x" * 1000, "x" * 1000),
        *((checked_reason, blank, Cause(Code.NO_REASON)) for blank in ("", " \x00\n", *"\u200b\u2800\u202e")),
        (checked_reason, "x" * 1001, Cause(Code.REASON_TOO_LONG, {"limit": "1000"})),
        *((checked_ticket, blank, None) for blank in (None, " \x00 ")),
        (checked_ticket, " INC-7\x00 ", "INC-7"),
        (checked_ticket, "x" * 100, "x" * 100),
        (checked_ticket, "x" * 101, Cause(Code.TICKET_TOO_LONG, {"limit": "100"})),
    ],
)
def test_a_reason_and_a_ticket_are_stored_without_blanks_and_within_limits(check, text, kept):
    if isinstance(kept, Cause):
        assert refused(lambda: check(text)).cause == kept
    else:
        assert check(text) == kept
