"""The reset: at most once, and every failure sorted by whether it may have happened."""

import asyncio
import base64
import inspect
import json
from datetime import timedelta
from email.utils import format_datetime

import httpx
import pytest
from bot.domain.errors import ApproverRefused, DeviceRefused, NotExecuted, OutcomeUnknown
from bot.graph.errors import claims_challenge
from bot.timing import Timing
from tests.unit.graph.graph_stub import NOW, SHORT, GraphStub, error_body

CLAIMS = '{"access_token":{"nbf":{"essential":true,"value":"??>>~~"}}}'
ENCODED = base64.b64encode(CLAIMS.encode()).decode()
# Of "??>>~~" the two alphabets differ.
URL_SAFE = base64.urlsafe_b64encode(CLAIMS.encode()).decode()
ACTIVITY = "5f2e4a0c-1111-4222-8333-444455556666"
SENTENCE = (
    "Application is not authorized to perform this operation. - Operation ID (for customer support): "
    f"00000000-0000-0000-0000-000000000000 - Activity ID: {ACTIVITY} - Url: https://fef.msua02.manage."
    "microsoft.com/DeviceFE/StatelessDeviceFEService/deviceManagement/managedDevices('x')/429"
)
WRAPPED = json.dumps({"_version": 3, "Message": SENTENCE, "RetryAfter": None, "HttpHeaders": "{}"}, indent=2)
TWICE = json.dumps({"ErrorCode": "Forbidden", "Message": WRAPPED})
WAYS = (SENTENCE, WRAPPED, TWICE)


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_a_reset_has_no_body_and_any_success_counts_as_sent(status):
    graph = GraphStub(httpx.Response(status, headers={"request-id": "r1"}))

    assert await graph.reset() == "r1"

    (request,) = graph.requests
    assert (request.content, request.headers["Content-Length"]) == (b"", "0")
    assert request.headers["client-request-id"] == "0b1c"
    assert "content-type" not in request.headers


MEANINGS = {
    ApproverRefused: [401, 403],
    DeviceRefused: [400, 404, 405, 409, 412, 423],
    NotExecuted: [429],
    OutcomeUnknown: [302, 408, 500, 501, 502, 503, 504, 599],
}


@pytest.mark.parametrize(("status", "meaning"), [(s, kind) for kind in MEANINGS for s in MEANINGS[kind]])
async def test_every_status_has_a_meaning(status, meaning):
    headers = {"Location": "https://elsewhere.example/"} if status == 302 else {}

    error = await GraphStub(httpx.Response(status, json=error_body("Some"), headers=headers)).failed_reset()

    assert type(error) is meaning
    assert (error.status, error.code) == (status, "Some")


NOT_SENT = {"ConnectError", "ConnectTimeout", "PoolTimeout"}
PERHAPS_SENT = (
    "HTTPError RequestError TransportError TimeoutException ReadTimeout WriteTimeout NetworkError ReadError "
    "WriteError CloseError ProtocolError LocalProtocolError RemoteProtocolError ProxyError "
    "UnsupportedProtocol DecodingError TooManyRedirects HTTPStatusError "
    "InvalidURL CookieConflict StreamError StreamConsumed StreamClosed ResponseNotRead RequestNotRead"
)
THINGS = [getattr(httpx, name) for name in httpx.__all__]
EXCEPTIONS = [thing for thing in THINGS if inspect.isclass(thing) and issubclass(thing, Exception)]


def test_every_exception_of_httpx_is_sorted():
    assert {kind.__name__ for kind in EXCEPTIONS} == NOT_SENT | set(PERHAPS_SENT.split())


@pytest.mark.parametrize("kind", EXCEPTIONS)
async def test_an_exception_ends_the_reset_with_its_meaning_and_keeps_no_request(kind):
    """Not executed is only what cannot have been sent."""
    given = {"message": "the text", "request": None, "response": None}
    raised = kind(**{name: given[name] for name in inspect.signature(kind).parameters})

    error = await GraphStub(raised).failed_reset()

    assert type(error) is (NotExecuted if kind.__name__ in NOT_SENT else OutcomeUnknown)
    assert error.code == kind.__name__
    assert "the text" not in repr(error)


async def test_a_reset_that_is_not_answered_may_have_happened():
    error = await GraphStub(timing=SHORT).failed_reset()

    assert type(error) is OutcomeUnknown
    assert error.code == "TimeoutError"


def test_connecting_and_reading_take_less_than_the_whole_call():
    timeout = GraphStub().http.timeout.as_dict()

    whole = Timing().graph_timeout.total_seconds()
    assert all(seconds is not None and 0 < seconds < whole for seconds in timeout.values())


async def test_a_cancelled_reset_is_cancelled():
    graph = GraphStub()
    task = asyncio.create_task(graph.reset())
    await graph.asked.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("device", ["", ".", ".."])
async def test_an_id_that_cannot_be_one_path_segment_is_refused(device):
    graph = GraphStub(httpx.Response(204))

    with pytest.raises(DeviceRefused):
        await graph.reset(device=device)

    assert graph.requests == []


# The claims challenge


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    "challenges",
    [
        [f'Bearer realm="", error="insufficient_claims", claims="{ENCODED}"'],
        [f'Bearer realm="", claims="{ENCODED.rstrip("=")}"'],
        ['Negotiate, Basic realm="a \\" claims=\\"x"', f'Bearer error="e", claims="{ENCODED}"'],
        [f"Bearer claims={ENCODED.rstrip('=')}, realm=x"],
        [f'Bearer claims="{URL_SAFE}"'],
    ],
)
async def test_a_claims_challenge_is_handed_on_as_json(status, challenges):
    headers = [("WWW-Authenticate", challenge) for challenge in challenges]
    answer = httpx.Response(status, json=error_body("InvalidAuthenticationToken"), headers=headers)

    error = await GraphStub(answer).failed_reset()

    assert isinstance(error, ApproverRefused)
    assert error.claims == CLAIMS


@pytest.mark.parametrize("value", ["!!!", "W10=", "/w==", "é", "☃", "\ud800", "e30=é"])
def test_what_is_not_a_claims_challenge_is_none(value):
    headers = [f'Bearer claims="{value}"', 'Bearer xclaims="e30="', "Bearer", ""]

    assert claims_challenge(headers) is None


# Graph's error body


@pytest.mark.parametrize(
    ("message", "kept", "activity"),
    [
        *(
            (message, "Application is not authorized to perform this operation.", ACTIVITY)
            for message in WAYS
        ),
        ("See https://fef.msua02.manage.microsoft.com/x for more", "See  for more", None),
    ],
    ids=["plain", "once", "twice", "another"],
)
async def test_the_sentence_is_unwrapped_and_loses_its_url(message, kept, activity):
    error = await GraphStub(httpx.Response(403, json=error_body("Forbidden", message))).failed_reset()

    facts = {"status": "403", "code": "Forbidden", "message": kept, "request_id": "inner"}
    assert error.as_facts() == facts | ({"activity_id": activity} if activity else {})


async def test_a_401_of_intune_that_no_sign_in_helps_has_its_inner_code_and_no_claims():
    error = await GraphStub(httpx.Response(401, json=error_body("UnknownError", TWICE))).failed_reset()

    assert isinstance(error, ApproverRefused)
    assert (error.code, error.claims) == ("Forbidden", None)


async def test_the_request_id_of_the_header_comes_first():
    answer = httpx.Response(400, json=error_body("BadRequest"), headers={"request-id": "outer"})

    assert (await GraphStub(answer).failed_reset()).request_id == "outer"


ODD_BODIES = ["<html>", "", "null", "[]", '{"error": 1}', '{"error": {"message": "{"}}', "{" * 5000]
TOO_DEEP = '{"error":' + "[" * 50_000 + "]" * 50_000 + "}"


@pytest.mark.parametrize("body", [*ODD_BODIES, TOO_DEEP], ids=lambda body: body[:9])
async def test_a_body_that_is_not_graphs_says_nothing(body):
    error = await GraphStub(httpx.Response(400, text=body)).failed_reset()

    assert (type(error), error.code, error.activity_id) == (DeviceRefused, "", "")


@pytest.mark.parametrize(
    ("headers", "message", "wait"),
    [
        ({"Retry-After": "17"}, "", timedelta(seconds=17)),
        (
            {"Retry-After": format_datetime(NOW + timedelta(seconds=30), usegmt=True)},
            "",
            timedelta(seconds=30),
        ),
        ({"Retry-After": format_datetime(NOW - timedelta(seconds=30), usegmt=True)}, "", timedelta(0)),
        ({}, {"Message": "busy", "RetryAfter": 9}, timedelta(seconds=9)),
        ({"Retry-After": "later"}, "", None),
        ({}, "", None),
        ({}, {"Message": "busy", "RetryAfter": "²"}, None),
        ({}, {"Message": "busy", "RetryAfter": "٣"}, timedelta(seconds=3)),
        ({}, {"Message": "busy", "RetryAfter": "9" * 5000}, timedelta(days=1)),
        ({"Retry-After": "-1"}, "", None),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 -1200"}, "", timedelta(days=1)),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 +99999999999"}, "", None),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 -0000"}, "", None),
    ],
)
async def test_a_429_did_nothing_and_says_how_long_to_wait_a_day_at_most(headers, message, wait):
    body = error_body("TooManyRequests", message if isinstance(message, str) else json.dumps(message))

    error = await GraphStub(httpx.Response(429, json=body, headers=headers)).failed_reset()

    assert isinstance(error, NotExecuted)
    assert error.retry_after == wait
