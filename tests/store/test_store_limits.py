"""One open target, one attempt a device, and quotas, held by the database for any number of processes."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from bot.domain.device import Device, Effect, Platform
from bot.domain.errors import AlreadyAsked, DeviceBusy, TooOften
from bot.domain.identifiers import DeviceId
from bot.domain.limits import Quota
from bot.domain.record import Event
from bot.domain.request import Approval, ResetRequest, Status, Timing
from bot.domain.target import Target, TargetKind
from bot.store import Store
from kept import AIKO, KEN, NOON, PLENTY, Kept, a_request, an_entry
from sqlalchemy import text
from test_store_sign_in_rows import TICKET

TIMING = Timing()
PHONE = Device(id=DeviceId("5a-phone"), name="phone", platform=Platform.ANDROID)
APPROVAL = Approval(
    by=AIKO, oid="oid", username="aiko@contoso.com", at=NOON, device=PHONE, effect=Effect.NEW_PASSCODE
)
THREE = Quota(key="asks:U0KEN", limit=3)


async def _asked(kept: Kept, target: str = "mei@contoso.com") -> ResetRequest:
    asked = replace(a_request(), target=Target(TargetKind.PERSON, target))
    return await kept.requests.add(asked, an_entry(asked), PLENTY)


def _approved(request: ResetRequest) -> ResetRequest:
    return request.approve(APPROVAL, reviewed=request.round)


def _accepted(asked: ResetRequest) -> ResetRequest:
    return asked.accept(target=asked.target, now=NOON, timing=TIMING)


async def _waiting(kept: Kept, target: str = "mei@contoso.com") -> ResetRequest:
    asked = await _asked(kept, target)
    await kept.requests.replace(asked, _accepted(asked))
    return _accepted(asked)


async def test_of_two_that_begin_to_wait_for_the_same_one_is_refused(kept: Kept) -> None:
    one, another = await _asked(kept), await _asked(kept)

    outcomes = await asyncio.gather(
        kept.requests.replace(one, _accepted(one), an_entry(one, Event.VERIFIED)),
        kept.elsewhere.replace(another, _accepted(another), an_entry(another, Event.VERIFIED)),
        return_exceptions=True,
    )

    [lost] = [each for each in outcomes if each is not None]
    assert isinstance(lost, AlreadyAsked)
    winner = one if outcomes[0] is None else another
    assert (lost.ref, lost.by) == (winner.ref, KEN)
    assert (await kept.events()).count("verified") == 1


@pytest.mark.parametrize("end", ["withdrawn", "sent"])
async def test_a_target_is_free_again_when_nothing_waits_for_it(kept: Kept, end: str) -> None:
    first = await _waiting(kept)
    if end == "withdrawn":
        await kept.requests.replace(first, first.withdraw(by=KEN, now=NOON))
    else:
        approved = _approved(first)
        await kept.requests.replace(first, approved)
        await kept.requests.replace(approved, approved.sent(now=NOON, timing=TIMING))

    assert (await _waiting(kept)).status is Status.PENDING


async def test_a_request_goes_back_to_waiting_in_its_own_place(kept: Kept) -> None:
    first = await _waiting(kept)
    approved = _approved(first)
    await kept.requests.replace(first, approved)
    second = await _asked(kept)
    with pytest.raises(AlreadyAsked):
        await kept.requests.replace(second, _accepted(second))

    again = approved.never_left(now=NOON + timedelta(hours=1), pause=timedelta(0), timing=TIMING)
    await kept.requests.replace(approved, again)

    assert again.status is Status.PENDING
    assert await kept.elsewhere.get(first.id) == again


async def test_of_two_approvals_for_one_device_one_is_refused_and_changes_nothing(kept: Kept) -> None:
    one, another = await _waiting(kept), await _waiting(kept, "ada@contoso.com")

    outcomes = await asyncio.gather(
        kept.requests.replace(one, _approved(one), an_entry(one, Event.APPROVED)),
        kept.elsewhere.replace(another, _approved(another), an_entry(another, Event.APPROVED)),
        return_exceptions=True,
    )

    [lost] = [each for each in outcomes if each is not None]
    assert isinstance(lost, DeviceBusy)
    winner, loser = (one, another) if outcomes[0] is None else (another, one)
    assert lost.ref == winner.ref
    assert await kept.requests.get(loser.id) == loser
    assert (await kept.events()).count("approved") == 1


async def test_a_device_is_held_until_its_reset_was_seen(kept: Kept) -> None:
    one, another = await _waiting(kept), await _waiting(kept, "ada@contoso.com")
    approved = _approved(one)
    await kept.requests.replace(one, approved)
    attempting = approved.attempt_starts(client_request_id="call-1", now=NOON, timing=TIMING)
    await kept.requests.replace(approved, attempting)
    sent = attempting.sent(now=NOON, timing=TIMING)
    await kept.requests.replace(attempting, sent)
    with pytest.raises(DeviceBusy):
        await kept.requests.replace(another, _approved(another))

    seen = sent.look_again(now=NOON, timing=TIMING, seen_at=NOON)
    await kept.requests.replace(sent, seen)

    await kept.requests.replace(another, _approved(another))
    assert await kept.elsewhere.get(one.id) == seen


async def test_a_row_that_an_older_version_ended_stands_in_nobodys_way(sql: Store) -> None:
    requests = sql.requests
    first = a_request()
    await requests.add(first, an_entry(first), PLENTY)
    accepted = _accepted(first)
    await requests.replace(first, accepted)
    await requests.replace(accepted, _approved(accepted))
    async with sql.engine.begin() as connection:  # it knows nothing of the columns that hold
        await connection.execute(text("UPDATE requests SET status = 'failed', version = version + 1"))

    second = a_request()
    await requests.add(second, an_entry(second), PLENTY)
    await requests.replace(second, _accepted(second))
    await requests.replace(_accepted(second), _approved(_accepted(second)))

    assert (await requests.get(second.id)).holds == PHONE.id


async def test_what_is_one_too_many_is_not_stored(kept: Kept) -> None:
    for _ in range(3):
        asked = a_request()
        await kept.requests.add(asked, an_entry(asked), THREE)

    refused = []
    for _ in range(2):
        asked = a_request()
        with pytest.raises(TooOften) as limit:
            await kept.elsewhere.add(asked, an_entry(asked), THREE)
        refused.append((limit.value.limit, limit.value.first))

    assert refused == [(3, True), (3, False)]
    assert len(await kept.requests.recent(KEN, limit=10)) == 3
    assert len(await kept.events()) == 3


async def test_a_quota_holds_when_many_ask_at_once_in_several_processes(kept: Kept) -> None:
    asked = [a_request() for _ in range(12)]

    outcomes = await asyncio.gather(
        *(
            (kept.requests, kept.elsewhere)[number % 2].add(each, an_entry(each), THREE)
            for number, each in enumerate(asked)
        ),
        return_exceptions=True,
    )

    assert sum(isinstance(each, ResetRequest) for each in outcomes) == 3
    assert sum(isinstance(each, TooOften) for each in outcomes) == 9


async def test_another_hour_and_another_person_have_a_quota_of_their_own(kept: Kept) -> None:
    one = Quota(key="asks:U0KEN", limit=1)
    for asked, quota in (
        (a_request(), one),
        (a_request(after=timedelta(hours=1)), one),
        (a_request(asked_by=AIKO), Quota(key="asks:U0AIKO", limit=1)),
    ):
        assert await kept.requests.add(asked, an_entry(asked), quota) == asked


async def test_links_are_counted_in_the_same_way(sql: Store) -> None:
    one = Quota(key="links:U0KEN", limit=1)
    await sql.tickets.add(TICKET, one)

    with pytest.raises(TooOften):
        await sql.tickets.add(replace(TICKET, digest="d2"), one)

    assert await sql.tickets.find("d2", now=TICKET.expires_at - timedelta(minutes=1)) is None
