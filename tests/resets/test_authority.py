"""Who may do what: every kind of person × membership × role × relation × state, held to one table.

`may` below is the design in a dozen lines, written apart from the code that decides.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product

import pytest
from bot.domain.errors import ApproverRefused, GraphError, Refusal
from bot.domain.identifiers import RequestId
from bot.domain.people import Kind
from bot.domain.policy import Rules
from bot.domain.record import Event
from bot.domain.request import ResetRequest, Status
from bot.slack.wording import ENGLISH
from tests.domain.making import a_request
from tests.fakes.desk import StaffedDesk, a_desk, outcome
from tests.fakes.devices import LEOS_PHONE
from tests.fakes.people import APPROVER_CHANNEL, CHANNEL, KEN, MEI, ON_CALL
from tests.fakes.sign_ins import account_of
from tests.fakes.store import Row

ROTA = Rules(approver_channel=CHANNEL, requesters=(APPROVER_CHANNEL,), approvers=(ON_CALL,))
RELATIONS = ("a colleague", "who asked", "the same account", "the same address", "the owner")
ACTS = ("review", "approve", "deny", "close")
STATES = (*(str(status) for status in Status), "needs a human", "out of time")


@dataclass(frozen=True)
class Case:
    """Ken, in one of all the ways in which he could stand there."""

    kind: Kind
    in_channel: bool
    on_call: bool
    role: bool
    """Intune's, to reset passcodes."""
    relation: str


def every_case() -> Iterator[Case]:
    yes_or_no = (True, False)
    for kind, *flags, relation in product(Kind, yes_or_no, yes_or_no, yes_or_no, RELATIONS):
        yield Case(kind, *flags, relation)  # type: ignore[arg-type]  # three booleans and a word


def may(case: Case, act: str, state: str) -> bool:
    """The design, in its own words."""
    waits = {"deny": ["pending"], "close": ["needs a human"]}.get(act, ["pending", "needs a human"])
    is_approver = case.kind is Kind.MEMBER and case.in_channel and case.on_call
    touches_intune = act in ("review", "approve")
    another_human = case.relation not in ("who asked", "the same account", "the same address")
    if not is_approver or state not in waits or case.relation == "who asked":
        return False
    return not touches_intune or (case.role and another_human and case.relation != "the owner")


def staged(case: Case, state: str) -> tuple[StaffedDesk, RequestId]:
    """The desk with one request in this state, and Ken as the case has him."""
    desk = a_desk(rules=ROTA)
    asker = KEN if case.relation == "who asked" else MEI
    request = replace(_request(state), asked_by=asker.id)
    desk.requests.rows[request.id] = Row(request, show_at=None)
    desk.people.change(replace(KEN, kind=case.kind))
    desk.people.members[APPROVER_CHANNEL] = {MEI.id, *([KEN.id] if case.in_channel else [])}
    desk.people.members[ON_CALL] = {KEN.id} if case.on_call else set()
    if case.relation == "the same account":
        desk.sign_ins.accounts[MEI.id] = account_of(KEN, username="mei@contoso.com", emails=frozenset())
    if case.relation == "the same address":
        desk.people.change(replace(MEI, email="Ken@Contoso.com"))
    if case.relation == "the owner":
        desk.graph.found = [replace(LEOS_PHONE, owner_upn="KEN@contoso.com")]
    if not case.role:
        desk.graph.reading_fails = ApproverRefused(status=403, code="Forbidden")
    return desk, request.id


def _request(state: str) -> ResetRequest:
    match state:
        case "needs a human":
            return a_request(Status.UNCERTAIN)
        case "uncertain":
            looked_for = a_request(Status.UNCERTAIN)
            return replace(looked_for, next_at=looked_for.changed_at + timedelta(seconds=5))
        case "out of time":
            return replace(a_request(Status.PENDING), expires_at=a_request(Status.PENDING).changed_at)
        case _:
            return a_request(Status(state))


async def _done(desk: StaffedDesk, act: str, request_id: RequestId) -> object:
    acts = {"review": desk.review, "approve": desk.approve, "deny": desk.deny, "close": desk.close}
    return await outcome(acts[act](request_id, by=KEN))


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("act", ACTS)
async def test_everybody_gets_exactly_as_far_as_the_design_says(act: str, state: str):
    allowed = 0
    for case in every_case():
        desk, request_id = staged(case, state)
        before = desk.row(request_id)

        came = await _done(desk, act, request_id)

        said = f"{act} {state} by {case}: {came!r}"
        if may(case, act, state):
            allowed += 1
            assert not isinstance(came, Exception), said
            assert Event.TRY_REFUSED not in desk.events(), said
        elif not _was_approved_by_ken(act, before, case):
            assert isinstance(came, Refusal | GraphError), said
            assert type(came) in ENGLISH.refusals, said
            assert ENGLISH.refusal(came), said
            assert [who for who, _ in desk.refusals()] == [KEN.id], said
            assert desk.row(request_id) == before, said
        assert desk.graph.posts == []
    waits = {"deny": ["pending"], "close": ["needs a human"]}.get(act, ["pending", "needs a human"])
    assert (allowed > 0) == (state in waits)


def _was_approved_by_ken(act: str, before: ResetRequest, case: Case) -> bool:
    """A second press by the one who approved is told that it is approved: no loss, and no decision."""
    approved = before.approval is not None and before.approval.by == KEN.id
    decided = before.status not in (Status.PENDING, Status.UNCERTAIN)
    return act == "approve" and approved and decided and case.relation != "who asked"


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("act", ["withdraw", "reveal"])
async def test_only_who_asked_withdraws_or_sees_a_passcode(act: str, state: str):
    for case in every_case():
        desk, request_id = staged(case, state)
        desk.graph.shows(LEOS_PHONE.id, "pending")
        desk.graph.finish(passcode="4711")
        before = desk.row(request_id)

        came = await outcome(getattr(desk, act)(request_id, by=KEN))

        right_state = state == ("pending" if act == "withdraw" else "done")
        theirs = case.relation == "who asked" and right_state
        if act == "reveal":
            theirs = theirs and case.kind is Kind.MEMBER and case.role
        said = f"{act} {state} by {case}: {came!r}"
        assert isinstance(came, Exception) != theirs, said
        if not theirs:
            assert isinstance(came, Refusal | GraphError), said
            assert [who for who, _ in desk.refusals()] == [KEN.id], said
            assert desk.row(request_id) == before, said


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("in_audience", [True, False])
async def test_asking_is_for_members_of_the_audience(kind: Kind, in_audience: bool):
    desk = a_desk(rules=ROTA)
    desk.people.change(replace(KEN, kind=kind))
    if not in_audience:
        desk.people.leaves(KEN, APPROVER_CHANNEL)

    asked = await desk.drive((await desk.ask(by=KEN)).id)

    accepted = kind is Kind.MEMBER and in_audience
    assert asked.status is (Status.PENDING if accepted else Status.REFUSED)
    assert desk.events()[-1] is (Event.VERIFIED if accepted else Event.REFUSED)


@pytest.mark.parametrize("act", ACTS)
async def test_a_lookup_that_fails_lets_nobody_through(act: str):
    desk, request_id = staged(Case(Kind.MEMBER, True, True, True, "a colleague"), "pending")
    desk.people.away = True

    came = await _done(desk, act, request_id)

    assert type(came).__name__ == "CouldNotVerify"
    assert desk.row(request_id).status is Status.PENDING


async def test_an_audience_that_names_nobody_lets_nobody_ask():
    desk = a_desk(rules=replace(ROTA, requesters=()))

    assert (await desk.drive((await desk.ask()).id)).status is Status.REFUSED
