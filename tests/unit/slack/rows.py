"""Requests in every state, for what shows them."""

from dataclasses import replace
from datetime import timedelta

from bot.domain.device import Device, Effect, Platform
from bot.domain.errors import Cause, Code
from bot.domain.request import BLIND, ResetRequest, Status
from bot.domain.target import Target, TargetKind
from bot.domain.values import DeviceId
from tests.support.builders import APPROVAL, ATTEMPT, KEN, LATER, MEI, NOON, a_request

AT = "2026-03-02T12:00:00.000000Z"
LEOS, KENS, KEN_APPROVED = {"device": "Leo's Pixel"}, {"account": "ken@contoso.com"}, {"approver": "U0KEN"}
GRAPHS = {"status": "403", "request_id": "r1"}
FACTS: dict[Code, dict[str, str]] = {
    Code.BAD_TARGET: {"typed": "leo"},
    **{Code.REASON_TOO_LONG: {"limit": "1000"}, Code.TICKET_TOO_LONG: {"limit": "100"}},
    Code.NOT_A_MEMBER: {"kind": "guest"},
    Code.QUOTA_EXCEEDED: {"limit": "20", "until": AT},
    **{Code.TOO_MANY_OPEN: {"limit": "5"}, Code.TOO_MANY_PRESSES: {"limit": "30"}},
    Code.COULD_NOT_VERIFY: {"what": "Slack’s profile of a person"},
    Code.ALREADY_DECIDED: {"status": "denied", "by": "U0AIKO", "at": AT},
    Code.NOT_WAITING: {"status": "sent"},
    Code.ALREADY_REQUESTED: {"ref": "A9F1C7", "by": "U0AIKO"},
    **{Code.DEVICE_BUSY: {"ref": "A9F1C7"}, Code.NO_EMAIL: {"person": "U0LEO"}},
    Code.RECENTLY_RESET: {"at": AT, "platform": "iOS"},
    Code.WRONG_PLATFORM: {"device": "Leo's laptop", "system": "Windows 11"},
    Code.NOT_MANAGED: {"device": "Scanner 12", "state": "retireIssued"},
    **dict.fromkeys((Code.OWN_DEVICE, Code.APPLE_USER_ENROLLMENT), LEOS),
    **dict.fromkeys((Code.UNKNOWN_PLATFORM, Code.MAIL_ONLY), LEOS),
    **dict.fromkeys((Code.NOTHING_TO_RESET, *BLIND), KEN_APPROVED),
    **{Code.PASSCODE_REPLACED: {"at": AT}, Code.REQUESTER_LEFT: {"person": "U0MEI"}},
    **{Code.CONSENT_DENIED: {"code": "AADSTS65004"}, Code.ENTRA_ERROR: {"code": "AADSTS54005"}},
    **dict.fromkeys((Code.WRONG_TENANT, Code.GUEST_ACCOUNT, Code.ACCOUNT_TAKEN), KENS),
    **dict.fromkeys((Code.DECLINED, Code.STALE_SIGN_IN), KENS),
    Code.WRONG_ACCOUNT: {"account": "aiko@contoso.com", "expected": "ken@contoso.com"},
    Code.BAD_TOKEN: {"part": "signature"},
    Code.SIGN_IN_ENDED: KENS | {"approver": "U0KEN", "claims": '{"access_token":{}}', "since": AT},
    Code.MICROSOFT_REFUSED_APPROVER: KENS | {"message": "No <!channel> permission.", **GRAPHS},
    Code.MICROSOFT_REFUSED_DEVICE: {"code": "NotFound", "status": "404"},
    Code.DEVICE_FAILED: {"error_code": "-2016341107"},
    **{code: {"error_code": "0"} for code in (Code.NOT_SUPPORTED, Code.CANCELED)},
    Code.CLOSED: {"person": "U0KEN"},
}
"""Each code's facts as they are raised or stored; a code that is missing has none."""
CAUSES = [Cause(code, FACTS.get(code, {})) for code in Code]

KIND = {"platform": Platform.IOS, "os_version": "18.1", "manufacturer": "Apple", "model": "iPhone 15"}
STATE = {"management_state": "managed", "compliance": "compliant", "ownership": "company", "agent": "mdm"}
OWNER = {"owner_upn": "ada@contoso.com", "owner_name": "Ada Lindqvist", "enrollment": "appleBulkWithUser"}
SEEN = {"enrolled_at": NOON - timedelta(days=90), "last_sync_at": NOON - timedelta(hours=7)}
ID = DeviceId("c8e4d4ab-9f0b-4f5c-8f5a-7e1d0a2b3c4d")
IPHONE = Device(id=ID, name="Ada’s iPhone", serial="F2LXK1ABCD", **KIND, **STATE, **OWNER, **SEEN)


def pending(**changes: object) -> ResetRequest:
    return a_request(Status.PENDING, **({"ticket": "INC-1024"} | changes))


def done(effect: Effect = Effect.NEW_PASSCODE, device: Device = IPHONE) -> ResetRequest:
    approval = replace(APPROVAL, effect=effect, device=device)
    return a_request(Status.DONE, approval=approval, changed_at=LATER)


def failed(cause: Cause, device: Device = IPHONE) -> ResetRequest:
    approval = replace(APPROVAL, effect=Effect.REMOVES_PASSCODE, device=device)
    return a_request(Status.FAILED, approval=approval, cause=cause)


FOLLOWING = Cause(Code.APPROVER_SIGNED_OUT, KEN_APPROVED | {"following": "yes"})
_decided = {"decided_by": KEN.id, "decided_at": LATER}
EVERY = [
    *map(a_request, (Status.RECEIVED, Status.APPROVED, Status.EXPIRED, Status.SENT)),
    a_request(Status.RECEIVED, cause=Cause(Code.SIGN_IN_NEEDED)),
    a_request(Status.REFUSED, cause=Cause(Code.NOT_A_REQUESTER)),
    pending(),
    pending(target=Target(TargetKind.SERIAL, "F2LX1234ABCD"), cause=Cause(Code.NOT_EXECUTED)),
    a_request(Status.APPROVED, attempt=ATTEMPT),
    a_request(Status.DENIED, denial="Call him on the number in the directory.", **_decided),
    a_request(Status.WITHDRAWN, decided_by=MEI.id, decided_at=LATER),
    a_request(Status.SENT, cause=FOLLOWING),
    *(a_request(Status.SENT, cause=Cause(code, KEN_APPROVED)) for code in sorted(BLIND)),
    pending(cause=Cause(Code.NOTHING_TO_RESET, KEN_APPROVED)),
    a_request(Status.CLOSED, cause=Cause(Code.CLOSED, {"person": "U0KEN"}), **_decided),
    replace(done(), cause=Cause(Code.CANNOT_READ, KEN_APPROVED)),
    *(done(effect) for effect in Effect),
    *(failed(cause) for cause in CAUSES),
    a_request(Status.UNCERTAIN, cause=Cause(Code.NO_ANSWER), next_at=LATER),
    a_request(Status.UNCERTAIN, cause=Cause(Code.NO_ANSWER)),
    a_request(Status.UNCERTAIN, cause=Cause(Code.NO_ANSWER, {"could_not_look": "ApproverRefused"})),
]
"""At least one row of every status and of its special cases."""
assert {row.status for row in EVERY} == set(Status)
