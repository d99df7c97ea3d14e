"""Who may do what. Pure: faces fetch, these functions decide; a refusal is an exception, silence is yes."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.device import Device
from bot.domain.errors import (
    NotAMember,
    NotAnApprover,
    NotARequester,
    OwnAccount,
    OwnDevice,
    OwnRequest,
    SignInNeeded,
    SignInRefused,
)
from bot.domain.identifiers import ChannelId, UserId
from bot.domain.people import Account, Audience, Kind, Person
from bot.domain.why import Code, Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The installer's choice of people. An empty audience lets nobody in."""

    approver_channel: ChannelId
    requesters: tuple[Audience, ...]
    """Any of them; the default is the approver channel's members."""
    approvers: tuple[Audience, ...] = ()
    """In addition to the approver channel; empty: the channel alone."""
    allow_owner_approval: bool = False
    """Whether an approver may have their own device reset."""
    fresh_within: timedelta | None = None
    """How long ago an approver may have signed in interactively; None: as long as the sign-in lasts."""


def check_member(person: Person) -> None:
    """Guests, bots, deactivated accounts and members of other organisations may do nothing here."""
    if person.kind is not Kind.MEMBER:
        raise NotAMember(person.kind)


def check_requester(person: Person, *, in_audience: bool) -> None:
    """A requester is a full member and in the audience."""
    check_member(person)
    if not in_audience:
        raise NotARequester


def check_approver(person: Person, *, asked_by: UserId, in_channel: bool, on_call: bool) -> None:
    """An approver is a full member, in the channel now, on call where a rota is set, and did not ask."""
    check_member(person)
    if person.id == asked_by:
        raise OwnRequest
    if not (in_channel and on_call):
        raise NotAnApprover


def check_signer(person: Person, *, in_channel: bool) -> None:
    """A sign-in is for approvers: full members in the channel; on call or not is asked at each decision."""
    check_member(person)
    if not in_channel:
        raise NotAnApprover


def check_account(
    account: Account, *, approver: Person, requester: Person, requester_account: Account | None
) -> None:
    """Who acts is not the requester under another name: no account and no address is both of theirs."""
    if requester_account is not None and _key(account) == _key(requester_account):
        raise OwnAccount
    if addresses(approver, account) & addresses(requester, requester_account):
        raise OwnAccount


def _key(account: Account) -> tuple[str, str]:
    return account.tenant, account.oid


def addresses(person: Person, account: Account | None) -> frozenset[str]:
    """Every e-mail address and sign-in name of one human, lower-case: Slack's and Entra's."""
    known = [person.email or "", *((account.username, *account.emails) if account else ())]
    return frozenset(address.casefold() for address in known if address)


def check_owner(device: Device, *, approver: Person, account: Account, rules: Rules) -> None:
    """Nobody has their own device reset by their own approval, unless the installer allows it."""
    owners = {name.casefold() for name in (device.owner_upn, device.owner_email) if name}
    same = device.owner_id != "" and device.owner_id.casefold() == account.oid.casefold()
    if not rules.allow_owner_approval and (same or owners & addresses(approver, account)):
        raise OwnDevice


def check_fresh(account: Account, *, now: datetime, within: timedelta | None) -> None:
    """Where approvals ask for it, the person proved to Microsoft who they are a short time ago."""
    proved_at = account.authenticated_at
    if within is not None and (proved_at is None or now - proved_at > within):
        raise SignInNeeded(stale=True)


def check_binding(account: Account, *, person: Person, tied_to: UserId | None) -> None:
    """The account that signed in, of our tenant, belongs to this Slack person and to nobody else in Slack."""
    if person.email is None or person.email.casefold() not in account.emails:
        facts = {"account": account.username, "expected": person.email or ""}
        raise SignInRefused(Why(Code.WRONG_ACCOUNT, facts))
    if tied_to not in (None, person.id):
        raise SignInRefused(Why(Code.ACCOUNT_TAKEN, {"account": account.username}))
