"""Everything that happens is in the audit log: who, as whom at Microsoft, by which rule, with Graph's ids."""

from collections.abc import Awaitable, Callable

import pytest
from bot.domain.audit import Event
from bot.domain.errors import BAD_INPUT, QUOTAS, Code, DeviceRefused, RecentlyReset, Refusal, SignInNeeded
from bot.domain.people import Account, Audience, AudienceKind
from bot.domain.values import RequestId, UserId, utc_text
from bot.use_cases import sign_in
from structlog.testing import capture_logs
from tests.support.bot import AS_KEN, Bot, outcome
from tests.support.builders import IN_CHANNEL, KEN, LEOS_PHONE, LEOS_TABLET, MEI, ON_CALL, account_of, actor
from tests.support.clock import NOON

PASSCODE = "a-new-passcode"
BOTH = f"{IN_CHANNEL}, {ON_CALL}"
KENS = account_of(KEN).as_facts()
BY_RULE = KENS | {"rule": BOTH}
CALL = {"client_request_id": "call-1", "attempt": "1"}


async def then(reached: Awaitable[RequestId], act: Callable[[RequestId], Awaitable[object]]) -> None:
    """Do this to the request that got so far."""
    await act(await reached)


async def _refused(bot: Bot) -> None:
    bot.directory.members.clear()
    await bot.advance((await bot.submit()).id)


async def _expired(bot: Bot) -> None:
    request_id = await bot.pending()
    bot.clock.advance(hours=1)
    await bot.advance(request_id)


async def _reopened(bot: Bot) -> None:
    request_id = await bot.approved()
    await bot.sign_ins.forget(KEN.id)
    await bot.advance(request_id)


async def _looked(bot: Bot) -> None:
    request_id = await bot.sent()
    bot.sign_ins.expired.add(KEN.id)
    await bot.advance(request_id)
    bot.sign_ins.expired.clear()
    await bot.look(request_id, by=KEN)


async def _failed(bot: Bot) -> None:
    request_id = await bot.sent()
    bot.intune.finish("failed", error_code=-1)
    await bot.advance(request_id)


async def _mei_approves_her_own(bot: Bot) -> None:
    bot.sign_ins.accounts[MEI.id] = account_of(MEI)
    await outcome(bot.approve(await bot.pending(), by=MEI))


async def _signed_in_as(bot: Bot, account: Account) -> None:
    await sign_in.confirm(bot.deps, (await bot.comes_back(account))[-1])


ASKED = {"target": "leo@contoso.com", "reason": "Locked out", "ticket": "INC-7", "team": actor(MEI).team}
VERIFIED = {"requester": MEI.id, "rule": str(IN_CHANNEL), "target": "leo@contoso.com"}
SEEN = {"rule": BOTH, "devices": f"{LEOS_PHONE.id}, {LEOS_TABLET.id}", "request_id": "graph-listing"}
CHOSEN = {"rule": BOTH, "device": LEOS_PHONE.id, "device_name": "Leo's Pixel", "effect": "new_passcode"}
ACCEPTED = AS_KEN | CALL | {"answer": "accepted", "request_id": "graph-reset"}
LOOKER = {"rule": BOTH, "looker": KEN.id, "looker_account": "ken@contoso.com", "looker_oid": "oid-Ken"}
VIEWED = AS_KEN | {"rule": f"requester, {IN_CHANNEL}"}
LINK = {"rule": str(IN_CHANNEL), "team": actor(KEN).team, "expires_at": "2026-03-02T12:10:00.000000Z"}
LINKED = KENS | {"email": "ken@contoso.com", "signed_in_at": utc_text(NOON)}
NOT_KENS = account_of(MEI).as_facts() | {"cause": "wrong_account", "expected": "ken@contoso.com"}
OUT = KENS | {"reason": "asked"}
OWN = account_of(MEI).as_facts() | {"refusal": "own_request"}
CASES: dict[Event, tuple[Callable[[Bot], Awaitable[object]], UserId | None, dict[str, str]]] = {
    Event.REQUESTED: (lambda bot: bot.submit(reason="Locked out", ticket="INC-7"), MEI.id, ASKED),
    Event.VERIFIED: (lambda bot: bot.pending(), None, VERIFIED),
    Event.REFUSED: (_refused, None, {"requester": MEI.id, "cause": "not_a_requester"}),
    Event.REVIEWED: (lambda bot: then(bot.pending(), bot.review), KEN.id, KENS | SEEN),
    Event.APPROVED: (lambda bot: bot.approved(), KEN.id, KENS | CHOSEN),
    Event.DENIED: (lambda bot: then(bot.pending(), bot.deny), KEN.id, BY_RULE | {"reason": "Call him"}),
    Event.WITHDRAWN: (lambda bot: then(bot.pending(), bot.withdraw), MEI.id, {"rule": "requester"}),
    Event.EXPIRED: (_expired, None, {"requester": MEI.id, "expires_at": "2026-03-02T13:00:00.000000Z"}),
    Event.ATTEMPT_STARTED: (lambda bot: bot.sent(), None, AS_KEN | CALL),
    Event.ATTEMPT_ANSWERED: (lambda bot: bot.sent(), None, ACCEPTED),
    Event.REOPENED: (_reopened, None, AS_KEN | {"cause": "sign_in_ended"}),
    Event.LOOKED: (_looked, KEN.id, AS_KEN | LOOKER),
    Event.DONE: (lambda bot: bot.done(passcode=PASSCODE), None, AS_KEN),
    Event.FAILED: (_failed, None, AS_KEN | {"cause": "device_failed", "error_code": "-1"}),
    Event.CLOSED: (lambda bot: then(bot.needs_a_human(), bot.close), KEN.id, BY_RULE),
    Event.ACCESS_REFUSED: (_mei_approves_her_own, MEI.id, OWN),
    Event.PASSCODE_VIEWED: (lambda bot: then(bot.done(passcode=PASSCODE), bot.reveal), MEI.id, VIEWED),
    Event.SIGN_IN_STARTED: (lambda bot: bot.offer(), KEN.id, LINK),
    Event.SIGNED_IN: (lambda bot: _signed_in_as(bot, account_of(KEN)), KEN.id, LINKED),
    Event.SIGN_IN_REFUSED: (lambda bot: outcome(_signed_in_as(bot, account_of(MEI))), KEN.id, NOT_KENS),
    Event.SIGNED_OUT: (lambda bot: sign_in.sign_out(bot.deps, actor(KEN)), KEN.id, OUT),
}
"""What is done, by whom, and what the newest audit row of the event then says."""
BY_OPERATORS = {Event.STARTED, Event.LOG_CREATED, Event.KEY_ADDED, Event.RESUMED}
WITH_A_MOVE = set(CASES) - {
    *(Event.REVIEWED, Event.ACCESS_REFUSED, Event.PASSCODE_VIEWED),
    *(Event.SIGN_IN_STARTED, Event.SIGNED_IN, Event.SIGN_IN_REFUSED, Event.SIGNED_OUT),
}


def test_every_event_of_a_use_case_is_in_the_table():
    assert set(CASES) == set(Event) - BY_OPERATORS


@pytest.mark.parametrize("event", CASES)
async def test_every_event_says_who_as_whom_by_which_rule_and_no_secret(bot, event):
    bot.rules(requesters=(Audience(AudienceKind.USERGROUP, "S0NOBODY"), IN_CHANNEL), approvers=(ON_CALL,))
    bot.intune.found = [LEOS_PHONE, LEOS_TABLET]
    act, by, facts = CASES[event]
    link = await bot.offer()
    await act(bot)
    entry = await bot.entry(event)
    assert (entry.actor, entry.facts) == (by, facts)
    assert NOON <= entry.at <= bot.clock.now()
    assert (entry.version is not None) == (event in WITH_A_MOVE)
    if entry.version is not None:
        assert entry.request_id is not None
        assert entry.version <= (await bot.row(entry.request_id)).version
    log = repr(await bot.entries())
    for secret in (PASSCODE, "token of", "Secret(", link.reveal(), "cache"):
        assert secret not in log


NO_ROW = BAD_INPUT | QUOTAS
GRAPHS = {"status": "400", "code": "BadRequest", "message": "No.", "request_id": "r-1", "activity_id": "a-1"}
TRIED: list[tuple[Exception, dict[str, str] | None]] = [
    *((Refusal(code, by=MEI.id), {"refusal": code, "by": MEI.id}) for code in Code if code not in NO_ROW),
    *((Refusal(code), None) for code in Code if code in NO_ROW),
    *((error, None) for error in (SignInNeeded(), SignInNeeded("{}", stale=True), RecentlyReset(NOON))),
    (DeviceRefused(400, "BadRequest", "No.", "r-1", "a-1"), GRAPHS | {"refusal": "DeviceRefused"}),
]
"""What people are told, and the facts of the row that it leaves, if it leaves one."""


@pytest.mark.parametrize(("error", "facts"), TRIED, ids=str)
async def test_a_refusal_leaves_a_row_with_what_it_rests_on_unless_typed_or_asked_again(bot, error, facts):
    with capture_logs() as logged, pytest.raises(type(error)):
        async with bot.deps.audit_refusals(actor(KEN)):
            raise error
    rows = [] if facts is None else [(Event.ACCESS_REFUSED, KEN.id, KENS | facts)]
    assert [(entry.event, entry.actor, entry.facts) for entry in await bot.entries()] == rows
    lines = [("quota_exceeded", KEN.id)] if error.args[0] in QUOTAS else []
    assert [(line["event"], line["user"]) for line in logged] == lines
