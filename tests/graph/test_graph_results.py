"""What became of a reset, and its passcode: shown to nobody but the caller."""

import json
import logging
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from bot.domain.errors import ApproverRefused, GraphError, Unknown
from bot.domain.identifiers import DeviceId
from graph_stub import ANDROID, IPHONE, TOKEN, Answer, GraphStub, ok

PHONE = DeviceId("5a1f0c52-2d6e-4a55-9a3e-0f4d5c1b7e21")
STARTED = datetime(2026, 11, 23, 9, 41, 7, 123456, tzinfo=UTC)
CODE = "84172093"


def result(state: str, started: str, passcode: str | None, name: str = "resetPasscode") -> dict[str, object]:
    return {"actionName": name, "actionState": state, "startDateTime": started, "passcode": passcode}


def answered(*results: object) -> httpx.Response:
    return ok({"id": PHONE, "deviceActionResults": list(results)})


async def test_results_are_read_from_a_get_of_the_one_device() -> None:
    graph = GraphStub(ok(ANDROID))

    (seen,) = await graph.devices.actions(PHONE, TOKEN)

    assert (seen.state, seen.started_at, seen.error_code) == ("done", STARTED, 0)
    (request,) = graph.asked
    assert request.url.path == f"/v1.0/deviceManagement/managedDevices/{PHONE}"
    assert request.url.params["$select"] == "id,deviceActionResults"


async def test_a_pending_reset_has_no_passcode() -> None:
    graph = GraphStub(ok(IPHONE))

    assert [seen.state for seen in await graph.devices.actions(PHONE, TOKEN)] == ["pending"]
    assert await graph.devices.passcode(PHONE, TOKEN, since=STARTED - timedelta(days=1)) is None


async def test_other_actions_are_no_resets() -> None:
    graph = GraphStub(
        answered(
            result("done", "2026-11-23T09:41:07Z", None, "remoteLock"),
            result("FAILED", "2026-11-23T09:42:07Z", None, "ResetPasscode"),
            result("done", "0001-01-01T00:00:00Z", None),
            "nonsense",
        )
    )

    assert [seen.state for seen in await graph.devices.actions(PHONE, TOKEN)] == ["failed"]


@pytest.mark.parametrize("body", [{"id": "1"}, {"id": "1", "deviceActionResults": None}])
async def test_no_results_are_no_resets(body: dict[str, object]) -> None:
    assert await GraphStub(ok(body)).devices.actions(PHONE, TOKEN) == []


async def test_the_passcode_of_the_first_reset_is_returned_not_of_somebody_elses_later_one() -> None:
    graph = GraphStub(
        answered(
            result("done", "2026-11-23T09:45:00.0000001Z", "22222222"),
            result("done", "2026-11-23T09:41:07.1234567Z", "11111111"),
            result("pending", "2026-11-23T09:50:00Z", "33333333"),
        )
    )

    found = await graph.devices.passcode(PHONE, TOKEN, since=STARTED)

    assert found is not None
    assert found.reveal() == "11111111"


async def test_while_ours_is_not_done_nobody_elses_passcode_is_shown() -> None:
    graph = GraphStub(
        answered(
            result("pending", "2026-11-23T09:41:07.1234567Z", None),
            result("done", "2026-11-23T09:45:00.0000001Z", "22222222"),
        )
    )

    assert await graph.devices.passcode(PHONE, TOKEN, since=STARTED) is None


async def test_the_passcode_of_an_earlier_reset_is_never_shown_for_ours() -> None:
    graph = GraphStub(ok(ANDROID))

    assert await graph.devices.passcode(PHONE, TOKEN, since=STARTED + timedelta(microseconds=1)) is None
    assert await graph.devices.passcode(PHONE, TOKEN, since=STARTED) is not None


async def test_a_passcode_that_graph_cleared_is_none() -> None:
    graph = GraphStub(answered(result("done", "2026-11-23T09:45:00Z", None)))

    assert await graph.devices.passcode(PHONE, TOKEN, since=STARTED) is None


LEAKS = [
    httpx.Response(200, text=f'{{"deviceActionResults": [{{"passcode": "{CODE}"'),
    httpx.Response(200, json=[CODE]),
    httpx.Response(403, json={"error": {"code": CODE, "message": CODE, "innerError": {"request-id": CODE}}}),
    httpx.Response(500, text=CODE),
    httpx.Response(404, json={"error": {"message": json.dumps({"Message": CODE})}}),
    httpx.DecodingError(CODE),
]


@pytest.mark.parametrize("answer", LEAKS, ids=lambda answer: repr(answer)[:20])
async def test_nothing_of_an_answer_that_may_hold_a_passcode_gets_out(
    answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    with pytest.raises(GraphError) as caught:
        await GraphStub(answer).devices.passcode(PHONE, TOKEN, since=STARTED)

    error: BaseException | None = caught.value
    while error is not None:
        assert CODE not in f"{error!r} {vars(error)}"
        error = error.__cause__ or error.__context__
    assert CODE not in "".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)


async def test_neither_passcode_nor_token_is_logged_nor_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    graph = GraphStub(ok(ANDROID))

    found = await graph.devices.passcode(PHONE, TOKEN, since=STARTED)

    assert CODE not in repr(found)
    logged = "".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert "graph.answered" in logged
    assert CODE not in logged
    assert TOKEN.reveal() not in logged


async def test_a_challenge_reaches_the_caller_without_the_body() -> None:
    headers = {"WWW-Authenticate": 'Bearer claims="eyJhIjp7fX0="', "request-id": "r1"}

    with pytest.raises(ApproverRefused) as caught:
        await GraphStub(httpx.Response(401, headers=headers)).devices.passcode(PHONE, TOKEN, since=STARTED)

    assert (caught.value.claims, caught.value.request_id) == ('{"a":{}}', "r1")


async def test_a_lost_answer_to_a_read_is_not_read_again_blindly() -> None:
    graph = GraphStub(httpx.ReadTimeout("slow"))

    with pytest.raises(Unknown):
        await graph.devices.actions(PHONE, TOKEN)

    assert len(graph.asked) == 1
