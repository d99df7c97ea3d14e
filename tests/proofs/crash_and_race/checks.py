"""What went wrong, counted from what the sandbox saw and from the rows that the bot left."""

import html
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

from bot.domain.audit import Event
from bot.domain.request import MessageState, ResetRequest, Status
from bot.slack.blocks import Message
from bot.slack.messages import card, receipt
from bot.slack.wording import ENGLISH
from bot.store.database import Database
from bot.store.requests import read_messages, read_request
from bot.store.tables import audit, requests
from bot.timing import Timing
from sqlalchemy import Connection, select
from tests.proofs.crash_and_race.user_actions import ON_CALL, Json, People, direct

_REF = re.compile(r"Request ([0-9A-F]{6}) sent")

_DECIDED = frozenset({Event.APPROVED, Event.DENIED, Event.WITHDRAWN, Event.EXPIRED, Event.REFUSED})
NEXT: Mapping[str, frozenset[str]] = {
    Event.REQUESTED: frozenset({Event.VERIFIED, Event.REFUSED}),
    Event.VERIFIED: _DECIDED,
    Event.REOPENED: _DECIDED,
    Event.APPROVED: frozenset({Event.ATTEMPT_STARTED, Event.REOPENED}),
    Event.ATTEMPT_STARTED: frozenset({Event.ATTEMPT_ANSWERED}),
    # By the answer: sent on, tried again, waiting again, looked for, or left to a human.
    Event.ATTEMPT_ANSWERED: _DECIDED
    | {Event.ATTEMPT_STARTED, Event.REOPENED, Event.ATTEMPT_ANSWERED}
    | {Event.DONE, Event.FAILED, Event.CLOSED},
}
"""What may come next on the record of one request; after anything else nothing comes."""
_BESIDE = frozenset(
    {
        Event.REVIEWED,
        Event.ACCESS_REFUSED,
        Event.PASSCODE_VIEWED,
        Event.SIGN_IN_STARTED,
        Event.SIGNED_IN,
        Event.SIGN_IN_REFUSED,
        Event.SIGNED_OUT,
    }
)


@dataclass(frozen=True)
class Row:
    """One request as stored."""

    request: ResetRequest
    messages: MessageState
    busy: bool
    """It is to be shown."""

    @property
    def rests(self) -> bool:
        """Whether nothing is left to do without a person."""
        request = self.request
        waits = request.status is Status.PENDING or request.needs_a_human
        return not self.busy and (request.is_over or waits)


@dataclass(frozen=True)
class Noted:
    """One row of the record."""

    event: str
    actor: str | None
    facts: Mapping[str, str]


@dataclass
class Stored:
    """Everything that is stored."""

    rows: list[Row] = field(default_factory=list)
    record: dict[str, list[Noted]] = field(default_factory=lambda: defaultdict(list))


@dataclass
class Findings:
    """Sentences, each about one thing that went wrong."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    """How many requests ended how, so that a run in which nothing happened is not taken for a good one."""

    @property
    def sentences(self) -> list[str]:
        """All of them."""
        kinds = {"lost": self.lost, "doubled": self.doubled, "stuck": self.stuck}
        return [f"{kind}: {sentence}" for kind, sentences in kinds.items() for sentence in sentences]

    def add(self, other: "Findings") -> None:
        """Count another's in."""
        self.lost += other.lost
        self.doubled += other.doubled
        self.stuck += other.stuck
        self.seen += other.seen


async def read(database: Database) -> Stored:
    """Read the database beside the bot."""

    def rows(connection: Connection) -> Stored:
        stored = Stored()
        for row in connection.execute(select(requests)):
            # A dead process's lease may stay on a row that nothing is due on: it holds nothing up.
            stored.rows.append(Row(read_request(row), read_messages(row), row.publish_at is not None))
        for row in connection.execute(select(audit).order_by(audit.c.seq)):
            if row.request_id:
                noted = Noted(row.event, row.actor, json.loads(row.facts))
                stored.record[row.request_id].append(noted)
        return stored

    return await database.read(rows)


async def check(people: People, stored: Stored) -> Findings:
    """Hold what people were told, what Intune did and what Slack shows against the stored."""
    findings = Findings()
    findings.seen.update(row.request.status for row in stored.rows)
    state, resets = await people.see(), await people.resets()
    findings.lost += _unknown_asks(state, people, stored)
    findings.lost += _forgotten_decisions(people, stored)
    findings.doubled += _wrong_resets(resets, stored)
    findings.doubled += _wrong_lives(stored)
    findings.stuck += _unfinished(resets, stored)
    findings.lost += _never_arrived(resets, stored, findings.seen)
    for user in ("U0MEI", "U0KEN", "U0AIKO", "U0GUS"):
        mine = {r.request.id: r for r in stored.rows if r.request.asked_by == user}
        _hold_against(await people.posted(direct(user)), mine, "receipt", findings)
    cards = {r.request.id: r for r in stored.rows if _has_card(stored, r)}
    _hold_against(await people.posted(ON_CALL), cards, "card", findings)
    findings.seen["resets"] = len(resets)
    return findings


def _unknown_asks(state: Json, people: People, stored: Stored) -> Iterator[str]:
    refs = {row.request.ref for row in stored.rows}
    for messages in state["messages"].values():
        for message in messages:
            found = _REF.search(message["text"]) if message["only_for"] else None
            if found and found[1] not in refs:
                yield f"request {found[1]} was acknowledged and is not stored"
    deliveries = {row.request.delivery for row in stored.rows}
    for form in people.forms:
        if form not in deliveries:
            yield f"form {form} was taken and is not stored"


def _forgotten_decisions(people: People, stored: Stored) -> Iterator[str]:
    for user, what, request in people.told:
        events = {(noted.actor, noted.event) for noted in stored.record[request]}
        # "Approved" is also said where the first attempt turned out to have arrived.
        if (user, what) not in events and (user, Event.ATTEMPT_ANSWERED) not in events:
            yield f"{user} was told that {request[:6]} is {what}, and nothing of that is on the record"


def _wrong_resets(resets: Sequence[Json], stored: Stored) -> Iterator[str]:
    """Every reset is one attempt on the record, after an approval of this account and device, once each."""
    approvals = _approval_of_attempts(stored)
    used: Counter[tuple[str, int]] = Counter()
    for reset in resets:
        call = reset["client_request_id"]
        found = approvals.get(call)
        if found is None:
            yield f"a reset of {reset['device']} as {reset['upn']} that no approved attempt explains"
            continue
        request, number, facts = found
        used[request, number] += 1
        if (facts["oid"], facts["device"]) != (reset["oid"], reset["device"]):
            yield f"request {request[:6]}: another account or device was used than was approved"
    for (request, _), times in used.items():
        if times > 1:
            yield f"request {request[:6]}: {times} resets for one approval"


def _approval_of_attempts(stored: Stored) -> dict[str, tuple[str, int, Mapping[str, str]]]:
    """By client-request-id: the request, the how many-th approval, and what was approved."""
    found: dict[str, tuple[str, int, Mapping[str, str]]] = {}
    for request, record in stored.record.items():
        approvals: list[Mapping[str, str]] = []
        for noted in record:
            if noted.event == Event.APPROVED:
                approvals.append(noted.facts)
            elif noted.event == Event.ATTEMPT_STARTED and approvals:
                found[noted.facts["client_request_id"]] = (request, len(approvals), approvals[-1])
    return found


def _wrong_lives(stored: Stored) -> Iterator[str]:
    """The record of each request is one life: one decision at a time, one end."""
    for request, record in stored.record.items():
        life = [noted.event for noted in record if noted.event not in _BESIDE]
        if life[:1] != [Event.REQUESTED]:
            yield f"request {request[:6]} begins with {life[:1]}"
        for one, following in pairwise(life):
            if following not in NEXT.get(one, frozenset()):
                yield f"request {request[:6]}: {following} after {one} ({' '.join(life)})"
                break


def _unfinished(resets: Sequence[Json], stored: Stored) -> Iterator[str]:
    arrived = {reset["client_request_id"] for reset in resets}
    for row in stored.rows:
        request = row.request
        if not row.rests:
            yield f"request {request.id[:6]} is still {request.status}, busy: {row.busy}"
        elif request.status is Status.PENDING:
            yield f"request {request.id[:6]} waits, and nobody could decide it"
        elif request.attempt and request.needs_a_human and request.attempt.client_request_id in arrived:
            yield f"request {request.id[:6]} needs a human, though its attempt arrived"


def _never_arrived(resets: Sequence[Json], stored: Stored, seen: Counter[str]) -> Iterator[str]:
    """Done is said only of what Intune did.

    Intune does not say whose a reset was. Where an attempt is lost and another request resets the same device
    soon after, that reset is taken for the lost one; the phone was reset, so this is counted apart.
    """
    arrived = {reset["client_request_id"] for reset in resets}
    for row in stored.rows:
        request = row.request
        attempts = {
            noted.facts["client_request_id"]
            for noted in stored.record[request.id]
            if noted.event == Event.ATTEMPT_STARTED
        }
        if request.status is not Status.DONE or attempts & arrived:
            continue
        if any(_may_be_taken_for_ours(reset, request) for reset in resets):
            seen["done by another request's reset"] += 1
        else:
            yield f"request {request.id[:6]} says done, and no attempt of it arrived"


def _may_be_taken_for_ours(reset: Json, request: ResetRequest) -> bool:
    same = request.approval is not None and reset["device"] == request.approval.device.id
    return same and request.is_ours(datetime.fromisoformat(reset["at"]), timing=Timing())


def _has_card(stored: Stored, row: Row) -> bool:
    return any(noted.event == Event.VERIFIED for noted in stored.record[row.request.id])


def _hold_against(posted: Sequence[Json], rows: Mapping[str, Row], kind: str, findings: Findings) -> None:
    """Exactly one message for each row, and it shows what the row says now."""
    shown: dict[str, list[Json]] = defaultdict(list)
    for message in posted:
        about = ((message["metadata"] or {}).get("event_payload") or {}).get("request_id")
        if message["by_app"] and about:
            shown[about].append(message)
    for request, messages in shown.items():
        if request not in rows:
            findings.doubled.append(f"a {kind} of {request[:6]} that it should not have")
        elif len(messages) > 1:
            findings.doubled.append(f"request {request[:6]} has {len(messages)} {kind}s")
    for request, row in rows.items():
        newest = shown[request][-1:]
        wanted = (
            card(row.request, ENGLISH)
            if kind == "card"
            else receipt(row.request, ENGLISH, reveal_for=Timing().reveal_for)
        )
        if not newest:
            findings.stuck.append(f"request {request[:6]} ({row.request.status}) has no {kind}")
        elif not _same(newest[0], wanted):
            findings.stuck.append(f"the {kind} of {request[:6]} does not show {row.request.status}")


def _card(request: ResetRequest) -> Message:
    return card(request, ENGLISH)


def _receipt(request: ResetRequest) -> Message:
    return receipt(request, ENGLISH, reveal_for=Timing().reveal_for)


def _same(posted: Json, wanted: Message) -> bool:
    """Slack adds an id to every block."""
    blocks = [{k: v for k, v in block.items() if k != "block_id"} for block in posted["blocks"]]
    return html.unescape(posted["text"]) == html.unescape(wanted.text) and blocks == _plain(wanted.blocks)


def _plain(blocks: object) -> Any:
    return json.loads(json.dumps(blocks))
