"""What must not happen, counted from what Slack and Intune saw and from the rows that the bots left.

Lost: what a person was told, or what was decided, is not there. Doubled: a reset, a decision or a message
more than was asked for. Stuck: a request that goes on only if a person helps.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from bot.domain.audit import Event
from bot.domain.request import ResetRequest, Status
from bot.slack import blocks
from bot.slack.messages import card, receipt
from bot.slack.wording import ENGLISH
from bot.store.database import Database
from bot.store.requests import read_request
from bot.store.tables import audit, requests
from bot.timing import Timing
from sandbox.app import Sandbox
from sandbox.cast import ON_CALL
from sandbox.intune.resetting import AcceptedReset
from sandbox.slack.workspace import Message
from sqlalchemy import Connection, select

ACKNOWLEDGED = re.compile(r"Request ([0-9A-F]{6}) sent")
DECIDED = frozenset({Event.APPROVED, Event.DENIED, Event.WITHDRAWN, Event.EXPIRED, Event.REFUSED})
NEXT: Mapping[Event, frozenset[Event]] = {
    Event.REQUESTED: frozenset({Event.VERIFIED, Event.REFUSED}),
    Event.VERIFIED: DECIDED,
    Event.REOPENED: DECIDED,
    Event.APPROVED: frozenset({Event.ATTEMPT_STARTED, Event.REOPENED}),
    Event.ATTEMPT_STARTED: frozenset({Event.ATTEMPT_ANSWERED}),
    # By the answer: sent on, tried again, waiting again, looked for, or left to a human.
    Event.ATTEMPT_ANSWERED: DECIDED
    | {Event.ATTEMPT_STARTED, Event.REOPENED, Event.ATTEMPT_ANSWERED}
    | {Event.DONE, Event.FAILED, Event.CLOSED},
}
"""What may come next in the audit log of one request; after any other event of a move nothing comes."""
BESIDE = frozenset({Event.REVIEWED, Event.ACCESS_REFUSED, Event.PASSCODE_VIEWED, Event.SIGN_IN_STARTED}) | {
    *(Event.SIGNED_IN, Event.SIGN_IN_REFUSED, Event.SIGNED_OUT)
}
"""Events that move nothing."""


class Kind(StrEnum):
    """What must not happen, by the words of the last line."""

    LOST = "lost"
    DOUBLED = "doubled"
    STUCK = "stuck"


Fault = tuple[Kind, str]


@dataclass
class Findings:
    """What went wrong, and how many requests ended how: a run in which nothing happened is no good one."""

    faults: list[Fault] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Findings") -> None:
        self.faults += other.faults
        self.seen += other.seen

    @property
    def counts(self) -> Sequence[int]:
        """How many are lost, doubled and stuck."""
        return [sum(kind is wanted for kind, _ in self.faults) for wanted in Kind]

    def __str__(self) -> str:
        return ", ".join(f"{count} {what}" for what, count in sorted(self.seen.items()))


@dataclass(frozen=True)
class Row:
    """One request as stored."""

    request: ResetRequest
    to_publish: bool

    @property
    def rests(self) -> bool:
        """Whether nothing is left to do without a person."""
        waits = self.request.status is Status.PENDING or self.request.needs_a_human
        return not self.to_publish and (self.request.is_over or waits)


@dataclass(frozen=True)
class Logged:
    """One row of the audit log."""

    event: Event
    actor: str | None
    facts: Mapping[str, str]


@dataclass
class Stored:
    """Everything that is stored, by request."""

    rows: dict[str, Row] = field(default_factory=dict)
    log: dict[str, list[Logged]] = field(default_factory=lambda: defaultdict(list))


async def read(database: Database) -> Stored:
    """Read the database beside the bots."""

    def rows(connection: Connection) -> Stored:
        stored = Stored()
        for row in connection.execute(select(requests)):
            # A dead process's lease may stay on a row that nothing is due on: it holds nothing up.
            stored.rows[row.id] = Row(read_request(row), row.publish_at is not None)
        for row in connection.execute(select(audit).order_by(audit.c.seq)):
            if row.request_id:
                logged = Logged(Event(row.event), row.actor, json.loads(row.facts))
                stored.log[row.request_id].append(logged)
        return stored

    return await database.read(rows)


def check(
    sandbox: Sandbox, stored: Stored, *, forms: Iterable[str] = (), told: Iterable[tuple[str, str, str]] = ()
) -> Findings:
    """Hold what people were told, what Intune did and what Slack shows against what is stored.

    `forms`: the views of requests that closed. `told`: who was told that they approved or denied what.
    """
    resets = sandbox.intune.resets
    findings = Findings(seen=Counter(str(row.request.status) for row in stored.rows.values()))
    findings.seen["resets"] = len(resets)
    findings.faults += [
        *_unknown_requests(sandbox, forms, stored),
        *_forgotten_decisions(told, stored),
        *_wrong_resets(resets, stored),
        *_wrong_lives(stored),
        *_unfinished(resets, stored),
        *_never_arrived(resets, stored, findings.seen),
        *_wrong_messages(sandbox, stored),
    ]
    return findings


def _unknown_requests(sandbox: Sandbox, forms: Iterable[str], stored: Stored) -> Iterator[Fault]:
    refs = {row.request.ref for row in stored.rows.values()}
    for messages in sandbox.slack.workspace.ephemerals.values():
        for found in filter(None, (ACKNOWLEDGED.search(message.text) for message in messages)):
            if found[1] not in refs:
                yield Kind.LOST, f"request {found[1]} was acknowledged and is not stored"
    deliveries = Counter(row.request.delivery for row in stored.rows.values())
    for form in forms:
        if form not in deliveries:
            yield Kind.LOST, f"form {form} was taken and is not stored"


def _forgotten_decisions(told: Iterable[tuple[str, str, str]], stored: Stored) -> Iterator[Fault]:
    for user, what, request in told:
        events = {(logged.actor, logged.event) for logged in stored.log[request]}
        # "Approved" is also said where the first attempt turned out to have arrived.
        if (user, what) not in events and (user, Event.ATTEMPT_ANSWERED) not in events:
            yield Kind.LOST, f"{user} was told that {request[:6]} is {what}; the audit log does not say so"


def _wrong_resets(resets: Sequence[AcceptedReset], stored: Stored) -> Iterator[Fault]:
    """Every reset is one logged attempt, after an approval of this account and device, once each."""
    approvals = _approval_of_attempts(stored)
    used: Counter[tuple[str, int]] = Counter()
    for reset in resets:
        found = approvals.get(reset.client_request_id)
        if found is None:
            yield (
                Kind.DOUBLED,
                f"a reset of {reset.device_id} as {reset.upn} that no approved attempt explains",
            )
            continue
        request, number, facts = found
        used[request, number] += 1
        if (facts["oid"], facts["device"]) != (reset.oid, reset.device_id):
            yield (
                Kind.DOUBLED,
                f"request {request[:6]}: another account or device was used than was approved",
            )
    for (request, _), times in used.items():
        if times > 1:
            yield Kind.DOUBLED, f"request {request[:6]}: {times} resets for one approval"


def _approval_of_attempts(stored: Stored) -> dict[str, tuple[str, int, Mapping[str, str]]]:
    """By client-request-id: the request, the how many-th approval, and what was approved."""
    found: dict[str, tuple[str, int, Mapping[str, str]]] = {}
    for request, log in stored.log.items():
        approvals: list[Mapping[str, str]] = []
        for logged in log:
            if logged.event is Event.APPROVED:
                approvals.append(logged.facts)
            elif logged.event is Event.ATTEMPT_STARTED and approvals:
                found[logged.facts["client_request_id"]] = (request, len(approvals), approvals[-1])
    return found


def _wrong_lives(stored: Stored) -> Iterator[Fault]:
    """The audit log of each request is one life: one decision at a time, one end, and the row's."""
    for id_, row in stored.rows.items():
        life = [logged.event for logged in stored.log[id_] if logged.event not in BESIDE]
        if life[:1] != [Event.REQUESTED]:
            yield Kind.DOUBLED, f"request {id_[:6]} begins with {life[:1]}"
        for one, following in pairwise(life):
            if following not in NEXT.get(one, ()):
                yield Kind.DOUBLED, f"request {id_[:6]}: {following} after {one} ({' '.join(life)})"
                break
        status = row.request.status
        if row.request.is_over and status is not Status.FAILED and life[-1:] != [status.value]:
            yield Kind.LOST, f"request {id_[:6]} is {status} after {' '.join(life)}"
    for id_ in stored.log.keys() - stored.rows.keys():
        yield Kind.LOST, f"request {id_[:6]} is in the audit log and not stored"


def _unfinished(resets: Sequence[AcceptedReset], stored: Stored) -> Iterator[Fault]:
    arrived = {reset.client_request_id for reset in resets}
    for row in stored.rows.values():
        request = row.request
        if not row.rests:
            yield Kind.STUCK, f"request {request.id[:6]} is still {request.status}, {row.to_publish=}"
        elif request.status is Status.PENDING:
            yield Kind.STUCK, f"request {request.id[:6]} waits, and nobody could decide it"
        elif request.attempt and request.needs_a_human and request.attempt.client_request_id in arrived:
            yield Kind.STUCK, f"request {request.id[:6]} needs a human, though its attempt arrived"
        elif request.is_over and request.next_at is not None:
            yield Kind.STUCK, f"request {request.id[:6]} is {request.status}, and due at {request.next_at}"


def _never_arrived(resets: Sequence[AcceptedReset], stored: Stored, seen: Counter[str]) -> Iterator[Fault]:
    """Done is said only of what Intune did.

    Intune does not say whose a reset was. Where an attempt is lost and another request resets the same device
    soon after, that reset is taken for the lost one; the phone was reset, so this is counted apart.
    """
    arrived = {reset.client_request_id for reset in resets}
    for id_, row in stored.rows.items():
        request, log = row.request, stored.log[id_]
        attempts = {one.facts["client_request_id"] for one in log if one.event is Event.ATTEMPT_STARTED}
        if request.status is not Status.DONE or attempts & arrived:
            continue
        if any(_may_be_taken_for_ours(reset, request) for reset in resets):
            seen["done by another request's reset"] += 1
        else:
            yield Kind.LOST, f"request {id_[:6]} says done, and no attempt of it arrived"


def _may_be_taken_for_ours(reset: AcceptedReset, request: ResetRequest) -> bool:
    same = request.approval is not None and reset.device_id == request.approval.device.id
    return same and request.is_ours(reset.at, timing=Timing())


def _wrong_messages(sandbox: Sandbox, stored: Stored) -> Iterator[Fault]:
    """One receipt to who asked, and one card of what was verified; each shows what the row says now."""
    posted: dict[tuple[str, str], list[Message]] = defaultdict(list)
    for channel, conversation in sandbox.slack.workspace.conversations.items():
        for message in conversation.messages.values():
            if id_ := request_of(message):
                posted[id_, channel].append(message)
    for id_, row in stored.rows.items():
        request, people = row.request, sandbox.slack.workspace.people
        wanted = {people[request.asked_by].direct: receipt(request, ENGLISH, reveal_for=Timing().reveal_for)}
        if any(logged.event is Event.VERIFIED for logged in stored.log[id_]):
            wanted[ON_CALL] = card(request, ENGLISH)
        for channel, message in wanted.items():
            found = posted.pop((id_, channel), [])
            if len(found) != 1:
                kind = Kind.DOUBLED if found else Kind.STUCK
                yield kind, f"{len(found)} messages about {id_[:6]} ({request.status}) in {channel}"
            elif not _shows(found[-1], message):
                yield Kind.STUCK, f"{channel} shows “{found[-1].text}” of a {request.status} {id_[:6]}"
    for id_, channel in posted:
        yield Kind.DOUBLED, f"a message about {id_[:6]} in {channel} that should not be there"


def request_of(message: Message) -> str:
    """Return which request a message is the card or the receipt of, if it is one."""
    return str((message.metadata or {}).get("event_payload", {}).get("request_id", ""))


def _shows(posted: Message, wanted: blocks.Message) -> bool:
    """Slack adds an id to every block."""
    shown = [
        {name: part for name, part in block.items() if name != "block_id"} for block in posted.blocks or ()
    ]
    return posted.text == wanted.text and shown == json.loads(json.dumps(wanted.blocks))
