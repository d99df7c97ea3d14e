"""What a failure means, sorted by one question: may it have happened?"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from bot.domain.errors import ApproverRefused, DeviceRefused, GraphError, NeverLeft, Unknown
from bot.graph.challenge import claims_in
from bot.graph.envelope import Said, read

MEANINGS: Final[Mapping[type[Exception], type[GraphError]]] = {
    # There was no connection, or no free one: nothing was sent.
    httpx.ConnectError: NeverLeft,
    httpx.ConnectTimeout: NeverLeft,
    httpx.PoolTimeout: NeverLeft,
    # Something was sent, or may have been, or an answer was lost.
    httpx.HTTPError: Unknown,
    httpx.RequestError: Unknown,
    httpx.TransportError: Unknown,
    httpx.TimeoutException: Unknown,
    httpx.ReadTimeout: Unknown,
    httpx.WriteTimeout: Unknown,
    httpx.NetworkError: Unknown,
    httpx.ReadError: Unknown,
    httpx.WriteError: Unknown,
    httpx.CloseError: Unknown,
    httpx.ProtocolError: Unknown,
    httpx.LocalProtocolError: Unknown,
    httpx.RemoteProtocolError: Unknown,
    httpx.ProxyError: Unknown,
    httpx.UnsupportedProtocol: Unknown,
    httpx.DecodingError: Unknown,
    httpx.TooManyRedirects: Unknown,
    httpx.HTTPStatusError: Unknown,
    # Raised by a wrong use of httpx; where in the call is not known.
    httpx.InvalidURL: Unknown,
    httpx.CookieConflict: Unknown,
    httpx.StreamError: Unknown,
    httpx.StreamConsumed: Unknown,
    httpx.StreamClosed: Unknown,
    httpx.ResponseNotRead: Unknown,
    httpx.RequestNotRead: Unknown,
    # Our own limit on the whole call ran out.
    TimeoutError: Unknown,
}
"""Every exception that a call may end in, by its exact class; a test fails when httpx has one more."""

LONGEST_WAIT: Final = timedelta(days=1)
_LOST_ON_THE_WAY: Final = 408
"""A gateway gave up waiting; the request may have gone on."""


def of_exception(error: Exception) -> GraphError:
    """What an exception means; one that nobody sorted may have happened.

    Only its class is kept: an httpx exception carries the request and with it the token.
    """
    meaning = MEANINGS.get(type(error), Unknown)
    return meaning(code=type(error).__name__)


def of_response(response: httpx.Response, *, now: datetime, with_body: bool = True) -> GraphError:
    """What an answer that is no success means; without `with_body` nothing of its body is looked at."""
    said = read(response.content) if with_body else Said()
    error = _sorted(response, said, now)
    error.status = response.status_code
    error.code = said.code
    error.message = said.message
    error.request_id = response.headers.get("request-id", "") or said.request_id
    error.activity_id = said.activity_id
    return error


def _sorted(response: httpx.Response, said: Said, now: datetime) -> GraphError:
    match response.status_code:
        case 401 | 403:
            return ApproverRefused(claims=claims_in(response.headers.get_list("www-authenticate")))
        case 429:
            return NeverLeft(retry_after=retry_after(response, said, now=now))
        case status if 400 <= status < 500 and status != _LOST_ON_THE_WAY:
            return DeviceRefused()
        case _:
            return Unknown()


def unreadable(response: httpx.Response) -> Unknown:
    """A success whose body is not what Graph documents; the body is not kept."""
    return Unknown(
        status=response.status_code, code="Unreadable", request_id=response.headers.get("request-id", "")
    )


def retry_after(response: httpx.Response, said: Said, *, now: datetime) -> timedelta | None:
    """How long Graph asks to wait: seconds or an HTTP date, in the header or in Intune's message."""
    value = (response.headers.get("retry-after", "") or said.retry_after).strip()
    if value.isdecimal():
        return min(timedelta(seconds=int(value[:9])), LONGEST_WAIT)
    try:
        return min(max(parsedate_to_datetime(value) - now, timedelta(0)), LONGEST_WAIT)
    except (ValueError, TypeError, OverflowError):
        return None
