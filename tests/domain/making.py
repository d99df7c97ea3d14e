"""Requests in every state, for tests of the moves."""

from dataclasses import replace
from datetime import timedelta

from bot.domain.device import Effect
from bot.domain.identifiers import RequestId
from bot.domain.request import Approval, Attempt, ResetRequest, Status, Timing
from bot.domain.target import Target, TargetKind
from tests.fakes.clock import NOON
from tests.fakes.devices import LEOS_PHONE
from tests.fakes.people import KEN, MEI, TEAM

TIMING = Timing()
LATER = NOON + timedelta(minutes=1)

RECEIVED = ResetRequest(
    id=RequestId("a1b2c3" + "0" * 26),
    delivery="trigger-1",
    team=TEAM,
    asked_by=MEI.id,
    asked_by_team=TEAM,
    asked_at=NOON,
    changed_at=NOON,
    next_at=NOON,
    target=Target(TargetKind.PERSON, "leo@contoso.com"),
    reason="Locked out",
)
APPROVAL = Approval(
    by=KEN.id,
    oid="oid-Ken",
    username="ken@contoso.com",
    at=NOON,
    device=LEOS_PHONE,
    effect=Effect.NEW_PASSCODE,
)
ATTEMPT = Attempt(number=1, started_at=NOON, client_request_id="call-1")


def a_request(status: Status, **changes: object) -> ResetRequest:
    """A request in `status`, with all that a row in it may carry."""
    values: dict[str, object] = {"status": status}
    if status is Status.PENDING:
        values |= {"expires_at": NOON + TIMING.lifetime}
    if status in (Status.APPROVED, Status.SENT, Status.UNCERTAIN, Status.DONE, Status.FAILED):
        values |= {"approval": APPROVAL, "decided_by": KEN.id, "decided_at": NOON}
    if status in (Status.SENT, Status.UNCERTAIN, Status.DONE, Status.FAILED):
        values |= {"attempt": ATTEMPT, "attempts": 1}
    if status is Status.UNCERTAIN:
        values |= {"next_at": None}
    return replace(RECEIVED, **(values | changes))  # type: ignore[arg-type]  # a test names the fields it changes
