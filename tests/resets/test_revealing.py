"""Revealing: the new passcode, to the one person who asked, for a while, never off the record."""

from dataclasses import replace
from datetime import timedelta

import pytest
from bot.domain.errors import (
    ApproverRefused,
    ApproverSignedOut,
    NoPasscode,
    NotAMember,
    NotTheRequester,
    NotWaiting,
    StoreAway,
    TooLate,
    UnknownRequest,
)
from bot.domain.identifiers import RequestId
from bot.domain.people import Kind
from bot.domain.record import Event
from bot.domain.request import Status
from tests.fakes.desk import AS_KEN, a_desk
from tests.fakes.devices import LEOS_PHONE, LEOS_TABLET
from tests.fakes.people import AIKO, GUS, KEN, LEO, MEI, OLGA
from tests.fakes.sign_ins import account_of, token_text


async def test_who_asked_sees_the_new_passcode_and_the_record_says_so():
    desk = a_desk()
    request_id = await desk.done(passcode="80 51 33")

    passcode = await desk.reveal(request_id)

    seen = desk.last(Event.PASSCODE_SEEN)
    assert passcode.reveal() == "80 51 33"
    assert (seen.actor, seen.request_id) == (MEI.id, request_id)
    assert seen.facts == AS_KEN | {"rule": "requester"}


async def test_the_passcode_is_read_with_the_approvers_sign_in():
    desk = a_desk()
    request_id = await desk.done()
    desk.graph.read_with.clear()

    await desk.reveal(request_id)

    assert desk.graph.read_with == [token_text(KEN.id)]


@pytest.mark.parametrize("person", [KEN, AIKO, LEO, GUS, OLGA], ids=lambda person: person.name)
async def test_nobody_else_sees_the_passcode_not_even_who_approved(person):
    desk = a_desk()
    request_id = await desk.done()
    desk.graph.read_with.clear()

    with pytest.raises(NotTheRequester):
        await desk.reveal(request_id, by=person)

    assert desk.refusals() == [(person.id, "NotTheRequester")]
    assert desk.graph.read_with == []


async def test_a_requester_who_is_no_member_any_more_sees_nothing():
    desk = a_desk()
    request_id = await desk.done()
    desk.people.change(replace(MEI, kind=Kind.DEACTIVATED))

    with pytest.raises(NotAMember):
        await desk.reveal(request_id)


async def test_the_passcode_is_shown_only_for_a_while():
    desk = a_desk()
    request_id = await desk.done()
    desk.clock.pass_(desk.desk.timing.reveal_for - timedelta(seconds=1))
    assert (await desk.reveal(request_id)).reveal() == "the new passcode"

    desk.later(seconds=1)
    with pytest.raises(TooLate):
        await desk.reveal(request_id)

    assert desk.events().count(Event.PASSCODE_SEEN) == 1


async def test_there_is_nothing_to_see_before_the_device_is_done():
    desk = a_desk()
    request_id = await desk.sent()

    with pytest.raises(NotWaiting):
        await desk.reveal(request_id)


async def test_a_reset_that_removes_the_passcode_leaves_nothing_to_see():
    desk = a_desk()
    desk.graph.found = [LEOS_TABLET]
    request_id = await desk.pending()
    await desk.approve(request_id, device=LEOS_TABLET.id)
    await desk.drive(request_id)
    desk.graph.finish()
    assert (await desk.drive(request_id)).status is Status.DONE

    with pytest.raises(NotWaiting):
        await desk.reveal(request_id)


async def test_every_look_is_on_the_record():
    desk = a_desk()
    request_id = await desk.done()

    await desk.reveal(request_id)
    await desk.reveal(request_id)

    assert desk.events().count(Event.PASSCODE_SEEN) == 2


async def test_no_passcode_is_returned_that_the_record_does_not_know_of():
    desk = a_desk()
    request_id = await desk.done()
    desk.graph.after_read = lambda: setattr(desk.record, "away", True)
    looked = len(desk.graph.read_with)

    with pytest.raises(StoreAway):
        await desk.reveal(request_id)

    assert len(desk.graph.read_with) == looked + 1


async def test_where_intune_has_forgotten_the_passcode_nothing_is_shown_and_nothing_recorded():
    desk = a_desk()
    request_id = await desk.done()
    desk.graph.shown.clear()

    with pytest.raises(NoPasscode):
        await desk.reveal(request_id)

    assert Event.PASSCODE_SEEN not in desk.events()


async def test_the_passcode_of_the_reset_before_ours_is_never_shown():
    desk = a_desk()
    desk.graph.shows(LEOS_PHONE.id, "pending")
    desk.graph.finish(passcode="somebody else's")
    desk.later(seconds=1)
    request_id = await desk.done(passcode="ours", knowingly=True)
    desk.graph.shown[LEOS_PHONE.id].pop()

    with pytest.raises(NoPasscode):
        await desk.reveal(request_id)


async def test_the_passcode_of_a_reset_long_before_ours_is_never_shown():
    desk = a_desk()
    request_id = await desk.done()
    desk.graph.shown.clear()
    desk.graph.shows(LEOS_PHONE.id, "pending", ago=timedelta(hours=3))
    desk.graph.finish()

    with pytest.raises(NoPasscode):
        await desk.reveal(request_id)


@pytest.mark.parametrize("ended", ["signed out", "tokens ended", "another account"])
async def test_without_the_approvers_sign_in_the_requester_hears_whose_it_takes(ended):
    desk = a_desk()
    request_id = await desk.done()
    if ended == "signed out":
        await desk.sign_ins.forget(KEN.id)
    elif ended == "tokens ended":
        desk.sign_ins.ended.add(KEN.id)
    else:
        desk.sign_ins.accounts[KEN.id] = account_of(KEN, oid="oid-of-another")

    with pytest.raises(ApproverSignedOut) as refusal:
        await desk.reveal(request_id)

    assert refusal.value.approver == KEN.id


async def test_where_graph_refuses_the_look_nothing_is_recorded_as_seen():
    desk = a_desk()
    request_id = await desk.done()
    desk.graph.reading_fails = ApproverRefused(status=403)

    with pytest.raises(ApproverRefused):
        await desk.reveal(request_id)

    assert Event.PASSCODE_SEEN not in desk.events()


async def test_a_request_that_nobody_made_reveals_nothing():
    desk = a_desk()

    with pytest.raises(UnknownRequest):
        await desk.reveal(RequestId("0" * 32))


async def test_a_row_without_its_attempt_reveals_nothing():
    desk = a_desk()
    request_id = await desk.done()
    desk.requests.rows[request_id].request = replace(desk.row(request_id), attempt=None)

    with pytest.raises(NoPasscode):
        await desk.reveal(request_id)


async def test_nothing_secret_reaches_the_record_a_row_or_a_repr():
    desk = a_desk()
    request_id = await desk.done(passcode="s3cr3t-passcode")
    passcode = await desk.reveal(request_id)

    everything = repr((desk.record.entries, desk.requests.rows, passcode, str(passcode), f"{passcode}"))

    assert "s3cr3t-passcode" not in everything
    assert token_text(KEN.id) not in everything
