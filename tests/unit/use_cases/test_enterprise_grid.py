"""Enterprise Grid: one person under the id of the workspace and the one of the organization."""

from dataclasses import replace

import pytest
from bot.domain.audit import Event
from bot.domain.errors import Code, CouldNotVerify
from bot.domain.people import Kind
from bot.domain.request import Status
from bot.domain.values import UserId
from bot.use_cases import sign_in
from tests.support.bot import Bot, refused
from tests.support.builders import IN_CHANNEL, KEN, MEI, ON_CALL, account_of, actor

W_MEI, W_KEN = (replace(person, id=UserId(f"W0{person.name.upper()}GRID")) for person in (MEI, KEN))


@pytest.fixture
def grid(bot: Bot) -> Bot:
    """Mei and Ken have two ids; Slack has not been asked for either yet."""
    bot.directory.also = {W_MEI.id: MEI.id, W_KEN.id: KEN.id}
    bot.rules(approvers=(ON_CALL,))
    return bot


@pytest.mark.parametrize("asks", [MEI, W_MEI], ids=["U", "W"])
@pytest.mark.parametrize("other", [MEI, W_MEI], ids=["U", "W"])
async def test_s04_who_asked_under_one_id_is_the_requester_under_the_other(grid, asks, other):
    first = await grid.pending(by=asks)
    for act in (grid.review, grid.approve, grid.deny, grid.check_may_decide, grid.close):
        assert (await refused(act(first, by=other))).code is Code.OWN_REQUEST
    await grid.withdraw(first, by=other)
    withdrawn = await grid.row(first)
    assert (withdrawn.status, withdrawn.asked_by) == (Status.WITHDRAWN, asks.id)
    grid.rules(requester_sign_in=True)
    second = (await grid.submit(by=asks)).id
    assert (await grid.advance(second)).waits_for_sign_in
    grid.sign_ins.accounts[MEI.id] = account_of(MEI)
    assert (await grid.advance(second)).status is Status.PENDING
    await grid.approve(second)
    await grid.advance(second)
    grid.intune.finish(passcode="4711")
    await grid.advance(second)
    assert (await grid.reveal(second, by=other)).reveal() == "4711"
    # `unlatch audit verify` compares these actors with the row
    for event in (Event.REQUESTED, Event.PASSCODE_VIEWED):
        assert (await grid.entry(event)).actor == asks.id


async def test_s04_an_id_of_the_requester_that_this_process_has_not_met_is_looked_up(grid):
    grid.directory.one_way = True
    request_id = await grid.pending(by=W_MEI)
    grid.directory.told.clear()
    grid.directory.slow = {W_MEI.id}
    assert isinstance(await refused(grid.deny(request_id, by=MEI)), CouldNotVerify)
    grid.directory.told.clear()
    grid.directory.slow.clear()
    assert (await refused(grid.deny(request_id, by=MEI))).code is Code.OWN_REQUEST
    grid.directory.told.clear()
    del grid.directory.people[MEI.id]
    assert (await grid.deny(request_id)).status is Status.DENIED  # where who asked has left


@pytest.mark.parametrize("listed", [KEN, W_KEN], ids=["U", "W"])
@pytest.mark.parametrize("presses", [KEN, W_KEN], ids=["U", "W"])
async def test_s04_an_approver_is_one_under_either_id_in_either_list(grid, presses, listed):
    grid.directory.members = {IN_CHANNEL: {MEI.id, listed.id}, ON_CALL: {listed.id}}
    request_id = await grid.pending()
    await grid.review(request_id, by=presses)
    approved = await grid.approve(request_id, by=presses)
    assert (approved.status, approved.decided_by) == (Status.APPROVED, KEN.id)
    again = await grid.approve(request_id, by=replace(presses, id=listed.id))
    assert again == approved  # pressed twice
    assert (await grid.entry(Event.APPROVED)).actor == KEN.id
    assert (await grid.advance(request_id)).status is Status.SENT


async def test_s04_a_sign_in_under_one_id_is_used_and_ended_under_the_other(grid):
    grid.sign_ins.accounts.clear()
    *_, confirmation = await grid.comes_back(account_of(KEN), by=W_KEN)
    # signed in before Slack named the other id as hers or his
    grid.sign_ins.accounts[W_KEN.id] = account_of(KEN)
    await sign_in.confirm(grid.deps, confirmation)
    assert grid.sign_ins.accounts == {KEN.id: account_of(KEN)}
    await grid.review(await grid.pending(), by=W_KEN)
    grid.directory.told.clear()
    assert await sign_in.sign_out(grid.deps, actor(W_KEN))
    assert grid.sign_ins.accounts == {}
    grid.sign_ins.accounts = {W_KEN.id: account_of(KEN)}
    grid.directory.change(KEN, kind=Kind.DEACTIVATED)
    assert (await refused(grid.offer(KEN))).code is Code.NOT_A_MEMBER
    assert grid.sign_ins.accounts == {}


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        *((rule, Code.QUOTA_EXCEEDED) for rule in ("requests_per_hour", "links_per_hour")),
        ("open_requests", Code.TOO_MANY_OPEN),
    ],
)
async def test_s04_a_quota_is_a_persons_and_not_an_ids_and_who_is_past_it_leaves_no_row(grid, rule, code):
    grid.rules(**{rule: 2})
    links = rule == "links_per_hour"
    for number, by in enumerate((MEI, W_MEI)):
        await (grid.offer(by) if links else grid.pending(by=by, target=f"serial:SERIAL-{number}"))
    events = await grid.events()
    for by in (MEI, W_MEI):
        refusal = await refused(grid.offer(by) if links else grid.submit(by=by, target="serial:SERIAL-2"))
        assert (refusal.code, refusal.facts["limit"]) == (code, "2")
    assert await grid.events() == events


async def test_s04_who_cannot_be_told_apart_does_nothing(grid):
    request_id = await grid.pending()
    grid.directory.down = True
    for act in (grid.review, grid.deny, grid.withdraw, grid.reveal):
        assert isinstance(await refused(act(request_id, by=W_MEI)), CouldNotVerify)
    assert await grid.refusals() == [(W_MEI.id, "could_not_verify")] * 4
