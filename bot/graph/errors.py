"""Graph's failures, sorted by one question: may the reset have happened?"""

import base64
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple, Self

import httpx

from bot.domain.errors import ApproverRefused, DeviceRefused, GraphError, NotExecuted, OutcomeUnknown
from bot.domain.values import read_object, storable

NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""There was no connection, or no free one. After any other exception something may have been sent."""
HTTPX_ERRORS: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError)
"""The base of every exception of httpx; a test fails when there is one more."""

MAX_TEXT: Final = 300
"""Characters kept of Graph's code and sentence."""
MAX_SCANNED: Final = 4000
"""Characters of a sentence that are looked at: the search for URLs takes the square of its length."""
MAX_DEPTH: Final = 5
MAX_WAIT: Final = timedelta(days=1)
_VAGUE: Final = ("", "UnknownError")
_ACTIVITY: Final = re.compile(r"Activity ID:\s*([0-9a-fA-F-]{36})")
_SUPPORT: Final = re.compile(r"\s*-\s*Operation ID \(for customer support\).*", re.DOTALL)
_URL: Final = re.compile(r"\S*https?://\S+")
_PARAMETER: Final = re.compile(r'(?<![\w\-])([A-Za-z][\w\-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_ESCAPED: Final = re.compile(r"\\(.)")


def from_exception(error: Exception) -> GraphError:
    """Return what an exception means, by its exact class: whether the call may have happened.

    Only its class is kept: an httpx exception carries the request, and with it the token.
    """
    meaning = NotExecuted if type(error) in NOT_SENT else OutcomeUnknown
    return meaning(code=type(error).__name__)


def from_response(response: httpx.Response, *, now: datetime, with_body: bool = True) -> GraphError:
    """Return what an unsuccessful response means; without `with_body` its body is not looked at."""
    body = ErrorBody.parse(response.content) if with_body else ErrorBody()
    error: GraphError
    match response.status_code:
        case 401 | 403:
            error = ApproverRefused(claims=claims_challenge(response.headers.get_list("www-authenticate")))
        case 429:
            asked = response.headers.get("retry-after", "") or body.retry_after
            error = NotExecuted(retry_after=parse_retry_after(asked, now=now))
        case status if 400 <= status < 500 and status != 408:
            error = DeviceRefused()
        case _:  # 408 too: a gateway stopped waiting; the request may have gone on
            error = OutcomeUnknown()
    error.status = response.status_code
    error.code = body.code
    error.message = body.message
    error.request_id = response.headers.get("request-id", "") or body.request_id
    error.activity_id = body.activity_id
    return error


def unreadable(response: httpx.Response) -> OutcomeUnknown:
    """Return the error for a success whose body is not what Graph documents; the body is not kept."""
    return OutcomeUnknown(
        status=response.status_code, code="Unreadable", request_id=response.headers.get("request-id", "")
    )


def parse_retry_after(text: str, *, now: datetime) -> timedelta | None:
    """Return how long Graph asks to wait, from seconds or an HTTP date; None where it is neither."""
    text = text.strip()
    if text.isdecimal():
        return min(timedelta(seconds=int(text[:9])), MAX_WAIT)
    try:
        return min(max(parsedate_to_datetime(text) - now, timedelta(0)), MAX_WAIT)
    except (ValueError, TypeError, OverflowError):
        return None


def claims_challenge(headers: Iterable[str]) -> str | None:
    """Return the claims that the `WWW-Authenticate` headers ask for, as the text of a JSON object.

    Graph sends them in base64; a sign-in takes the JSON text. Parameters are read as RFC 9110, section 11.2,
    writes them. Source: Microsoft's page "Claims challenges, claims requests, and client capabilities".
    """
    for header in headers:
        for match in _PARAMETER.finditer(header):
            name, quoted, token = match.groups()
            value = token if quoted is None else _ESCAPED.sub(r"\1", quoted)
            if name.lower() == "claims" and (claims := _decoded_claims(value)):
                return claims
    return None


def _decoded_claims(value: str) -> str | None:
    padded = value.replace("-", "+").replace("_", "/").rstrip("=")
    padded += "=" * (-len(padded) % 4)
    try:
        text = base64.b64decode(padded, validate=True).decode()
    except ValueError:  # not base64, not ASCII, or not UTF-8 inside
        text = value
    return text if read_object(text) is not None else None


class ErrorBody(NamedTuple):
    """Graph's error body: its code, one sentence without URLs, and the ids for Microsoft's support.

    Intune puts JSON inside the message, sometimes twice.
    """

    code: str = ""
    message: str = ""
    request_id: str = ""
    activity_id: str = ""
    retry_after: str = ""

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Read an error body; an HTML page, or anything else that is not one, is empty."""
        error = _object((read_object(content) or {}).get("error"))
        inner = _object(error.get("innerError") or error.get("innererror"))
        code, message, retry_after = _text(error.get("code")), _text(error.get("message")), ""
        for _ in range(MAX_DEPTH):
            wrapped = read_object(message) if message.lstrip().startswith("{") else None
            if not wrapped:
                break
            if code in _VAGUE:
                code = _text(wrapped.get("ErrorCode")) or code
            if not retry_after and isinstance(seconds := wrapped.get("RetryAfter"), int | str):
                retry_after = str(seconds)
            message = _text(wrapped.get("Message") or wrapped.get("message"))
        message = message[:MAX_SCANNED]
        activity = _ACTIVITY.search(message)
        # Intune's own URLs name scale units and devices.
        sentence = _URL.sub("", _SUPPORT.sub("", message)).strip()
        return cls(
            code=code[:MAX_TEXT],
            message=sentence[:MAX_TEXT],
            request_id=_text(inner.get("request-id")),
            activity_id=activity.group(1) if activity else "",
            retry_after=retry_after,
        )


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return storable(value) if isinstance(value, str) else ""
