"""Fakes of the five Protocols in `bot.use_cases.deps`. Every call yields once, so that races show."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from bot.domain import errors, people
from bot.domain.audit import Entry, Event
from bot.domain.device import ActionResult, Device, FoundDevices, NewPasscode
from bot.domain.errors import Code, CouldNotVerify, Refusal
from bot.domain.people import Account, Actor, Audience, Confirmation, Kind, Person, SignInLink, SignInResult
from bot.domain.request import MessageRef, MessageState, ResetRequest, Status
from bot.domain.target import Target
from bot.domain.values import DeviceId, RequestId, Secret, UserId, utc_text
from tests.support.builders import AIKO, CAST, CHANNEL, KEN, LEOS_PHONE, TEAM, account_of, members
from tests.support.clock import Clock


class Stopped(BaseException):
    """The process ends here, as by a power cut."""


class Steps:
    """Every step that a process awaits. `left` steps are still made, then the process stops."""

    def __init__(self) -> None:
        self.left: int | None = None

    async def __call__(self) -> None:
        await asyncio.sleep(0)
        if self.left is not None:
            if self.left == 0:
                raise Stopped
            self.left -= 1


class StoppingDatabase:
    """A Database whose units of work are steps: one before the transaction, one after its commit."""

    def __init__(self, database: Any, steps: Steps) -> None:
        self._database = database
        self._steps = steps
        self.audit_log = database.audit_log
        self.down = False

    async def run(self, work: Callable[[Any], Any], **how: Any) -> Any:
        await self._steps()
        if self.down:
            raise errors.StoreUnavailable
        result = await self._database.run(work, **how)
        await self._steps()
        return result

    async def read(self, work: Callable[[Any], Any]) -> Any:
        await self._steps()
        return await self._database.read(work)


# Slack


@dataclass
class FakeDirectory:
    """Slack's directory; `down` makes every lookup fail, `unreadable` those in one audience."""

    people: dict[UserId, Person] = field(default_factory=lambda: {person.id: person for person in CAST})
    members: dict[Audience, set[UserId]] = field(default_factory=members)
    down: bool = False
    why: Mapping[str, str] | None = None
    """Slack's words, where it will not answer later either."""
    slow: set[UserId] = field(default_factory=set)
    """Whose profile Slack does not show now."""
    unreadable: Audience | None = None
    steps: Steps = field(default_factory=Steps)
    looked_up: list[UserId] = field(default_factory=list)
    also: dict[UserId, UserId] = field(default_factory=dict)
    """The id in the workspace, by the person's id in the organization."""
    told: set[UserId] = field(default_factory=set)
    """Whom Slack was asked for."""
    one_way: bool = False
    """Whether only the profile of the organization's id names the other one."""

    async def person(self, actor: Actor) -> Person:
        await self._step()
        self.looked_up.append(actor.user)
        person = self.people.get(self.also.get(actor.user, actor.user))
        if person is None:
            raise CouldNotVerify("person", {"code": "user_not_found"}, hidden=True)
        self.told.add(actor.user)
        if actor.user in self.slow:
            raise CouldNotVerify("person", self.why)
        return person if actor.team in (None, TEAM) else replace(person, kind=Kind.OUTSIDER)

    async def is_in(self, user: UserId, audience: Audience) -> bool:
        await self._step()
        if audience == self.unreadable:
            raise CouldNotVerify("slack")
        return not self.members.get(audience, set()).isdisjoint(self.same(user) or {user})

    def same(self, user: UserId) -> frozenset[UserId]:
        if user not in self.told and user.startswith("W"):
            return frozenset()
        here = self.also.get(user, user)
        named = {one for one, other in self.also.items() if other == here}
        return frozenset({user, here} | (named & self.told if self.one_way else named))

    def change(self, person: Person, **changes: object) -> None:
        self.people[person.id] = replace(person, **changes)  # type: ignore[arg-type]  # a test names the fields

    async def _step(self) -> None:
        await self.steps()
        if self.down:
            raise CouldNotVerify("slack", self.why)


@dataclass
class FakeNotifier:
    """Slack's messages. `posted` notified people; `failing` raises in the call that it names.

    `messages` is what Slack holds, whether a row knows it or not.
    """

    posted: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    messages: dict[str, MessageRef] = field(default_factory=dict)
    failing: dict[str, errors.SlackError] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    """Messages that a person deleted: the next call finds that out."""
    followed: list[Status | None] = field(default_factory=list)
    """How the first request for the same target stood, at each receipt."""
    no_card: list[errors.SlackError | None] = field(default_factory=list)
    """Why there was no card, at each receipt."""
    lines: list[tuple[str, RequestId, int]] = field(default_factory=list)
    """Where a line was posted, of which version of which request it tells."""
    on_call: Callable[[str], Awaitable[None]] | None = None
    """Awaited at the beginning of every call."""
    steps: Steps = field(default_factory=Steps)

    async def find_posted(self, request: ResetRequest, state: MessageState) -> MessageState:
        await self._step("find_posted")
        card, receipt = (self.messages.get(name) for name in ("card", "receipt"))
        state = replace(state, card=state.card or card, receipt=state.receipt or receipt)
        for name, told in (("thread", "told_approvers"), ("direct", "told_requester")):
            if (name, request.id, request.version) in self.lines:
                state = replace(state, **{told: request.version})  # type: ignore[arg-type]  # a version each
        return state

    async def update_card(self, request: ResetRequest, state: MessageState) -> MessageState:
        ref = await self._update("card", request, state.card, state.card_digest)
        told = request.version if state.card is None else state.told_approvers
        return replace(state, card=ref, card_digest=str(request.status), told_approvers=told)

    async def update_receipt(
        self, request: ResetRequest, state: MessageState, first: Any, no_card: Any
    ) -> MessageState:
        self.followed.append(first and first.status)
        self.no_card.append(no_card)
        ref = await self._update("receipt", request, state.receipt, state.receipt_digest)
        told = request.version if state.receipt is None else state.told_requester
        return replace(state, receipt=ref, receipt_digest=str(request.status), told_requester=told)

    async def tell_approvers(self, request: ResetRequest, state: MessageState) -> MessageState:
        if not request.tells_approvers(state):
            return state
        return replace(state, told_approvers=await self._tell("thread", request))

    async def tell_requester(self, request: ResetRequest, state: MessageState) -> MessageState:
        if not request.tells_requester(state):
            return state
        return replace(state, told_requester=await self._tell("direct", request))

    async def _tell(self, name: str, request: ResetRequest) -> int:
        await self._step(name)
        self.posted.append(name)
        self.lines.append((name, request.id, request.version))
        await self.steps()
        return request.version

    async def _update(
        self, name: str, request: ResetRequest, ref: MessageRef | None, digest: str
    ) -> MessageRef | None:
        await self._step(name)
        if name in self.deleted:
            self.deleted.remove(name)
            return None
        if ref is None:
            self.posted.append(name)
            ref = self.messages[name] = MessageRef(CHANNEL, f"{len(self.posted)}.0")
        elif digest != str(request.status):
            self.updated.append(name)
        await self.steps()
        return ref

    async def _step(self, name: str) -> None:
        await self.steps()
        if self.on_call is not None:
            await self.on_call(name)
        if name in self.failing:
            raise self.failing[name]


# Microsoft Graph

FRESH = "fresh"
"""In a token that was asked for anew, without claims."""


@dataclass(frozen=True)
class Answer:
    """What comes of one POST: whether the reset is executed, and the error that comes back, if one does."""

    error: errors.GraphError | None = None
    executed: bool = False


ACCEPTED = Answer(executed=True)
LOST = Answer(error=errors.OutcomeUnknown(code="ReadTimeout"))
LOST_BUT_EXECUTED = Answer(error=errors.OutcomeUnknown(status=502), executed=True)


@dataclass(frozen=True)
class Post:
    """One call of resetPasscode that left Unlatch."""

    device: DeviceId
    token: str
    client_request_id: str
    target: Target
    direct: bool = False


@dataclass
class FakeIntune:
    """`posts` left Unlatch; `resets` are those that were executed; `answers` are used up in order."""

    clock: Clock
    found: list[Device] = field(default_factory=lambda: [LEOS_PHONE])
    complete: bool = True
    seen_with: dict[str, list[Device]] = field(default_factory=dict)
    """What is found in place of `found` with a token that carries this."""
    answers: list[Answer] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    resets: list[Post] = field(default_factory=list)
    shown: dict[DeviceId, list[ActionResult]] = field(default_factory=dict)
    """Each device's `deviceActionResults`."""
    passcodes: dict[datetime, str] = field(default_factory=dict)
    """By the start of the reset that made it."""
    started_by: dict[tuple[datetime, DeviceId], str] = field(default_factory=dict)
    """The client-request-id whose call started a reset of a device."""
    looked_for: list[Target] = field(default_factory=list)
    read_with: list[str] = field(default_factory=list)
    reading_fails: errors.GraphError | None = None
    read_answers: list[errors.GraphError] = field(default_factory=list)
    """What the next reads fail with, used up in order."""
    asks_for: str | None = None
    """Every read answers 401 until a token carries this: a claims challenge, or that it is `FRESH`."""
    on_post: Callable[[], Awaitable[None]] | None = None
    """Awaited while a POST is under way."""
    on_read: Callable[[], Awaitable[None]] | None = None
    """Awaited while the next read is under way."""
    steps: Steps = field(default_factory=Steps)

    async def find(self, target: Target, token: Secret) -> FoundDevices:
        await self._read(token)
        self.looked_for.append(target)
        seen = (devices for text, devices in self.seen_with.items() if text in token.reveal())
        found = next(seen, self.found)
        return FoundDevices(devices=list(found), request_ids=["graph-listing"], complete=self.complete)

    async def reset_passcode(
        self, target: Target, device: DeviceId, token: Secret, *, client_request_id: str, direct: bool = False
    ) -> str:
        await self.steps()
        post = Post(device, token.reveal(), client_request_id, target, direct)
        self.posts.append(post)
        answer = self.answers.pop(0) if self.answers else ACCEPTED
        if self.on_post is not None:
            await self.on_post()
        await self.steps()
        if answer.executed:
            self.resets.append(post)
            self.started_by[self.show(device, "pending"), device] = client_request_id
            await self.steps()
        if answer.error is not None:
            raise answer.error
        return "graph-reset"

    async def actions(self, device: DeviceId, token: Secret) -> Sequence[ActionResult]:
        await self._read(token)
        return list(self.shown.get(device, []))

    async def passcode(self, device: DeviceId, token: Secret, *, since: datetime) -> NewPasscode | None:
        await self._read(token)
        later = [action for action in self.shown.get(device, []) if action.started_at >= since]
        later.sort(key=lambda action: action.started_at)
        if not later or later[0].state != "done":
            return None
        replaced = next((action.started_at for action in later[1:] if action.failure is None), None)
        return NewPasscode(passcode=Secret(self.passcodes[later[0].started_at]), replaced_at=replaced)

    def show(self, device: DeviceId, state: str, *, ago: timedelta = timedelta(0)) -> datetime:
        """Add a reset to the device's results. Intune's clock never stands still between two."""
        shown = self.shown.setdefault(device, [])
        at = self.clock.now() - ago
        if shown and not ago:
            at = max(at, max(action.started_at for action in shown) + timedelta.resolution)
        shown.append(ActionResult(state=state, started_at=at))
        return at

    def finish(self, state: str = "done", *, passcode: str = "the new passcode", error_code: int = 0) -> None:
        """Let every pending reset end like this."""
        for actions in self.shown.values():
            for index, action in enumerate(actions):
                if action.state == "pending":
                    self.passcodes[action.started_at] = passcode
                    actions[index] = replace(action, state=state, error_code=error_code)

    async def _read(self, token: Secret) -> None:
        await self.steps()
        self.read_with.append(token.reveal())
        if (do := self.on_read) is not None:
            self.on_read = None
            await do()
        if self.read_answers:
            raise self.read_answers.pop(0)
        if self.reading_fails is not None:
            raise self.reading_fails
        if self.asks_for and self.asks_for not in token.reveal():
            raise errors.ApproverRefused(status=401, claims=None if self.asks_for == FRESH else self.asks_for)


# Microsoft Entra


def token_of(user: UserId) -> str:
    return f"token of {user}"


@dataclass
class FakeSignIns:
    """Sign-ins by Slack user; Ken and Aiko are signed in. Audit rows go through `database`."""

    clock: Clock
    database: Any
    accounts: dict[UserId, Account] = field(
        default_factory=lambda: {person.id: account_of(person) for person in (KEN, AIKO)}
    )
    expired: set[UserId] = field(default_factory=set)
    """Users whose tokens no longer renew themselves."""
    keeping_fails: Exception | None = None
    down: bool = False
    steps: Steps = field(default_factory=Steps)

    async def keep(self, user: UserId, result: SignInResult, entry: Entry) -> None:
        await self.steps()
        if self.keeping_fails is not None:
            raise self.keeping_fails
        await self.database.run(lambda tx: tx.entries.append(entry))
        self.accounts[user] = result.account
        self.expired.discard(user)

    async def account(self, user: UserId) -> Account | None:
        await self.steps()
        return self.accounts.get(user)

    async def linked_to(self, account: Account) -> UserId | None:
        await self.steps()
        holders = {(held.tenant, held.oid): user for user, held in self.accounts.items()}
        return holders.get((account.tenant, account.oid))

    async def token(self, user: UserId, *, claims: str | None = None, fresh: bool = False) -> Secret:
        await self.steps()
        if self.down:
            raise CouldNotVerify("entra")
        if user not in self.accounts or user in self.expired:
            raise errors.SignInNeeded(claims)
        return Secret(token_of(user) + (f" with {claims or FRESH}" if fresh else ""))

    async def forget(self, user: UserId, reason: Any = people.SignOutReason.ASKED, facts: Any = None) -> bool:
        await self.steps()
        account = self.accounts.pop(user, None)
        if account is None:
            return False
        all_facts = {"reason": str(reason)} | account.as_facts() | (facts or {})
        entry = Entry(event=Event.SIGNED_OUT, at=self.clock.now(), actor=user, facts=all_facts)
        await self.database.run(lambda tx: tx.entries.append(entry))
        return True


@dataclass
class FakeLinks:
    """Sign-in links. `answers`: what Microsoft sends back for a `state`, an account or an error to raise."""

    clock: Clock
    links: dict[str, SignInLink] = field(default_factory=dict)
    """By the digest of the link's secret."""
    created: dict[UserId, int] = field(default_factory=dict)
    flows: dict[str, SignInLink] = field(default_factory=dict)
    hints: list[str | None] = field(default_factory=list)
    identity_only: list[bool] = field(default_factory=list)
    answers: dict[str, Account | Exception] = field(default_factory=dict)
    held: dict[tuple[str, str], SignInResult] = field(default_factory=dict)
    """By the secrets of the page and of the cookie."""
    steps: Steps = field(default_factory=Steps)

    async def create(self, link: SignInLink, secret: Secret, *, limit: int) -> str:
        await self.steps()
        if self.created.get(link.user, 0) >= limit:
            until = utc_text(self.clock.now() + timedelta(hours=1))
            raise Refusal(Code.QUOTA_EXCEEDED, limit=str(limit), until=until)
        self.created[link.user] = self.created.get(link.user, 0) + 1
        self.links[link.digest] = link
        return f"https://unlatch.contoso.com/sign-in/{secret.reveal()}"

    async def get(self, secret: Secret) -> SignInLink:
        await self.steps()
        link = self.links.get(hashlib.sha256(secret.reveal().encode()).hexdigest())
        if link is None or self.clock.now() >= link.expires_at:
            raise Refusal(Code.LINK_UNUSABLE)
        return link

    async def authorization_url(self, secret: Secret, *, login_hint: str | None, identity_only: bool) -> str:
        """Return the `state` itself in place of an address."""
        link = await self.get(secret)
        state = f"state-{len(self.hints)}"
        self.hints.append(login_hint)
        self.identity_only.append(identity_only)
        self.flows[state] = link
        return state

    @asynccontextmanager
    async def redeem(self, form: Mapping[str, str]) -> AsyncIterator[SignInResult]:
        await self.steps()
        state = form.get("state", "")
        link = self.flows.pop(state, None)
        if link is None:
            raise Refusal(Code.LINK_UNUSABLE)
        self.links.pop(link.digest, None)
        answer = self.answers[state]
        try:
            if isinstance(answer, Exception):
                raise answer
            yield SignInResult(link=link, account=answer, cache=Secret("cache"))
        except (CouldNotVerify, errors.StoreError):
            self.flows[state] = self.links[link.digest] = link
            raise

    async def hold(self, result: SignInResult) -> Confirmation:
        await self.steps()
        number = len(self.hints)
        self.held[f"page-{number}", f"cookie-{number}"] = result
        return Confirmation(Secret(f"page-{number}"), Secret(f"cookie-{number}"))

    @asynccontextmanager
    async def take(self, confirmation: Confirmation) -> AsyncIterator[SignInResult]:
        await self.steps()
        secrets = (confirmation.page.reveal(), confirmation.cookie.reveal())
        result = self.held.pop(secrets, None)
        if result is None:
            raise Refusal(Code.LINK_UNUSABLE)
        try:
            yield result
        except (CouldNotVerify, errors.StoreError):
            self.held[secrets] = result
            raise
