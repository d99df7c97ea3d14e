"""The reset: at most once, every failure sorted by whether it happened; its results, and its passcode."""

import asyncio
import base64
import inspect
import json
import logging
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import structlog
from bot.domain import errors
from bot.domain.device import NewPasscode
from bot.domain.errors import ApproverRefused, DeviceRefused, GraphError, OutcomeUnknown, UnknownPath
from bot.domain.target import parse_target
from bot.domain.values import Secret
from bot.graph.errors import claims_challenge
from bot.graph.managed_device import parse_time
from tests.support.bot import outcome
from tests.unit.graph.graph_stub import ACCEPTED, ANDROID, GRACE, PHONE, TOKEN, GraphStub, ok, said

CLAIMS = '{"access_token":{"nbf":{"essential":true,"value":"??>>~"}}}'
ENCODED = base64.b64encode(CLAIMS.encode()).decode()
# Of "??>>~~" the two alphabets differ.
URL_SAFE = base64.urlsafe_b64encode(CLAIMS.encode()).decode()
HALF_A_MINUTE = timedelta(seconds=30)
ACTIVITY = "5f2e4a0c-1111-4222-8333-444455556666"
SENTENCE = (
    "Application is not authorized to perform this operation. - Operation ID (for customer support): "
    f"00000000-0000-0000-0000-000000000000 - Activity ID: {ACTIVITY} - Url: https://fef.msua02.manage."
    "microsoft.com/DeviceFE/StatelessDeviceFEService/deviceManagement/managedDevices('x')/429"
)
WRAPPED = json.dumps({"_version": 3, "Message": SENTENCE, "RetryAfter": None, "HttpHeaders": "{}"}, indent=2)
TWICE = json.dumps({"ErrorCode": "Forbidden", "Message": WRAPPED})
STARTED = datetime(2026, 11, 23, 9, 41, 7, 123456, tzinfo=UTC)
CODE = "84172093"
"""The passcode in the Android fixture."""
ODD_BODIES = ["<html>", "", "null", "[]", '{"error": 1}', '{"error": {"message": "{"}}', "{" * 5000]
EARLIER, OURS = "2026-11-23T09:41:07.1234559Z", "2026-11-23T09:41:07.1234567Z"
LATER, LAST = "2026-11-23T09:45:00.0000001Z", "2026-11-23T09:50:00Z"


async def test_a_reset_has_no_body_and_graphs_204_is_sent():
    graph = GraphStub(ACCEPTED)
    assert await graph.reset() == "r1"
    (request,) = graph.requests
    assert (request.content, request.headers["Content-Length"]) == (b"", "0")
    assert request.headers["client-request-id"] == "0b1c"
    assert "content-type" not in request.headers


MEANINGS = {
    ApproverRefused: [401, 403],
    DeviceRefused: [400, 405, 412, 415],
    UnknownPath: [404],
    errors.NotExecuted: [429],
    OutcomeUnknown: [200, 201, 202, 206, 302, 408, 409, 423, 425, 449, 499, 500, 501, 502, 503, 504, 599],
}


@pytest.mark.parametrize(("status", "meaning"), [(s, kind) for kind in MEANINGS for s in MEANINGS[kind]])
async def test_every_status_has_a_meaning(status, meaning):
    headers = [("Location", "https://elsewhere.example/")] if status == 302 else []
    error = await GraphStub(said(status, "Some", headers=headers)).failed_reset()
    assert type(error) is meaning
    assert (error.status, error.code) == (status, "Some")


@pytest.mark.parametrize("status", [400, 404])
async def test_g33_a_device_that_is_gone_is_gone_in_every_read(status):
    graph = GraphStub(said(status, "ResourceNotFound"))
    with pytest.raises(DeviceRefused) as caught:
        await graph.actions()
    assert (caught.value.is_gone, caught.value.message) == (True, "")


@pytest.mark.parametrize("status", [200, 204, 400, 401, 403, 404, 405, 409, 429, 503])
async def test_an_answer_without_graphs_request_id_proves_nothing(status):
    """g14 g15: nor is it quoted as Microsoft's."""
    page = {"html": "<html>Blocked by policy</html>", "headers": {"request-id": "a-proxys"}}
    for body in ({"json": {"error": {"code": "Some"}}}, {"text": "Blocked by policy"}, page):
        error = await GraphStub(httpx.Response(status, **body)).failed_reset()
        assert (type(error), error.code, error.message) == (OutcomeUnknown, "NotGraph", "")


NO_ROUTE = "No OData route exists that match template ~/singleton/navigation/key/action with http verb POST"
GONE = json.dumps({"_version": 3, "Message": "The requested resource was not found", "RetryAfter": None})
APP = parse_target("app:0000f3d7a1b2")
PATHS = [
    pytest.param(said(400, "No method match route template"), UnknownPath, UnknownPath, id="g04"),
    (said(400, "UnknownError", json.dumps({"Message": NO_ROUTE})), UnknownPath, UnknownPath),
    (said(400, "BadRequest", "Resource not found for the segment 'detectedApps'."), UnknownPath, UnknownPath),
    (said(404, "Request_ResourceNotFound", "Resource 'x' does not exist"), UnknownPath, DeviceRefused),
    (said(404, "ResourceNotFound", GONE), DeviceRefused, DeviceRefused),
    (said(400, "ResourceNotFound", GONE), DeviceRefused, DeviceRefused),
    (said(400, "BadRequest", "Bad Request"), DeviceRefused, DeviceRefused),
]


@pytest.mark.parametrize(("answer", "below_the_target", "below_all"), PATHS)
async def test_a_path_that_graph_does_not_know_is_no_lost_device(answer, below_the_target, below_all):
    """What can be either is left to the direct path."""
    for target in (GRACE, APP):
        assert type(await GraphStub(answer).failed_reset(target)) is below_the_target
    direct = GraphStub(answer)
    assert type(await direct.failed_reset(direct=True)) is below_all
    assert direct.requests[0].url.path == f"/v1.0/deviceManagement/managedDevices/{PHONE}/resetPasscode"
    assert type(await GraphStub(answer).failed_reset(parse_target(f"id:{PHONE}"))) is below_all


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
    given = {"message": "the text", "request": None, "response": None}
    raised = kind(**{name: given[name] for name in inspect.signature(kind).parameters})
    error = await GraphStub(raised).failed_reset()
    assert type(error) is (errors.NotExecuted if kind.__name__ in NOT_SENT else OutcomeUnknown)
    assert error.code == kind.__name__
    assert "the text" not in repr(error)


async def test_a_call_is_given_up_after_30_seconds_and_a_reset_may_have_happened(monkeypatch):
    loop, stubs = asyncio.get_running_loop(), (GraphStub(), GraphStub())
    calls = [asyncio.create_task(call) for call in (stubs[0].failed_reset(), stubs[1].find())]
    await asyncio.gather(*(stub.asked.wait() for stub in stubs))
    began = loop.time()
    for seconds, ended in ((29, False), (31, True)):
        monkeypatch.setattr(loop, "time", lambda seconds=seconds: began + seconds)
        for _ in range(20):
            await asyncio.sleep(0)
        assert [call.done() for call in calls] == [ended, ended]
    for end in await asyncio.gather(*calls, return_exceptions=True):
        assert (type(end), end.code) == (OutcomeUnknown, "TimeoutError")


@pytest.mark.parametrize("device", ["", ".", ".."])
async def test_an_id_that_cannot_be_one_path_segment_is_refused(device):
    graph = GraphStub(ACCEPTED)
    with pytest.raises(DeviceRefused):
        await graph.reset(device=device)
    assert graph.requests == []


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    "challenges",
    [
        [f'Bearer realm="", error="insufficient_claims", claims="{ENCODED}"'],
        [f'Bearer realm="", claims="{ENCODED.rstrip("=")}"'],
        ['Negotiate, Basic realm="a \\" claims=\\"x"', f'Bearer error="e", claims="{ENCODED}"'],
        [f"Bearer claims={ENCODED.rstrip('=')}, realm=x"],
        [f'Bearer claims="{URL_SAFE}"'],
        ['Bearer claims="{}"'.format(CLAIMS.replace('"', '\\"'))],  # not encoded, but quoted
    ],
)
async def test_a_claims_challenge_is_handed_on_as_json(status, challenges):
    headers = [("WWW-Authenticate", challenge) for challenge in challenges]
    answer = said(status, "InvalidAuthenticationToken", headers=headers)
    error = await GraphStub(answer).failed_reset()
    assert isinstance(error, ApproverRefused)
    assert error.claims == CLAIMS


@pytest.mark.parametrize("value", ["!!!", "W10=", "/w==", "é", "☃", "\ud800", "e30=é"])
def test_what_is_not_a_claims_challenge_is_none(value):
    headers = [f'Bearer claims="{value}"', 'Bearer xclaims="e30="', "Bearer", ""]
    assert claims_challenge(headers) is None


@pytest.mark.parametrize(
    ("code", "message"), [("Forbidden", SENTENCE), ("Forbidden", WRAPPED), ("UnknownError", TWICE)]
)
@pytest.mark.parametrize("status", [401, 403])
async def test_the_inner_code_and_sentence_are_unwrapped_without_url_or_claims(status, code, message):
    error = await GraphStub(said(status, code, message)).failed_reset()
    sentence = "Application is not authorized to perform this operation."
    facts = {"status": str(status), "code": "Forbidden", "message": sentence, "request_id": "inner"}
    assert error.as_facts() == facts | {"activity_id": ACTIVITY}
    assert (error.claims, error.is_role) == (None, True)


async def test_that_the_role_lacks_is_known_where_the_body_is_not_kept():
    """It could hold a passcode."""
    answer = said(401, "UnknownError", TWICE, [("request-id", "r")])
    with pytest.raises(ApproverRefused) as caught:
        await GraphStub(answer).actions()
    assert caught.value.is_role
    assert caught.value.as_facts() == {"status": "401", "code": "Forbidden", "request_id": "r"}


ROUTER = f"{NO_ROUTE} for request /DeviceFE/StatelessDeviceFEService/users('ada@contoso.com')/managedDevices."


async def test_g04_g20_a_sentence_of_the_router_or_of_intune_is_quoted_without_paths_and_people():
    error = await GraphStub(said(400, "No method match route template", ROUTER)).failed_reset()
    assert error.message == "No OData route exists that match template with http verb POST for request"
    for message in ("Bad Request", json.dumps({"Message": SENTENCE})):
        error = await GraphStub(said(400, "BadRequest", message)).failed_reset()
        assert (type(error), "http" in error.message) == (DeviceRefused, False)


async def test_the_request_id_of_the_header_comes_first_and_no_charset_breaks_the_body():
    headers = [("request-id", "outer"), ("content-type", "application/json; charset=base64")]
    answer = said(400, "BadRequest", "See https://x.example", headers)
    error = await GraphStub(answer).failed_reset()
    facts = {"status": "400", "code": "BadRequest", "message": "See", "request_id": "outer"}
    assert error.as_facts() == facts


@pytest.mark.parametrize("body", [*ODD_BODIES, '{"error":' + "[" * 50_000], ids=lambda body: body[:9])
async def test_a_body_that_is_not_graphs_says_nothing(body):
    error = await GraphStub(httpx.Response(400, text=body, headers={"request-id": "r"})).failed_reset()
    assert (type(error), error.code, error.activity_id) == (DeviceRefused, "", "")


@pytest.mark.parametrize(
    ("header", "in_body", "wait"),
    [
        ("17", None, timedelta(seconds=17)),
        pytest.param("2.128", None, timedelta(seconds=3), id="g13 parts of a second"),
        pytest.param("14.5", None, timedelta(seconds=15), id="g13"),
        ("Mon, 23 Nov 2026 10:00:30 GMT", None, HALF_A_MINUTE),
        ("Mon, 23 Nov 2026 09:59:30 GMT", None, timedelta(0)),
        ("", 9, timedelta(seconds=9)),
        ("", "٣", timedelta(seconds=3)),
        ("", "9" * 5000, timedelta(days=1)),
        ("Fri, 31 Dec 9999 23:59:59 -1200", None, timedelta(days=1)),
        ("", "²", None),
        *((odd, None, None) for odd in ("", "later", "-1", "Thu, 01 Jan 1970 00:00:00 +99999999999")),
        ("Mon, 23 Nov 2026 10:00:30 -0000", None, HALF_A_MINUTE),
        ("Mon Nov 23 10:00:30 2026", None, HALF_A_MINUTE),
        ("Monday, 23-Nov-26 10:00:30 GMT", None, HALF_A_MINUTE),
        ("", 14.5, timedelta(seconds=15)),
    ],
)
async def test_a_429_did_nothing_and_says_how_long_to_wait_a_day_at_most(header, in_body, wait):
    wrapped = json.dumps({"Message": "busy", "RetryAfter": in_body})
    headers = [("Retry-After", header)] if header else []
    error = await GraphStub(said(429, "TooManyRequests", wrapped, headers)).failed_reset()
    assert isinstance(error, errors.NotExecuted)
    assert error.retry_after == wait


def result(state: str, started: str, passcode: str | None, name: str = "resetPasscode") -> dict[str, object]:
    return {"actionName": name, "actionState": state, "startDateTime": started, "passcode": passcode}


def with_results(*results: object) -> GraphStub:
    return GraphStub(ok({"id": PHONE, "deviceActionResults": list(results)}))


async def test_results_come_from_a_get_of_the_one_device():
    """A list leaves `deviceActionResults` empty."""
    graph = GraphStub(ok(ANDROID))
    (seen,) = await graph.actions()
    assert (seen.state, seen.started_at, seen.error_code) == ("done", STARTED, 0)
    (request,) = graph.requests
    assert request.url.path == f"/v1.0/deviceManagement/managedDevices/{PHONE}"
    assert request.url.params["$select"] == "id,deviceActionResults"


async def test_other_actions_and_results_without_a_start_are_not_resets():
    graph = with_results(
        result("done", "2026-11-23T09:41:07Z", None, "remoteLock"),
        result("FAILED", "2026-11-23T09:42:07Z", None, "ResetPasscode") | {"errorCode": 7},
        result("done", "0001-01-01T00:00:00Z", None),
        "nonsense",
    )
    seen = await graph.actions()
    assert [(one.state, one.error_code) for one in seen] == [("failed", 7)]
    for body in ({"id": "1"}, {"id": "1", "deviceActionResults": None}):
        assert await GraphStub(ok(body)).actions() == []


@pytest.mark.parametrize(
    ("results", "shown"),
    [
        ([("done", LATER, "2222"), ("done", OURS, "1111"), ("pending", LAST, "3333")], "1111"),
        ([("done", EARLIER, "0000")], None),
        ([("pending", OURS, None), ("done", LATER, "2222")], None),
        ([("pending", OURS, "1111")], None),
        ([("done", OURS, None)], None),
        ([], None),
    ],
    ids=["the first, not a later", "an earlier one's", "ours is not done", "pending", "cleared", "no reset"],
)
async def test_only_the_passcode_of_the_first_reset_since_is_returned(results, shown):
    graph = with_results(*(result(*one) for one in results))
    found = await graph.intune.passcode(PHONE, TOKEN, since=STARTED)
    assert (found and found.passcode) == (Secret(shown) if shown else None)


@pytest.mark.parametrize(
    ("states", "replaced_at"),
    [(["failed", "done"], LAST), (["pending"], LATER), (["notSupported", "canceled"], None)],
)
async def test_the_next_reset_that_did_not_fail_is_named_with_the_passcode_that_it_ends(states, replaced_at):
    later = [result(state, at, "2222") for state, at in zip(states, (LATER, LAST), strict=False)]
    graph = with_results(*later, result("done", OURS, "1111"))
    found = await graph.intune.passcode(PHONE, TOKEN, since=STARTED)
    assert found.replaced_at == parse_time(replaced_at)


@pytest.mark.parametrize(
    "answer",
    [
        ok(ANDROID),
        httpx.Response(200, text=f'{{"deviceActionResults": [{{"passcode": "{CODE}"'),
        ok([CODE]),
        httpx.Response(
            403, json={"error": {"code": CODE, "message": CODE, "innerError": {"request-id": CODE}}}
        ),
        httpx.Response(500, text=CODE, headers={"Retry-After": "0"}),
        httpx.Response(404, json={"error": {"message": json.dumps({"Message": CODE})}}),
        httpx.Response(429, json={"error": {"message": CODE}}, headers={"Retry-After": "0"}),
        httpx.DecodingError(CODE),
    ],
    ids=lambda answer: repr(answer)[:20],
)
async def test_neither_passcode_nor_token_gets_into_a_log_or_an_exception(answer, caplog):
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as logged:
        error = await outcome(GraphStub(answer).intune.passcode(PHONE, TOKEN, since=STARTED))
    assert isinstance(error, GraphError | NewPasscode)
    shown = [str(logged), *(f"{record.getMessage()} {vars(record)}" for record in caplog.records)]
    assert "graph_" in str(logged)
    while isinstance(error, BaseException):
        shown.append(f"{error!r} {vars(error)}")
        error = error.__cause__ or error.__context__
    assert CODE not in "".join(shown)
    assert TOKEN.reveal() not in "".join(shown)
