"""The reset: at most once, and every failure sorted by whether it may have happened."""

import asyncio
import base64
import inspect
import json
from datetime import timedelta
from email.utils import format_datetime

import httpx
import pytest
from bot.domain.errors import ApproverRefused, DeviceRefused, GraphError, NeverLeft, Unknown
from bot.domain.identifiers import DeviceId
from bot.domain.target import parse_target
from bot.graph import devices as devices_module
from bot.graph import paths
from bot.graph.challenge import claims_in
from bot.graph.http import RESET_MAY_TAKE
from bot.graph.meanings import MEANINGS
from graph_stub import NOW, TOKEN, Answer, GraphStub

GRACE = parse_target("grace.hopper@contoso.com")
PHONE = DeviceId("c8e4d4ab-9f0b-4f5c-8f5a-7e1d0a2b3c4d")
CLAIMS = '{"access_token":{"nbf":{"essential":true,"value":"1764000000"}}}'
ENCODED = base64.b64encode(CLAIMS.encode()).decode()
ACTIVITY = "5f2e4a0c-1111-4222-8333-444455556666"
SENTENCE = (
    "Application is not authorized to perform this operation. - Operation ID (for customer support): "
    f"00000000-0000-0000-0000-000000000000 - Activity ID: {ACTIVITY} - Url: https://fef.msua02.manage."
    "microsoft.com/DeviceFE/StatelessDeviceFEService/deviceManagement/managedDevices('x')/429"
)
WRAPPED = json.dumps({"_version": 3, "Message": SENTENCE, "RetryAfter": None, "HttpHeaders": "{}"}, indent=2)
TWICE = json.dumps({"ErrorCode": "Forbidden", "Message": WRAPPED})


async def reset(answer: Answer) -> GraphStub:
    graph = GraphStub(answer)
    await graph.devices.reset(GRACE, PHONE, TOKEN, client_request_id="0b1c")
    return graph


async def failed(answer: Answer) -> GraphError:
    graph = GraphStub(answer)
    with pytest.raises(GraphError) as caught:
        await graph.devices.reset(GRACE, PHONE, TOKEN, client_request_id="0b1c")
    assert len(graph.asked) == 1, "a reset is never sent twice"
    assert graph.slept == []
    return caught.value


def envelope(code: str, message: str = "") -> dict[str, object]:
    return {"error": {"code": code, "message": message, "innerError": {"request-id": "inner"}}}


async def test_a_reset_has_no_body_and_the_callers_id() -> None:
    graph = await reset(httpx.Response(204))

    (request,) = graph.asked
    assert request.content == b""
    assert request.headers["Content-Length"] == "0"
    assert request.headers["client-request-id"] == "0b1c"
    assert "content-type" not in request.headers


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_any_success_counts_as_sent(status: int) -> None:
    assert len((await reset(httpx.Response(status))).asked) == 1


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (302, Unknown),
        (400, DeviceRefused),
        (401, ApproverRefused),
        (403, ApproverRefused),
        (404, DeviceRefused),
        (405, DeviceRefused),
        (408, Unknown),
        (409, DeviceRefused),
        (412, DeviceRefused),
        (423, DeviceRefused),
        (429, NeverLeft),
        (500, Unknown),
        (501, Unknown),
        (502, Unknown),
        (503, Unknown),
        (504, Unknown),
        (599, Unknown),
    ],
)
async def test_every_status_has_a_meaning(status: int, meaning: type[GraphError]) -> None:
    headers = {"Location": "https://elsewhere.example/"} if status == 302 else {}

    error = await failed(httpx.Response(status, json=envelope("Some"), headers=headers))

    assert type(error) is meaning
    assert error.status == status


def exceptions_of_httpx() -> list[type[Exception]]:
    named = [getattr(httpx, name) for name in httpx.__all__]
    return [thing for thing in named if inspect.isclass(thing) and issubclass(thing, Exception)]


def test_every_exception_of_httpx_has_a_meaning() -> None:
    assert len(exceptions_of_httpx()) > 20
    assert [kind for kind in exceptions_of_httpx() if kind not in MEANINGS] == []


def test_only_what_cannot_have_been_sent_never_left() -> None:
    never_left = {kind for kind, meaning in MEANINGS.items() if meaning is NeverLeft}

    assert never_left == {httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout}


@pytest.mark.parametrize(
    "kind", [kind for kind in exceptions_of_httpx() if issubclass(kind, httpx.RequestError)]
)
async def test_an_exception_ends_the_reset_with_its_meaning_and_drags_no_request_along(
    kind: type[Exception],
) -> None:
    error = await failed(kind("the text of the library"))

    assert type(error) is MEANINGS[kind]
    assert error.code == kind.__name__
    assert error.__cause__ is None
    assert error.__context__ is None
    assert "the text" not in repr(error)


async def test_a_reset_that_hangs_may_have_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices_module, "RESET_MAY_TAKE", timedelta(0))
    graph = GraphStub(httpx.Response(204))

    with pytest.raises(Unknown) as caught:
        await graph.devices.reset(GRACE, PHONE, TOKEN, client_request_id="0b1c")

    assert caught.value.code == "TimeoutError"


async def test_the_whole_call_is_bounded_below_forty_seconds() -> None:
    assert timedelta(seconds=40) > RESET_MAY_TAKE
    timeout = GraphStub(httpx.Response(204)).http.timeout
    assert all(seconds is not None and seconds <= 20 for seconds in timeout.as_dict().values())


async def test_a_cancelled_reset_is_cancelled() -> None:
    graph = GraphStub(httpx.Response(204))
    task = asyncio.create_task(graph.devices.reset(GRACE, PHONE, TOKEN, client_request_id="0b1c"))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    "challenges",
    [
        [f'Bearer realm="", error="insufficient_claims", claims="{ENCODED}"'],
        [f'Bearer realm="", claims="{ENCODED.rstrip("=")}"'],
        ['Negotiate, Basic realm="a \\" claims=\\"x"', f'Bearer error="e", claims="{ENCODED}"'],
        [f"Bearer claims={ENCODED.rstrip('=')}, realm=x"],
    ],
)
async def test_a_claims_challenge_is_handed_on_as_json(status: int, challenges: list[str]) -> None:
    headers = [("WWW-Authenticate", challenge) for challenge in challenges]

    error = await failed(httpx.Response(status, json=envelope("InvalidAuthenticationToken"), headers=headers))

    assert isinstance(error, ApproverRefused)
    assert error.claims == CLAIMS


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        'Bearer claims="!!!"',
        'Bearer claims="W10="',
        'Bearer xclaims="e30="',
        'Bearer claims="/w=="',
        "",
    ],
)
def test_what_is_no_claims_challenge_is_none(header: str) -> None:
    assert claims_in([header]) is None


def test_claims_in_base64url_are_read_too() -> None:
    text = '{"a":"??>>~~"}'
    assert claims_in([f'Bearer claims="{base64.urlsafe_b64encode(text.encode()).decode()}"']) == text


async def test_a_401_of_intune_that_no_sign_in_helps_has_no_claims() -> None:
    error = await failed(httpx.Response(401, json=envelope("UnknownError", TWICE)))

    assert isinstance(error, ApproverRefused)
    assert (error.code, error.claims) == ("Forbidden", None)


@pytest.mark.parametrize("message", [SENTENCE, WRAPPED, TWICE], ids=["plain", "once", "twice"])
async def test_intunes_wrapping_is_taken_off(message: str) -> None:
    error = await failed(httpx.Response(403, json=envelope("Forbidden", message)))

    assert error.code == "Forbidden"
    assert error.message == "Application is not authorized to perform this operation."
    assert error.activity_id == ACTIVITY
    assert error.request_id == "inner"
    assert "manage.microsoft" not in repr(error)


async def test_wrapping_without_end_is_left_at_some_point() -> None:
    message = "the sentence"
    for _ in range(9):
        message = json.dumps({"Message": message})

    error = await failed(httpx.Response(400, json=envelope("BadRequest", message)))

    assert error.message.startswith('{"Message"')


async def test_the_request_id_of_the_header_comes_first() -> None:
    error = await failed(httpx.Response(400, json=envelope("BadRequest"), headers={"request-id": "outer"}))

    assert error.request_id == "outer"


@pytest.mark.parametrize(
    "body", ["<html>", "", "null", "[]", '{"error": 1}', '{"error": {"message": "{"}}', "{" * 5000]
)
async def test_a_body_that_is_no_envelope_says_nothing(body: str) -> None:
    error = await failed(httpx.Response(400, text=body))

    assert (error.code, error.activity_id) == ("", "")


async def test_a_message_without_end_is_cut() -> None:
    error = await failed(httpx.Response(400, json=envelope("BadRequest", "x" * 5000)))

    assert len(error.message) == 300


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
        ({}, json.dumps({"Message": "busy", "RetryAfter": 9}), timedelta(seconds=9)),
        ({"Retry-After": "later"}, "", None),
        ({}, "", None),
    ],
)
async def test_a_429_did_nothing_and_says_how_long_to_wait(
    headers: dict[str, str], message: str, wait: timedelta | None
) -> None:
    error = await failed(httpx.Response(429, json=envelope("TooManyRequests", message), headers=headers))

    assert isinstance(error, NeverLeft)
    assert error.retry_after == wait


@pytest.mark.parametrize("device", ["", ".", ".."])
async def test_an_id_that_would_climb_out_of_the_path_is_refused(device: str) -> None:
    graph = GraphStub(httpx.Response(204))

    with pytest.raises(DeviceRefused):
        await graph.devices.reset(GRACE, DeviceId(device), TOKEN, client_request_id="0b1c")

    assert graph.asked == []


def test_an_id_cannot_leave_its_segment() -> None:
    assert "/a%2Fb%3Fc%23d/resetPasscode" in paths.reset(GRACE, DeviceId("a/b?c#d"))
