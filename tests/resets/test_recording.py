"""Everything that happens is on the record: who, as whom at Microsoft, by which rule, with Graph's ids."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from bot.domain.errors import (
    AlreadyAsked,
    ApproverSignedOut,
    CannotReset,
    DeviceBusy,
    DeviceChanged,
    DeviceRefused,
    NoPasscode,
    NoSuchDevice,
    NotAMember,
    NotWaiting,
    RecentlyReset,
    Refusal,
    SignInNeeded,
    TooLate,
    TooOften,
)
from bot.domain.identifiers import UserId
from bot.domain.policy import Rules
from bot.domain.record import Event
from bot.domain.request import Status
from bot.domain.secret import Secret
from bot.resets import sign_in
from bot.resets.evidence import of_refusal
from bot.resets.sign_in import Continuation
from bot.resets.start import start
from tests.fakes.clock import NOON
from tests.fakes.desk import AS_KEN, StaffedDesk, a_desk, outcome
from tests.fakes.devices import LEOS_LAPTOP, LEOS_PHONE, LEOS_TABLET
from tests.fakes.people import APPROVER_CHANNEL, CHANNEL, KEN, LEO, MEI, ON_CALL, TEAM, actor
from tests.fakes.sign_ins import TENANT, account_of

PASSCODE = "a-new-passcode"
BOTH = f"channel:{CHANNEL}, usergroup:{ON_CALL.id}"
KENS = {"account": "ken@contoso.com", "oid": "oid-Ken", "tenant": TENANT}
ROTA = Rules(approver_channel=CHANNEL, requesters=(ON_CALL, APPROVER_CHANNEL), approvers=(ON_CALL,))
"""Two audiences may ask; Ken alone is on call."""


@dataclass
class Case:
    """What somebody does, and what the record then says of it."""

    act: Callable[[StaffedDesk], Awaitable[object]]
    actor: UserId | None
    facts: dict[str, str]
    also: set[str] = field(default_factory=set)
    """Facts whose value is of the moment."""


async def _refused_ask(desk: StaffedDesk) -> None:
    await desk.drive((await desk.ask(by=LEO)).id)


async def _denied(desk: StaffedDesk) -> None:
    await desk.deny(await desk.pending(), reason="Call him")


async def _withdrawn(desk: StaffedDesk) -> None:
    await desk.withdraw(await desk.pending())


async def _expired(desk: StaffedDesk) -> None:
    request_id = await desk.pending()
    desk.later(hours=1)
    await desk.drive(request_id)


async def _reviewed(desk: StaffedDesk) -> None:
    desk.graph.found = [LEOS_PHONE, LEOS_TABLET]
    await desk.review(await desk.pending())


async def _signed_out_meanwhile(desk: StaffedDesk) -> None:
    request_id = await desk.approved()
    await desk.sign_ins.forget(KEN.id)
    await desk.drive(request_id)


async def _failed(desk: StaffedDesk) -> None:
    request_id = await desk.sent()
    desk.graph.finish("failed", error_code=-1)
    await desk.drive(request_id)


async def _closed(desk: StaffedDesk) -> None:
    await desk.close(await desk.needs_a_human())


async def _mei_approves_her_own(desk: StaffedDesk) -> None:
    desk.sign_ins.accounts[MEI.id] = account_of(MEI)
    await outcome(desk.approve(await desk.pending(), by=MEI))


async def _saw_the_passcode(desk: StaffedDesk) -> None:
    await desk.reveal(await desk.done(passcode=PASSCODE))


async def _link(desk: StaffedDesk) -> str:
    return (await sign_in.offer(desk.desk, actor(KEN), TEAM, Continuation())).url


async def _came_back(desk: StaffedDesk, account: object) -> None:
    secret = Secret((await _link(desk)).rsplit("/", 1)[1])
    state = await sign_in.begin(desk.desk, desk.sign_ins, secret)
    desk.sign_ins.answers[state] = account  # type: ignore[assignment]  # an account or an exception
    await outcome(_said_yes(desk, state))


async def _said_yes(desk: StaffedDesk, state: str) -> None:
    meeting = await sign_in.arrive(desk.desk, desk.sign_ins, {"state": state})
    await sign_in.confirm(desk.desk, desk.sign_ins, meeting.confirmation)


async def _started(desk: StaffedDesk) -> None:
    await start(desk.record, desk.clock, version="1.2", settings={"PORT": "3000"})


ASKED = {
    "target": "leo@contoso.com",
    "reason": "Locked out",
    "ticket": "INC-7",
    "team": TEAM,
}
CASES: dict[Event, Case] = {
    Event.ASKED: Case(lambda desk: desk.ask(reason="Locked out", ticket="INC-7"), MEI.id, ASKED),
    Event.VERIFIED: Case(
        lambda desk: desk.pending(),
        None,
        {"requester": MEI.id, "rule": f"channel:{CHANNEL}", "target": "leo@contoso.com"},
    ),
    Event.REFUSED: Case(_refused_ask, None, {"requester": LEO.id, "why": "not_a_requester"}),
    Event.REVIEWED: Case(
        _reviewed,
        KEN.id,
        KENS
        | {
            "rule": BOTH,
            "devices": f"{LEOS_PHONE.id}, {LEOS_TABLET.id}",
            "request_id": "graph-listing",
        },
    ),
    Event.APPROVED: Case(
        lambda desk: desk.approved(),
        KEN.id,
        KENS
        | {
            "rule": BOTH,
            "device": LEOS_PHONE.id,
            "device_name": "Leo's Pixel",
            "effect": "new_passcode",
        },
    ),
    Event.DENIED: Case(_denied, KEN.id, KENS | {"rule": BOTH, "reason": "Call him"}),
    Event.WITHDRAWN: Case(_withdrawn, MEI.id, {"rule": "requester"}),
    Event.EXPIRED: Case(_expired, None, {"requester": MEI.id, "expires_at": "2026-03-02T13:00:00.000000Z"}),
    Event.ATTEMPT_STARTED: Case(
        lambda desk: desk.sent(), None, AS_KEN | {"client_request_id": "call-1", "attempt": "1"}
    ),
    Event.ATTEMPT_ANSWERED: Case(
        lambda desk: desk.sent(),
        None,
        AS_KEN | {"answer": "accepted", "client_request_id": "call-1", "request_id": "graph-reset"},
    ),
    Event.WAITS_AGAIN: Case(_signed_out_meanwhile, None, AS_KEN | {"why": "sign_in_ended"}),
    Event.DONE: Case(lambda desk: desk.done(passcode=PASSCODE), None, AS_KEN),
    Event.FAILED: Case(_failed, None, AS_KEN | {"why": "device_failed", "error_code": "-1"}),
    Event.CLOSED: Case(_closed, KEN.id, KENS | {"rule": BOTH}),
    Event.TRY_REFUSED: Case(
        _mei_approves_her_own,
        MEI.id,
        {"refusal": "OwnRequest", "account": "mei@contoso.com", "oid": "oid-Mei", "tenant": TENANT},
    ),
    Event.PASSCODE_SEEN: Case(_saw_the_passcode, MEI.id, AS_KEN | {"rule": "requester"}),
    Event.SIGN_IN_STARTED: Case(
        _link,
        KEN.id,
        {"rule": f"channel:{CHANNEL}", "team": TEAM, "expires_at": "2026-03-02T12:10:00.000000Z"},
    ),
    Event.SIGNED_IN: Case(
        lambda desk: _came_back(desk, account_of(KEN)), KEN.id, KENS | {"email": "ken@contoso.com"}
    ),
    Event.SIGN_IN_REFUSED: Case(
        lambda desk: _came_back(desk, account_of(LEO)),
        KEN.id,
        {
            "why": "wrong_account",
            "account": "leo@contoso.com",
            "oid": "oid-Leo",
            "tenant": TENANT,
            "expected": "ken@contoso.com",
        },
    ),
    Event.SIGNED_OUT: Case(
        lambda desk: sign_in.sign_out(desk.desk, actor(KEN)), KEN.id, KENS | {"reason": "asked"}
    ),
    Event.STARTED: Case(_started, None, {"version": "1.2", "settings": '{"PORT": "3000"}'}, {"digest"}),
}


def test_every_event_is_in_the_table() -> None:
    assert set(CASES) == set(Event)


@pytest.mark.parametrize("event", Event)
async def test_every_event_says_who_as_whom_by_which_rule_and_when(event: Event) -> None:
    desk, case = a_desk(rules=ROTA), CASES[event]

    await case.act(desk)

    entry = desk.last(event)
    assert entry.actor == case.actor
    assert {name: text for name, text in entry.facts.items() if name not in case.also} == case.facts
    assert case.also <= set(entry.facts)
    assert entry.at <= desk.clock.now()


@pytest.mark.parametrize("event", Event)
async def test_no_secret_is_on_the_record(event: Event) -> None:
    desk = a_desk(rules=ROTA)

    link = await _link(desk)
    await CASES[event].act(desk)

    told = str(desk.record.entries)
    for secret in (PASSCODE, "token of", "Secret(", link.rsplit("/", 1)[1], "cache"):
        assert secret not in told


# What was refused


def _no_device(desk: StaffedDesk) -> None:
    desk.graph.found = []


def _as_it_was(desk: StaffedDesk) -> None:
    """Leo has one phone, and no tablet."""
    assert desk.graph.found == [LEOS_PHONE]


def _a_laptop_only(desk: StaffedDesk) -> None:
    desk.graph.found = [LEOS_LAPTOP]


def _graph_refuses(desk: StaffedDesk) -> None:
    desk.graph.reading_fails = DeviceRefused(
        status=400, code="BadRequest", message="No.", request_id="r", activity_id="a"
    )


@pytest.mark.parametrize(
    ("world", "device", "refusal", "facts"),
    [
        (_as_it_was, LEOS_TABLET.id, DeviceChanged, {}),
        (_a_laptop_only, LEOS_LAPTOP.id, CannotReset, {"why": "wrong_platform", "device": "Leo's laptop"}),
        (_no_device, LEOS_PHONE.id, NoSuchDevice, {}),
        (
            _graph_refuses,
            LEOS_PHONE.id,
            DeviceRefused,
            {"status": "400", "code": "BadRequest", "message": "No.", "request_id": "r", "activity_id": "a"},
        ),
    ],
)
async def test_an_approval_that_could_not_be_is_on_the_record_with_its_grounds(
    world: Callable[[StaffedDesk], None], device: str, refusal: type[Exception], facts: dict[str, str]
) -> None:
    desk = a_desk()
    request_id = await desk.pending()
    world(desk)

    assert type(await outcome(desk.approve(request_id, device=device))) is refusal  # type: ignore[arg-type]

    entry = desk.last(Event.TRY_REFUSED)
    assert (entry.actor, entry.request_id) == (KEN.id, request_id)
    assert entry.facts.items() >= (KENS | facts | {"refusal": refusal.__name__}).items()


async def test_that_somebody_could_not_be_verified_is_on_the_record() -> None:
    desk = a_desk()
    request_id = await desk.pending()
    desk.people.away = True

    await outcome(desk.review(request_id))

    assert desk.last(Event.TRY_REFUSED).facts == KENS | {"refusal": "CouldNotVerify", "what": "slack"}


async def test_a_look_at_a_passcode_that_could_not_be_is_on_the_record() -> None:
    desk = a_desk()
    request_id = await desk.done()
    desk.graph.shown.clear()
    assert type(await outcome(desk.reveal(request_id))) is NoPasscode
    await desk.sign_ins.forget(KEN.id)
    assert type(await outcome(desk.reveal(request_id))) is ApproverSignedOut

    assert desk.refusals() == [(MEI.id, "NoPasscode"), (MEI.id, "ApproverSignedOut")]
    assert desk.last(Event.TRY_REFUSED).facts["approver"] == KEN.id


@pytest.mark.parametrize(
    ("refusal", "grounds"),
    [
        (AlreadyAsked("1A2B3C", MEI.id), {"ref": "1A2B3C", "asked_by": MEI.id}),
        (DeviceBusy("1A2B3C"), {"ref": "1A2B3C"}),
        (NotWaiting(Status.SENT), {"status": "sent"}),
        (NotAMember("guest"), {"kind": "guest"}),
        (TooOften(5, NOON, first=True), {"limit": "5", "until": "2026-03-02T12:00:00.000000Z"}),
        (TooLate(), {}),
    ],
)
def test_a_refusal_names_what_it_rests_on(refusal: Refusal, grounds: dict[str, str]) -> None:
    assert of_refusal(refusal) == {"refusal": type(refusal).__name__} | grounds


async def test_to_reset_again_knowingly_is_on_the_record_and_to_be_asked_for_it_is_no_refusal() -> None:
    desk = a_desk()
    request_id = await desk.pending()
    desk.graph.shows(LEOS_PHONE.id, "done", ago=timedelta(minutes=1))
    assert type(await outcome(desk.approve(request_id))) is RecentlyReset
    assert desk.refusals() == []

    await desk.approve(request_id, knowingly=True)

    assert desk.last(Event.APPROVED).facts["knowingly"] == "yes"


async def test_to_be_sent_to_microsoft_first_is_no_refusal() -> None:
    desk = a_desk()
    request_id = await desk.pending()
    await desk.sign_ins.forget(KEN.id)

    assert type(await outcome(desk.review(request_id))) is SignInNeeded

    assert desk.refusals() == []


async def test_a_decision_that_came_too_late_says_whose_was_first() -> None:
    desk = a_desk()
    request_id = await desk.pending()
    await desk.withdraw(request_id)

    await outcome(desk.deny(request_id))
    await outcome(desk.withdraw(request_id))

    facts = desk.last(Event.TRY_REFUSED).facts
    assert facts == {"refusal": "AlreadyDecided", "status": "withdrawn", "decided_by": MEI.id}


# Starts


async def test_only_a_start_under_other_settings_than_before_says_so() -> None:
    desk = a_desk()
    for settings in ({"PORT": "3000"}, {"PORT": "3000"}, {"PORT": "3001"}, {"PORT": "3001"}):
        await start(desk.record, desk.clock, version="1", settings=settings)

    changed = [entry.facts.get("configuration_changed") for entry in desk.record.entries]
    assert changed == [None, None, "yes", None]
