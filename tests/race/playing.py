"""One round: a fresh request, everybody decides at once, and everybody reads what came of it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, TypeVar

from bot.domain.identifiers import RequestId
from bot.domain.request import ResetRequest, Status
from bot.slack import ids
from bot.slack.about import NO_REQUEST, About
from bot.slack.wording import ENGLISH
from sandbox.cast import ON_CALL, SUPPORT, Person
from sandbox.slack import Outcome
from sandbox.slack.blocks import find_element
from sandbox.slack.modals import View
from sandbox.slack.workspace import Message
from tests.race.balancer import Trip, going
from tests.race.plan import APPROVALS, DENIALS, Kind, Plan, Stop
from tests.race.stage import Stage

PATIENCE: Final = 120.0
"""Seconds; whoever has to wait longer than this for what they see to change is stuck."""
RECENT: Final = 60
"""Newest messages among which a round looks for its own."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Told:
    """What stands in a window at the end."""

    title: str
    sentence: str


@dataclass(kw_only=True)
class Played:
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


async def play(stage: Stage, plan: Plan, requester: Person) -> Played:
    """Play one round to its end, or to what got stuck."""
    game = _Game(stage, plan, requester)
    try:
        await game.play()
    except TimeoutError:
        game.played.stuck = f"{game.waiting_for} ({game.seen()})"
    finally:
        game.close_windows()
    return game.played


class _Game:
    """The hands and eyes of everybody in one round."""

    def __init__(self, stage: Stage, plan: Plan, requester: Person) -> None:
        self._stage, self._slack, self._plan, self._requester = stage, stage.slack, plan, requester
        self._modals = stage.slack.platform.modals
        self._views: dict[Kind, View] = {}
        self._trips: list[Trip] = []
        self.played = Played(plan=plan, requester=requester.id)
        self.waiting_for = ""

    async def play(self) -> None:
        card, receipt = await self._ask()
        self._views = dict(await asyncio.gather(*(self._open(kind, card) for kind in self._plan.submitted)))
        await self._set_the_clock()
        await asyncio.gather(
            *(self._submit(kind, stops) for kind, stops in self._plan.submitted.items()),
            *(self._withdraw(receipt, stop) for stop in self._plan.withdrawn),
            *(self._ask_again(stop) for stop in self._plan.asked_again),
        )
        await self._until("the card shows a decision", lambda: not _has(self._card(), ids.APPROVE))
        row = await self._stage.store.requests.get(self.played.request_id)
        await self._until("everybody is told", lambda: self._all_told(row))
        self.played.told = self._told()

    def close_windows(self) -> None:
        for view in self._views.values():
            self._modals.close(view)
        self._modals.clear(self._requester.id)

    def seen(self) -> str:
        """What is in front of everybody, for a report."""
        windows = [*(self._now(view) for view in self._views.values()), *self._withdrawals()]
        arrived = sum(len(trip.answers) for trip in self._trips)
        shown = ", ".join(f"{view.user}: {view.title}" for view in windows)
        return f"{arrived} forms arrived; {shown or 'no windows'}"

    # Before the race

    async def _ask(self) -> tuple[Message, Message]:
        """A command, sometimes twice at once; returns the card and the receipt of a request that waits."""
        before = len(self._slack.direct(self._requester.id))
        typed = f"/reset-passcode serial:{self._plan.phone} locked out in round {self._plan.number}"
        self._command = Trip(self._plan.asked)
        with going(self._command):
            self._noted("the command", await self._slack.command(self._requester.id, SUPPORT, typed))
        await self._until("the receipt is there", lambda: self._slack.direct(self._requester.id)[before:])
        mine = self._slack.direct(self._requester.id)[before]
        self.played.request_id = _about(mine)
        await self._until(
            "card and receipt have buttons",
            lambda: _has(self._card(), ids.APPROVE) and _has(self._receipt(mine), ids.WITHDRAW),
        )
        card, receipt = self._card(), self._receipt(mine)
        assert card is not None
        assert receipt is not None
        return card, receipt

    async def _open(self, kind: Kind, card: Message) -> tuple[Kind, View]:
        """Press Approve or Deny, and wait for the form."""
        user, action, form = _hand(kind)
        with going(Trip([Stop(self._plan.pressed[kind])])):
            self._noted(f"{action} pressed", await self._slack.click(user, action, seen=card))
        return kind, await self._until(f"the form to {action}", lambda: self._form(user, form))

    async def _set_the_clock(self) -> None:
        """Bring the end of the request's life forward into the race, as a change that makes no review old."""
        if self._plan.expires_after is None:
            return
        requests = self._stage.store.requests
        row = await requests.get(self.played.request_id)
        end = datetime.now(UTC) + timedelta(seconds=self._plan.expires_after)
        counts = {"version": row.version + 1, "reminders": row.reminders + 1}
        await requests.replace(row, replace(row, **counts, expires_at=end, next_at=end))

    # The race

    async def _submit(self, kind: Kind, stops: Sequence[Stop]) -> None:
        user, _, _ = _hand(kind)
        values: Mapping[str, object] = {ids.DENIAL: f"Not now, says {user}"} if kind in DENIALS else {}
        self._trips.append(Trip(stops))
        with going(self._trips[-1]):
            self._noted(str(kind), await self._slack.submit(user, values, view_id=self._views[kind].id))

    async def _withdraw(self, receipt: Message, stop: Stop) -> None:
        with going(Trip([stop])):
            outcome = await self._slack.click(self._requester.id, ids.WITHDRAW, seen=receipt)
        self._noted(str(Kind.WITHDRAWN), outcome)

    async def _ask_again(self, stop: Stop) -> None:
        self.played.asked_again.append(await self._stage.road.again(self._command, stop))

    def _noted(self, what: str, outcome: Outcome) -> None:
        if not outcome.delivered:
            self.played.unanswered.append(f"{what}: {outcome.notice}")
        if outcome.answer is not None:
            self.played.asked = outcome.answer.text

    # What everybody sees

    def _card(self) -> Message | None:
        return self._newest(ON_CALL)

    def _receipt(self, first: Message) -> Message | None:
        return self._slack.workspace.message(first.channel, first.ts)

    def _newest(self, channel: str) -> Message | None:
        messages = self._slack.workspace.conversations[channel].messages
        recent = islice(reversed(messages.values()), RECENT)
        return next((one for one in recent if _about(one) == self.played.request_id), None)

    def _form(self, user: str, callback: str) -> View | None:
        for view in self._modals.stacks.get(user, []):
            about = About.read(view.content.get("private_metadata", ""))
            if view.callback_id == callback and about.request == self.played.request_id:
                return view
        return None

    def _all_told(self, row: ResetRequest) -> bool:
        """Every form has an answer, every withdrawal but the one that won has a window, none is loading."""
        arrived = all(len(trip.answers) == len(trip.stops) for trip in self._trips)
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
        return APPROVALS[kind], ids.APPROVE, ids.APPROVE_FORM
    return DENIALS[kind], ids.DENY, ids.DENY_FORM


def _about(message: Message) -> RequestId:
    payload = (message.metadata or {}).get("event_payload", {})
    return RequestId(payload.get("request_id", ""))


def _has(message: Message | None, action: str) -> bool:
    return message is not None and find_element(message.blocks or (), action, None) is not None


def _has_answer(view: View) -> bool:
    return not view.callback_id and view.title != ENGLISH.loading_title


def _read(view: View) -> Told:
    return Told(view.title, str(view.blocks[0].get("text", {}).get("text", "")))
