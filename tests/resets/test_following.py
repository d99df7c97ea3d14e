"""Following: what the device says, reminders, expiry, and rows that need nothing."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from bot.domain.errors import ApproverRefused, LostRace
from bot.domain.record import Event
from bot.domain.request import Status
from bot.domain.why import Code
from bot.resets.drive import drive
from tests.fakes.desk import AS_KEN, a_desk
from tests.fakes.devices import LEOS_PHONE
from tests.fakes.people import KEN
from tests.fakes.sign_ins import account_of, token_text


async def test_a_reset_is_done_when_the_device_says_so():
    desk = a_desk()
    request_id = await desk.sent()
    desk.graph.finish("done")

    done = await desk.drive(request_id)

    assert (done.status, done.is_over, done.next_at) == (Status.DONE, True, None)
    assert desk.last(Event.DONE).facts == AS_KEN


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("failed", Code.DEVICE_FAILED),
        ("notsupported", Code.NOT_SUPPORTED),
        ("canceled", Code.CANCELED),
    ],
)
async def test_a_reset_fails_when_the_device_says_so(state, code):
    desk = a_desk()
    request_id = await desk.sent()
    desk.graph.finish(state, error_code=-2016281112)

    failed = await desk.drive(request_id)

    assert failed.status is Status.FAILED
    assert failed.why is not None
    assert (failed.why.code, failed.why.facts) == (code, {"error_code": "-2016281112"})
    assert desk.last(Event.FAILED).facts == AS_KEN | {"why": str(code), "error_code": "-2016281112"}


@pytest.mark.parametrize("state", ["pending", "active", "none", "a word of next year"])
async def test_any_other_word_of_the_device_is_waited_out(state):
    desk = a_desk()
    request_id = await desk.sent()
    desk.graph.finish(state)
    events = desk.events()

    waiting = await desk.drive(request_id)

    assert (waiting.status, desk.events()) == (Status.SENT, events)
    assert waiting.next_at is not None
    assert waiting.next_at > desk.clock.now()


async def test_a_later_reset_by_somebody_else_says_nothing_of_ours():
    desk = a_desk()
    request_id = await desk.sent()
    desk.graph.finish("failed")
    desk.later(seconds=10)
    desk.graph.shows(LEOS_PHONE.id, "done")

    assert (await desk.drive(request_id)).status is Status.FAILED


async def test_a_reset_from_before_says_nothing_of_ours():
    desk = a_desk()
    desk.graph.shows(LEOS_PHONE.id, "done")
    desk.later(seconds=1)
    request_id = await desk.sent(knowingly=True)
    desk.graph.shown[LEOS_PHONE.id].pop()

    assert (await desk.drive(request_id)).status is Status.SENT


async def test_a_silent_device_is_asked_less_and_less_often_and_then_given_up():
    desk = a_desk()
    request_id = await desk.sent()
    pauses = []

    while desk.row(request_id).status is Status.SENT:
        due_at = desk.row(request_id).next_at
        assert due_at is not None
        pauses.append(due_at - desk.clock.now())
        desk.clock.pass_(pauses[-1])
        await desk.drive_due()

    given_up = desk.row(request_id)
    assert pauses == sorted(pauses)
    assert len(pauses) < 250
    assert given_up.waited(desk.clock.now()) >= timedelta(hours=24)
    assert (given_up.status, given_up.why and given_up.why.code) == (Status.FAILED, Code.SILENT)
    assert given_up.why is not None
    assert given_up.why.facts == {}


async def test_an_unread_device_is_not_called_silent():
    desk = a_desk()
    request_id = await desk.sent()
    await desk.sign_ins.forget(KEN.id)
    desk.later(hours=24)

    failed = await desk.drive(request_id)

    assert failed.why is not None
    assert (failed.why.code, failed.why.facts) == (Code.SILENT, {"could_not_look": "SignInNeeded"})


@pytest.mark.parametrize("trouble", ["entra", "graph", "another account"])
async def test_what_cannot_be_read_now_is_read_later(trouble):
    desk = a_desk()
    request_id = await desk.sent()
    desk.graph.finish("done")
    if trouble == "entra":
        desk.sign_ins.away = True
    elif trouble == "graph":
        desk.graph.reading_fails = ApproverRefused(status=403)
    else:
        desk.sign_ins.accounts[KEN.id] = account_of(KEN, oid="oid-of-another")

    assert (await desk.drive(request_id)).status is Status.SENT

    desk.sign_ins.away, desk.graph.reading_fails = False, None
    desk.sign_ins.accounts[KEN.id] = account_of(KEN)
    assert (await desk.drive(request_id)).status is Status.DONE


async def test_the_device_is_read_as_the_approver():
    desk = a_desk()
    request_id = await desk.sent()
    desk.graph.read_with.clear()

    await desk.drive(request_id)

    assert desk.graph.read_with == [token_text(KEN.id)]


async def test_a_request_that_waits_reminds_until_it_expires():
    desk = a_desk()
    request_id = await desk.pending()

    for _ in range(60):
        desk.later(minutes=1)
        await desk.drive_due()

    expired = desk.row(request_id)
    assert (expired.reminders, expired.status, expired.next_at) == (3, Status.EXPIRED, None)
    assert desk.last(Event.EXPIRED).actor is None


async def test_two_workers_expire_a_request_once():
    desk = a_desk()
    request_id = await desk.pending()
    desk.clock.pass_(desk.desk.timing.lifetime)

    await asyncio.gather(desk.drive_due(), desk.drive_due())

    assert desk.row(request_id).status is Status.EXPIRED
    assert desk.events().count(Event.EXPIRED) == 1


async def test_who_drives_a_row_that_has_moved_on_is_told():
    desk = a_desk()
    request_id = await desk.pending()
    stale = desk.row(request_id)
    await desk.deny(request_id)

    with pytest.raises(LostRace):
        await drive(desk.desk, stale)


async def test_a_request_that_is_over_needs_nothing():
    desk = a_desk()
    request_id = await desk.pending()
    await desk.deny(request_id)
    denied = desk.row(request_id)

    assert await desk.drive(request_id) == denied


@pytest.mark.parametrize("status", [Status.SENT, Status.UNCERTAIN, Status.APPROVED])
async def test_a_broken_row_without_its_approval_sends_nothing(status):
    desk = a_desk()
    request_id = await desk.approved()
    broken = replace(desk.row(request_id), status=status, approval=None)
    desk.requests.rows[request_id].request = broken

    await desk.drive(request_id)

    assert desk.graph.posts == []
