"""Entra's errors, as MSAL hands them on, into ours; of their texts only the AADSTS number is kept."""

import logging
import re
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from msal.exceptions import MsalServiceError  # type: ignore[import-untyped]  # msal ships no types
from requests.exceptions import RequestException

from bot.domain.errors import CouldNotVerify, SignInNeeded, SignInRefused
from bot.domain.json_objects import read_object
from bot.domain.why import Code, Why

ENTRA: Final = "Microsoft Entra"
AWAY: Final = (RequestException, MsalServiceError)
"""No connection, no usable answer, or a 5xx."""
BROKEN: Final = (ValueError, RuntimeError, LookupError, TypeError, AttributeError)
"""What MSAL raises on answers that are not what it expects: state, nonce, shape."""
_NUMBER: Final = re.compile(r"AADSTS\d{3,9}")
_WORD: Final = re.compile(r"[a-z_]{1,40}")
_CONSENT_NUMBERS: Final = frozenset({"AADSTS65001", "AADSTS65004", "AADSTS90094"})
_CONSENT_WORDS: Final = frozenset({"access_denied", "consent_required"})
_DECLINED: Final = frozenset({"authorization_declined"})
_AWAY_WORDS: Final = frozenset({"temporarily_unavailable", "server_error"})
_ASK_THE_PERSON: Final = frozenset(
    {"invalid_grant", "interaction_required", "login_required", "consent_required", "access_denied"}
)

Result = Mapping[str, object]
Answer = TypeVar("Answer")

_log: Final = logging.getLogger(__name__)


def guarded(call: Callable[[], Answer]) -> Answer:
    """Call MSAL; raises CouldNotVerify where Entra is away, SignInRefused where its answer is not right."""
    try:
        return call()
    except AWAY as error:
        note(error)
        failure: SignInRefused | CouldNotVerify = CouldNotVerify(ENTRA)
    except BROKEN as error:
        note(error)
        failure = SignInRefused(Why(Code.BAD_TOKEN, {"part": "answer"}))
    # Outside of the except: MSAL puts the claims of the token into its messages.
    raise failure


def note(error: Exception) -> None:
    """The class alone: MSAL puts claims of tokens into its messages."""
    _log.warning("entra.no_answer", extra={"why": type(error).__name__})


def is_away(result: Result) -> bool:
    """Whether Entra says that it cannot answer now."""
    return _word(result) in _AWAY_WORDS


def refused(result: Result) -> SignInRefused:
    """Why a sign-in came back with an error."""
    word, code = _word(result), error_code(result)
    _log.warning("entra.sign_in_refused", extra={"code": code})
    if code in _CONSENT_NUMBERS or word in _DECLINED or (code == word and word in _CONSENT_WORDS):
        return SignInRefused(Why(Code.CONSENT_DENIED, {"code": code}))
    return SignInRefused(Why(Code.ENTRA_ERROR, {"code": code}))


def not_silent(result: Result | None, claims: str | None) -> SignInNeeded | CouldNotVerify:
    """Why there is no token without the person: they have to sign in, or Entra cannot answer now.

    `claims` is what Graph asked for; what Entra asks for goes before.
    """
    if result is None:
        return SignInNeeded(claims)
    asked = json_object(result.get("claims"))
    _log.warning("entra.no_token", extra={"code": error_code(result)})
    if _word(result) in _ASK_THE_PERSON or asked:
        return SignInNeeded(asked or claims)
    return CouldNotVerify(ENTRA)


def error_code(result: Result) -> str:
    """The AADSTS number, or where there is none the OAuth word."""
    found = _NUMBER.search(str(result.get("error_description", "")))
    return found.group(0) if found else _word(result)


def json_object(text: object) -> str | None:
    """The text, where it is a JSON object of objects: MSAL breaks on claims of any other shape."""
    if not isinstance(text, str):
        return None
    content = read_object(text)
    right = content is not None and all(isinstance(part, dict) for part in content.values())
    return text if right else None


def _word(result: Result) -> str:
    word = result.get("error")
    return word if isinstance(word, str) and _WORD.fullmatch(word) else "unknown"
