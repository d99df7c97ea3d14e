"""Graph's failures, sorted by one question: may the reset have happened?"""

import base64
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple, Self

import httpx

from bot.domain.errors import (
    FORBIDDEN,
    NOT_FOUND,
    NOT_GRAPH,
    ApproverRefused,
    DeviceRefused,
    GraphError,
    NotExecuted,
    OutcomeUnknown,
    UnknownPath,
)
from bot.domain.values import dig, read_object, text_at

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
UNCLEAR: Final = (408, 409, 423, 425, 449, 499)
"""Somebody stopped waiting, or something else is under way, so the request may have gone on all the same."""
_VAGUE: Final = ("", "UnknownError")
_NO_PATH: Final = re.compile(
    r"no method match route template|no odata route exists|resource not found for the segment", re.IGNORECASE
)
"""What Intune and Graph's router say where they know no such address.

Source: msgraph-sdk-powershell issue 1831, microsoft-graph-docs-contrib issues 2323 and 5880.
"""
_ACTIVITY: Final = re.compile(r"Activity ID:\s*([0-9a-fA-F-]{36})")
_SUPPORT: Final = re.compile(r"\s*-\s*Operation ID \(for customer support\).*", re.DOTALL)
_URL: Final = re.compile(r"\S*https?://\S+|(?:^|\s)[“\"']?~?/\S*/\S*")
"""Also the paths of Intune's own router."""
_PARAMETER: Final = re.compile(r'(?<![\w\-])([A-Za-z][\w\-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_ESCAPED: Final = re.compile(r"\\(.)")


def from_exception(error: Exception) -> GraphError:
    """Return what an exception means, by its exact class: whether the call may have happened.

    Only its class is kept: an httpx exception carries the request, and with it the token.
    """
    meaning = NotExecuted if type(error) in NOT_SENT else OutcomeUnknown
    return meaning(code=type(error).__name__)


def from_response(
    response: httpx.Response, *, now: datetime, with_body: bool = True, second_path: bool = False
) -> GraphError:
    """Return what a response means that is not the documented success.

    Only Graph knows that nothing was done, and Graph's answers carry its `request-id`: a refusal without one
    is somebody's in between. Without `with_body` nothing of the body is kept but that the role lacks.
    `second_path`: a 404 that may be of the path as well as of the device is taken for one of the path.
    """
    body = ErrorBody.parse(response.content)
    request_id = graphs_id(response) or body.request_id
    asked = response.headers.get("retry-after", "") or body.retry_after
    error: GraphError
    match response.status_code:
        case _ if not request_id:
            body, error = ErrorBody(code=NOT_GRAPH), OutcomeUnknown()
        case 401 | 403:
            error = ApproverRefused(claims=claims_challenge(response.headers.get_list("www-authenticate")))
        case 429:
            error = NotExecuted()
        case 400 | 404 as status if _NO_PATH.search(f"{body.code} {body.message}") or (
            status == 404 and second_path and not body.wrapped
        ):
            error = UnknownPath()
        case status if 400 <= status < 500 and status not in UNCLEAR:
            error = DeviceRefused()
        case _:  # and any other success
            error = OutcomeUnknown()
    if not with_body and request_id:
        body = ErrorBody(code=body.code if body.code in (FORBIDDEN, NOT_FOUND) else "")
        request_id = graphs_id(response)
    error.status = response.status_code
    error.retry_after = parse_retry_after(asked, now=now)
    error.code = body.code
    error.message = body.message
    error.request_id = request_id
    error.activity_id = body.activity_id
    return error


def unreadable(response: httpx.Response) -> OutcomeUnknown:
    """Return the error for a success whose body is not what Graph documents; the body is not kept."""
    return OutcomeUnknown(code="Unreadable", request_id=graphs_id(response))


def graphs_id(response: httpx.Response) -> str:
    """Return Graph's id of an answer; empty for an answer that is not Graph's, as no page for people is."""
    is_page = "html" in response.headers.get("content-type", "").lower()
    return "" if is_page else str(response.headers.get("request-id", ""))


def parse_retry_after(text: str, *, now: datetime) -> timedelta | None:
    """Return how long Graph asks to wait, from seconds or an HTTP date; None where it is neither."""
    text = text.strip()
    whole, _, part = text.partition(".")  # Graph also writes parts of a second
    if whole.isdecimal():
        return min(timedelta(seconds=int(whole[:9]) + bool(part)), MAX_WAIT)
    try:
        at = parsedate_to_datetime(text)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)  # in C's form, and -0000
        return min(max(at - now, timedelta(0)), MAX_WAIT)
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
    wrapped: bool = False
    """Whether the message is Intune's JSON, so that the call got as far as Intune's device."""

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Read an error body; an HTML page, or anything else that is not one, is empty."""
        error = dig(read_object(content), "error")
        inner = dig(error, "innerError") or dig(error, "innererror")
        code, message, retry_after = text_at(error, "code"), text_at(error, "message"), ""
        is_intunes = False
        for _ in range(MAX_DEPTH):
            wrapped = read_object(message) if message.lstrip().startswith("{") else None
            if not wrapped:
                break
            if code in _VAGUE:
                code = text_at(wrapped, "ErrorCode") or code
            if not retry_after and isinstance(seconds := wrapped.get("RetryAfter"), int | float | str):
                retry_after = str(seconds)
            message, is_intunes = text_at(wrapped, "Message") or text_at(wrapped, "message"), True
        message = message[:MAX_SCANNED]
        activity = _ACTIVITY.search(message)
        # Intune's own URLs name scale units and devices.
        sentence = _URL.sub("", _SUPPORT.sub("", message)).strip()
        return cls(
            code=code[:MAX_TEXT],
            message=sentence[:MAX_TEXT],
            request_id=text_at(inner, "request-id"),
            activity_id=activity.group(1) if activity else "",
            retry_after=retry_after,
            wrapped=is_intunes,
        )
