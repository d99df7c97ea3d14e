"""Why something ended or was refused: a code that wording turns into a sentence, and the facts in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Code(StrEnum):
    """Every reason that a row can carry. The value is stored: rename only with a migration."""

    # the ask was refused
    NOT_A_MEMBER = "not_a_member"
    NOT_A_REQUESTER = "not_a_requester"
    COULD_NOT_VERIFY = "could_not_verify"
    NO_EMAIL = "no_email"
    ALREADY_ASKED = "already_asked"
    # the device cannot be reset
    WRONG_PLATFORM = "wrong_platform"
    APPLE_USER_ENROLLMENT = "apple_user_enrollment"
    DEVICE_ADMINISTRATOR = "device_administrator"
    NOT_MANAGED = "not_managed"
    OWN_DEVICE = "own_device"
    # waiting again
    SIGN_IN_ENDED = "sign_in_ended"
    MICROSOFT_REFUSED_APPROVER = "microsoft_refused_approver"
    NEVER_LEFT = "never_left"
    # failed
    MICROSOFT_REFUSED_DEVICE = "microsoft_refused_device"
    DEVICE_FAILED = "device_failed"
    NOT_SUPPORTED = "not_supported"
    CANCELED = "canceled"
    SILENT = "silent"
    CLOSED = "closed"
    # uncertain
    NO_ANSWER = "no_answer"
    # a sign-in was refused
    CONSENT_DENIED = "consent_denied"
    ENTRA_ERROR = "entra_error"
    WRONG_TENANT = "wrong_tenant"
    WRONG_ACCOUNT = "wrong_account"
    GUEST_ACCOUNT = "guest_account"
    ACCOUNT_TAKEN = "account_taken"
    DECLINED = "declined"
    NO_SIGN_IN_TIME = "no_sign_in_time"
    STALE_SIGN_IN = "stale_sign_in"
    BAD_TOKEN = "bad_token"  # noqa: S105  a reason's code, no secret


@dataclass(frozen=True, slots=True)
class Why:
    """A code and the facts that its sentence names; facts are short strings, never a secret."""

    code: Code
    facts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
