"""A delivery of Slack's that somebody recorded, sent again within its five minutes: it does no harm.

A trigger is good once and for three seconds, so a press that comes again opens no window, and what needs a
window is not even begun.
"""

import asyncio
from datetime import timedelta

import pytest
from bot.domain.errors import ApproverRefused, CannotShow
from bot.domain.identifiers import RequestId
from bot.domain.record import Event
from bot.domain.request import Status
from bot.slack import conversation, ids
from bot.slack.about import About
from tests.face.counter import Counter
from tests.face.post import command, signed
from tests.face.test_face_listeners import form, press
from tests.fakes.devices import LEOS_PHONE, Answer
from tests.fakes.people import KEN, MEI

FIVE_MINUTES = timedelta(minutes=5)


@pytest.fixture
def counter(monkeypatch) -> Counter:
    monkeypatch.setattr(conversation, "DRAWN_AFTER", timedelta(0))
    return Counter()


async def sent(counter: Counter, body: bytes) -> None:
    """As Slack sends it."""
    assert (await counter.mailbox.post(body)).status_code == 200
    await counter.settle()


async def sent_again(counter: Counter, body: bytes, *, times: int = 5) -> None:
    """The same bytes with the same signature, at once and one after the other; the trigger is spent."""
    counter.views.trouble = CannotShow("expired_trigger_id")
    await asyncio.gather(*(counter.mailbox.post(body) for _ in range(times)))
    await sent(counter, body)
    counter.views.trouble = None


def approval(counter: Counter, request_id: RequestId, callback: str = ids.APPROVE_FORM) -> bytes:
    """Ken's, of what the row says now."""
    about = About(request_id, counter.staffed.row(request_id).round).written()
    return form(callback, about=about, user=KEN.id, device=LEOS_PHONE.id)


async def test_an_ask_that_comes_again_is_the_same_request(counter):
    for body in (command(), form(ids.ASK_FORM, target="leo@contoso.com", reason="locked out")):
        await sent(counter, body)
        before = dict(counter.staffed.requests.rows)
        await sent_again(counter, body)
        assert counter.staffed.requests.rows == before
    assert counter.staffed.events() == [Event.ASKED] * 2


@pytest.mark.parametrize("action", [ids.APPROVE, ids.DENY])
async def test_a_press_that_comes_again_opens_nothing_and_asks_nobody(counter, action):
    request_id = await counter.staffed.pending()
    await sent(counter, press(action, request_id))
    opened, looked_for = len(counter.views.opened), len(counter.staffed.graph.looked_for)
    events = counter.staffed.events()
    await sent_again(counter, press(action, request_id))
    assert (len(counter.views.opened), len(counter.staffed.graph.looked_for)) == (opened, looked_for)
    assert counter.staffed.events() == events
    assert counter.staffed.row(request_id).status is Status.PENDING


async def test_an_approval_that_comes_again_resets_once(counter):
    request_id = await counter.staffed.pending()
    body = approval(counter, request_id)
    await sent(counter, body)
    approved = counter.staffed.row(request_id)
    await sent_again(counter, body)
    assert counter.staffed.row(request_id) == approved
    await counter.staffed.drive(request_id)
    sent_row = counter.staffed.row(request_id)
    await sent_again(counter, body)
    assert counter.staffed.row(request_id) == sent_row
    assert len(counter.staffed.graph.posts) == 1
    assert counter.staffed.events().count(Event.APPROVED) == 1


@pytest.mark.parametrize("callback", [ids.APPROVE_FORM, ids.AGAIN_FORM])
async def test_an_approval_that_comes_again_after_microsoft_refused_it_approves_nothing(counter, callback):
    request_id = await counter.staffed.pending()
    body = approval(counter, request_id, callback)
    await sent(counter, body)
    counter.staffed.graph.answers.append(Answer(error=ApproverRefused(status=403)))
    assert (await counter.staffed.drive(request_id)).status is Status.PENDING

    await sent_again(counter, body)

    assert counter.staffed.row(request_id).status is Status.PENDING
    assert counter.staffed.events().count(Event.APPROVED) == 1
    await sent(counter, body)
    assert "since you reviewed it" in str(counter.views.updated[-1])


async def test_a_denial_that_comes_again_is_the_same_decision(counter):
    request_id = await counter.staffed.pending()
    body = form(ids.DENY_FORM, about=request_id, user=KEN.id, denial="Call him")
    await sent(counter, body)
    denied = counter.staffed.row(request_id)
    await sent_again(counter, body)
    assert denied.status is Status.DENIED
    assert counter.staffed.row(request_id) == denied
    assert counter.staffed.events().count(Event.DENIED) == 1


async def test_a_withdrawal_that_comes_again_is_the_same_one(counter):
    request_id = await counter.staffed.pending()
    await sent(counter, press(ids.WITHDRAW, request_id, user=MEI.id))
    withdrawn = counter.staffed.row(request_id)
    await sent_again(counter, press(ids.WITHDRAW, request_id, user=MEI.id))
    assert withdrawn.status is Status.WITHDRAWN
    assert counter.staffed.row(request_id) == withdrawn
    assert counter.staffed.events().count(Event.WITHDRAWN) == 1


async def test_a_look_that_comes_again_reads_no_passcode(counter):
    request_id = await counter.staffed.done()
    await sent(counter, press(ids.SHOW_PASSCODE, request_id, user=MEI.id))
    read_with = list(counter.staffed.graph.read_with)
    await sent_again(counter, press(ids.SHOW_PASSCODE, request_id, user=MEI.id))
    assert counter.staffed.graph.read_with == read_with
    assert counter.staffed.events().count(Event.PASSCODE_SEEN) == 1


async def test_a_wish_for_a_link_that_comes_again_makes_none(counter):
    await sent(counter, command(text="sign-in", user_id=KEN.id))
    tickets = dict(counter.staffed.sign_ins.tickets)
    await sent_again(counter, command(text="sign-in", user_id=KEN.id))
    assert len(tickets) == 1
    assert counter.staffed.sign_ins.tickets == tickets


@pytest.mark.parametrize("text", ["help", "status", "sign-out"])
async def test_a_command_that_changes_nothing_of_others_may_come_again(counter, text):
    request_id = await counter.staffed.pending()
    for _ in range(3):
        await sent(counter, command(text=text))
    assert counter.staffed.row(request_id).status is Status.PENDING


async def test_after_five_minutes_nothing_comes_again(counter):
    body = command()
    headers = signed(body, at=counter.mailbox.clock.now())
    counter.mailbox.clock.pass_(FIVE_MINUTES + timedelta(seconds=1))
    assert (await counter.mailbox.post(body, **headers)).status_code == 401
    assert counter.staffed.requests.rows == {}


async def test_the_signature_of_one_delivery_signs_no_other(counter):
    request_id = await counter.staffed.pending()
    stolen = signed(command(), at=counter.mailbox.clock.now())
    for body in (
        *(command(user_id=KEN.id), command(text="other"), command() + b"&text=other", command() + b" "),
        approval(counter, request_id),
    ):
        assert (await counter.mailbox.post(body, **stolen)).status_code == 401
    assert counter.staffed.row(request_id).status is Status.PENDING
