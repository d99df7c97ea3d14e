"""One round: a fresh request, everybody decides at once, and everybody reads what came of it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice

from bot.domain.request import ResetRequest, Status
from bot.slack.payloads import Action, Callback, Field
from bot.slack.wording import CATALOG_EN as ENGLISH
from bot.store import requests
from bot.store.database import Database
from sandbox.cast import ON_CALL, SUPPORT
from sandbox.slack import Outcome, Slack
from sandbox.slack.blocks import find_element
from sandbox.slack.modals import View
from sandbox.slack.workspace import Message
from tests.proofs.crash_and_race.checks import request_of
from tests.proofs.crash_and_race.proxy import Delivery, Proxy, delivering
from tests.proofs.crash_and_race.race_plan import APPROVALS, DENIALS, Decision, Plan, Stop
from tests.support.user_actions import T

PATIENCE = 120.0
"""Seconds; what a person has to wait for longer than this is stuck."""
RECENT = 60
"""Newest messages among which a round looks for its own."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a modal says at the end."""

    title: str
    sentence: str


@dataclass(kw_only=True)
class Round:
    """What people do in one round, and what they see of it."""

    plan: Plan
    requester: str
    slack: Slack
    proxy: Proxy
    database: Database
    request_id: str = ""
    asked: str = ""
    """How the command was answered."""
    asked_again: list[str] = field(default_factory=list)
    told: dict[Decision, list[Told]] = field(default_factory=dict)
    unanswered: list[str] = field(default_factory=list)
    waiting_for: str = ""
    """What nobody got to see in time."""
    _command: Delivery = field(default_factory=lambda: Delivery([]))
    _deliveries: list[Delivery] = field(default_factory=list)
    _views: dict[Decision, View] = field(default_factory=dict)

    async def run(self) -> None:
        """Go on to the end, or to what gets stuck."""
        try:
            card, receipt = await self._ask()
            for decision in self.plan.submitted:
                self._views[decision] = await self._open(decision, card)
            await self._set_the_clock()
            await asyncio.gather(
                *(self._submit(decision, stops) for decision, stops in self.plan.submitted.items()),
                *(self._withdraw(receipt, stop) for stop in self.plan.withdrawn),
                *(self._ask_again(stop) for stop in self.plan.asked_again),
            )
            await self._until("a decision on the card", lambda: not _has(self._card(), Action.APPROVE))
            row = await self._row()
            await self._until("an answer to everybody", lambda: self._all_told(row))
            self.waiting_for = ""
        except TimeoutError:
            self.waiting_for += f" ({', '.join(f'{view.user}: {view.title}' for view in self._now())})"
        finally:
            self._read_and_close()

    # Before the race

    async def _ask(self) -> tuple[Message, Message]:
        """A command, sometimes twice at once; returns the card and the receipt of a request that waits."""
        slack, requester = self.slack, self.requester
        before = len(slack.direct(requester))
        typed = f"/reset-passcode serial:{serial(self.plan.number)} locked out in round {self.plan.number}"
        with delivering(self.plan.asked) as self._command:
            self._note("the command", await slack.command(requester, SUPPORT, typed))
        await self._until("the receipt", lambda: slack.direct(requester)[before:])
        self.request_id = request_of(slack.direct(requester)[before])

        def shown() -> tuple[Message, Message] | None:
            card, receipt = self._card(), slack.direct(requester)[before]
            return (card, receipt) if _has(card, Action.APPROVE) and _has(receipt, Action.WITHDRAW) else None

        return await self._until("the buttons of card and receipt", shown)

    async def _open(self, decision: Decision, card: Message) -> View:
        """Press Approve or Deny, and wait for the form."""
        approves = decision in APPROVALS
        action, form = (Action.APPROVE, Callback.APPROVE) if approves else (Action.DENY, Callback.DENY)
        user = (APPROVALS if approves else DENIALS)[decision]

        def found() -> View | None:
            for view in self.slack.platform.modals.stacks.get(user, []):
                about = str(view.content.get("private_metadata", ""))
                if view.callback_id == form and about.startswith(self.request_id):
                    return view
            return None

        with delivering([Stop(self.plan.pressed[decision])]):
            self._note(f"{action} pressed", await self.slack.click(user, action, seen=card))
        return await self._until(f"the form to {decision}", found)

    async def _set_the_clock(self) -> None:
        """Bring the end of the request's life forward into the race, as a change that makes no review old."""
        if self.plan.expires_after is None:
            return
        row = await self._row()
        end = datetime.now(UTC) + timedelta(seconds=self.plan.expires_after)
        counts = {"version": row.version + 1, "reminders": row.reminders + 1}
        changed = replace(row, **counts, expires_at=end, next_at=end)
        await self.database.run(lambda tx: requests.move(tx, row, changed, None))

    async def _row(self) -> ResetRequest:
        return await self.database.read(lambda connection: requests.get_request(connection, self.request_id))

    # The race

    async def _submit(self, decision: Decision, stops: Sequence[Stop]) -> None:
        view = self._views[decision]
        values = {Field.DENIAL: f"Not now, says {view.user}"} if decision in DENIALS else {}
        with delivering(stops) as delivery:
            self._deliveries.append(delivery)
            self._note(str(decision), await self.slack.submit(view.user, values, view_id=view.id))

    async def _withdraw(self, receipt: Message, stop: Stop) -> None:
        with delivering([stop]):
            outcome = await self.slack.click(self.requester, Action.WITHDRAW, seen=receipt)
        self._note(str(Decision.WITHDRAWN), outcome)

    async def _ask_again(self, stop: Stop) -> None:
        self.asked_again.append(await self.proxy.again(self._command, stop))

    def _note(self, what: str, outcome: Outcome) -> None:
        if not outcome.delivered:
            self.unanswered.append(f"{what}: {outcome.notice}")
        if outcome.answer is not None:
            self.asked = outcome.answer.text

    # What everybody sees

    def _card(self) -> Message | None:
        recent = islice(reversed(self.slack.workspace.conversations[ON_CALL].messages.values()), RECENT)
        return next((one for one in recent if request_of(one) == self.request_id), None)

    def _all_told(self, row: ResetRequest) -> bool:
        """Every form has an answer, every withdrawal but the one that won has a modal, none is loading."""
        arrived = all(len(delivery.answers) == len(delivery.stops) for delivery in self._deliveries)
        late = len(self.plan.withdrawn) - (row.status is Status.WITHDRAWN)
        answered = (not view.callback_id and view.title != ENGLISH["loading.title"] for view in self._now())
        return arrived and len(self._withdrawals()) == late and all(answered)

    def _withdrawals(self) -> list[View]:
        return self.slack.platform.modals.stacks.get(self.requester, [])

    def _now(self) -> list[View]:
        """The modals of this round as they are now."""
        opened = [self.slack.view(view.user, view.id) for view in self._views.values()]
        return [*opened, *self._withdrawals()]

    def _read_and_close(self) -> None:
        modals = self.slack.platform.modals
        self.told = {d: [_read(self.slack.view(view.user, view.id))] for d, view in self._views.items()}
        self.told[Decision.WITHDRAWN] = [_read(view) for view in self._withdrawals()]
        for view in self._views.values():
            modals.close(view)
        modals.clear(self.requester)

    async def _until(self, what: str, seen: Callable[[], T | None]) -> T:
        self.waiting_for = what
        found = await self.slack.until(seen, PATIENCE)
        assert found is not None
        return found


def serial(number: int) -> str:
    """The serial number of the round's own phone: only one request may wait for a phone at a time."""
    return f"RACE{number:06}"


def _has(message: Message | None, action: str) -> bool:
    return message is not None and find_element(message.blocks or (), action, None) is not None


def _read(view: View) -> Told:
    return Told(view.title, str(view.blocks[0].get("text", {}).get("text", "")))
