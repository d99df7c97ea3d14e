"""What every use case is given: the vendors behind Protocols, the database, the rules, the clock."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final, Protocol, TypeVar
from uuid import uuid4

import structlog

from bot.domain.audit import Entry, Event
from bot.domain.device import ActionResult, FoundDevices, NewPasscode
from bot.domain.errors import (
    BAD_INPUT,
    QUOTAS,
    ApproverRefused,
    Code,
    CouldNotVerify,
    GraphError,
    LostRace,
    RecentlyReset,
    Refusal,
    SignInNeeded,
    SlackError,
)
from bot.domain.people import (
    Account,
    Actor,
    Audience,
    Confirmation,
    Kind,
    Person,
    SignInLink,
    SignInResult,
    SignOutReason,
)
from bot.domain.policy import Rules, check_approver, check_requester
from bot.domain.request import MessageState, ResetRequest, Status
from bot.domain.target import Target
from bot.domain.values import DeviceId, Facts, RequestId, Secret, UserId
from bot.store import requests
from bot.store.database import Database, Transaction
from bot.timing import Timing

MAX_ROUNDS: Final = 3
"""How often a decision is made again where another replica changed the row between its read and its write."""

Move = Callable[..., ResetRequest]
"""Called with the request as it is now stored, and `now`."""
T = TypeVar("T")

log = structlog.get_logger()


class Directory(Protocol):
    """Slack's directory, asked now and never remembered. A lookup that fails raises CouldNotVerify."""

    async def person(self, actor: Actor) -> Person:
        """Return who this is; a team in the payload that is not ours makes an outsider."""

    async def is_in(self, user: UserId, audience: Audience) -> bool:
        """Return whether the user is in the audience now, under any of their ids."""

    def same(self, user: UserId) -> frozenset[UserId]:
        """Return all ids of the person with this one, as Slack named them; empty where it has to be asked.

        On Enterprise Grid one person may have an id in the workspace and one in the organization.
        """


class Intune(Protocol):
    """Intune through Microsoft Graph, always as the person whose token it is. Raises the GraphError tree."""

    async def find(self, target: Target, token: Secret) -> FoundDevices:
        """Return the devices that the target names, every row checked against it."""

    async def reset_passcode(
        self, target: Target, device: DeviceId, token: Secret, *, client_request_id: str, direct: bool = False
    ) -> str:
        """Reset once, on the path where the device was found; never retried. Returns Graph's request-id.

        Raises UnknownPath where Graph does not know the path; with `direct` it is the one below all devices.
        """

    async def actions(self, device: DeviceId, token: Secret) -> Sequence[ActionResult]:
        """Return the resets that the device has had, from a read of this one device."""

    async def passcode(self, device: DeviceId, token: Secret, *, since: datetime) -> NewPasscode | None:
        """Return the new passcode of the first reset that started at or after `since`, if it is done."""


class SignInLinks(Protocol):
    """Sign-in links for a browser: to Microsoft, back, and on once the person has confirmed the account.

    All raise StoreError; those that ask Entra raise CouldNotVerify where it does not answer.
    """

    async def create(self, link: SignInLink, secret: Secret, *, limit: int) -> str:
        """Store the link and return its URL. Raises Refusal(QUOTA_EXCEEDED) after `limit` in an hour."""

    async def get(self, secret: Secret) -> SignInLink:
        """Return the link that may be opened, or raise Refusal(LINK_UNUSABLE)."""

    async def authorization_url(
        self, secret: Secret, *, login_hint: str | None, identity_only: bool = False
    ) -> str:
        """Return Microsoft's address for the link's browser; the same however often the link is opened.

        `identity_only`: ask who it is, and for no permission; no token is kept.
        """

    def redeem(self, form: Mapping[str, str]) -> AbstractAsyncContextManager[SignInResult]:
        """Redeem Microsoft's answer, once per `state`. Raises Refusal(LINK_UNUSABLE), SignInRefused.

        Where Entra, or what is done with the result, raises CouldNotVerify or StoreError, nothing is used up.
        """

    async def hold(self, result: SignInResult) -> Confirmation:
        """Keep the result, encrypted, for the browser that holds both secrets."""

    def take(self, confirmation: Confirmation) -> AbstractAsyncContextManager[SignInResult]:
        """Take the result out, once, or raise Refusal(LINK_UNUSABLE). Faults that pass: as in `redeem`."""


class SignIns(Protocol):
    """Sign-ins at Microsoft Entra: one account a person, and the encrypted token cache of who may approve."""

    async def keep(self, user: UserId, result: SignInResult, entry: Entry) -> None:
        """Link the account to the Slack user and keep its tokens, in one commit with the audit entry.

        Raises SignInRefused(ACCOUNT_TAKEN) where another Slack user has the account.
        """

    async def account(self, user: UserId) -> Account | None:
        """Return whom the Slack user is signed in as."""

    async def linked_to(self, account: Account) -> UserId | None:
        """Return which Slack user this account is linked to."""

    async def token(self, user: UserId, *, claims: str | None = None, fresh: bool = False) -> Secret:
        """Return a Graph access token; with `fresh`, or for `claims`, one that Entra issues now.

        Raises SignInNeeded, or CouldNotVerify where Entra does not answer.
        """

    async def forget(self, user: UserId, reason: SignOutReason, facts: Facts | None = None) -> bool:
        """Delete the user's tokens with an audit row; False where there were none."""

    async def sweep(self) -> None:
        """Delete links and sign-ins that are past their time."""


class Notifier(Protocol):
    """The messages about a request in Slack; raises the SlackError tree.

    Each call returns the state brought up to date. A message that is no longer there comes back as None; the
    next call posts it again.
    """

    async def find_posted(self, request: ResetRequest, state: MessageState) -> MessageState:
        """Find messages that were posted although no MessageRef says so."""

    async def update_card(self, request: ResetRequest, state: MessageState) -> MessageState:
        """Post or update the card in the approver channel; nothing where it already shows the row."""

    async def update_receipt(
        self,
        request: ResetRequest,
        state: MessageState,
        first: ResetRequest | None,
        no_card: SlackError | None,
    ) -> MessageState:
        """Post or update the requester's own message.

        `first`: the request that had the target before. `no_card`: why the card could not be shown just now.
        """

    async def tell_approvers(self, request: ResetRequest, state: MessageState) -> MessageState:
        """Post one line under the card: where the request stands now."""

    async def tell_requester(self, request: ResetRequest, state: MessageState) -> MessageState:
        """Post one line in the direct message: where the request stands now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A person who may, and by which audiences: for the audit log, as the settings have them."""

    person: Person
    rule: str
    """Such as `channel:C…, usergroup:S…`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """The dependencies, and what most use cases do with them: look people up, move a request, audit."""

    database: Database
    directory: Directory
    intune: Intune
    links: SignInLinks
    sign_ins: SignIns
    rules: Rules
    timing: Timing
    write_head: Callable[[], Awaitable[bool]]
    """Make the audit log's end known outside the database now; False where that failed."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    new_guid: Callable[[], str] = lambda: str(uuid4())
    wake_worker: Callable[[], None] = lambda: None
    """A row is due."""
    keep_head: Callable[[], None] = lambda: None
    """The audit log has a row that should be known outside the database soon."""
    channel_problem: Callable[[], Code | None] = lambda: None
    """Why the approver channel is none now: anybody can join it, or another organisation is in it."""

    # People

    @property
    def channel(self) -> Audience:
        """The approver channel's members."""
        return Audience.channel(self.rules.approver_channel)

    def id_of(self, user: UserId) -> UserId:
        """Return the one id by which this person is known here, as far as Slack has said."""
        return min(self.directory.same(user), default=user)

    async def ids(self, actor: Actor) -> frozenset[UserId]:
        """Return every id of this person; raises CouldNotVerify."""
        if not self.directory.same(actor.user):
            await self.directory.person(actor)
        return self.directory.same(actor.user)

    async def member(self, actor: Actor) -> Person:
        """Return who this is now; a person who is no full member any more is signed out at that moment."""
        person = await self.directory.person(actor)
        if person.kind is not Kind.MEMBER:
            await self.sign_out(person.id, SignOutReason.NOT_A_MEMBER, {"kind": str(person.kind)})
        return person

    async def sign_out(self, user: UserId, reason: SignOutReason, facts: Facts | None = None) -> bool:
        """Delete the person's tokens, under every id that is known; False where there were none."""
        ids = sorted(self.directory.same(user) or {user})
        return any([await self.sign_ins.forget(one, reason, facts) for one in ids])

    async def requester(self, actor: Actor) -> Admitted:
        """Return the requester, looked up now, or raise why they may not ask."""
        person = await self.member(actor)
        audience = await self._first_of(person, self.rules.requesters)
        check_requester(person, in_audience=audience is not None)
        return Admitted(person=person, rule=str(audience))

    async def approver(self, actor: Actor, request: ResetRequest) -> Admitted:
        """Return the approver, looked up now, or raise why they may not decide."""
        admitted = await self.still_approver(actor, request)
        if (problem := self.channel_problem()) is not None:
            raise Refusal(problem)
        return admitted

    async def still_approver(self, actor: Actor, request: ResetRequest) -> Admitted:
        """Return who decided before, looked up now, or raise why they are no approver any more."""
        person = await self.member(actor)
        in_channel = await self.in_channel(person)
        rota = await self._first_of(person, self.rules.approvers)
        on_call = rota is not None or not self.rules.approvers
        asked_by = self.id_of(request.asked_by)
        check_approver(person, asked_by=asked_by, in_channel=in_channel, on_call=on_call)
        return Admitted(person=person, rule=", ".join(map(str, filter(None, (self.channel, rota)))))

    async def in_channel(self, person: Person) -> bool:
        return await self.directory.is_in(person.id, self.channel)

    async def _first_of(self, person: Person, audiences: Sequence[Audience]) -> Audience | None:
        for audience in audiences:
            if await self.directory.is_in(person.id, audience):
                return audience
        return None

    async def as_person(
        self, user: UserId, oid: str, call: Callable[[Secret], Awaitable[T]], *, fresh: bool = False
    ) -> T:
        """Call Graph as `user`, while they are signed in as the account `oid`: the only way to their token.

        A token that Graph refuses is replaced once by one that Entra issues now, with the claims that Graph
        asks for; the call must have made sure that nothing was done. What is refused again raises
        SignInNeeded, or ApproverRefused where it is for the role. Raises CouldNotVerify too. With `fresh` the
        first token is one that Entra issues now.
        """
        claims: str | None = None
        attempts = (True,) if fresh else (False, True)
        for fresh in attempts:
            account = await self.sign_ins.account(user)
            if account is None or account.oid != oid:
                break
            token = await self.sign_ins.token(user, claims=claims, fresh=fresh)
            try:
                return await call(token)
            except ApproverRefused as refused:
                if fresh and refused.is_role:
                    raise
                claims = refused.claims or claims
        raise SignInNeeded(claims, rejected=fresh)

    async def account_facts(self, user: UserId) -> dict[str, str]:
        """Return who the Slack user is at Microsoft, for an audit row; empty where they are not signed in."""
        account = await self.sign_ins.account(user)
        return {} if account is None else account.as_facts()

    # Requests

    async def get_request(self, request_id: RequestId, *, in_log: bool = True) -> ResetRequest:
        """Return the request, or raise Refusal(UNKNOWN_REQUEST). `in_log`: its seal alone does not do."""
        audit_log = self.database.audit_log
        read = partial(requests.get_request, request_id=request_id, audit_log=audit_log, in_log=in_log)
        return await self.database.read(read)

    async def move(
        self, old: ResetRequest, new: ResetRequest, event: Event | None = None, facts: Facts | None = None
    ) -> None:
        """Store the move of a row that the worker holds, with its audit row, or raise LostRace."""
        entry = None if event is None else Entry.of_move(event, new, facts or {})
        await self.database.run(partial(requests.move, old=old, new=new, entry=entry), can_wait=True)
        self.wake_worker()

    async def decide(
        self, request_id: RequestId, event: Event, move: Move, facts: Facts, by: Actor | None = None
    ) -> ResetRequest:
        """Read, move and write in one transaction. Whoever comes second is told by `move` who was first."""
        now, actor = self.now(), None if by is None else by.user

        def unit(tx: Transaction) -> ResetRequest:
            old = requests.get_request(tx, request_id, tx.audit_log)
            closed_by = old.cause.facts.get("person") if old.status is Status.CLOSED and old.cause else None
            if actor is not None and actor == (closed_by or old.decided_by) and str(old.status) == str(event):
                return old  # pressed or delivered twice: the answer is the same
            new = move(old, now=now)
            entry = Entry.of_move(event, new, facts, actor=actor)
            requests.move(tx, old, new, replace(entry, at=now))
            return new

        again = iter(range(1, MAX_ROUNDS))
        while True:
            try:
                new = await self.database.run(unit)
                break
            except LostRace:  # to another replica, between the read and the write
                if next(again, None) is None:
                    raise
        self.wake_worker()
        self.keep_head()
        return new

    # The audit log

    async def audit(
        self, event: Event, actor: UserId | None, request_id: RequestId | None, facts: Facts
    ) -> None:
        """Append one row that belongs to no move."""
        entry = self.entry(event, actor, request_id, facts)
        await self.database.run(lambda tx: tx.entries.append(entry))

    def entry(self, event: Event, actor: UserId | None, request_id: RequestId | None, facts: Facts) -> Entry:
        return Entry(event=event, at=self.now(), actor=actor, request_id=request_id, facts=dict(facts))

    @asynccontextmanager
    async def acting(self, actor: Actor, request_id: RequestId) -> AsyncIterator[tuple[Actor, ResetRequest]]:
        """Yield who acts, on which request, as `audit_refusals` does.

        The actor has the id by which the request names the requester, where that is them, else `id_of`.
        """
        async with self.audit_refusals(actor, request_id):
            ids = await self.ids(actor)
            request = await self.get_request(request_id)
            try:
                await self.ids(request.requester)
            except CouldNotVerify as failed:
                if not failed.hidden:  # else who asked has left
                    raise
            user = request.asked_by if request.asked_by in self.directory.same(min(ids)) else min(ids)
            yield replace(actor, user=user), request

    @asynccontextmanager
    async def audit_refusals(self, actor: Actor, request_id: RequestId | None = None) -> AsyncIterator[None]:
        """Leave an audit row for whoever tries what they may not, or what could not be.

        Not for what is typed again, for what the person or Microsoft is asked first, nor past a quota: that
        would let one person flood the log, so it leaves a log line.
        """
        try:
            yield
        except (SignInNeeded, RecentlyReset):
            raise
        except (Refusal, GraphError) as error:
            if isinstance(error, Refusal):
                refusal, facts = str(error.code), error.facts
            else:
                refusal, facts = type(error).__name__, error.as_facts()
            if refusal in QUOTAS:
                log.warning("quota_exceeded", user=actor.user, code=refusal)
            elif refusal not in BAD_INPUT:
                facts = {"refusal": refusal, **facts} | await self.account_facts(actor.user)
                await self.audit(Event.ACCESS_REFUSED, actor.user, request_id, facts)
            raise
