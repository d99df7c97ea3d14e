"""One round: a fresh request, everybody decides at once, and everybody reads what came of it.

What happens in it is drawn from the seed alone: the same seed gives the same rounds.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import count, islice
from random import Random

from bot.domain.request import ResetRequest, Status
from bot.slack.payloads import Action, Callback, Field
from bot.slack.wording import CATALOG_EN as ENGLISH
from bot.store import requests
from bot.store.database import Database
from sandbox.cast import ON_CALL, SUPPORT
from sandbox.slack import Ack, Outcome, Slack, View
from sandbox.slack.blocks import find_element
from sandbox.slack.delivery import Envelope
from sandbox.slack.workspace import Message
from tests.proofs.crash_and_race.checks import request_of
from tests.support.user_actions import AIKO, KEN, T

PATIENCE = 120.0
"""Seconds; what a person has to wait for longer than this is stuck."""


class Decision(StrEnum):
    """What may end a request. The value says it in a report."""

    APPROVED_BY_KEN = "approve by Ken"
    APPROVED_BY_AIKO = "approve by Aiko"
    DENIED_BY_KEN = "deny by Ken"
    DENIED_BY_AIKO = "deny by Aiko"
    WITHDRAWN = "withdraw by Mei"
    EXPIRED = "expiry by the clock"


APPROVALS: Mapping[Decision, str] = {Decision.APPROVED_BY_KEN: KEN, Decision.APPROVED_BY_AIKO: AIKO}
DENIALS: Mapping[Decision, str] = {Decision.DENIED_BY_KEN: KEN, Decision.DENIED_BY_AIKO: AIKO}
DECIDERS = {**APPROVALS, **DENIALS}
MIXES = (
    *((*APPROVALS,), (*APPROVALS, *DENIALS), (*APPROVALS, Decision.WITHDRAWN)),
    *((*APPROVALS, Decision.EXPIRED), (*DENIALS, Decision.WITHDRAWN, Decision.EXPIRED), (*Decision,)),
)
SPREADS = (0.0, 0.0, 0.3, 1.0)
"""Over how many seconds the quick decisions of a round are spread. An approval has to ask Intune first, so
in a dead heat it would always lose."""
DOUBLE_CLICK = 0.03


@dataclass(frozen=True, slots=True)
class Stop:
    """One delivery: to which replica, and how many seconds after the start of the round's race."""

    replica: int
    after: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One round. Several stops of one approval or denial are one form that arrives several times."""

    number: int
    asked: Sequence[Stop]
    decided: Mapping[Decision, Sequence[Stop]]
    """The clock strikes once, at every replica."""

    @property
    def expires(self) -> bool:
        return Decision.EXPIRED in self.decided

    @property
    def delivered(self) -> Counter[Decision]:
        """How often each decision of a person arrives."""
        return Counter({d: len(stops) for d, stops in self.decided.items() if d is not Decision.EXPIRED})

    def __str__(self) -> str:
        return f"round {self.number} ({', '.join(f'{len(s)} × {d}' for d, s in self.decided.items())})"


def plan(seed: object, number: int, *, replicas: int) -> Plan:
    """Draw two to eight decisions for one request, and a command that now and then arrives again."""
    draw = Random(f"{seed}:{number}")  # noqa: S311  it can be replayed
    spread = draw.choice(SPREADS)

    def stops(times: int, within: float = spread) -> list[Stop]:
        found = [Stop(draw.randrange(replicas), draw.uniform(0, within)) for _ in range(times)]
        return sorted(found, key=lambda one: one.after)

    drawn = Counter(draw.choices(draw.choice(MIXES), k=draw.randint(2, 8)))
    clock = bool(drawn.pop(Decision.EXPIRED, 0))
    if not drawn:  # a person acts beside the clock
        drawn[draw.choice([*APPROVALS])] = 1
    decided = {d: stops(times, DOUBLE_CLICK if d in APPROVALS else spread) for d, times in drawn.items()}
    if clock:
        decided[Decision.EXPIRED] = [Stop(0, draw.uniform(0.05, 1.0))]
    return Plan(number=number, asked=stops(draw.choice((1, 1, 2, 3))), decided=decided)


@dataclass
class Delivery:
    """One action on its way, delivered once for each stop; the first stop's answer is the one Slack sees."""

    stops: Sequence[Stop] = ()
    answers: list[str] = field(default_factory=list)
    """The texts of every stop's answer, in the order of their arrival."""


DELIVERY: ContextVar[Delivery] = ContextVar("DELIVERY")


class Proxy:
    """The ways from Slack to the replicas, one each: over sockets Slack chooses one of all as it likes."""

    def __init__(self, ways: Sequence[Callable[[Envelope], Awaitable[Ack]]]) -> None:
        self._ways = ways
        self._turns = count()
        self.sent: list[asyncio.Task[Ack]] = []

    async def carry(self, envelope: Envelope) -> Ack:
        """Deliver once for each stop; return the first one's answer."""
        delivery = DELIVERY.get(Delivery())
        stops = delivery.stops or [Stop(next(self._turns) % len(self._ways))]
        sent = [asyncio.create_task(self._deliver(envelope, delivery, stop)) for stop in stops]
        self.sent += sent
        return await sent[0]

    async def _deliver(self, envelope: Envelope, delivery: Delivery, stop: Stop) -> Ack:
        await asyncio.sleep(stop.after)  # the plan says when it arrives
        ack = await self._ways[stop.replica](envelope)
        delivery.answers.append(ack.body if isinstance(ack.body, str) else str(ack.body.get("text", "")))
        return ack


@dataclass(kw_only=True)
class Round:
    plan: Plan
    requester: str
    slack: Slack
    database: Database
    request_id: str = ""
    command: Delivery = field(default_factory=Delivery)
    told: list[tuple[Decision, tuple[str, str]]] = field(default_factory=list)
    """What the modals of each decision say at the end: title and sentence."""
    stuck: list[str] = field(default_factory=list)
    """What was not answered, or not to be seen in time."""
    _deliveries: list[Delivery] = field(default_factory=list)
    _views: dict[Decision, View] = field(default_factory=dict)

    async def run(self) -> None:
        """Go on to the end, or to what gets stuck."""
        try:
            card, receipt = await self._ask()
            for decision in self.plan.decided:
                if user := DECIDERS.get(decision):
                    self._views[decision] = await self._open(decision, user, card)
            for stop in self.plan.decided.get(Decision.EXPIRED, ()):
                await self._set_the_clock(stop)
            await asyncio.gather(
                *map(self._submit, self._views),
                *(self._withdraw(receipt, s) for s in self.plan.decided.get(Decision.WITHDRAWN, ())),
            )
            await self._until("a decision on the card", lambda: not _has(self._card(), Action.APPROVE))
            row = await self._row()
            await self._until("an answer to everybody", lambda: self._all_told(row))
        except TimeoutError as late:
            self.stuck.append(f"{late}: {[(decision, view.title) for decision, view in self._now()]}")
        finally:
            for decision, view in self._now():
                sentence = str(view.blocks[0].get("text", {}).get("text", ""))
                self.told.append((decision, (view.title, sentence)))
                self.slack.platform.modals.close(view)

    async def _ask(self) -> tuple[Message, Message]:
        """A command, sometimes more than once; returns the card and the receipt of a request that waits."""
        slack, requester = self.slack, self.requester
        before = len(self._receipts())
        typed = f"/reset-passcode serial:{serial(self.plan.number)} locked out in round {self.plan.number}"
        asked = slack.command(requester, SUPPORT, typed)
        self.command = await self._act("the command", asked, self.plan.asked)
        await self._until("the receipt", lambda: self._receipts()[before:])
        self.request_id = request_of(self._receipts()[before])

        def shown() -> tuple[Message, Message] | None:
            card, receipt = self._card(), self._receipts()[before]
            return (card, receipt) if _has(card, Action.APPROVE) and _has(receipt, Action.WITHDRAW) else None

        return await self._until("the buttons of card and receipt", shown)

    async def _open(self, decision: Decision, user: str, card: Message) -> View:
        """Press Approve or Deny, and wait for the form."""
        denies = decision in DENIALS
        action, form = (Action.DENY, Callback.DENY) if denies else (Action.APPROVE, Callback.APPROVE)

        def found() -> View | None:
            for view in self.slack.platform.modals.stacks.get(user, []):
                about = str(view.content.get("private_metadata", ""))
                if view.callback_id == form and about.startswith(self.request_id):
                    return view
            return None

        await self._act(f"{action} pressed", self.slack.click(user, action, seen=card))
        return await self._until(f"the form to {decision}", found)

    async def _set_the_clock(self, stop: Stop) -> None:
        """Bring the end of the request's life forward into the race, as a change that makes no review old."""
        row = await self._row()
        end = datetime.now(UTC) + timedelta(seconds=stop.after)
        counts = {"version": row.version + 1, "reminders": row.reminders + 1}
        changed = replace(row, **counts, expires_at=end, next_at=end)
        await self.database.run(lambda tx: requests.move(tx, row, changed, None))

    async def _row(self) -> ResetRequest:
        log = self.database.audit_log
        return await self.database.read(lambda c: requests.get_request(c, self.request_id, log))

    async def _submit(self, decision: Decision) -> None:
        view = self._views[decision]
        values = {Field.DENIAL: f"Not now, says {view.user}"} if decision in DENIALS else {}
        submitted = self.slack.submit(view.user, values, view_id=view.id)
        self._deliveries.append(await self._act(str(decision), submitted, self.plan.decided[decision]))

    async def _withdraw(self, receipt: Message, stop: Stop) -> None:
        clicked = self.slack.click(self.requester, Action.WITHDRAW, seen=receipt)
        await self._act(str(Decision.WITHDRAWN), clicked, [stop])

    async def _act(self, what: str, acting: Awaitable[Outcome], stops: Sequence[Stop] = ()) -> Delivery:
        """Do something that arrives at these stops, or else at any replica."""
        delivery = Delivery(stops)
        DELIVERY.set(delivery)
        outcome = await acting
        if not outcome.delivered:
            self.stuck.append(f"no answer to {what}: {outcome.notice}")
        return delivery

    def _receipts(self) -> list[Message]:
        return [message for message in self.slack.direct(self.requester) if request_of(message)]

    def _card(self) -> Message | None:
        recent = islice(reversed(self.slack.workspace.conversations[ON_CALL].messages.values()), 60)
        return next((one for one in recent if request_of(one) == self.request_id), None)

    def _all_told(self, row: ResetRequest) -> bool:
        """Every form has an answer, every withdrawal that came too late has a modal, none is loading."""
        arrived = all(len(delivery.answers) == len(delivery.stops) for delivery in self._deliveries)
        views = [view for _, view in self._now()]
        late = 0 if row.status is Status.WITHDRAWN else self.plan.delivered[Decision.WITHDRAWN]
        answered = (not view.callback_id and view.title != ENGLISH["loading.title"] for view in views)
        return arrived and len(views) == len(self._views) + late and all(answered)

    def _now(self) -> list[tuple[Decision, View]]:
        opened = [(decision, self.slack.view(view.user, view.id)) for decision, view in self._views.items()]
        late = self.slack.platform.modals.stacks.get(self.requester, [])
        return [*opened, *((Decision.WITHDRAWN, view) for view in late)]

    async def _until(self, what: str, seen: Callable[[], T | None]) -> T:
        try:
            found = await self.slack.until(seen, PATIENCE)
        except TimeoutError:
            raise TimeoutError(f"waited in vain for {what}") from None
        assert found is not None
        return found


def serial(number: int) -> str:
    """The serial number of the round's own phone: only one request may wait for a phone at a time."""
    return f"RACE{number:06}"


def _has(message: Message | None, action: str) -> bool:
    return message is not None and find_element(message.blocks or (), action, None) is not None
