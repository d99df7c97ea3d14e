"""Who may do what: every kind of person × membership × role × relation × state, held to one table.

`may` below is the design in a dozen lines, written apart from the code that decides.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product
from secrets import token_hex

import pytest
from bot.domain.audit import Event
from bot.domain.device import Device
from bot.domain.errors import ApproverRefused, Cause, Code, CouldNotVerify, GraphError, Refusal
from bot.domain.people import Kind
from bot.domain.request import ResetRequest, Status
from bot.domain.target import Target, TargetKind
from bot.domain.values import DeviceId, RequestId, UserId
from tests.support.bot import Bot, outcome, refused
from tests.support.builders import AIKO, IN_CHANNEL, KEN, LEOS_PHONE, MEI, ON_CALL, a_request, account_of

RELATIONS = ("a colleague", "the requester", "the same account", "the same address", "the owner")
STATES = (*(str(status) for status in Status), "needs a human", "out of time", "blind")
DECIDING = ("review", "approve", "deny", "close", "check_may_decide")
MAY_IN = {
    **dict.fromkeys(("review", "approve", "check_may_decide"), ("pending", "needs a human")),
    **dict.fromkeys(("deny", "withdraw"), ("pending",)),
    **{"close": ("needs a human",), "look": ("blind",), "reveal": ("done",)},
}
"""In which states what can be done at all."""


@dataclass(frozen=True)
class Case:
    """Ken, in one of all the ways in which he can be there."""

    kind: Kind
    in_channel: bool
    on_call: bool
    role: bool
    """Intune's, to reset passcodes."""
    relation: str


def every_case() -> Iterator[Case]:
    for kind, *flags, relation in product(Kind, *[(True, False)] * 3, RELATIONS):
        yield Case(kind, *flags, relation)


def the_most_privileged() -> Iterator[Case]:
    """For a state in which nobody may: a move is refused to all alike (see the table of moves)."""
    for kind, relation in product(Kind, RELATIONS[:2]):
        yield Case(kind, in_channel=True, on_call=True, role=True, relation=relation)


def may(case: Case, act: str, state: str) -> bool:
    if state not in MAY_IN[act]:
        return False
    if case.relation == "the requester":
        admitted = case.kind is Kind.MEMBER and case.in_channel
        return act == "withdraw" or (act == "reveal" and admitted and case.role)
    if act in ("withdraw", "reveal") or not (case.kind is Kind.MEMBER and case.in_channel and case.on_call):
        return False
    another_person = case.relation not in ("the same account", "the same address")
    if act == "look":  # which decides nothing, so the owner may
        return case.role and another_person
    return act not in ("review", "approve") or (case.role and another_person and case.relation != "the owner")


def device_of(case: Case, number: int) -> Device:
    device = replace(LEOS_PHONE, id=DeviceId(f"{number:08}{LEOS_PHONE.id[8:]}"))
    return replace(device, owner_upn="KEN@contoso.com") if case.relation == "the owner" else device


def request_of(case: Case, state: str, number: int) -> ResetRequest:
    """Return a request in this state that shares neither its target nor its device with another number."""
    stored = {"needs a human": "uncertain", "out of time": "pending", "blind": "sent"}
    status = Status(stored.get(state, state))
    own = {"id": RequestId(token_hex(16)), "delivery": token_hex(16), "version": 2}
    own["target"] = Target(TargetKind.SERIAL, f"SERIAL-{number}")
    request = a_request(status, asked_by=KEN.id if case.relation == "the requester" else MEI.id, **own)
    if request.approval is not None:
        by = account_of(AIKO if case.relation == "the requester" else KEN)
        who = {"by": UserId(f"U0{by.name.upper()}"), "oid": by.oid, "username": by.username}
        approval = replace(request.approval, device=device_of(case, number), **who)
        request = replace(request, approval=approval)
    if request.held_device is not None:
        request = replace(request, held_device=device_of(case, number).id)
    if state == "blind":
        return replace(request, cause=Cause(Code.CANNOT_READ, {"approver": AIKO.id}))
    if state == "uncertain":
        return replace(request, next_at=request.changed_at + timedelta(seconds=5))
    return request if state == "pending" else replace(request, expires_at=request.changed_at)


async def as_ken(bot: Bot, case: Case, act: str, request: ResetRequest, device: Device) -> object:
    bot.rules(approvers=(ON_CALL,))
    bot.directory.change(KEN, kind=case.kind)
    bot.directory.members[IN_CHANNEL] = {MEI.id, AIKO.id, *([KEN.id] if case.in_channel else [])}
    bot.directory.members[ON_CALL] = {AIKO.id, *([KEN.id] if case.on_call else [])}
    bot.intune.found = [device]
    if act == "reveal":
        bot.intune.show(device.id, "pending", ago=timedelta(minutes=1))
        bot.intune.finish(passcode="4711")
    if case.relation == "the same account":
        bot.sign_ins.accounts[MEI.id] = account_of(KEN, username="mei@contoso.com", emails=frozenset())
    if case.relation == "the same address":
        bot.directory.change(MEI, email="Ken@Contoso.com")
    if not case.role:
        bot.intune.reading_fails = ApproverRefused(status=403, code="Forbidden")
    approves = {"device": device.id, "reviewed": request.revision, "knowingly": True}
    came = await outcome(getattr(bot, act)(request.id, by=KEN, **(approves if act == "approve" else {})))
    assert bot.intune.posts == []
    return came


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("act", MAY_IN)
async def test_a_person_gets_exactly_as_far_as_the_design_says(new_bot, act, state):
    first = await new_bot()
    tries, rows = [], {}
    for index, case in enumerate(every_case() if state in MAY_IN[act] else the_most_privileged()):
        # a refusal changes nothing, so those who are refused share a row
        number = 100 + index if may(case, act, state) else RELATIONS.index(case.relation)
        row = rows.setdefault(number, request_of(case, state, number))
        tries.append((case, row, device_of(case, number)))
    before = {row.id: row for row in rows.values()}
    await first.insert(*before.values())
    acts = (as_ken(first.on_the_same_database(), case, act, *rest) for case, *rest in tries)
    came = await asyncio.gather(*acts)
    refusals: Counter[tuple] = Counter()
    unchanged = set(before)
    for (case, request, _), answer in zip(tries, came, strict=True):
        said = f"{act} {state} by {case}: {answer!r}"
        if may(case, act, state):
            assert not isinstance(answer, Exception), said
            unchanged.remove(request.id)
        elif is_told_again(act, request, case):
            assert answer == request, said
        else:
            assert isinstance(answer, Refusal | GraphError), said
            code = answer.code if isinstance(answer, Refusal) else type(answer).__name__
            refusals[request.id, KEN.id, code] += 1
    assert refusals == Counter(
        (entry.request_id, entry.actor, entry.facts["refusal"])
        for entry in await first.entries()
        if entry.event is Event.ACCESS_REFUSED
    )
    after = await first.rows()
    if (act, state) == ("reveal", "done"):  # who cannot read is said, and nothing else
        after = {id_: replace(row, cause=None, version=2) for id_, row in after.items()}
    assert {id_: after[id_] for id_ in unchanged} == {id_: before[id_] for id_ in unchanged}
    assert (len(unchanged) < len(before)) == (state in MAY_IN[act])


def is_told_again(act: str, before: ResetRequest, case: Case) -> bool:
    """A second press by who decided or looks is told the same: no loss, and no decision."""
    if act == "close":
        closed = before.status is Status.CLOSED and case.kind is Kind.MEMBER
        return closed and case.relation != "the requester"
    approved = before.approval is not None and before.approval.by == KEN.id
    decided = before.status not in (Status.PENDING, Status.UNCERTAIN)
    told = (act == "approve" and decided) or (act == "look" and before.cause is None)
    return told and approved and case.relation != "the requester"


async def test_nobody_decides_while_others_than_approvers_can_be_in_the_channel(bot):
    decided, request_id = await bot.done(passcode="4711"), await bot.pending()
    bot.deps = replace(bot.deps, channel_problem=lambda: Code.CHANNEL_PUBLIC)
    for act in DECIDING:
        assert (await refused(getattr(bot, act)(request_id, by=KEN))).code is Code.CHANNEL_PUBLIC
    assert len(await bot.refusals()) == len(DECIDING)
    assert (await bot.reveal(decided)).reveal() == "4711"  # what was decided goes on


@pytest.mark.parametrize("lookup", ["the person", IN_CHANNEL, ON_CALL], ids=str)
async def test_a_lookup_that_fails_lets_nobody_through(bot, lookup):
    bot.rules(approvers=(ON_CALL,))
    request_id = await bot.pending()
    bot.directory.down, bot.directory.unreadable = lookup == "the person", lookup
    if lookup != ON_CALL:
        assert (await bot.advance((await bot.submit(target="aiko@contoso.com")).id)).status is Status.RECEIVED
    for act in DECIDING:
        assert isinstance(await outcome(getattr(bot, act)(request_id, by=KEN)), CouldNotVerify)
    assert await bot.refusals() == [(KEN.id, "could_not_verify")] * 5
    assert (await bot.row(request_id)).status is Status.PENDING
    assert KEN.id in bot.sign_ins.accounts
