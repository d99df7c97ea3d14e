"""Evidence: what the record says of an account, of an approval, and of why something was refused."""

from bot.domain.chain import written
from bot.domain.errors import (
    AlreadyAsked,
    AlreadyDecided,
    ApproverSignedOut,
    CannotReset,
    CouldNotVerify,
    DeviceBusy,
    GraphError,
    NotAMember,
    NotWaiting,
    Refusal,
    TooOften,
)
from bot.domain.people import Account
from bot.domain.request import Approval
from bot.domain.why import Why

Facts = dict[str, str]


def of_account(account: Account) -> Facts:
    """Who somebody is at Microsoft."""
    return {"account": account.username, "oid": account.oid, "tenant": account.tenant}


def of_approval(approval: Approval | None) -> Facts:
    """Who approved, as whom, what; nothing where nobody has."""
    if approval is None:
        return {}
    return {
        "approver": approval.by,
        "account": approval.username,
        "oid": approval.oid,
        "device": approval.device.id,
    }


def of_why(why: Why) -> Facts:
    """A code, and what it is about."""
    return {"why": str(why.code), **why.facts}


def of_refusal(refusal: Refusal | GraphError) -> Facts:
    """Which refusal it was, and what it rests on."""
    return {"refusal": type(refusal).__name__} | _grounds(refusal)


def _grounds(refusal: Refusal | GraphError) -> Facts:
    match refusal:
        case NotAMember(kind):
            return {"kind": kind}
        case CannotReset(why):
            return of_why(why)
        case CouldNotVerify(what):
            return {"what": what}
        case ApproverSignedOut(approver):
            return {"approver": approver}
        case TooOften(limit, until):
            return {"limit": str(limit), "until": written(until)}
        case GraphError():
            return microsofts_words(refusal) | microsofts_ids(refusal)
        case _:
            return _what_stands(refusal)


def _what_stands(refusal: Refusal) -> Facts:
    """Which request it was that stood in the way, and how."""
    match refusal:
        case AlreadyDecided(status, by):
            return {"status": status, "decided_by": by or ""}
        case NotWaiting(status):
            return {"status": status}
        case AlreadyAsked(ref, by):
            return {"ref": ref, "asked_by": by}
        case DeviceBusy(ref):
            return {"ref": ref}
        case _:
            return {}


def microsofts_words(error: GraphError) -> Facts:
    """What Graph said, for people."""
    return _filled({"status": str(error.status or ""), "code": error.code, "message": error.message})


def microsofts_ids(error: GraphError) -> Facts:
    """By what Microsoft's support finds the call."""
    return _filled({"request_id": error.request_id, "activity_id": error.activity_id})


def _filled(facts: Facts) -> Facts:
    return {name: text for name, text in facts.items() if text}
