"""The results of a reset, and its passcode: returned to the caller, in no log and no exception."""

import json
import logging
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import structlog
from bot.domain.errors import GraphError
from bot.domain.values import Secret
from tests.unit.graph.graph_stub import ANDROID, PHONE, TOKEN, GraphStub, ok

STARTED = datetime(2026, 11, 23, 9, 41, 7, 123456, tzinfo=UTC)
CODE = "84172093"
"""The passcode in the Android fixture."""


def result(state: str, started: str, passcode: str | None, name: str = "resetPasscode") -> dict[str, object]:
    return {"actionName": name, "actionState": state, "startDateTime": started, "passcode": passcode}


def with_results(*results: object) -> GraphStub:
    return GraphStub(ok({"id": PHONE, "deviceActionResults": list(results)}))


async def passcode(graph: GraphStub, *, since: datetime = STARTED) -> str | None:
    found = await graph.intune.passcode(PHONE, TOKEN, since=since)
    assert found is None or isinstance(found, Secret)
    return found and found.reveal()


async def test_results_come_from_a_get_of_the_one_device():
    """A list leaves `deviceActionResults` empty."""
    graph = GraphStub(ok(ANDROID))
    (seen,) = await graph.intune.actions(PHONE, TOKEN)
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

    seen = await graph.intune.actions(PHONE, TOKEN)

    assert [(one.state, one.error_code) for one in seen] == [("failed", 7)]
    for body in ({"id": "1"}, {"id": "1", "deviceActionResults": None}):
        assert await GraphStub(ok(body)).intune.actions(PHONE, TOKEN) == []


OURS, LATER, LAST = "2026-11-23T09:41:07.1234567Z", "2026-11-23T09:45:00.0000001Z", "2026-11-23T09:50:00Z"


@pytest.mark.parametrize(
    ("results", "shown"),
    [
        ([("done", LATER, "2222"), ("done", OURS, "1111"), ("pending", LAST, "3333")], "1111"),
        ([("pending", OURS, None), ("done", LATER, "2222")], None),
        ([("pending", OURS, "1111")], None),
        ([("done", OURS, None)], None),
        ([], None),
    ],
    ids=["the first, not a later one", "ours is not done", "pending", "Graph cleared it", "no reset"],
)
async def test_only_the_passcode_of_the_first_reset_since_is_returned(results, shown):
    assert await passcode(with_results(*(result(*one) for one in results))) == shown


async def test_the_passcode_of_an_earlier_reset_is_never_returned():
    assert await passcode(GraphStub(ok(ANDROID)), since=STARTED + timedelta(microseconds=1)) is None
    assert await passcode(GraphStub(ok(ANDROID))) == CODE


@pytest.mark.parametrize(
    "answer",
    [
        ok(ANDROID),
        httpx.Response(200, text=f'{{"deviceActionResults": [{{"passcode": "{CODE}"'),
        ok([CODE]),
        httpx.Response(
            403, json={"error": {"code": CODE, "message": CODE, "innerError": {"request-id": CODE}}}
        ),
        httpx.Response(500, text=CODE),
        httpx.Response(404, json={"error": {"message": json.dumps({"Message": CODE})}}),
        httpx.Response(429, json={"error": {"message": CODE}}, headers={"Retry-After": "0"}),
        httpx.DecodingError(CODE),
    ],
    ids=lambda answer: repr(answer)[:20],
)
async def test_neither_passcode_nor_token_gets_into_a_log_or_an_exception(answer, caplog):
    caplog.set_level(logging.DEBUG)
    error: BaseException | None = None

    with structlog.testing.capture_logs() as logged:
        try:
            await GraphStub(answer).intune.passcode(PHONE, TOKEN, since=STARTED)
        except GraphError as caught:
            error = caught

    shown = [str(logged), *(f"{record.getMessage()} {vars(record)}" for record in caplog.records)]
    assert "graph_" in str(logged)
    while error is not None:
        shown.append(f"{error!r} {vars(error)}")
        error = error.__cause__ or error.__context__
    assert CODE not in "".join(shown)
    assert TOKEN.reveal() not in "".join(shown)
