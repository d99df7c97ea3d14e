"""What the use cases need from the world: Protocols that the far sides fulfil and tests fake."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from bot.domain.chain import Head, Tip
from bot.domain.device import Device
from bot.domain.errors import Refusal
from bot.domain.identifiers import ChannelId, DeviceId, RequestId, UserId
from bot.domain.limits import Quota
from bot.domain.people import Account, Actor, Audience, Person
from bot.domain.record import Entry, Event
from bot.domain.request import ResetRequest
from bot.domain.secret import Secret
from bot.domain.sign_in import Ended, Ticket
from bot.domain.status import Status
from bot.domain.target import Target


class Clock(Protocol):
    """The time, so that tests can hold it."""

    def now(self) -> datetime:
        """Aware, UTC."""


class Lane(StrEnum):
    """The two things that a row waits for; each has its own lease, so a slow Slack never delays a reset."""

    DRIVE = "drive"
    SHOW = "show"


@dataclass(frozen=True, slots=True)
class MessageRef:
    """Where a Slack message is: a conversation and the timestamp that names it."""

    channel: ChannelId
    ts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What Slack shows of a request: where, and a digest of what was last rendered there."""

    card: MessageRef | None = None
    card_digest: str = ""
    receipt: MessageRef | None = None
    receipt_digest: str = ""
    reminders: int = 0
    posting: bool = False
    """A new message was begun and may have arrived, though no `MessageRef` says so: look before posting."""
    failures: int = 0
    """Deliveries in a row that failed; spaces the next try."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A due row, leased to this process for one lane."""

    request: ResetRequest
    shown: Shown


class Requests(Protocol):
    """The rows. A move is one compare-and-set on `version`, in one transaction with its audit row.

    Every method raises StoreAway where the database does not answer.
    """

    async def add(self, request: ResetRequest, entry: Entry, quota: Quota) -> ResetRequest:
        """Store a new request durably; where its `delivery` is known already, return that row instead.

        Raises TooOften, and stores nothing, where the quota is used up.
        """

    async def get(self, request_id: RequestId) -> ResetRequest:
        """Return the row, or raise UnknownRequest."""

    async def replace(self, old: ResetRequest, new: ResetRequest, entry: Entry | None = None) -> None:
        """Move `old` to `new` and have it shown anew, or raise LostRace if the row is no longer at `old`.

        Raises AlreadyAsked where another request has `new.open_target`, DeviceBusy where one has `new.holds`.
        """

    async def recent(self, user: UserId, *, limit: int) -> Sequence[ResetRequest]:
        """What `user` asked for, newest first."""

    async def waiting(self, *, limit: int) -> Sequence[ResetRequest]:
        """All that wait for an approver, oldest first."""

    async def claim(self, lane: Lane, *, now: datetime, lease: timedelta, limit: int) -> Sequence[Claimed]:
        """Lease up to `limit` rows due in `lane`, oldest first; a lease that ran out is due again."""

    async def release(self, lane: Lane, request: ResetRequest, *, again_at: datetime | None) -> None:
        """End the lease; `again_at` is when the lane is due again, and yields to a move made meanwhile."""

    async def save_shown(self, request_id: RequestId, shown: Shown) -> None:
        """Remember where and what Slack shows; no move, no version."""

    async def next_due(self, lane: Lane) -> datetime | None:
        """When the next row that nobody holds is due in `lane`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits, for operators."""

    open_requests: Mapping[Status, int]
    overdue: Mapping[Lane, timedelta]
    """How long the oldest due row has waited for a worker; zero where none does."""
    not_shown: int
    """Requests whose last delivery to Slack failed."""
    sign_ins: int


class Record(Protocol):
    """The audit record, for what is no move of a request."""

    async def note(self, entry: Entry) -> None:
        """Append one row."""

    async def newest(self, event: Event) -> Mapping[str, str] | None:
        """The facts of the newest row of this event."""


class Chain(Protocol):
    """The hash chain over the record, for whoever signs its end. Raises StoreAway."""

    async def adopt(self) -> int:
        """Link the rows that a replica of an older version left without a link; how many."""

    async def tip(self) -> Tip:
        """Where the chain ends."""

    async def signed_to(self) -> int:
        """The newest link that a head signs; 0 where there is no head."""

    async def keep(self, head: Head) -> bool:
        """Store a head; False where another replica has signed this link already."""


class Notary(Protocol):
    """Whoever can sign a head."""

    def sign(self, tip: Tip, at: datetime) -> Head:
        """The head of this tip."""


class People(Protocol):
    """Slack's directory, asked now. A lookup that fails raises CouldNotVerify."""

    async def person(self, actor: Actor) -> Person:
        """Who this is; a team in the payload that is not ours makes an outsider."""

    async def is_in(self, user: UserId, audiences: Sequence[Audience]) -> bool:
        """Whether the user is in any of the audiences; of no audience, nobody is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSeen:
    """One resetPasscode in a device's `deviceActionResults`. `state` is Graph's word, lower-case."""

    state: str
    started_at: datetime
    error_code: int = 0

    @property
    def came_to_nothing(self) -> bool:
        """Whether the device is as it was before."""
        return self.state in ("failed", "notsupported", "canceled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The devices that a target names, and Graph's ids of the answers in which they came."""

    devices: Sequence[Device] = ()
    request_ids: Sequence[str] = ()


class Devices(Protocol):
    """Intune through Microsoft Graph, always as the person whose token it is; raises the GraphError tree."""

    async def find(self, target: Target, token: Secret) -> Found:
        """The devices that the target names, every row checked against it."""

    async def reset(self, target: Target, device: DeviceId, token: Secret, *, client_request_id: str) -> str:
        """Reset once, on the path where the device was found. Never retried. Returns Graph's request-id."""

    async def actions(self, device: DeviceId, token: Secret) -> Sequence[ActionSeen]:
        """The resets that the device has had, from a read of this one device."""

    async def passcode(self, device: DeviceId, token: Secret, *, since: datetime) -> Secret | None:
        """The temporary passcode of the first reset that started at or after `since`, if that one is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What a browser brought back from Microsoft: checked by itself, not yet tied to the Slack user."""

    ticket: Ticket
    account: Account
    cache: Secret
    """MSAL's token cache of this account, serialized."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a person is given to sign in with: where to go, and the code to type there where it takes one."""

    url: str
    code: Secret | None = None


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Two secrets that only the browser which came back from Microsoft has; it takes both to go on."""

    page: Secret
    """In the form that asks whether to go on."""
    cookie: Secret


class Invitations(Protocol):
    """How people are asked to sign in."""

    async def invite(self, ticket: Ticket, secret: Secret, quota: Quota) -> Invitation:
        """Store the ticket and say where its owner signs in; `secret` is the ticket's own text.

        Raises TooOften; CouldNotVerify where Entra is away, SignInRefused where it offers no such sign-in.
        """


class SignInLinks(Invitations, Protocol):
    """Links for a browser: to Microsoft, back, and on only when the person has seen who is tied to whom."""

    async def ticket(self, secret: Secret) -> Ticket:
        """The ticket behind a link that may be opened, or raise TicketUnusable."""

    async def begin(self, secret: Secret, *, login_hint: str | None) -> str:
        """Microsoft's address for the link's browser; the same one however often the link is opened."""

    async def finish(self, form: Mapping[str, str]) -> Arrival:
        """Redeem the answer of Microsoft (once per `state`), or raise TicketUnusable or SignInRefused."""

    async def hold(self, arrival: Arrival) -> Confirmation:
        """Keep the arrival, sealed, for who holds both secrets."""

    async def take(self, confirmation: Confirmation) -> Arrival:
        """Take the arrival out, once, or raise TicketUnusable."""


@dataclass(frozen=True, slots=True)
class CodeUsed:
    """What came of a device code: an arrival, or why there is none."""

    ticket: Ticket
    arrival: Arrival | Refusal


class DeviceCodes(Invitations, Protocol):
    """Codes that people type at Microsoft, on whichever device. Waiting for one costs a row."""

    async def poll(self) -> Sequence[CodeUsed]:
        """Ask Microsoft about the codes that are due; those that it is done with, each exactly once."""


class SignIns(Protocol):
    """Approvers' sign-ins at Microsoft Entra: one account and one encrypted token cache a person."""

    async def keep(self, user: UserId, arrival: Arrival) -> None:
        """Tie the account to the Slack user and keep its tokens."""

    async def account(self, user: UserId) -> Account | None:
        """Whom the Slack user is signed in as."""

    async def tied_to(self, account: Account) -> UserId | None:
        """Which Slack user this account is tied to."""

    async def token(self, user: UserId, *, claims: str | None = None) -> Secret:
        """A Graph access token of the user, or raise SignInNeeded, or CouldNotVerify where Entra is away."""

    async def forget(self, user: UserId, why: Ended, facts: Mapping[str, str] | None = None) -> bool:
        """Drop the user's tokens and leave a row in the record, in one; False where there were none."""

    async def unseen(self, *, since: datetime, limit: int) -> Sequence[UserId]:
        """Signed-in users whom nobody has looked up in Slack since then; they count as seen from now on."""

    async def sweep(self) -> int:
        """Remove links, flows and sign-ins that are past their time; how many."""


class Board(Protocol):
    """What Slack shows of a request; raises the SlackError tree. Calls return `shown` brought up to date.

    A message that is no longer there comes back as None; the next call posts it anew.
    """

    async def find(self, request: ResetRequest, shown: Shown) -> Shown:
        """Find messages that were posted though nobody remembers where."""

    async def card(self, request: ResetRequest, shown: Shown) -> Shown:
        """Post or update the card in the approver channel; nothing where it already shows the row."""

    async def receipt(self, request: ResetRequest, shown: Shown) -> Shown:
        """Post or update the requester's own message."""

    async def reminder(self, request: ResetRequest, shown: Shown) -> Shown:
        """Say under the card that it still waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInRow:
    """One person's sign-in as stored: whom they are in Entra, and their sealed token cache."""

    user: UserId
    tenant: str
    oid: str
    username: str
    name: str
    emails: frozenset[str]
    signed_in_at: datetime
    authenticated_at: datetime | None = None
    key_id: str
    """Which vault key sealed `sealed`."""
    sealed: bytes
    version: int = 0
    """As read; `put` ignores it and `update_cache` compares it."""


@dataclass(frozen=True, slots=True)
class LinkRow:
    """A sign-in link as stored, and the sealed flow that was begun from it, if one was."""

    ticket: Ticket
    state_digest: str = ""
    flow: bytes = b""


class TicketRows(Protocol):
    """Sign-in links, the flows begun from them, and arrivals that wait for a yes. Raises StoreAway."""

    async def add(self, ticket: Ticket, quota: Quota) -> None:
        """Store a ticket; its digest is new. Raises TooOften where the quota is used up."""

    async def find(self, digest: str, *, now: datetime) -> LinkRow | None:
        """The link, while in time and not yet back from Microsoft."""

    async def begin(self, digest: str, *, state_digest: str, flow: bytes, now: datetime) -> bool:
        """Begin the one flow of the link: keep it, sealed, under its state for TICKET_LIFE from now."""

    async def hold(self, ticket: Ticket, *, key: str, arrival: bytes, now: datetime) -> None:
        """Keep a sealed arrival under the digest of its secrets, for TICKET_LIFE from now."""

    async def take(self, state_digest: str, *, now: datetime) -> tuple[Ticket, bytes] | None:
        """Take a flow or an arrival out, while in time. Exactly one caller gets it."""

    async def sealed(self) -> Sequence[bytes]:
        """All that is sealed here."""

    async def sweep(self, *, now: datetime) -> int:
        """Remove what is past its time; how many rows."""


class CodeRows(Protocol):
    """Device codes that wait for their owner, each due at a time. Raises StoreAway."""

    async def spend(self, quota: Quota, *, now: datetime) -> None:
        """Count one more code before Microsoft is asked for it; raises TooOften."""

    async def add_code(self, ticket: Ticket, *, flow: bytes, poll_at: datetime) -> None:
        """Store a sealed device code that lives until the ticket's `expires_at`."""

    async def due_codes(self, *, now: datetime, lease: timedelta, limit: int) -> Sequence[LinkRow]:
        """Lease those that are due, also those that have just expired; a lease that ran out is due again."""

    async def poll_again(self, digest: str, *, poll_at: datetime, flow: bytes) -> None:
        """End the lease."""

    async def end_code(self, digest: str) -> bool:
        """Remove the code; True for exactly one caller."""

    async def next_code(self) -> datetime | None:
        """When the next one is due."""


class SignInRows(Protocol):
    """One row a Slack user, one Slack user an account. Raises StoreAway."""

    async def get(self, user: UserId) -> SignInRow | None:
        """The person's row."""

    async def after(self, user: UserId | None, *, limit: int) -> Sequence[SignInRow]:
        """Rows in the order of their users, from the one after `user`."""

    async def older(self, than: datetime, *, limit: int) -> Sequence[SignInRow]:
        """Rows signed in at or before then."""

    async def unseen(self, *, since: datetime, now: datetime, limit: int) -> Sequence[UserId]:
        """Users not seen since then; they are seen `now`, and no other caller gets them."""

    async def tied_to(self, tenant: str, oid: str) -> UserId | None:
        """Which Slack user the account is tied to."""

    async def put(self, row: SignInRow) -> None:
        """Insert or replace the person's row, or raise LostRace where another user has the account."""

    async def update_cache(self, user: UserId, *, version: int, key_id: str, sealed: bytes) -> bool:
        """Replace the sealed cache if the row is still at `version`; False: nothing was stored."""

    async def delete(self, user: UserId, entry: Entry, *, version: int | None = None) -> bool:
        """Remove the row (if it is still at `version`) and record `entry`, in one; False: there was none."""
