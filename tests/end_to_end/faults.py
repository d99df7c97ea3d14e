"""One fault of a vendor in the whole job, and how people, patient as they are, come through it."""

import asyncio
import re
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from bot.domain.audit import Event
from bot.domain.people import Actor, SignOutReason
from bot.domain.request import ResetRequest, Status
from bot.domain.values import RequestId, UserId
from bot.slack.blocks import Message
from bot.slack.messages import card, receipt
from bot.slack.payloads import NO_REQUEST, Action
from bot.slack.wording import CATALOG_EN as ENGLISH
from bot.slack.wording import Wording
from bot.store import tables
from bot.use_cases.decide import withdraw
from sqlalchemy import delete
from tests.support.app_fixture import ADA, TOMAS, Bot
from tests.support.user_actions import KEN, KEN_ACCOUNT, MEI, ON_CALL, Json, direct_channel

PATIENCE = 60.0
"""Seconds. A person who waits longer has been left alone."""
MAX_TRIES = 3
WORDS = Wording(ENGLISH)
GALAXY, GALAXY_SERIAL = "5a000000-0000-4000-8000-0000000000c3", "R5CX70ABCDE"
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
class Result:
    """What came of it."""

    told: list[str] = field(default_factory=list)
    """What people read instead of what they wanted; then they tried again."""
    answers: list[str] = field(default_factory=list)
    """What the audit log says came of each attempt."""
    status: str = ""
    approvals: int = 0
    resets: int = 0
    hits: int = 0
    saw_passcode: bool = False


@dataclass
class Lane:
    """One bot that lives through one fault after the other."""

    bot: Bot
    waiting: RequestId = NO_REQUEST
    """A request that is reviewed again and again."""
    done: RequestId = NO_REQUEST
    passcode: str = ""
    """Of the request that is done."""
    _refreshes: bool = False

    async def prepare(self) -> None:
        """Let Ken be signed in, one request wait, and one be done."""
        await self.bot.people.sign_in()
        self.waiting = await self.bot.pending(ADA)
        self.done = await self.bot.done(f"serial:{GALAXY_SERIAL} locked out")
        people = self.bot.people
        await people.until(lambda: "show_passcode" in str(people.direct(MEI)))
        await people.open(MEI, "show_passcode", request=self.done, channel=direct_channel(MEI))
        [self.passcode] = re.findall(r"\b\d{8}\b", people.modal_text(MEI))
        assert await people.unlock(GALAXY, self.passcode)

    async def run(self, call: Call, fault: Fault) -> Result:
        """Live as much of the job as the fault touches; returns when everyone sees how it stands."""
        people = self.bot.people
        await people.clear_faults()
        if call.to == "entra" and not self._refreshes:
            await self._refresh_every_token()
        await self.bot.execute(delete(tables.sign_in_links))  # a person gets 20 an hour
        self.bot.sandbox.journal.calls.clear()  # a state with all of them takes longest to build
        resets = len(await people.resets())
        job = _Job(self, call, fault)
        await job.run()
        job.result.resets = len(await people.resets()) - resets
        job.result.hits = len(await people.fault_hits())
        assert [text for shown in people.state["notices"].values() for text in shown] == []
        return job.result

    async def _refresh_every_token(self) -> None:
        """Let Entra be asked at each use of a sign-in from now on."""
        self._refreshes = True
        self.bot.sandbox.entra.token_lifetime = timedelta(minutes=2)
        await self.bot.people.sign_in()


@dataclass
class _Job:
    lane: Lane
    call: Call
    fault: Fault
    result: Result = field(default_factory=Result)
    request_id: RequestId = NO_REQUEST
    _read: str = ""
    _armed: bool = False

    def __post_init__(self) -> None:
        self.bot, self.people = self.lane.bot, self.lane.bot.people

    async def run(self) -> None:
        match self.call.step:
            case "ask":
                await self._ask()
            case "sign in":
                await self._sign_in()
            case "review":
                self.request_id = self.lane.waiting
                await self._review()
            case "submit" | "follow":
                await self._to_the_end()
            case "reveal":
                self.request_id = self.lane.done
                await self._reveal()
        await self._close_modals()
        if self.request_id:
            self.result.status = str((await self._at_rest()).status)
            rows = await self.bot.audit_rows(self.request_id)
            self.result.answers = [facts["answer"] for _, event, facts in rows if "answer" in facts]
            self.result.approvals = [event for _, event, _ in rows].count(Event.APPROVED)
        if self.call.step == "ask":
            await withdraw(self.bot.app.deps, self.request_id, Actor(user=UserId(MEI), team=None))

    async def _ask(self) -> None:
        known = {row.id for row in await self.bot.rows()}
        await self._arm("ask")
        heard = len(self.people.private_texts(MEI))
        await self.people.command(MEI, TOMAS)
        await self._see(lambda: len(self.people.private_texts(MEI)) > heard)
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
        while await self._press(KEN, ON_CALL, Action.APPROVE) != ENGLISH["review.title"]:
            await self._try_again()

    async def _reveal(self) -> None:
        await self._arm("reveal")
        while await self._press(MEI, direct_channel(MEI), Action.SHOW_PASSCODE) != ENGLISH["passcode.title"]:
            await self._try_again()
        self.result.saw_passcode = self.lane.passcode in self.people.modal_text(MEI)

    async def _press(self, user: str, channel: str, action: Action) -> str:
        await self._see(
            lambda: any(self.request_id in str(m["blocks"]) for m in self.people.messages(channel))
        )
        await self._close_modals()
        return await self._after(
            user, self.people.press(user, action, request=self.request_id, channel=channel)
        )

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
        self.result.told.append(self._read)
        await asyncio.sleep(float(str(dict(self.fault.more).get("retry_after", 0))))
        assert len(self.result.told) < MAX_TRIES, self.result.told

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
        wanted = {ON_CALL: card(row, WORDS), direct_channel(MEI): receipt(row, WORDS, reveal_for=reveal_for)}
        for channel, message in wanted.items():
            said = await self.people.posted(channel)
            if not _shows([one for one in said if self.request_id in str(one["metadata"])], message):
                return False
        return True

    async def _arm(self, step: Step) -> None:
        """Order the fault when its step begins, once."""
        if step == self.call.step and not self._armed:
            self._armed = True
            # Slack does at once what we gave up on: docs/reliability.md says why.
            late = self.fault.kind == "latency" and self.call.to == "slack"
            more = dict(self.fault.more) | ({"after": True} if late else {})
            await self.people.fault(
                self.call.to, self.fault.kind, self.call.match, skip=self.call.skip, **more
            )


def _shows(messages: Sequence[Json], wanted: Message) -> bool:
    if len(messages) != 1:
        return False
    blocks = [{k: v for k, v in block.items() if k != "block_id"} for block in messages[0]["blocks"]]
    return bool(messages[0]["text"] == wanted.text) and blocks == [dict(block) for block in wanted.blocks]
