"""The life of a request: every status, every move, allowed exactly where the table says."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from bot.domain.device import Effect
from bot.domain.errors import (
    AlreadyDecided,
    NoReason,
    NotNow,
    NotTheRequester,
    NotWaiting,
    OwnRequest,
    ReasonTooLong,
    TicketTooLong,
    TooLate,
)
from bot.domain.request import (
    MOVES,
    REASON_LIMIT,
    TICKET_LIMIT,
    ResetRequest,
    Status,
    checked_reason,
    checked_ticket,
)
from bot.domain.why import Code, Why
from tests.domain.making import APPROVAL, ATTEMPT, LATER, RECEIVED, TIMING, a_request
from tests.fakes.clock import NOON
from tests.fakes.people import AIKO, KEN, MEI

Move = Callable[[ResetRequest], ResetRequest]

LEADS_TO: dict[str, tuple[Status, Move]] = {
    "accept": (Status.PENDING, lambda r: r.accept(target=r.target, now=LATER, timing=TIMING)),
    "wait again": (Status.PENDING, lambda r: r.wait_again(Why(Code.NEVER_LEFT), now=LATER, timing=TIMING)),
    "refuse": (Status.REFUSED, lambda r: r.refuse(Why(Code.NOT_A_REQUESTER), now=LATER)),
    "approve": (Status.APPROVED, lambda r: r.approve(replace(APPROVAL, at=LATER), reviewed=r.round)),
    "deny": (Status.DENIED, lambda r: r.deny("No", by=KEN.id, now=LATER)),
    "withdraw": (Status.WITHDRAWN, lambda r: r.withdraw(by=MEI.id, now=LATER)),
    "expire": (Status.EXPIRED, lambda r: r.expire(now=LATER)),
    "sent": (Status.SENT, lambda r: r.sent(now=LATER, timing=TIMING)),
    "lose sight": (Status.UNCERTAIN, lambda r: r.lost_sight(now=LATER, timing=TIMING)),
    "done": (Status.DONE, lambda r: r.done(LATER, now=LATER)),
    "fail": (Status.FAILED, lambda r: r.fail(Why(Code.SILENT), now=LATER)),
}
THE_LIFE = """
received  -> pending, refused
pending   -> approved, denied, withdrawn, expired, refused
approved  -> sent, pending, failed, uncertain
sent      -> done, failed
uncertain -> sent, failed, approved
"""


def test_the_table_is_the_life_that_was_drawn():
    drawn = {
        Status(line.split("->")[0].strip()): {Status(word.strip()) for word in line.split("->")[1].split(",")}
        for line in THE_LIFE.strip().splitlines()
    }
    over = {status for status, moves in MOVES.items() if not moves}

    assert {status: moves for status, moves in MOVES.items() if moves} == drawn
    assert over == set(Status) - set(drawn)


def test_every_status_that_can_be_reached_has_a_move_that_leads_there():
    assert {status for status, _ in LEADS_TO.values()} == set(Status) - {Status.RECEIVED}


@pytest.mark.parametrize("name", LEADS_TO)
@pytest.mark.parametrize("status", Status)
def test_a_move_is_allowed_exactly_where_the_table_says(status, name):
    leads_to, move = LEADS_TO[name]
    before = a_request(status)

    if leads_to in MOVES[status]:
        after = move(before)
        assert (after.status, after.version, after.changed_at) == (leads_to, before.version + 1, LATER)
    else:
        with pytest.raises(NotNow):
            move(before)


@pytest.mark.parametrize("status", Status)
def test_a_request_is_over_where_no_move_is_left(status):
    assert a_request(status).is_over == (MOVES[status] == set())


@pytest.mark.parametrize("status", [status for status in Status if not MOVES[status]])
@pytest.mark.parametrize("name", ["approve", "deny", "withdraw"])
def test_who_comes_after_the_end_hears_how_it_ended(status, name):
    ended = a_request(status, decided_by=AIKO.id, decided_at=LATER)

    with pytest.raises(AlreadyDecided) as refusal:
        LEADS_TO[name][1](ended)

    assert (refusal.value.status, refusal.value.by, refusal.value.at) == (status, AIKO.id, LATER)


def test_where_the_clock_decided_nobody_is_named():
    expired = a_request(Status.EXPIRED, changed_at=LATER)

    with pytest.raises(AlreadyDecided) as refusal:
        expired.withdraw(by=MEI.id, now=LATER)

    assert (refusal.value.by, refusal.value.at) == (None, LATER)


def test_a_value_never_changes():
    pending = a_request(Status.PENDING)
    before = repr(pending)

    pending.approve(replace(APPROVAL, at=LATER), reviewed=pending.round)

    assert repr(pending) == before


def test_only_what_waits_can_be_marked_as_arrived_after_all():
    given_up = a_request(Status.UNCERTAIN)

    assert given_up.arrived(NOON, now=LATER, timing=TIMING).status is Status.SENT
    for other in (a_request(Status.APPROVED), replace(given_up, next_at=LATER)):
        with pytest.raises(NotWaiting):
            other.arrived(NOON, now=LATER, timing=TIMING)


# Deciding


def test_nobody_decides_on_their_own_request():
    pending = a_request(Status.PENDING)

    with pytest.raises(OwnRequest):
        pending.approve(replace(APPROVAL, by=MEI.id), reviewed=pending.round)
    with pytest.raises(OwnRequest):
        pending.deny("No", by=MEI.id, now=LATER)


def test_only_who_asked_withdraws():
    with pytest.raises(NotTheRequester):
        a_request(Status.PENDING).withdraw(by=KEN.id, now=LATER)


def test_the_last_moment_counts_and_the_next_does_not():
    pending = a_request(Status.PENDING, expires_at=LATER)

    assert pending.deny("No", by=KEN.id, now=LATER - timedelta(microseconds=1)).status is Status.DENIED
    for too_late in (
        lambda: pending.deny("No", by=KEN.id, now=LATER),
        lambda: pending.withdraw(by=MEI.id, now=LATER),
        lambda: pending.approve(replace(APPROVAL, at=LATER), reviewed=pending.round),
    ):
        with pytest.raises(TooLate):
            too_late()


def test_an_uncertain_request_opens_only_when_looking_for_it_is_over():
    looking = a_request(Status.UNCERTAIN, next_at=LATER)

    with pytest.raises(NotWaiting):
        looking.approve(APPROVAL, reviewed=looking.round)

    found_nothing = looking.give_up_looking(now=LATER)
    assert found_nothing.approve(APPROVAL, reviewed=found_nothing.round).status is Status.APPROVED


def test_approving_again_forgets_the_attempt_but_not_that_there_was_one():
    uncertain = a_request(Status.UNCERTAIN)
    again = uncertain.approve(replace(APPROVAL, by=AIKO.id, at=LATER), reviewed=uncertain.round)

    assert (again.attempt, again.attempts, again.decided_by, again.next_at) == (None, 1, AIKO.id, LATER)


# The attempt


def test_an_approval_allows_one_attempt():
    attempted = a_request(Status.APPROVED).attempt_starts(
        client_request_id="call-1", now=LATER, timing=TIMING
    )

    assert (attempted.status, attempted.attempts) == (Status.APPROVED, 1)
    assert attempted.next_at == LATER + TIMING.attempt
    with pytest.raises(NotWaiting):
        attempted.attempt_starts(client_request_id="call-2", now=LATER, timing=TIMING)


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.APPROVED}))
def test_no_attempt_starts_without_an_approval(status):
    request = a_request(status, attempt=None)

    with pytest.raises(NotWaiting):
        request.attempt_starts(client_request_id="call-1", now=LATER, timing=TIMING)


def test_what_waits_again_is_nobodys_decision_any_more():
    attempted = a_request(Status.APPROVED, attempt=ATTEMPT, attempts=1)

    waiting = attempted.wait_again(Why(Code.NEVER_LEFT), now=LATER, timing=TIMING)

    assert (waiting.approval, waiting.attempt, waiting.decided_by, waiting.decided_at) == (None,) * 4
    assert waiting.attempts == 1
    assert waiting.expires_at == LATER + TIMING.lifetime / 2


def test_waiting_again_never_shortens_the_time_that_was_left():
    attempted = a_request(Status.APPROVED, expires_at=NOON + timedelta(days=1))

    waiting = attempted.wait_again(Why(Code.NEVER_LEFT), now=LATER, timing=TIMING)

    assert waiting.expires_at == NOON + timedelta(days=1)


def test_a_call_that_never_left_is_put_off_within_the_time_of_its_approval():
    attempted = a_request(Status.APPROVED, attempt=ATTEMPT, attempts=1)
    last = NOON + TIMING.send_for

    soon = attempted.never_left(now=LATER, pause=timedelta(seconds=5), timing=TIMING)
    late = attempted.never_left(now=last - timedelta(seconds=5), pause=timedelta(seconds=5), timing=TIMING)

    assert (soon.status, soon.attempt, soon.next_at) == (
        Status.APPROVED,
        None,
        LATER + timedelta(seconds=5),
    )
    assert (late.status, late.why) == (Status.PENDING, Why(Code.NEVER_LEFT))


# Telling our reset from others


@pytest.mark.parametrize(
    ("before", "started", "ours"),
    [
        (None, timedelta(0), True),
        (None, -TIMING.skew, True),
        (None, -TIMING.skew - timedelta(microseconds=1), False),
        (timedelta(0), timedelta(0), False),
        (timedelta(0), timedelta(microseconds=1), True),
        (-timedelta(days=30), -TIMING.skew, True),
        (-timedelta(days=30), -timedelta(days=1), False),
    ],
)
def test_ours_is_later_than_the_reset_before_and_not_long_before_the_attempt(before, started, ours):
    previous = None if before is None else NOON + before
    uncertain = a_request(Status.UNCERTAIN, approval=replace(APPROVAL, previous_reset_at=previous))

    assert uncertain.is_ours(NOON + started, timing=TIMING) is ours


@pytest.mark.parametrize("missing", ["attempt", "approval"])
def test_without_an_attempt_no_reset_is_ours(missing):
    request = a_request(Status.UNCERTAIN, **{missing: None})

    assert request.is_ours(NOON, timing=TIMING) is False
    assert request.ours_since(timing=TIMING) is None


# The new passcode


@pytest.mark.parametrize("effect", Effect)
def test_only_a_reset_that_makes_a_passcode_has_one(effect):
    done = a_request(Status.DONE, approval=replace(APPROVAL, effect=effect))

    assert done.has_passcode is (effect is not Effect.REMOVES_PASSCODE)


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.DONE}))
def test_there_is_no_passcode_before_the_device_is_done(status):
    request = a_request(status, approval=APPROVAL)

    assert request.has_passcode is False
    with pytest.raises(NotWaiting):
        request.check_revealable(by=MEI.id, now=LATER, timing=TIMING)


def test_a_done_row_without_its_approval_has_no_passcode():
    assert a_request(Status.DONE, approval=None).has_passcode is False


def test_a_passcode_is_for_who_asked_and_for_a_while():
    done = a_request(Status.DONE)
    last = NOON + TIMING.reveal_for - timedelta(microseconds=1)

    assert done.check_revealable(by=MEI.id, now=last, timing=TIMING) is None
    with pytest.raises(NotTheRequester):
        done.check_revealable(by=KEN.id, now=last, timing=TIMING)
    with pytest.raises(TooLate):
        done.check_revealable(by=MEI.id, now=NOON + TIMING.reveal_for, timing=TIMING)


# The clock


def test_a_request_is_looked_at_for_its_reminder_and_at_its_end():
    pending = RECEIVED.accept(target=RECEIVED.target, now=NOON, timing=TIMING)
    reminded = pending.remind(now=NOON + timedelta(minutes=50), timing=TIMING)

    assert pending.next_at == NOON + TIMING.remind_every
    assert (reminded.reminders, reminded.next_at) == (1, pending.expires_at)


def test_a_lifetime_shorter_than_the_reminders_ends_in_time():
    hasty = replace(TIMING, lifetime=timedelta(minutes=5))

    pending = RECEIVED.accept(target=RECEIVED.target, now=NOON, timing=hasty)

    assert pending.next_at == pending.expires_at == NOON + timedelta(minutes=5)


def test_a_failed_lookup_is_due_after_its_pause():
    assert RECEIVED.verify_later(now=NOON, pause=timedelta(seconds=10)).next_at == NOON + timedelta(
        seconds=10
    )


@pytest.mark.parametrize("status", [status for status in Status if not MOVES[status]])
def test_what_is_over_is_never_due_again(status):
    move = next(move for leads_to, move in LEADS_TO.values() if leads_to is status)
    origin = next(origin for origin in Status if status in MOVES[origin])

    assert move(a_request(origin, next_at=LATER)).next_at is None


@pytest.mark.parametrize(
    ("waited", "pause"),
    [
        (timedelta(0), timedelta(seconds=5)),
        (timedelta(seconds=59), timedelta(seconds=5)),
        (timedelta(minutes=1), timedelta(seconds=30)),
        (timedelta(minutes=14, seconds=59), timedelta(seconds=30)),
        (timedelta(minutes=15), timedelta(minutes=10)),
        (timedelta(hours=20), timedelta(minutes=10)),
    ],
)
def test_a_device_is_asked_less_often_the_longer_it_takes(waited, pause):
    assert TIMING.poll_after(waited) == pause
    assert (
        a_request(Status.SENT).look_again(now=NOON + waited, timing=TIMING).next_at == NOON + waited + pause
    )


def test_without_an_attempt_the_wait_counts_from_the_last_change():
    assert a_request(Status.SENT, attempt=None).waited(LATER) == timedelta(minutes=1)


def test_an_attempt_outlives_no_call_and_a_retry_no_attempt():
    assert TIMING.attempt < TIMING.send_for < TIMING.settle < TIMING.silent_after


# What was typed


def test_a_request_has_six_characters_to_say_aloud():
    assert RECEIVED.ref == "A1B2C3"


def test_a_reason_is_kept_without_blanks_around_it():
    assert checked_reason("  locked out\n") == "locked out"
    assert checked_reason("x" * REASON_LIMIT) == "x" * REASON_LIMIT


@pytest.mark.parametrize(
    ("text", "refusal"), [("", NoReason), (" \n", NoReason), ("x" * 1001, ReasonTooLong)]
)
def test_a_reason_is_needed_and_has_a_limit(text, refusal):
    with pytest.raises(refusal):
        checked_reason(text)


@pytest.mark.parametrize(("text", "kept"), [(None, None), ("  ", None), (" INC-7 ", "INC-7")])
def test_a_ticket_may_be_left_out(text, kept):
    assert checked_ticket(text) == kept


def test_a_ticket_has_a_limit():
    with pytest.raises(TicketTooLong) as refusal:
        checked_ticket("x" * (TICKET_LIMIT + 1))

    assert refusal.value.limit == TICKET_LIMIT
