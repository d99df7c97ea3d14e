"""Who may do what. Pure: the caller looks people up; each check raises a Refusal or returns None."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.device import Device
from bot.domain.errors import Code, Refusal, SignInNeeded, SignInRefused
from bot.domain.people import Account, Audience, Kind, Person
from bot.domain.values import ChannelId, UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The installer's choices. An empty audience lets nobody in."""

    approver_channel: ChannelId
    requesters: tuple[Audience, ...]
    """Any of them; the default is the approver channel's members."""
    approvers: tuple[Audience, ...] = ()
    """In addition to the approver channel; empty: the channel alone."""
    allow_owner_approval: bool = False
    """Whether an approver may have their own device reset."""
    requester_sign_in: bool = False
    """Whether whoever asks has to have linked their own Microsoft account."""
    fresh_within: timedelta | None = None
    """How long ago an approver may have signed in interactively; None: as long as the sign-in lasts."""
    requests_per_hour: int = 20
    """Of one requester."""
    open_requests: int = 5
    """Of one requester, that wait for somebody."""
    presses_per_minute: int = 30
    """Of one person, in one process."""
    links_per_hour: int = 20
    """Sign-in links of one approver."""


def check_member(person: Person) -> None:
    """Refuse guests, bots, deactivated accounts and members of other organisations."""
    if person.kind is not Kind.MEMBER:
        raise Refusal(Code.NOT_A_MEMBER, kind=str(person.kind))


def check_requester(person: Person, *, in_audience: bool) -> None:
    """Refuse who is no full member or not in the audience."""
    check_member(person)
    if not in_audience:
        raise Refusal(Code.NOT_A_REQUESTER)


def check_approver(person: Person, *, asked_by: UserId, in_channel: bool, on_call: bool) -> None:
    """Refuse who is no full member, not in the channel now, not on call where a rota is set, or asked."""
    check_member(person)
    if person.id == asked_by:
        raise Refusal(Code.OWN_REQUEST)
    if not (in_channel and on_call):
        raise Refusal(Code.NOT_AN_APPROVER)


def check_account(
    account: Account, *, approver: Person, requester: Person, theirs: Account | None, asked_as: str | None
) -> None:
    """Refuse an approver who is the requester under another name: same account, or an address of both.

    `theirs` is the requester's account now, `asked_as` the one that asked: they may have signed out since.
    """
    same = account.key in (asked_as, theirs and theirs.key)
    if same or addresses(approver, account) & addresses(requester, theirs):
        raise Refusal(Code.OWN_ACCOUNT)


def addresses(person: Person, account: Account | None) -> frozenset[str]:
    """Return every e-mail address and sign-in name of one human, folded: Slack's and Entra's."""
    known = [person.email or "", *((account.username, *account.emails) if account else ())]
    return frozenset(map(folded, filter(None, known)))


def folded(address: str) -> str:
    """Return an address as it names a mailbox: lower-case, without the `+tag` that its owner may choose."""
    local, at, domain = address.casefold().rpartition("@")
    return f"{local.partition('+')[0] or local}{at}{domain}"


def check_owner(device: Device, *, approver: Person, account: Account, rules: Rules) -> None:
    """Refuse an approver who owns the device, or as whose Intune lists it, unless the installer allows it."""
    owners = {folded(name) for name in (device.owner_upn, device.owner_email, device.listed_for) if name}
    same = account.oid.casefold() in {device.owner_id.casefold(), device.listed_for.casefold()} - {""}
    if not rules.allow_owner_approval and (same or owners & addresses(approver, account)):
        raise Refusal(Code.OWN_DEVICE, device=device.name)


def check_fresh(account: Account, *, now: datetime, within: timedelta | None) -> None:
    """Raise SignInNeeded where approvals ask for a fresh interactive sign-in and this one is older."""
    authenticated_at = account.authenticated_at
    if within is not None and (authenticated_at is None or now - authenticated_at > within):
        raise SignInNeeded(stale=True)


def check_asked_as(account: Account | None, asked_as: str | None) -> None:
    """Raise SignInNeeded where the requester is not signed in, or not as the account that asked."""
    if account is None or asked_as not in (None, account.key):
        raise SignInNeeded


def check_linking(account: Account, *, person: Person, linked_to: UserId | None) -> None:
    """Refuse an account that is not this Slack user's by e-mail address, or is linked to another user."""
    if person.email is None or person.email.casefold() not in account.emails:
        raise SignInRefused(Code.WRONG_ACCOUNT, account=account.username, expected=person.email or "")
    if linked_to not in (None, person.id):
        raise SignInRefused(Code.ACCOUNT_TAKEN, account=account.username)
