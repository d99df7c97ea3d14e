"""What every use case works with, and the three things that all of them do: look up, move, note a refusal."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from bot.domain.errors import BadInput, GraphError, LostRace, RecentlyReset, Refusal, SignInNeeded, TooOften
from bot.domain.identifiers import RequestId, UserId
from bot.domain.limits import Limits
from bot.domain.people import Actor, Audience, Kind, Person
from bot.domain.policy import Rules, check_approver, check_requester
from bot.domain.record import Entry, Event
from bot.domain.request import Approval, ResetRequest, Timing
from bot.domain.secret import Secret
from bot.domain.sign_in import Ended
from bot.ports import Clock, Devices, Invitations, People, Record, Requests, SignIns
from bot.resets.evidence import of_account, of_refusal

Move = Callable[[ResetRequest], ResetRequest]
MakeEntry = Callable[[ResetRequest], Entry]


def _new_id() -> str:
    return str(uuid4())


def _nobody_waits() -> None:
    """No worker runs beside this desk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """Somebody who may, and the audiences by which: what the record says for it."""

    person: Person
    by: Sequence[Audience]

    @property
    def rule(self) -> str:
        """As the settings have it, such as `channel:C…, usergroup:S…`."""
        return ", ".join(map(str, self.by))


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The ports, the rules and the clock."""

    requests: Requests
    record: Record
    people: People
    devices: Devices
    sign_ins: SignIns
    invitations: Invitations
    rules: Rules
    timing: Timing
    limits: Limits = field(default_factory=Limits)
    clock: Clock
    new_id: Callable[[], str] = field(default=_new_id)
    """Makes GUIDs."""
    wake: Callable[[], None] = field(default=_nobody_waits)
    """Tells the worker that a row is due."""

    async def member(self, actor: Actor) -> Person:
        """Who this is now; whoever is found to be no full member any more is signed out at that moment."""
        person = await self.people.person(actor)
        if person.kind is not Kind.MEMBER:
            await self.sign_ins.forget(person.id, Ended.NOT_A_MEMBER, {"kind": str(person.kind)})
        return person

    async def requester(self, actor: Actor) -> Admitted:
        """Who asks, or why they may not."""
        person = await self.people.person(actor)
        admitted = Admitted(person=person, by=await self._first_of(person, self.rules.requesters))
        check_requester(person, in_audience=bool(admitted.by))
        return admitted

    async def approver(self, actor: Actor, request: ResetRequest) -> Admitted:
        """Who decides, looked up now, or why they may not."""
        person = await self.member(actor)
        rota = await self._first_of(person, self.rules.approvers)
        channel = await self._first_of(person, [Audience.channel(self.rules.approver_channel)])
        on_call = bool(rota) or not self.rules.approvers
        check_approver(person, asked_by=request.asked_by, in_channel=bool(channel), on_call=on_call)
        return Admitted(person=person, by=[*channel, *rota])

    async def _first_of(self, person: Person, audiences: Sequence[Audience]) -> Sequence[Audience]:
        """The first audience that the person is in now; of none, none."""
        for audience in audiences:
            if await self.people.is_in(person.id, [audience]):
                return [audience]
        return []

    async def is_in_approver_channel(self, person: Person) -> bool:
        """Whether the person is in the approver channel now."""
        return await self.people.is_in(person.id, [Audience.channel(self.rules.approver_channel)])

    async def token_of(self, approval: Approval) -> Secret:
        """The approver's token, while they are signed in as the account that approved; else SignInNeeded."""
        account = await self.sign_ins.account(approval.by)
        if account is None or account.oid != approval.oid:
            raise SignInNeeded
        return await self.sign_ins.token(approval.by)

    async def move(self, request_id: RequestId, move: Move, entry: MakeEntry) -> ResetRequest:
        """Read, move, write; after a lost race read again, so that the loser is told who won."""
        while True:
            old = await self.requests.get(request_id)
            new = move(old)
            try:
                await self.requests.replace(old, new, entry(new))
            except LostRace:
                continue
            self.wake()
            return new

    async def signed_in_as(self, user: UserId) -> dict[str, str]:
        """Who the Slack user is at Microsoft, for the record; nothing where they are not signed in."""
        account = await self.sign_ins.account(user)
        return {} if account is None else of_account(account)

    @asynccontextmanager
    async def noting_refusals(self, actor: Actor, request_id: RequestId | None = None) -> AsyncIterator[None]:
        """Whoever tries what they may not, or what could not be, leaves a row in the record."""
        try:
            yield
        except (BadInput, SignInNeeded, RecentlyReset):
            raise  # it is typed again, Microsoft or the person is asked first: nobody was refused
        except (Refusal, GraphError) as refusal:
            if not isinstance(refusal, TooOften) or refusal.first:
                facts = of_refusal(refusal) | await self.signed_in_as(actor.user)
                await self.note(Event.TRY_REFUSED, actor, request_id, facts)
            raise

    async def note(
        self,
        event: Event,
        actor: Actor,
        request_id: RequestId | None = None,
        facts: dict[str, str] | None = None,
    ) -> None:
        """Append one row to the record."""
        at = self.clock.now()
        await self.record.note(
            Entry(event=event, at=at, actor=actor.user, request_id=request_id, facts=facts or {})
        )
