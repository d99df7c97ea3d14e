"""What is held against a round at the end: the row, the record, Intune, and what everybody saw."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from bot.domain.errors import AlreadyDecided, TooLate
from bot.domain.identifiers import ChannelId, RequestId
from bot.domain.record import Event
from bot.domain.request import ResetRequest, Status
from bot.slack import message as slack_message
from bot.slack.cards import card
from bot.slack.receipts import receipt
from bot.slack.wording import ENGLISH
from sandbox.cast import ON_CALL
from sandbox.intune.resetting import AcceptedReset
from sandbox.slack.workspace import Message
from tests.race.plan import APPROVALS, DENIALS, Kind
from tests.race.playing import Played, Told

WORDS: Final = replace(ENGLISH, approver_channel=ChannelId(ON_CALL))
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
class Evidence:
    """One round when all is quiet."""

    played: Played
    row: ResetRequest
    record: Sequence[tuple[Event, str | None]]
    """Event and actor, oldest first."""
    resets: Sequence[AcceptedReset]
    """Those that Intune accepted for an attempt of this row."""
    cards: Sequence[Message]
    receipts: Sequence[Message]


def faults_of(seen: Evidence) -> Iterator[Fault]:
    """Everything that is wrong with a round."""
    for check in (_outcome, _resets, _messages, _redeliveries, _everybody_told, _losers_recorded):
        yield from check(seen)


def _outcome(seen: Evidence) -> Iterator[Fault]:
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
    if _winner(seen.row) not in _contenders(seen.played):
        yield Fault(Wrong.LOST, f"{event} by {actor}, which nobody chose")


def _in_time(row: ResetRequest) -> bool:
    """Whether it was decided before the end of its life."""
    return row.expires_at is not None and (row.decided_at or row.changed_at) < row.expires_at


def _resets(seen: Evidence) -> Iterator[Fault]:
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


def _messages(seen: Evidence) -> Iterator[Fault]:
    """One card and one receipt, and each shows the row."""
    for name, found, wanted in (
        ("card", seen.cards, card(seen.row, WORDS)),
        ("receipt", seen.receipts, receipt(seen.row, WORDS)),
    ):
        if len(found) != 1:
            yield Fault(Wrong.DOUBLED if found else Wrong.LOST, f"{len(found)} {name}s")
        elif not _shows(found[0], wanted):
            yield Fault(Wrong.LOST, f"the {name} says “{found[0].text}” instead of “{wanted.text}”")


def _redeliveries(seen: Evidence) -> Iterator[Fault]:
    """A command that arrives again gets the first one's answer."""
    if seen.row.ref not in seen.played.asked:
        yield Fault(Wrong.LOST, f"the command was answered “{seen.played.asked}”")
    for text in seen.played.asked_again:
        if text != seen.played.asked:
            yield Fault(Wrong.DOUBLED, f"the command again was answered “{text}”, not “{seen.played.asked}”")


def _everybody_told(seen: Evidence) -> Iterator[Fault]:
    """The winner reads that it is done; everybody else who decided what, and when."""
    yield from (Fault(Wrong.STUCK, f"no answer to {what}") for what in seen.played.unanswered)
    if seen.played.stuck:
        yield Fault(Wrong.STUCK, f"waited in vain until {seen.played.stuck}")
        return
    truths = _truths(seen.row)
    if seen.played.plan.expires_after is not None:
        # True too a moment before a decision is stored that was made in time.
        truths.add(Told(WORDS.refused_title, WORDS.refusal(TooLate())))
    for kind, windows in seen.played.told.items():
        own = _own(kind, seen.row)
        for told in windows:
            if not (own(told) or told in truths):
                yield Fault(Wrong.LOST, f"{kind} was told {told} about a {seen.row.status} one")


def _losers_recorded(seen: Evidence) -> Iterator[Fault]:
    """Every delivery of a decision that came too late left a row in the record."""
    winner = _winner(seen.row)
    delivered = Counter({kind: len(stops) for kind, stops in seen.played.plan.submitted.items()})
    delivered[Kind.WITHDRAWN] = len(seen.played.plan.withdrawn)
    # The approver's own second submission is answered with the approval; where the clock took part it may
    # also find the time over a moment before the first one is stored.
    clock = seen.played.plan.expires_after is not None
    own = delivered[winner] if winner in APPROVALS else min(1, delivered[winner])
    least = delivered.total() - own
    most = delivered.total() - 1 if clock and winner in APPROVALS else least
    refused = sum(event is Event.TRY_REFUSED for event, _ in seen.record)
    if not least <= refused <= most:
        yield Fault(Wrong.LOST, f"{refused} of {least} late decisions are in the record")


def _contenders(played: Played) -> set[Kind]:
    plan = played.plan
    clock = {Kind.EXPIRED} if plan.expires_after is not None else set()
    return {*plan.submitted, *clock, *([Kind.WITHDRAWN] if plan.withdrawn else [])}


def _winner(row: ResetRequest) -> Kind | None:
    if row.status in (Status.WITHDRAWN, Status.EXPIRED):
        return Kind.WITHDRAWN if row.status is Status.WITHDRAWN else Kind.EXPIRED
    hands = DENIALS if row.status is Status.DENIED else APPROVALS
    return next((kind for kind, user in hands.items() if user == row.decided_by), None)


def _own(kind: Kind, row: ResetRequest) -> Callable[[Told], bool]:
    """What the winner's own window may say besides."""
    titles = {True: WORDS.approved_title, False: WORDS.denied_title}
    return lambda told: kind == _winner(row) and told.title == titles[kind in APPROVALS]


def _truths(row: ResetRequest) -> set[Told]:
    """Every sentence that is true of who decided what, when."""
    statuses = _ON_THE_WAY if row.status in _ON_THE_WAY else (row.status,)
    decided_at = row.decided_at or row.changed_at
    errors = [AlreadyDecided(status, row.decided_by, decided_at) for status in statuses]
    return {Told(WORDS.refused_title, WORDS.refusal(error)) for error in errors}


def _shows(message: Message, wanted: slack_message.Message) -> bool:
    return message.text == wanted.text and _plain(message.blocks) == _plain(wanted.blocks)


def _plain(blocks: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """Without the ids that Slack adds."""
    return [{name: value for name, value in block.items() if name != "block_id"} for block in blocks or ()]


def strangers(resets: Sequence[AcceptedReset], attempts: Mapping[str, RequestId]) -> Iterator[Fault]:
    """Resets for which no row has an attempt."""
    for reset in resets:
        if reset.client_request_id not in attempts:
            yield Fault(Wrong.DOUBLED, f"a reset as {reset.upn} at {reset.at} that nobody approved")
