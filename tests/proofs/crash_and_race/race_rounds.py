"""One round: a fresh request, everybody decides at once, and everybody reads what came of it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, TypeVar

from bot.domain.request import ResetRequest, Status
from bot.domain.values import RequestId
from bot.slack.catalog_en import ENGLISH
from bot.slack.payloads import Action, Callback, Field
from bot.store import requests
from sandbox.cast import ON_CALL, SUPPORT, Person
from sandbox.slack import Outcome
from sandbox.slack.blocks import find_element
from sandbox.slack.modals import View
from sandbox.slack.workspace import Message
from tests.proofs.crash_and_race.proxy import Delivery, delivering
from tests.proofs.crash_and_race.race_plan import APPROVALS, DENIALS, Kind, Plan, Stop
from tests.proofs.crash_and_race.replicas import Replicas

PATIENCE: Final = 120.0
"""Seconds; whoever has to wait longer than this for what they see to change is stuck."""
RECENT: Final = 60
"""Newest messages among which a round looks for its own."""

NO_REQUEST: Final = RequestId("")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Told:
    """What stands in a window at the end."""

    title: str
    sentence: str


@dataclass(kw_only=True)
class Round:
    """What people saw of a round."""

    plan: Plan
    requester: str
    request_id: RequestId = NO_REQUEST
    asked: str = ""
    asked_again: list[str] = field(default_factory=list)
    told: dict[Kind, list[Told]] = field(default_factory=dict)
    unanswered: list[str] = field(default_factory=list)
    stuck: str = ""
    """What nobody got to see in time."""


async def run_round(there: Replicas, plan: Plan, requester: Person) -> Round:
    """Play one round to its end, or to what got stuck."""
    game = _Game(there, plan, requester)
    try:
        await game.run_round()
    except TimeoutError:
        game.round_.stuck = f"{game.waiting_for} ({game.seen()})"
    finally:
        game.close_windows()
    return game.round_


class _Game:
    """The hands and eyes of everybody in one round."""

    def __init__(self, there: Replicas, plan: Plan, requester: Person) -> None:
        self._there, self._slack, self._plan, self._requester = there, there.slack, plan, requester
        self._modals = there.slack.platform.modals
        self._views: dict[Kind, View] = {}
        self._deliveries: list[Delivery] = []
        self.round_ = Round(plan=plan, requester=requester.id)
        self.waiting_for = ""

    async def run_round(self) -> None:
        card, receipt = await self._ask()
        self._views = dict(await asyncio.gather(*(self._open(kind, card) for kind in self._plan.submitted)))
        await self._set_the_clock()
        await asyncio.gather(
            *(self._submit(kind, stops) for kind, stops in self._plan.submitted.items()),
            *(self._withdraw(receipt, stop) for stop in self._plan.withdrawn),
            *(self._ask_again(stop) for stop in self._plan.asked_again),
        )
        await self._until("the card shows a decision", lambda: not _has(self._card(), Action.APPROVE))
        row = await self._row()
        await self._until("everybody is told", lambda: self._all_told(row))
        self.round_.told = self._told()

    def close_windows(self) -> None:
        for view in self._views.values():
            self._modals.close(view)
        self._modals.clear(self._requester.id)

    def seen(self) -> str:
        """What is in front of everybody, for a report."""
        windows = [*(self._now(view) for view in self._views.values()), *self._withdrawals()]
        arrived = sum(len(delivery.answers) for delivery in self._deliveries)
        shown = ", ".join(f"{view.user}: {view.title}" for view in windows)
        return f"{arrived} forms arrived; {shown or 'no windows'}"

    # Before the race

    async def _ask(self) -> tuple[Message, Message]:
        """A command, sometimes twice at once; returns the card and the receipt of a request that waits."""
        before = len(self._slack.direct(self._requester.id))
        typed = f"/reset-passcode serial:{self._plan.phone} locked out in round {self._plan.number}"
        self._command = Delivery(self._plan.asked)
        with delivering(self._command):
            self._noted("the command", await self._slack.command(self._requester.id, SUPPORT, typed))
        await self._until("the receipt is there", lambda: self._slack.direct(self._requester.id)[before:])
        mine = self._slack.direct(self._requester.id)[before]
        self.round_.request_id = _about(mine)
        await self._until(
            "card and receipt have buttons",
            lambda: _has(self._card(), Action.APPROVE) and _has(self._receipt(mine), Action.WITHDRAW),
        )
        card, receipt = self._card(), self._receipt(mine)
        assert card is not None
        assert receipt is not None
        return card, receipt

    async def _open(self, kind: Kind, card: Message) -> tuple[Kind, View]:
        """Press Approve or Deny, and wait for the form."""
        user, action, form = _hand(kind)
        with delivering(Delivery([Stop(self._plan.pressed[kind])])):
            self._noted(f"{action} pressed", await self._slack.click(user, action, seen=card))
        return kind, await self._until(f"the form to {action}", lambda: self._form(user, form))

    async def _set_the_clock(self) -> None:
        """Bring the end of the request's life forward into the race, as a change that makes no review old."""
        if self._plan.expires_after is None:
            return
        row = await self._row()
        end = datetime.now(UTC) + timedelta(seconds=self._plan.expires_after)
        counts = {"version": row.version + 1, "reminders": row.reminders + 1}
        changed = replace(row, **counts, expires_at=end, next_at=end)
        await self._there.database.run(lambda tx: requests.move(tx, row, changed, None))

    async def _row(self) -> ResetRequest:
        request_id = self.round_.request_id
        return await self._there.database.read(lambda c: requests.get_request(c, request_id))

    # The race

    async def _submit(self, kind: Kind, stops: Sequence[Stop]) -> None:
        user, _, _ = _hand(kind)
        values: Mapping[str, object] = {Field.DENIAL: f"Not now, says {user}"} if kind in DENIALS else {}
        self._deliveries.append(Delivery(stops))
        with delivering(self._deliveries[-1]):
            self._noted(str(kind), await self._slack.submit(user, values, view_id=self._views[kind].id))

    async def _withdraw(self, receipt: Message, stop: Stop) -> None:
        with delivering(Delivery([stop])):
            outcome = await self._slack.click(self._requester.id, Action.WITHDRAW, seen=receipt)
        self._noted(str(Kind.WITHDRAWN), outcome)

    async def _ask_again(self, stop: Stop) -> None:
        self.round_.asked_again.append(await self._there.proxy.again(self._command, stop))

    def _noted(self, what: str, outcome: Outcome) -> None:
        if not outcome.delivered:
            self.round_.unanswered.append(f"{what}: {outcome.notice}")
        if outcome.answer is not None:
            self.round_.asked = outcome.answer.text

    # What everybody sees

    def _card(self) -> Message | None:
        return self._newest(ON_CALL)

    def _receipt(self, first: Message) -> Message | None:
        return self._slack.workspace.message(first.channel, first.ts)

    def _newest(self, channel: str) -> Message | None:
        messages = self._slack.workspace.conversations[channel].messages
        recent = islice(reversed(messages.values()), RECENT)
        return next((one for one in recent if _about(one) == self.round_.request_id), None)

    def _form(self, user: str, callback: str) -> View | None:
        for view in self._modals.stacks.get(user, []):
            about = str(view.content.get("private_metadata", ""))
            if view.callback_id == callback and about.startswith(self.round_.request_id):
                return view
        return None

    def _all_told(self, row: ResetRequest) -> bool:
        """Every form has an answer, every withdrawal but the one that won has a window, none is loading."""
        arrived = all(len(delivery.answers) == len(delivery.stops) for delivery in self._deliveries)
        withdrawn = self._withdrawals()
        losers = len(self._plan.withdrawn) - (row.status is Status.WITHDRAWN)
        windows = [*(self._now(view) for view in self._views.values()), *withdrawn]
        return arrived and len(withdrawn) == losers and all(_has_answer(view) for view in windows)

    def _withdrawals(self) -> list[View]:
        return self._modals.stacks.get(self._requester.id, [])

    def _now(self, view: View) -> View:
        return next((one for one in self._modals.stacks.get(view.user, []) if one.id == view.id), view)

    def _told(self) -> dict[Kind, list[Told]]:
        told = {kind: [_read(self._now(view))] for kind, view in self._views.items()}
        withdrawn = [_read(view) for view in self._withdrawals()]
        return told | ({Kind.WITHDRAWN: withdrawn} if self._plan.withdrawn else {})

    async def _until(self, what: str, seen: Callable[[], T | None]) -> T:
        self.waiting_for = what
        found = await self._slack.until(seen, PATIENCE)
        assert found is not None
        return found


def _hand(kind: Kind) -> tuple[str, str, str]:
    """Who, which button, which form."""
    if kind in APPROVALS:
        return APPROVALS[kind], Action.APPROVE, Callback.APPROVE
    return DENIALS[kind], Action.DENY, Callback.DENY


def _about(message: Message) -> RequestId:
    payload = (message.metadata or {}).get("event_payload", {})
    return RequestId(payload.get("request_id", ""))


def _has(message: Message | None, action: str) -> bool:
    return message is not None and find_element(message.blocks or (), action, None) is not None


def _has_answer(view: View) -> bool:
    return not view.callback_id and view.title != ENGLISH["loading.title"]


def _read(view: View) -> Told:
    return Told(view.title, str(view.blocks[0].get("text", {}).get("text", "")))
