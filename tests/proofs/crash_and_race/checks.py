"""What must not happen, counted from what Slack and Intune saw and from the rows that the bots left.

Lost: what a person was told, or what was decided, is not there. Doubled: a reset, a decision or a message
more than was asked for. Stuck: a request that goes on only if a person helps.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, get_args

from bot.domain.audit import Entry, Event
from bot.domain.request import ResetRequest, Status
from bot.domain.values import utc_text
from bot.slack import blocks
from bot.slack.messages import card, receipt
from bot.slack.notifier import CARD, RECEIPT
from bot.slack.wording import ENGLISH
from bot.store.database import Database
from bot.store.requests import read_request
from bot.store.tables import audit, requests
from bot.timing import Timing
from sandbox.app import Sandbox
from sandbox.cast import ON_CALL
from sandbox.slack.workspace import Message
from sqlalchemy import Connection, select
from tests.support.database import entry_of

ACKNOWLEDGED = re.compile(r"Request ([0-9A-F]{6}) sent")
DECIDED = frozenset({Event.APPROVED, Event.DENIED, Event.WITHDRAWN, Event.EXPIRED, Event.REFUSED})
NEXT: Mapping[Event, AbstractSet[Event]] = {
    Event.REQUESTED: {Event.VERIFIED, Event.REFUSED},
    Event.VERIFIED: DECIDED,
    Event.REOPENED: DECIDED,
    Event.APPROVED: {Event.ATTEMPT_STARTED, Event.REOPENED},
    Event.ATTEMPT_STARTED: {Event.ATTEMPT_ANSWERED},
    # By the answer: sent on, tried again, waiting again, looked for, or left to a human.
    Event.ATTEMPT_ANSWERED: DECIDED
    | {Event.ATTEMPT_STARTED, Event.REOPENED, Event.ATTEMPT_ANSWERED}
    | {Event.DONE, Event.FAILED, Event.CLOSED},
}
"""What may come next among the moves of one request; after any other event nothing comes."""
Kind = Literal["lost", "doubled", "stuck"]
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
    def counts(self) -> list[int]:
        return [sum(kind is wanted for kind, _ in self.faults) for wanted in get_args(Kind)]


@dataclass(frozen=True)
class Stored:
    rows: dict[str, ResetRequest] = field(default_factory=dict)
    to_publish: set[str] = field(default_factory=set)
    unclaimed: set[str] = field(default_factory=set)
    """Forged rows that no worker has looked at."""
    log: defaultdict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))

    def busy(self) -> list[ResetRequest]:
        """Return the requests about which something is left to do without a person.

        A receipt that follows the first request is looked at again until that is over, which takes a person.
        """
        return [
            row
            for row in self.rows.values()
            if (row.id in self.to_publish and ((first := self.first(row)) is None or first.is_over))
            or not (row.is_over or row.needs_a_human or row.status is Status.PENDING)
        ]

    def first(self, row: ResetRequest) -> ResetRequest | None:
        """Return the request that had the target before this one, where it was refused for that."""
        return self.rows.get(row.cause.facts.get("first", "")) if row.cause else None


async def read(database: Database, but: Container[str] = ()) -> Stored:
    """Read the database beside the bots, all but forged rows."""

    def rows(connection: Connection) -> Stored:
        stored = Stored()
        for row in connection.execute(select(requests)):
            if row.id in but:
                if row.advance_leased_until is None:
                    stored.unclaimed.add(row.id)
                continue
            stored.rows[row.id] = read_request(row)
            ends = stored.rows[row.id].reveal_ends(Timing().reveal_for)  # its receipt is due again then
            planned = (None, ends and utc_text(ends))
            if row.publish_at not in planned:  # a dead process's lease on another row holds nothing up
                stored.to_publish.add(row.id)
        for row in connection.execute(select(audit).order_by(audit.c.seq)):
            if row.request_id:
                stored.log[row.request_id].append(entry_of(row))
        return stored

    return await database.read(rows)


def check(
    sandbox: Sandbox, stored: Stored, *, forms: Iterable[str] = (), told: Iterable[tuple[str, str, str]] = ()
) -> Findings:
    """Hold what people were told, what Intune did and what Slack shows against what is stored.

    `forms`: the views of requests that closed. `told`: who was told that they approved or denied what.
    """
    findings = Findings(seen=Counter(str(row.status) for row in stored.rows.values()))
    findings.seen["resets"] = len(sandbox.intune.resets)
    findings.faults += [
        *_unknown_requests(sandbox, forms, stored),
        *_forgotten_decisions(told, stored),
        *_wrong_resets(sandbox, stored),
        *_wrong_lives(stored),
        *_wrong_ends(sandbox, stored, findings.seen),
        *_wrong_messages(sandbox, stored),
        *_doubled_lines(sandbox),
    ]
    return findings


def _unknown_requests(sandbox: Sandbox, forms: Iterable[str], stored: Stored) -> Iterator[Fault]:
    refs = {row.ref for row in stored.rows.values()}
    for message in (said for heard in sandbox.slack.workspace.ephemerals.values() for said in heard):
        if (found := ACKNOWLEDGED.search(message.text)) and found[1] not in refs:
            yield "lost", f"request {found[1]} was acknowledged and is not stored"
    for form in set(forms) - {row.delivery.partition(":")[0] for row in stored.rows.values()}:
        yield "lost", f"form {form} was taken and is not stored"
    for id_ in stored.log.keys() - stored.rows.keys():
        yield "lost", f"request {id_} is in the audit log and not stored"


def _forgotten_decisions(told: Iterable[tuple[str, str, str]], stored: Stored) -> Iterator[Fault]:
    for user, what, request in told:
        events = {(entry.actor, entry.event) for entry in stored.log[request]}
        # "Approved" is also said where the first attempt turned out to have arrived.
        if not {(user, what), (user, Event.ATTEMPT_ANSWERED)} & events:
            yield "lost", f"{user} was told that {request} is {what}; the audit log does not say so"


def _wrong_resets(sandbox: Sandbox, stored: Stored) -> Iterator[Fault]:
    """Every reset is one logged attempt, after an approval of this account and device, once each."""
    approvals: dict[str, Entry] = {}
    for log in stored.log.values():
        newest = None
        for entry in log:
            newest = entry if entry.event is Event.APPROVED else newest
            if entry.event is Event.ATTEMPT_STARTED and newest:
                approvals[entry.facts["client_request_id"]] = newest
    used: Counter[tuple[str | None, int | None]] = Counter()
    for reset in sandbox.intune.resets:
        approval = approvals.get(reset.client_request_id)
        if approval is None:
            yield "doubled", f"{reset.device_id} was reset as {reset.upn}; no approved attempt explains it"
            continue
        used[approval.request_id, approval.version] += 1
        if (approval.facts["oid"], approval.facts["device"]) != (reset.oid, reset.device_id):
            yield "doubled", f"request {approval.request_id}: not the account or the device approved"
    for (request, _), times in used.items():
        if times > 1:
            yield "doubled", f"request {request}: {times} resets for one approval"


def _wrong_lives(stored: Stored) -> Iterator[Fault]:
    """The audit log of each request is one life: one decision at a time, one end, and the row's."""
    for id_, row in stored.rows.items():
        life = [entry.event for entry in stored.log[id_] if entry.version is not None]
        lived = f"request {id_}: {' '.join(life)}"
        if life[:1] != [Event.REQUESTED]:
            yield "doubled", f"{lived}: so no request begins"
        for one, following in pairwise(life):
            if following not in NEXT.get(one, ()):
                yield "doubled", f"{lived}: {following} after {one}"
                break
        if row.is_over and row.status is not Status.FAILED and life[-1:] != [row.status.value]:
            yield "lost", f"{lived}: it is {row.status}"


def _wrong_ends(sandbox: Sandbox, stored: Stored, seen: Counter[str]) -> Iterator[Fault]:
    """Everything came to an end, and done is said only of what Intune did.

    Intune does not say whose a reset was. Where an attempt is lost and another request resets the same device
    soon after, that reset is taken for the lost one; the phone was reset, so this is counted apart.
    """
    resets = sandbox.intune.resets
    arrived = {reset.client_request_id for reset in resets}
    busy = stored.busy()
    for id_, row in stored.rows.items():
        started = [entry for entry in stored.log[id_] if entry.event is Event.ATTEMPT_STARTED]
        attempts = {entry.facts["client_request_id"] for entry in started}
        device = row.approval and row.approval.device.id
        if row in busy:
            yield "stuck", f"request {id_} is still {row.status}, {id_ in stored.to_publish=}"
        elif row.status is Status.PENDING:
            yield "stuck", f"request {id_} waits, and nobody could decide it"
        elif row.attempt and row.needs_a_human and row.attempt.client_request_id in arrived:
            yield "stuck", f"request {id_} needs a human, though its attempt arrived"
        elif row.is_over and row.next_at is not None:
            yield "stuck", f"request {id_} is {row.status}, and due at {row.next_at}"
        elif row.status is not Status.DONE or attempts & arrived:
            pass
        elif any(reset.device_id == device and row.is_ours(reset.at, timing=Timing()) for reset in resets):
            seen["done by another request's reset"] += 1
        else:
            yield "lost", f"request {id_} says done, and no attempt of it arrived"


def _wrong_messages(sandbox: Sandbox, stored: Stored) -> Iterator[Fault]:
    """One receipt to who asked, and one card of what was verified; each shows what the row says now."""
    workspace = sandbox.slack.workspace
    posted: dict[tuple[str, str], list[Message]] = defaultdict(list)
    for channel, conversation in workspace.conversations.items():
        for message in conversation.messages.values():
            if id_ := request_of(message):
                posted[id_, channel].append(message)
    for id_, row in stored.rows.items():
        direct = workspace.people[row.asked_by].direct
        told = receipt(row, ENGLISH, reveal_for=Timing().reveal_for, first=stored.first(row))
        wanted = {direct: told}
        if any(entry.event is Event.VERIFIED for entry in stored.log[id_]):
            wanted[ON_CALL] = card(row, ENGLISH)
        for channel, message in wanted.items():
            found = posted.pop((id_, channel), [])
            if len(found) != 1:
                kind = "doubled" if found else "stuck"
                yield kind, f"{len(found)} messages about {id_} ({row.status}) in {channel}"
            elif not _shows(found[0], message):
                yield "stuck", f"{channel} shows “{found[0].text}” of a {row.status} {id_}"
    for id_, channel in posted:
        yield "doubled", f"a message about {id_} in {channel} that should not be there"


def _doubled_lines(sandbox: Sandbox) -> Iterator[Fault]:
    """What tells of one version of a request is said once in each place."""
    said = Counter(
        json.dumps(message.metadata, sort_keys=True)
        for conversation in sandbox.slack.workspace.conversations.values()
        for message in conversation.messages.values()
        if message.metadata and not request_of(message)
    )
    yield from (("doubled", f"{count} times {line}") for line, count in said.items() if count > 1)


def request_of(message: Message) -> str:
    """Return which request a message is the card or the receipt of, if it is one."""
    payload = (message.metadata or {}).get("event_payload", {})
    return str(payload.get("request_id", "")) if payload.get("part") in (CARD, RECEIPT) else ""


def _shows(posted: Message, wanted: blocks.Message) -> bool:
    """Slack adds an id to every block."""
    without = [{name: part for name, part in b.items() if name != "block_id"} for b in posted.blocks or ()]
    return posted.text == wanted.text and without == json.loads(json.dumps(wanted.blocks))
