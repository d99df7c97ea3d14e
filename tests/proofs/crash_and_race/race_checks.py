"""What is held against a round at the end: the row, the record, Intune, and what everybody saw."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from bot.domain.audit import Event
from bot.domain.errors import Code, Refusal
from bot.domain.request import ResetRequest, Status
from bot.domain.values import RequestId, utc_text
from bot.slack import blocks as slack_blocks
from bot.slack.messages import card, receipt
from bot.slack.wording import ENGLISH
from bot.timing import Timing
from sandbox.intune.resetting import AcceptedReset
from sandbox.slack.workspace import Message
from tests.proofs.crash_and_race.race_plan import APPROVALS, DENIALS, Kind
from tests.proofs.crash_and_race.race_rounds import Round, Told

WORDS: Final = ENGLISH
DECISIVE: Final[Mapping[Event, Status]] = {
    Event.APPROVED: Status.DONE,
    Event.DENIED: Status.DENIED,
    Event.WITHDRAWN: Status.WITHDRAWN,
    Event.EXPIRED: Status.EXPIRED,
    Event.REFUSED: Status.REFUSED,
}
"""The events that end the waiting, and how the request stands when all is quiet."""
_ON_THE_WAY: Final = (Status.APPROVED, Status.SENT, Status.DONE)


class Wrong(StrEnum):
    """What must not happen, by the words of the last line."""

    LOST = "lost"
    DOUBLED = "doubled"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that went wrong, and what exactly."""

    wrong: Wrong
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundAtRest:
    """One round when all is quiet."""

    round_: Round
    row: ResetRequest
    record: Sequence[tuple[Event, str | None]]
    """Event and actor, oldest first."""
    resets: Sequence[AcceptedReset]
    """Those that Intune accepted for an attempt of this row."""
    cards: Sequence[Message]
    receipts: Sequence[Message]


def faults_of(seen: RoundAtRest) -> Iterator[Fault]:
    """Everything that is wrong with a round."""
    for check in (_outcome, _resets, _messages, _redeliveries, _everybody_told, _losers_recorded):
        yield from check(seen)


def _outcome(seen: RoundAtRest) -> Iterator[Fault]:
    """One decision in the record, by who the row says, and the row has come to its end."""
    decisions = [(event, actor) for event, actor in seen.record if event in DECISIVE]
    if len(decisions) != 1:
        yield Fault(Wrong.DOUBLED if decisions else Wrong.LOST, f"decisions in the record: {decisions}")
        return
    event, actor = decisions[0]
    if seen.row.status is not DECISIVE[event]:
        yield Fault(Wrong.STUCK, f"{event} in the record, and the row is {seen.row.status}")
    if actor != seen.row.decided_by:
        yield Fault(Wrong.DOUBLED, f"{event} by {actor} in the record, by {seen.row.decided_by} in the row")
    if _in_time(seen.row) is not (event is not Event.EXPIRED):
        yield Fault(
            Wrong.LOST,
            f"{event} at {seen.row.decided_at or seen.row.changed_at}, and it ended {seen.row.expires_at}",
        )
    if _winner(seen.row) not in _contenders(seen.round_):
        yield Fault(Wrong.LOST, f"{event} by {actor}, which nobody chose")


def _in_time(row: ResetRequest) -> bool:
    """Whether it was decided before the end of its life."""
    return row.expires_at is not None and (row.decided_at or row.changed_at) < row.expires_at


def _resets(seen: RoundAtRest) -> Iterator[Fault]:
    """One reset, as the approver, where an approval won; none where something else did."""
    starts = sum(event is Event.ATTEMPT_STARTED for event, _ in seen.record)
    won = _winner(seen.row) in APPROVALS
    if max(starts, len(seen.resets)) > won:
        yield Fault(
            Wrong.DOUBLED, f"{starts} attempts and {len(seen.resets)} resets of a {seen.row.status} one"
        )
    if len(seen.resets) < won:
        yield Fault(Wrong.LOST, "approved, and Intune saw no reset")
    approval = seen.row.approval
    for reset in seen.resets:
        if approval is None or (reset.oid, reset.device_id) != (approval.oid, approval.device.id):
            yield Fault(Wrong.DOUBLED, f"reset of {reset.device_id} as {reset.upn}, approved: {approval}")


def _messages(seen: RoundAtRest) -> Iterator[Fault]:
    """One card and one receipt, and each shows the row."""
    for name, found, wanted in (
        ("card", seen.cards, card(seen.row, WORDS)),
        ("receipt", seen.receipts, receipt(seen.row, WORDS, reveal_for=Timing().reveal_for)),
    ):
        if len(found) != 1:
            yield Fault(Wrong.DOUBLED if found else Wrong.LOST, f"{len(found)} {name}s")
        elif not _shows(found[0], wanted):
            yield Fault(Wrong.LOST, f"the {name} says “{found[0].text}” instead of “{wanted.text}”")


def _redeliveries(seen: RoundAtRest) -> Iterator[Fault]:
    """A command that arrives again gets the first one's answer."""
    if seen.row.ref not in seen.round_.asked:
        yield Fault(Wrong.LOST, f"the command was answered “{seen.round_.asked}”")
    for text in seen.round_.asked_again:
        if text != seen.round_.asked:
            yield Fault(Wrong.DOUBLED, f"the command again was answered “{text}”, not “{seen.round_.asked}”")


def _everybody_told(seen: RoundAtRest) -> Iterator[Fault]:
    """The winner reads that it is done; everybody else who decided what, and when."""
    yield from (Fault(Wrong.STUCK, f"no answer to {what}") for what in seen.round_.unanswered)
    if seen.round_.stuck:
        yield Fault(Wrong.STUCK, f"waited in vain until {seen.round_.stuck}")
        return
    truths = _truths(seen.row)
    if seen.round_.plan.expires_after is not None:
        # True too a moment before a decision is stored that was made in time.
        truths.add(_told(Refusal(Code.REQUEST_EXPIRED)))
    for kind, windows in seen.round_.told.items():
        own = _own(kind, seen.row)
        for told in windows:
            if not (own(told) or told in truths):
                yield Fault(Wrong.LOST, f"{kind} was told {told} about a {seen.row.status} one")


def _losers_recorded(seen: RoundAtRest) -> Iterator[Fault]:
    """Every delivery of a decision that came too late left a row in the record."""
    winner = _winner(seen.row)
    delivered = Counter({kind: len(stops) for kind, stops in seen.round_.plan.submitted.items()})
    delivered[Kind.WITHDRAWN] = len(seen.round_.plan.withdrawn)
    # The approver's own second submission is answered with the approval; where the clock took part it may
    # also find the time over a moment before the first one is stored.
    clock = seen.round_.plan.expires_after is not None
    own = delivered[winner] if winner in APPROVALS else min(1, delivered[winner])
    least = delivered.total() - own
    most = delivered.total() - 1 if clock and winner in APPROVALS else least
    refused = sum(event is Event.ACCESS_REFUSED for event, _ in seen.record)
    if not least <= refused <= most:
        yield Fault(Wrong.LOST, f"{refused} of {least} late decisions are in the record")


def _contenders(round_: Round) -> set[Kind]:
    plan = round_.plan
    clock = {Kind.EXPIRED} if plan.expires_after is not None else set()
    return {*plan.submitted, *clock, *([Kind.WITHDRAWN] if plan.withdrawn else [])}


def _winner(row: ResetRequest) -> Kind | None:
    if row.status in (Status.WITHDRAWN, Status.EXPIRED):
        return Kind.WITHDRAWN if row.status is Status.WITHDRAWN else Kind.EXPIRED
    hands = DENIALS if row.status is Status.DENIED else APPROVALS
    return next((kind for kind, user in hands.items() if user == row.decided_by), None)


def _own(kind: Kind, row: ResetRequest) -> Callable[[Told], bool]:
    """What the winner's own window may say besides."""
    titles = {True: WORDS.text("approved.title"), False: WORDS.text("denied.title")}
    return lambda told: kind == _winner(row) and told.title == titles[kind in APPROVALS]


def _truths(row: ResetRequest) -> set[Told]:
    """Every sentence that is true of who decided what, when."""
    statuses = _ON_THE_WAY if row.status in _ON_THE_WAY else (row.status,)
    facts = {"by": row.decided_by or "", "at": utc_text(row.decided_at or row.changed_at)}
    return {_told(Refusal(Code.ALREADY_DECIDED, status=status, **facts)) for status in statuses}


def _told(refusal: Refusal) -> Told:
    return Told(WORDS.title(refusal), WORDS.error(refusal))


def _shows(message: Message, wanted: slack_blocks.Message) -> bool:
    return message.text == wanted.text and _plain(message.blocks) == _plain(wanted.blocks)


def _plain(blocks: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """Without the ids that Slack adds."""
    return [{name: value for name, value in block.items() if name != "block_id"} for block in blocks or ()]


def strangers(resets: Sequence[AcceptedReset], attempts: Mapping[str, RequestId]) -> Iterator[Fault]:
    """Resets for which no row has an attempt."""
    for reset in resets:
        if reset.client_request_id not in attempts:
            yield Fault(Wrong.DOUBLED, f"a reset as {reset.upn} at {reset.at} that nobody approved")
