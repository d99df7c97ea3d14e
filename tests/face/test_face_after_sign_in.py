"""After a sign-in: the window that waited goes on; where none is open, a direct message tells the person."""

import pytest
from bot.domain.errors import CannotShow, SlackAway, TicketUnusable
from bot.domain.identifiers import RequestId
from bot.domain.sign_in import Ticket
from bot.slack.wording import ENGLISH
from tests.face.counter import Counter
from tests.fakes.clock import NOON
from tests.fakes.people import KEN, TEAM
from tests.fakes.sign_ins import account_of

ACCOUNT = account_of(KEN)


@pytest.fixture
def counter() -> Counter:
    return Counter()


def a_ticket(*, view_id: str | None = "V1", request_id: RequestId | None = None) -> Ticket:
    return Ticket(digest="d", team=TEAM, user=KEN.id, expires_at=NOON, request_id=request_id, view_id=view_id)


def title(counter: Counter) -> str:
    return counter.shown()["title"]["text"]  # type: ignore[index,return-value]  # a view of ours


async def test_the_window_says_who_is_signed_in_and_nothing_is_sent(counter):
    await counter.conversation.resume(a_ticket(), ACCOUNT)

    assert title(counter) == ENGLISH.signed_in_title
    assert counter.direct.said == []


async def test_the_review_that_waited_goes_on(counter):
    request_id = await counter.staffed.pending()

    await counter.conversation.resume(a_ticket(request_id=request_id), ACCOUNT)

    assert title(counter) == ENGLISH.review_title
    assert counter.direct.said == []


@pytest.mark.parametrize("closed", [False, True], ids=["there was none", "it was closed"])
@pytest.mark.parametrize("of_a_request", [False, True], ids=["by the command", "for a request"])
async def test_without_a_window_a_message_says_as_whom_and_how_to_end_it(counter, closed, of_a_request):
    request_id = await counter.staffed.pending() if of_a_request else None
    if closed:
        counter.views.trouble = CannotShow("not_found")

    ticket = a_ticket(view_id="V1" if closed else None, request_id=request_id)
    await counter.conversation.resume(ticket, ACCOUNT)

    [(user, sentence)] = counter.direct.said
    assert user == KEN.id
    assert "ken@contoso.com" in sentence
    assert "/reset-passcode sign-out" in sentence


@pytest.mark.parametrize("closed", [False, True], ids=["there was none", "it was closed"])
async def test_without_a_window_a_message_says_why_a_sign_in_was_refused(counter, closed):
    if closed:
        counter.views.trouble = CannotShow("not_found")

    await counter.conversation.resume_refused(a_ticket(view_id="V1" if closed else None), TicketUnusable())

    assert counter.direct.said == [(KEN.id, ENGLISH.refusal(TicketUnusable()))]


async def test_a_slack_that_takes_neither_breaks_nothing(counter):
    counter.views.trouble = counter.direct.trouble = SlackAway("timeout")

    await counter.conversation.resume(a_ticket(), ACCOUNT)
    await counter.conversation.resume_refused(a_ticket(), TicketUnusable())

    assert counter.direct.said == []
