"""Asking: one durable insert, then the checks."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from bot.domain.errors import BadTarget, NoReason, ReasonTooLong, TicketTooLong
from bot.domain.people import Audience, AudienceKind
from bot.domain.policy import Rules
from bot.domain.record import Event
from bot.domain.request import Status
from bot.domain.target import Target, TargetKind
from bot.domain.why import Code
from tests.fakes.desk import a_desk
from tests.fakes.people import CHANNEL, DORA, GUS, LEO, MEI, OLGA, ROBO


async def test_an_ask_is_stored_before_anything_is_looked_up():
    desk = a_desk()
    desk.people.away = True

    request = await desk.ask()

    assert desk.row(request.id).status is Status.RECEIVED
    assert desk.events() == [Event.ASKED]
    assert desk.woken


async def test_a_second_delivery_of_an_ask_finds_the_first_ones_row():
    desk = a_desk()

    first = await desk.ask(delivery="trigger-1")
    second = await desk.ask(delivery="trigger-1")

    assert second.id == first.id
    assert desk.events() == [Event.ASKED]


async def test_two_asks_are_two_requests():
    desk = a_desk()

    assert (await desk.ask()).id != (await desk.ask()).id


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        ({"target": "the phone"}, BadTarget),
        ({"reason": "  "}, NoReason),
        ({"reason": "x" * 1001}, ReasonTooLong),
        ({"ticket": "x" * 101}, TicketTooLong),
    ],
)
async def test_what_cannot_be_used_is_refused_before_anything_is_stored(asked, refusal):
    desk = a_desk()

    with pytest.raises(refusal):
        await desk.ask(**asked)

    assert desk.requests.rows == {}
    assert desk.events() == []


async def test_an_ask_that_passes_the_checks_waits_for_an_approver():
    desk = a_desk()

    request = await desk.drive((await desk.ask(ticket=" INC-7 ")).id)

    assert (request.status, request.ticket) == (Status.PENDING, "INC-7")
    assert request.expires_at == desk.clock.now() + desk.desk.timing.lifetime
    assert desk.last(Event.VERIFIED).facts == {
        "requester": MEI.id,
        "rule": f"channel:{CHANNEL}",
        "target": "leo@contoso.com",
    }


@pytest.mark.parametrize("person", [GUS, OLGA, ROBO, DORA], ids=lambda person: person.name)
async def test_only_a_full_member_may_ask_even_from_inside_the_channel(person):
    desk = a_desk()

    request = await desk.drive((await desk.ask(by=person)).id)

    assert request.status is Status.REFUSED
    assert request.why is not None
    assert (request.why.code, request.why.facts["kind"]) == (Code.NOT_A_MEMBER, person.kind)
    assert desk.last(Event.REFUSED).facts == {
        "requester": person.id,
        "why": "not_a_member",
        "kind": person.kind,
    }


async def test_a_member_outside_the_audience_may_not_ask():
    desk = a_desk()

    request = await desk.drive((await desk.ask(by=LEO)).id)

    assert request.status is Status.REFUSED
    assert request.why is not None
    assert request.why.code is Code.NOT_A_REQUESTER


async def test_an_empty_audience_lets_nobody_ask():
    desk = a_desk(rules=Rules(approver_channel=CHANNEL, requesters=()))

    assert (await desk.drive((await desk.ask()).id)).status is Status.REFUSED


async def test_a_wider_audience_lets_others_ask():
    everybody = Audience(AudienceKind.WORKSPACE)
    desk = a_desk(rules=Rules(approver_channel=CHANNEL, requesters=(everybody,)))
    desk.people.members[everybody] = {LEO.id}

    assert (await desk.drive((await desk.ask(by=LEO)).id)).status is Status.PENDING
    assert desk.last(Event.VERIFIED).facts["rule"] == "workspace"


async def test_a_failed_lookup_lets_nobody_through_and_is_tried_again():
    desk = a_desk()
    request = await desk.ask()
    desk.people.away = True

    assert (await desk.drive(request.id)).status is Status.RECEIVED
    due_at = desk.row(request.id).next_at

    desk.people.away = False
    assert due_at is not None
    assert timedelta(0) < due_at - desk.clock.now() <= timedelta(minutes=1)
    assert (await desk.drive(request.id)).status is Status.PENDING


async def test_lookups_that_keep_failing_refuse_the_ask():
    desk = a_desk()
    request = await desk.ask()
    desk.people.away = True
    await desk.drive(request.id)
    desk.clock.pass_(desk.desk.timing.verify_for)

    refused = await desk.drive(request.id)

    assert refused.status is Status.REFUSED
    assert refused.why is not None
    assert refused.why.code is Code.COULD_NOT_VERIFY


async def test_a_mention_becomes_that_persons_address():
    desk = a_desk()

    request = await desk.drive((await desk.ask(target=f"<@{LEO.id}|leo>")).id)

    assert request.target == Target(TargetKind.PERSON, "leo@contoso.com")


@pytest.mark.parametrize("email", [None, "", "leo@contoso.com/../me", "leo'--", "leo@contoso.com?$x=1"])
async def test_a_mention_without_a_usable_address_is_refused(email):
    desk = a_desk()
    desk.people.change(replace(LEO, email=email))

    request = await desk.drive((await desk.ask(target=f"<@{LEO.id}>")).id)

    assert request.status is Status.REFUSED
    assert request.why is not None
    assert (request.why.code, request.why.facts["person"]) == (Code.NO_EMAIL, LEO.id)


async def test_a_mention_of_nobody_known_is_not_guessed():
    desk = a_desk()

    request = await desk.drive((await desk.ask(target="<@U0NOBODY>")).id)

    assert request.status is Status.RECEIVED


async def test_two_workers_checking_one_ask_leave_one_verdict():
    desk = a_desk()
    request = await desk.ask(by=MEI)

    await asyncio.gather(desk.drive_due(), desk.drive_due())

    assert desk.row(request.id).version == 2
    assert desk.events() == [Event.ASKED, Event.VERIFIED]
