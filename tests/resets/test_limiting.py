"""One open request a target, one attempt a device, a second reset only knowingly, so many asks an hour."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from bot.domain.errors import (
    AlreadyDecided,
    CannotReset,
    DeviceBusy,
    NotAnApprover,
    NotWaiting,
    OwnDevice,
    OwnRequest,
    RecentlyReset,
    TooOften,
)
from bot.domain.identifiers import RequestId
from bot.domain.limits import Limits
from bot.domain.policy import Rules
from bot.domain.record import Event
from bot.domain.request import Status
from bot.domain.why import Code
from bot.resets.sign_in import Continuation, offer
from tests.domain.making import APPROVAL
from tests.fakes.desk import LOST, StaffedDesk, a_desk
from tests.fakes.devices import LEOS_LAPTOP, LEOS_PHONE, LEOS_TABLET
from tests.fakes.people import AIKO, APPROVER_CHANNEL, CHANNEL, KEN, LEO, MEI, TEAM, actor
from tests.fakes.sign_ins import account_of

TYPED_BY_SERIAL = "serial:C02LEO"


# One open request a target


async def test_a_second_ask_is_led_to_the_first():
    desk = a_desk()
    first = await desk.pending()

    second = await desk.drive((await desk.ask(by=AIKO, target="LEO@contoso.com")).id)

    assert (second.status, second.why and second.why.code) == (Status.REFUSED, Code.ALREADY_ASKED)
    assert second.why is not None
    assert second.why.facts == {"ref": desk.row(first).ref, "person": MEI.id}
    assert desk.last(Event.REFUSED).facts["why"] == "already_asked"


async def test_whoever_may_not_ask_does_not_learn_what_others_asked():
    desk = a_desk()
    await desk.pending()

    theirs = await desk.drive((await desk.ask(by=LEO)).id)

    assert theirs.why is not None
    assert theirs.why.code is Code.NOT_A_REQUESTER


async def test_two_asks_at_once_make_one_request_that_waits():
    desk = a_desk()
    asked = [await desk.ask(by=MEI), await desk.ask(by=KEN)]

    after = await asyncio.gather(*(desk.drive(request.id) for request in asked))

    assert sorted(request.status for request in after) == [Status.PENDING, Status.REFUSED]


@pytest.mark.parametrize("end", ["denied", "withdrawn", "expired", "sent"])
async def test_the_same_can_be_asked_again_when_the_first_waits_no_more(end: str):
    desk = a_desk()
    if end == "sent":
        await desk.sent()
    else:
        first = await desk.pending()
        await {"denied": desk.deny, "withdrawn": desk.withdraw, "expired": desk.expire}[end](first)

    assert (await desk.drive((await desk.ask()).id)).status is Status.PENDING


async def test_an_app_names_many_phones_so_two_may_ask_for_it():
    desk = a_desk()

    for person in (MEI, KEN):
        assert (
            await desk.drive((await desk.ask(by=person, target="app:outlook")).id)
        ).status is Status.PENDING


# One attempt a device


async def test_two_requests_for_one_device_reset_it_once():
    desk = a_desk()
    first, second = await desk.pending(), await desk.pending(target=TYPED_BY_SERIAL)

    outcomes = await asyncio.gather(
        desk.approve(first, by=KEN), desk.approve(second, by=AIKO), return_exceptions=True
    )
    await desk.drive_due()

    [busy] = [each for each in outcomes if isinstance(each, Exception)]
    assert isinstance(busy, DeviceBusy)
    assert len(desk.graph.posts) == 1
    assert sorted(desk.row(each).status for each in (first, second)) == [Status.PENDING, Status.SENT]
    assert [name for _, name in desk.refusals()] == ["DeviceBusy"]


async def test_a_device_is_free_again_when_its_reset_is_seen_there():
    desk = a_desk()
    first, second = await desk.sent(), await desk.pending(target=TYPED_BY_SERIAL)
    with pytest.raises(DeviceBusy):
        await desk.approve(second, by=AIKO, knowingly=True)

    seen = await desk.drive(first)

    assert seen.attempt is not None
    assert seen.attempt.seen_at == desk.graph.shown[LEOS_PHONE.id][0].started_at
    assert (await desk.approve(second, by=AIKO, knowingly=True)).status is Status.APPROVED


async def test_a_device_that_nobody_can_look_at_is_not_held_for_ever():
    desk = a_desk()
    first, second = await desk.sent(), await desk.pending(target=TYPED_BY_SERIAL)
    desk.sign_ins.accounts.pop(KEN.id)
    desk.later(minutes=16)

    await desk.drive(first)

    assert (await desk.approve(second, by=AIKO, knowingly=True)).status is Status.APPROVED


@pytest.mark.parametrize("how", ["given back", "failed"])
async def test_a_device_is_free_again_when_its_request_let_go_of_it(how: str):
    desk = a_desk()
    first, second = await desk.approved(), await desk.pending(target=TYPED_BY_SERIAL)
    if how == "given back":
        desk.sign_ins.accounts.pop(KEN.id)
        await desk.drive(first)
    else:
        await desk.drive(first)
        desk.graph.finish("failed")
        await desk.drive(first)

    assert (await desk.approve(second, by=AIKO)).status is Status.APPROVED


async def test_another_device_of_the_same_person_is_not_held():
    desk = a_desk()
    desk.graph.found = [LEOS_PHONE, LEOS_TABLET]
    await desk.sent()
    second = await desk.pending()

    assert (await desk.approve(second, by=AIKO, device=LEOS_TABLET.id)).status is Status.APPROVED


# An uncertain one is closed


async def test_an_uncertain_request_can_be_closed_and_lets_go_of_its_device():
    desk = a_desk()
    lost = await desk.needs_a_human()
    other = await desk.pending(target=TYPED_BY_SERIAL)

    closed = await desk.close(lost, by=AIKO)

    assert (closed.status, closed.why and closed.why.code) == (Status.FAILED, Code.CLOSED)
    assert desk.last(Event.CLOSED).actor == AIKO.id
    assert (await desk.approve(other, by=KEN)).status is Status.APPROVED


async def test_only_what_was_looked_for_in_vain_is_closed_and_only_by_an_approver():
    desk = a_desk()
    waiting, lost = await desk.pending(target=TYPED_BY_SERIAL), await desk.uncertain(LOST)
    for request_id in (waiting, lost):
        with pytest.raises(NotWaiting):
            await desk.close(request_id)
    desk.later(minutes=16)
    await desk.drive(lost)

    with pytest.raises(OwnRequest):
        await desk.close(lost, by=MEI)
    with pytest.raises(NotAnApprover):
        await desk.close(lost, by=LEO)
    assert Event.CLOSED not in desk.events()


# A second reset within minutes


@pytest.mark.parametrize("state", ["pending", "active", "done"])
async def test_a_device_that_was_reset_a_moment_ago_is_reset_again_only_knowingly(state: str):
    desk = a_desk()
    desk.graph.shows(LEOS_PHONE.id, state, ago=timedelta(minutes=14))
    request_id = await desk.pending()

    with pytest.raises(RecentlyReset) as recent:
        await desk.approve(request_id)

    assert recent.value.at == desk.clock.now() - timedelta(minutes=14)
    assert desk.row(request_id).status is Status.PENDING
    assert (await desk.approve(request_id, knowingly=True)).status is Status.APPROVED


@pytest.mark.parametrize(
    ("state", "ago"), [("failed", 1), ("canceled", 1), ("notsupported", 1), ("done", 16)]
)
async def test_what_came_to_nothing_or_is_long_ago_needs_no_second_thought(state: str, ago: int):
    desk = a_desk()
    desk.graph.shows(LEOS_PHONE.id, state, ago=timedelta(minutes=ago))

    assert desk.row(await desk.approved()).status is Status.APPROVED


# So many an hour


async def test_one_person_asks_so_often_an_hour_and_no_more():
    desk = a_desk(limits=Limits(asks=2))
    for target in ("leo@contoso.com", TYPED_BY_SERIAL):
        await desk.ask(target=target)

    for _ in range(3):
        with pytest.raises(TooOften) as limit:
            await desk.ask()

    assert limit.value.limit == 2
    assert len(desk.requests.rows) == 2
    assert desk.refusals() == [(MEI.id, "TooOften")]
    assert await desk.ask(by=KEN)
    desk.later(hours=1)
    assert await desk.ask()


async def test_a_second_delivery_of_the_same_ask_costs_nothing():
    desk = a_desk(limits=Limits(asks=1))

    first, again = await desk.ask(delivery="trigger-1"), await desk.ask(delivery="trigger-1")

    assert first.id == again.id


async def test_sign_in_links_are_limited_too():
    desk = a_desk(limits=Limits(links=1))
    await offer(desk.desk, actor(KEN), TEAM, Continuation())

    with pytest.raises(TooOften):
        await offer(desk.desk, actor(KEN), TEAM, Continuation())

    assert desk.refusals() == [(KEN.id, "TooOften")]


# One's own device


async def _of_ken(desk: StaffedDesk) -> RequestId:
    desk.graph.found = [replace(LEOS_PHONE, owner_id=account_of(KEN).oid), LEOS_LAPTOP]
    return await desk.pending()


async def test_nobody_approves_the_reset_of_their_own_device_though_another_approver_may():
    desk = a_desk()
    request_id = await _of_ken(desk)

    with pytest.raises(OwnDevice):
        await desk.review(request_id, by=KEN)
    with pytest.raises(OwnDevice):
        await desk.approve(request_id, by=KEN)

    assert desk.row(request_id).status is Status.PENDING
    assert (await desk.approve(request_id, by=AIKO)).status is Status.APPROVED


async def test_of_several_devices_the_own_one_cannot_be_chosen():
    desk = a_desk()
    request_id = await _of_ken(desk)
    desk.graph.found.append(LEOS_TABLET)

    seen = await desk.review(request_id, by=KEN)

    assert [choice.device for choice in seen.resettable] == [LEOS_TABLET]
    with pytest.raises(OwnDevice):
        await desk.approve(request_id, by=KEN, device=LEOS_PHONE.id)
    with pytest.raises(CannotReset):
        await desk.approve(request_id, by=KEN, device=LEOS_LAPTOP.id)


async def test_the_installer_may_let_approvers_reset_their_own_devices():
    rules = Rules(approver_channel=CHANNEL, requesters=(APPROVER_CHANNEL,), allow_owner_approval=True)
    desk = a_desk(rules=rules)

    assert (await desk.approve(await _of_ken(desk), by=KEN)).status is Status.APPROVED


async def test_whoever_was_a_moment_later_is_told_who_decided_and_not_asked_whether_they_mean_it():
    desk = a_desk()
    request_id = await desk.pending()

    def ken_is_faster() -> None:
        row = desk.requests.rows[request_id]
        if row.request.status is Status.PENDING:
            row.request = row.request.approve(APPROVAL, reviewed=row.request.round)
            desk.graph.shows(LEOS_PHONE.id, "pending")

    desk.graph.after_read = ken_is_faster

    with pytest.raises(AlreadyDecided) as told:
        await desk.approve(request_id, by=AIKO)
    assert told.value.by == KEN.id
