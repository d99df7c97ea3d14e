"""Each fault of each call to a vendor, at each step of the job: it ends as promised, and people are told.

All cells are lived through side by side before the first test: they mostly wait.
"""

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pytest
import pytest_asyncio
from bot.domain.audit import Event
from bot.domain.people import Actor, SignOutReason
from bot.domain.request import ResetRequest, Status
from bot.domain.values import RequestId, UserId
from bot.slack.messages import card, receipt
from bot.slack.payloads import NO_REQUEST, Action
from bot.slack.wording import CATALOG_EN as ENGLISH
from bot.slack.wording import ENGLISH as WORDS
from bot.store import tables
from bot.use_cases.decide import withdraw
from sqlalchemy import delete
from tests.support.app_fixture import ADA, FAST, TOMAS, Bot, running_bot
from tests.support.user_actions import DIRECT, GALAXY, KEN, KEN_ACCOUNT, MEI, ON_CALL

PATIENCE = 60.0
"""Seconds. A person who waits longer has been left alone."""
ALWAYS_REFRESHED = timedelta(minutes=2)
"""The lifetime of tokens with which Entra is asked at each use of a sign-in."""
GALAXY_ALONE = "serial:R5CX70ABCDE locked out"
"""Reset once only: a later reset would end the passcode that is shown again and again."""

Step = Literal["ask", "sign in", "review", "submit", "follow", "reveal"]


@dataclass(frozen=True)
class Call:
    """A call to a vendor, by the step of the job that leads to it. `skip`: so many like it go well before."""

    step: Step
    to: str
    match: str
    skip: int = 0

    def __str__(self) -> str:
        return f"{self.step}: {self.to} {self.match}" + (f" no. {self.skip + 1}" if self.skip else "")


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one call, with the sandbox's further fields of the rule."""

    kind: str
    more: tuple[tuple[str, object], ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}, Retry-After" if dict(self.more).get("retry_after") else self.kind


@dataclass
class Lane:
    """One bot that lives through one fault after the other."""

    bot: Bot
    waiting: RequestId = NO_REQUEST
    """A request that is reviewed again and again."""
    done: RequestId = NO_REQUEST
    passcode: str = ""
    """Of the request that is done."""

    async def prepare(self) -> None:
        await self.bot.people.sign_in()
        self.waiting = await self.bot.pending(ADA)
        self.done = await self.bot.done(GALAXY_ALONE)
        people = self.bot.people
        await people.until(lambda: "show_passcode" in str(people.direct(MEI)))
        self.passcode = await people.show_passcode(self.done)
        assert await people.unlock(GALAXY, self.passcode)


@dataclass
class Job:
    lane: Lane
    call: Call
    fault: Fault
    told: list[str] = field(default_factory=list)
    """What people read instead of what they wanted; then they tried again."""
    answers: list[str] = field(default_factory=list)
    """What the audit log says came of each attempt."""
    status: str = ""
    approvals: int = 0
    resets: int = 0
    hits: int = 0
    saw_passcode: bool = False
    _read: str = ""
    _armed: bool = False

    def __post_init__(self) -> None:
        self.bot, self.people = self.lane.bot, self.lane.bot.people
        known = {"review": self.lane.waiting, "reveal": self.lane.done}
        self.request_id = known.get(self.call.step, NO_REQUEST)

    async def run(self) -> "Job":
        """Live as much of the job as the fault touches; returns when everyone sees how it stands."""
        people, entra = self.people, self.bot.sandbox.entra
        await people.clear_faults()
        if self.call.to == "entra" and entra.token_lifetime != ALWAYS_REFRESHED:
            entra.token_lifetime = ALWAYS_REFRESHED
            await people.sign_in()
        await self.bot.execute(delete(tables.sign_in_links))  # a person gets 20 an hour
        self.bot.sandbox.journal.calls.clear()  # a state with all of them takes longest to build
        resets = len(await people.resets())
        to_the_end = dict.fromkeys(("submit", "follow"), self._to_the_end)
        alone = {"ask": self._ask, "sign in": self._sign_in, "review": self._review, "reveal": self._reveal}
        await (to_the_end | alone)[self.call.step]()
        await self._close_modals()
        if self.request_id:
            self.status = str((await self._at_rest()).status)
            rows = await self.bot.audit_rows(self.request_id)
            self.answers = [facts["answer"] for _, event, facts in rows if "answer" in facts]
            self.approvals = [event for _, event, _ in rows].count(Event.APPROVED)
        if self.call.step == "ask":
            await withdraw(self.bot.app.deps, self.request_id, Actor(user=UserId(MEI), team=None))
        self.resets = len(await people.resets()) - resets
        self.hits = len(self.bot.sandbox.faults.hits)
        assert [text for shown in people.state["notices"].values() for text in shown] == []
        return self

    async def _ask(self) -> None:
        known = {row.id for row in await self.bot.rows()}
        await self._arm("ask")
        await self.people.hear(MEI, TOMAS)
        [self.request_id] = [row.id for row in await self.bot.rows() if row.id not in known]
        await self._at_rest()

    async def _sign_in(self) -> None:
        await self.bot.app.deps.sign_ins.forget(UserId(KEN), SignOutReason.ASKED)
        await self._arm("sign in")
        while not await self._signed_in():
            await self._try_again()

    async def _signed_in(self) -> bool:
        people, browser = self.people, self.people.browser
        await self._close_modals()
        if await self._after(KEN, people.command(KEN, "sign-in")) != ENGLISH["sign_in.title"]:
            return False
        page = await browser.http.get(people.link_in_modal(KEN))
        if page.status_code == 303:
            back = await browser.pick(page.headers["location"], KEN_ACCOUNT)
            page = await browser.confirm(await browser.come_back(*back))
        self._read = page.text
        if page.status_code == 200:
            await self._see(lambda: people.title(KEN) == ENGLISH["signed_in.title"])
        return page.status_code == 200

    async def _to_the_end(self) -> None:
        await self._ask()
        while (row := await self._at_rest()).status is not Status.DONE:
            assert row.status is Status.PENDING or row.needs_a_human, row
            await self._review()
            await self._arm("submit")
            await self._arm("follow")
            title = await self._after(KEN, self.people.submit(KEN), leaving=ENGLISH["review.title"])
            if title != ENGLISH["approved.title"]:
                await self._try_again()

    async def _review(self) -> None:
        await self._arm("review")
        while await self._press(KEN, Action.APPROVE) != ENGLISH["review.title"]:
            await self._try_again()

    async def _reveal(self) -> None:
        await self._arm("reveal")
        while await self._press(MEI, Action.SHOW_PASSCODE) != ENGLISH["passcode.title"]:
            await self._try_again()
        self.saw_passcode = self.lane.passcode in self.people.modal_text(MEI)

    async def _press(self, user: str, action: Action) -> str:
        await self._see(lambda: self.request_id in self.people.offered(action))
        await self._close_modals()
        return await self._after(user, self.people.press(user, action, request=self.request_id))

    async def _after(self, user: str, gesture: Awaitable[Any], *, leaving: str = "") -> str:
        """Return the title of the modal that a gesture leads to; empty where it is a private sentence."""
        heard = len(self.people.private_texts(user))
        loading = ("", ENGLISH["loading.title"], leaving)
        await gesture
        await self._see(
            lambda: self.people.title(user) not in loading or len(self.people.private_texts(user)) > heard
        )
        said = self.people.private_texts(user)[heard:]
        self._read = said[-1] if said else self.people.modal_text(user)
        return "" if said else self.people.title(user)

    async def _try_again(self) -> None:
        """They have read why it did not work, and wait for as long as the vendor asked."""
        self.told.append(self._read)
        await asyncio.sleep(float(str(dict(self.fault.more).get("retry_after", 0))))
        assert len(self.told) < 3, self.told

    async def _close_modals(self) -> None:
        for user in (KEN, MEI):
            await self.people.close(user)

    async def _see(self, seen: Any) -> None:
        await self.people.until(seen, PATIENCE)

    async def _at_rest(self) -> ResetRequest:
        """Return the row when it waits for people or is over, and one card and one receipt show that."""
        async with asyncio.timeout(PATIENCE):
            while True:
                changed = self.bot.sandbox.next_change()
                row = await self.bot.row(self.request_id)
                waits = row.status is Status.PENDING or row.needs_a_human
                if (waits or row.is_over) and await self._is_shown(row):
                    return row
                await changed.wait()

    async def _is_shown(self, row: ResetRequest) -> bool:
        reveal_for = self.bot.app.deps.timing.reveal_for
        wanted = {ON_CALL: card(row, WORDS), DIRECT: receipt(row, WORDS, reveal_for=reveal_for)}
        for channel, message in wanted.items():
            posted = [one for one in await self.people.posted(channel) if self.request_id in str(one)]
            parts = [one["metadata"]["event_payload"] for one in posted if "metadata" in one]
            assert all(parts.count(part) == 1 for part in parts), f"twice: {parts}"
            said = [one for one in posted if one["blocks"][0]["type"] == "header"]
            shown = [(one["text"], [block | {"block_id": ""} for block in one["blocks"]]) for one in said]
            if shown != [(message.text, [{**block, "block_id": ""} for block in message.blocks])]:
                return False
        return True

    async def _arm(self, step: Step) -> None:
        if step == self.call.step and not self._armed:
            self._armed = True
            # Slack does at once what we gave up on: docs/reliability.md says why.
            late = self.fault.kind == "latency" and self.call.to == "slack"
            more = dict(self.fault.more) | ({"after": True} if late else {})
            await self.people.fault(
                self.call.to, self.fault.kind, self.call.match, skip=self.call.skip, **more
            )


WE_WAIT = timedelta(seconds=4)
CALLS = ("graph_timeout", "slack_timeout", "entra_timeout", "trigger_timeout")
PATIENT = replace(FAST, settle=WE_WAIT)
IMPATIENT = replace(FAST, settle=2 * WE_WAIT, **dict.fromkeys(CALLS, WE_WAIT))
TOO_LATE = Fault("latency", (("seconds", 5),))
BUSY, BUSY_FOR_A_WHILE = Fault("429"), Fault("429", (("retry_after", 1),))
DOWN = Fault("5xx")
CUT_BEFORE, CUT_AFTER = Fault("reset before"), Fault("reset after")
HALF = Fault("truncated")
FAULTS = (TOO_LATE, BUSY, BUSY_FOR_A_WHILE, DOWN, CUT_BEFORE, CUT_AFTER, HALF)

UNNOTICED: frozenset[Fault] = frozenset()
LOOKUP = frozenset(FAULTS) - {CUT_BEFORE, CUT_AFTER}
"""A press that has to look something up is refused, and says so; a broken connection is tried again."""
MODAL = frozenset(FAULTS) - {CUT_BEFORE}
"""A modal that Slack does not open is not opened later: the person is told. A cut one is tried at once."""
READ = frozenset({TOO_LATE, HALF})
"""Graph is asked again where it is busy or down, and where the connection breaks."""
ENTRA = frozenset(FAULTS)

TOLD: Mapping[Call, frozenset[Fault]] = {
    Call("ask", "slack", "users.info"): UNNOTICED,
    Call("ask", "slack", "conversations.members"): UNNOTICED,
    Call("ask", "slack", "chat.postMessage"): UNNOTICED,
    Call("ask", "slack", "chat.postMessage", skip=1): UNNOTICED,
    Call("ask", "slack", "chat.update"): UNNOTICED,
    Call("sign in", "slack", "views.open"): MODAL,
    Call("sign in", "slack", "users.info"): LOOKUP,
    Call("sign in", "entra", "/token"): ENTRA,
    Call("sign in", "slack", "views.update"): UNNOTICED,
    Call("review", "slack", "views.open"): MODAL,
    Call("review", "slack", "users.info"): LOOKUP,
    Call("review", "slack", "conversations.members"): LOOKUP,
    Call("review", "entra", "/token"): ENTRA,
    Call("review", "graph", "GET /graph"): READ,
    Call("review", "slack", "views.update"): UNNOTICED,
    Call("submit", "graph", "GET /graph"): READ,
    Call("submit", "graph", "GET /graph", skip=1): READ,
    Call("submit", "entra", "/token"): ENTRA,
    Call("submit", "graph", "resetPasscode"): UNNOTICED,
    Call("submit", "slack", "views.update"): UNNOTICED,
    Call("submit", "slack", "chat.update"): UNNOTICED,
    Call("follow", "graph", "GET /graph", skip=2): UNNOTICED,
    Call("reveal", "slack", "views.open"): MODAL,
    Call("reveal", "entra", "/token"): ENTRA,
    Call("reveal", "graph", "GET /graph"): READ,
    Call("reveal", "slack", "views.update"): UNNOTICED,
}
"""By the call that goes wrong: the faults that people notice, because they are told to try again."""
RESET: Mapping[Fault, Sequence[str]] = {
    **dict.fromkeys((BUSY, BUSY_FOR_A_WHILE), ("NotExecuted", "accepted")),
    **dict.fromkeys((DOWN, CUT_BEFORE), ("OutcomeUnknown", "not found on the device", "accepted")),
    **dict.fromkeys((TOO_LATE, CUT_AFTER, HALF), ("OutcomeUnknown", "found on the device")),
}
"""What comes of the reset itself. Not found: a human has decided to try again, so there are two approvals."""
ENDS = {"sign in": "", "ask": "pending", "review": "pending"}
"""In which state the request is then; after every other step it is done."""

Cell = tuple[Call, Fault]
CELLS: Sequence[Cell] = list(product(TOLD, FAULTS))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def results() -> Mapping[Cell, Job | Exception]:
    found: dict[Cell, Job | Exception] = {}

    async def share(lane: Lane, cells: Iterator[Cell]) -> None:
        await lane.prepare()
        for cell in cells:
            try:
                found[cell] = await Job(lane, *cell).run()
            except Exception as left_alone:  # one cell takes no other with it
                found[cell] = left_alone

    async with AsyncExitStack() as stack:
        shares = []
        for timing, lanes in ((PATIENT, 3), (IMPATIENT, 4)):
            mine = [cell for cell in CELLS if (cell[1] is TOO_LATE) == (timing is IMPATIENT)]
            cells = iter(sorted(mine, key=lambda cell: cell[0].to == "entra"))  # it is asked at each use then
            for _ in range(lanes):
                folder = Path(stack.enter_context(TemporaryDirectory()))
                bot = await stack.enter_async_context(running_bot(folder, timing=timing))
                shares.append(share(Lane(bot), cells))
        await asyncio.gather(*shares)
    return found


@pytest.mark.parametrize(("call", "fault"), CELLS, ids=str)
def test_it_ends_as_promised(call: Call, fault: Fault, results: Mapping[Cell, Job | Exception]):
    result = results[call, fault]
    assert isinstance(result, Job), result
    assert result.hits == 1, "nothing went wrong"
    assert len(result.told) == (fault in TOLD[call]), result.told
    assert result.status == ENDS.get(call.step, "done")
    if call.step in ("submit", "follow"):
        answers = RESET[fault] if call.match == "resetPasscode" else ("accepted",)
        assert tuple(result.answers) == answers
        assert (result.resets, result.approvals) == (1, 1 + answers.count("not found on the device"))
    else:
        assert result.resets == 0
    assert result.saw_passcode == (call.step == "reveal")
