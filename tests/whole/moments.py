"""One bad moment of a vendor in the main job, and how people, patient as they are, come through."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bot.domain.identifiers import RequestId, UserId
from bot.domain.people import Actor
from bot.domain.record import Event
from bot.domain.request import ResetRequest, Status
from bot.domain.sign_in import Ended
from bot.resets.decide import withdraw
from bot.slack import ids
from bot.slack.about import NO_REQUEST
from bot.slack.cards import card
from bot.slack.message import Message
from bot.slack.receipts import receipt
from bot.slack.wording import ENGLISH
from sandbox.faults import Kind, Rule
from sandbox.journal import Vendor
from tests.whole.browser import KEN_ACCOUNT
from tests.whole.installed import KEN, MEI, ON_CALL, PIXEL, Installed

ASK = "/reset-passcode serial:59040DLJH001 locked out in the field"
ANOTHER = "/reset-passcode ada@contoso.com locked out before her flight"
SIGNED_IN = "Signed in"
PATIENCE = 60.0
"""Seconds; whoever waits longer has been left alone."""
MOST_TRIES = 3

Step = Literal["ask", "sign in", "review", "submit", "follow", "reveal"]


@dataclass(frozen=True)
class Call:
    """A call to a vendor, by the step of the main job that leads to it."""

    step: Step
    to: Vendor
    match: str
    skip: int = 0
    """So many calls like it go well before."""

    def __str__(self) -> str:
        which = f" no. {self.skip + 1}" if self.skip else ""
        return f"{self.step}: {self.to} {self.match.removeprefix(r'/slack/api/')}{which}"


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one call. `seconds`: later than we wait."""

    kind: Kind
    retry_after: int | None = None
    seconds: float = 2.0

    def __str__(self) -> str:
        return f"{self.kind}, Retry-After" if self.retry_after else self.kind

    def of(self, call: Call) -> Rule:
        """The order for the sandbox. Slack does what we gave up on at once: docs/reliability.md says why."""
        return Rule(
            to=call.to,
            kind=self.kind,
            match=call.match,
            skip=call.skip,
            retry_after=self.retry_after,
            seconds=self.seconds,
            after=self.kind == "latency" and call.to == "slack",
        )


NOTHING, NO_FAULT = Call("ask", "slack", "nothing is called so"), Fault("429")


@dataclass
class Lived:
    """What came of it."""

    struck: int = 0
    """Calls that went wrong."""
    told: list[str] = field(default_factory=list)
    """What people read instead of what they wanted; then they tried again."""
    answers: list[str] = field(default_factory=list)
    """What the record says came of each attempt."""
    status: str = ""
    approvals: int = 0
    resets: int = 0
    saw_passcode: bool = False


@dataclass
class Lane:
    """One bot, where one bad moment comes after the other. `kept`: requests that several are about."""

    there: Installed
    kept: dict[Status, RequestId] = field(default_factory=dict)
    passcode: str = ""
    """Of the request that is done."""

    async def live(self, call: Call, fault: Fault) -> Lived:
        """As much of the main job as the moment touches. Returns when everybody sees how it stands."""
        self.there.sandbox.faults.clear()
        before = len(self.there.sandbox.intune.resets)
        job = _Job(self, call, fault)
        await job.play()
        lived = job.lived
        lived.resets = len(self.there.sandbox.intune.resets) - before
        lived.struck = len(self.there.sandbox.faults.hits)
        return lived

    async def ready(self) -> None:
        """Ken is signed in; one request waits, one is done."""
        await _Job(self, NOTHING, NO_FAULT).prepare()


@dataclass
class _Job:
    lane: Lane
    call: Call
    fault: Fault
    lived: Lived = field(default_factory=Lived)
    request_id: RequestId = NO_REQUEST
    _armed: bool = False
    _read: str = ""

    @property
    def there(self) -> Installed:
        return self.lane.there

    @property
    def slack(self) -> Any:
        return self.there.slack

    async def prepare(self) -> None:
        await self._sign_in()
        await self._ask(ANOTHER)
        self.lane.kept[Status.PENDING] = self.request_id
        await self._to_the_end()
        self.lane.kept[Status.DONE] = self.request_id
        self.lane.passcode = self.there.sandbox.intune._fleet.phones[PIXEL].actions[-1].passcode

    async def play(self) -> None:
        match self.call.step:
            case "ask":
                await self._ask(ASK)
            case "sign in":
                await self._sign_in()
            case "review":
                self.request_id = self.lane.kept[Status.PENDING]
                await self._review()
            case "submit" | "follow":
                await self._to_the_end()
            case "reveal":
                self.request_id = self.lane.kept[Status.DONE]
                await self._reveal()
        await self._close()
        if self.request_id:
            await self._look_back()
        if self.call.step == "ask":
            await withdraw(self.there.bot.desk, self.request_id, Actor(user=UserId(MEI), team=None))

    async def _to_the_end(self) -> None:
        await self._ask(ASK)
        row = await self._rested()
        while row.status is not Status.DONE:
            assert row.status is Status.PENDING or row.needs_a_human, row
            await self._approve()
            row = await self._rested()

    async def _look_back(self) -> None:
        lived = self.lived
        lived.status = str((await self._rested()).status)
        life = await self.there.life(self.request_id)
        lived.answers = [facts["answer"] for event, facts in life if event == Event.ATTEMPT_ANSWERED]
        lived.approvals = sum(event == Event.APPROVED for event, _ in life)

    # What people do

    async def _ask(self, words: str) -> None:
        known = {row.id for row in await self.there.rows()}
        self._arm("ask")
        assert (await self.there.ask(words)).delivered
        [self.request_id] = [row.id for row in await self.there.rows() if row.id not in known]
        await self._rested()

    async def _sign_in(self) -> None:
        await self.there.bot.desk.sign_ins.forget(UserId(KEN), Ended.ASKED)
        self._arm("sign in")
        while not await self._signed_in():
            self._try_again()

    async def _signed_in(self) -> bool:
        typed = self.slack.command(KEN, ON_CALL, "/reset-passcode sign-in")
        if await self._window(KEN, typed) != ENGLISH.sign_in_title:
            return False
        page = await self.there.browser.http.get(self.there.link_in_window(KEN))
        if page.status_code == 303:
            back = await self.there.browser.pick(page.headers["location"], KEN_ACCOUNT)
            page = await self.there.browser.confirm(await self.there.browser.come_back(*back))
        self._read = page.text
        if page.status_code != 200:
            return False
        await self._see(lambda: self.there.title(KEN) == SIGNED_IN)
        return True

    async def _review(self) -> None:
        self._arm("review")
        while await self._press(KEN, ON_CALL, ids.APPROVE) != ENGLISH.review_title:
            self._try_again()

    async def _approve(self) -> None:
        await self._review()
        self._arm("submit")
        self._arm("follow")
        title = await self._window(KEN, self.slack.submit(KEN), leaving=ENGLISH.review_title)
        if title != ENGLISH.approved_title:
            self._try_again()

    async def _reveal(self) -> None:
        self._arm("reveal")
        while await self._press(MEI, self._direct, ids.SHOW_PASSCODE) != ENGLISH.passcode_title:
            self._try_again()
        self.lived.saw_passcode = self.lane.passcode in self.there.words(MEI)

    async def _press(self, user: str, channel: str, action: str) -> str:
        await self._see(lambda: f"'{action}'" in str([m.blocks for m in self._messages(channel)]))
        pressed = self.slack.click(user, action, seen=self._messages(channel)[-1])
        return await self._window(user, pressed)

    async def _window(self, user: str, gesture: Any, *, leaving: str = "") -> str:
        """What a gesture leads to: the title of a window, or nothing but a sentence."""
        if not leaving:
            await self._close()
        heard = len(self.slack.ephemerals(user))
        outcome = await gesture
        assert outcome.delivered, outcome
        nothing_yet = ("", ENGLISH.loading_title, leaving)
        await self._see(
            lambda: self.there.title(user) not in nothing_yet or len(self.slack.ephemerals(user)) > heard
        )
        said = self.slack.ephemerals(user)[heard:]
        self._read = said[-1].text if said else self.there.words(user)
        return "" if said else self.there.title(user)

    def _try_again(self) -> None:
        """They have read why it did not work, and wait the minute that they were asked to."""
        self.lived.told.append(self._read)
        assert len(self.lived.told) < MOST_TRIES, self.lived.told
        self.there.bot.desk.sign_ins._client._http_cache.clear()  # type: ignore[attr-defined]  # MSAL's minute

    async def _close(self) -> None:
        for user in (KEN, MEI):
            if self.slack.modal(user):
                await self.slack.close(user, all_of_them=True)

    # What there is to see

    async def _rested(self) -> ResetRequest:
        """The row, when it waits for people or is over and everybody can see that."""
        while True:
            changed = self.slack.changed._next
            row = await self.there.row(self.request_id)
            waits = row.status is Status.PENDING or row.needs_a_human
            if (waits or row.is_over) and self._is_shown(row):
                return row
            async with asyncio.timeout(PATIENCE):
                await changed.wait()

    async def _see(self, seen: Callable[[], object]) -> None:
        await self.slack.until(seen, PATIENCE)

    @property
    def _direct(self) -> str:
        return str(self.slack.workspace.people[MEI].direct)

    def _messages(self, channel: str) -> Sequence[Any]:
        return [said for said in self.slack.messages(channel) if self.request_id in str(said.metadata)]

    def _is_shown(self, row: ResetRequest) -> bool:
        """One card and one receipt, and each is render(row)."""
        wanted = ((ON_CALL, card(row, ENGLISH)), (self._direct, receipt(row, ENGLISH)))
        return all(_shows(self._messages(channel), message) for channel, message in wanted)

    def _arm(self, step: Step) -> None:
        """Order the bad moment, once, when its step begins."""
        if step == self.call.step and not self._armed:
            self._armed = True
            self.there.sandbox.faults.add(self.fault.of(self.call))


def _shows(messages: Sequence[Any], wanted: Message) -> bool:
    if len(messages) != 1:
        return False
    blocks = [{k: v for k, v in block.items() if k != "block_id"} for block in messages[0].blocks]
    return bool(messages[0].text == wanted.text) and blocks == [dict(block) for block in wanted.blocks]
