"""What a client sees of each fault over a real socket, and whether the call had its effect."""

import asyncio
import logging
from collections.abc import AsyncIterator

import aiohttp
import httpx
import pytest
from fault_desk import BOT_AUTH, FaultDesk, a_fault_desk
from sandbox.app import Sandbox, serve
from sandbox.cast import BOT_TOKEN, TENANT_ID
from sandbox.faults import Rule
from slack_office import ON_CALL
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import (
    AsyncConnectionErrorRetryHandler,
    AsyncRateLimitErrorRetryHandler,
)
from slack_sdk.web.async_client import AsyncWebClient


@pytest.fixture
async def desk(caplog: pytest.LogCaptureFixture) -> AsyncIterator[FaultDesk]:
    """What breaks here breaks as ordered: the server has nothing to log about it."""
    async with a_fault_desk() as desk:
        yield desk
    logged = [*caplog.get_records("call"), *caplog.records]
    assert [record for record in logged if record.levelno >= logging.WARNING] == []


def slack_client(desk: FaultDesk, *, retries: bool = False) -> AsyncWebClient:
    handlers = [AsyncConnectionErrorRetryHandler(), AsyncRateLimitErrorRetryHandler()] if retries else []
    return AsyncWebClient(
        BOT_TOKEN, base_url=f"{desk.sandbox.base_url}/slack/api/", timeout=2, retry_handlers=handlers
    )


async def test_a_call_without_a_rule_fares_well(desk: FaultDesk):
    desk.fails(to="slack", kind="5xx", match="chat.update")

    assert (await desk.reset()).status_code == 204
    assert (await desk.post()).json()["ok"] is True
    assert desk.last_call.note == ON_CALL


async def test_reset_before_breaks_the_connection_and_nothing_is_done(desk: FaultDesk):
    desk.fails(to="graph", kind="reset before", match="resetPasscode")

    with pytest.raises(httpx.ReadError):
        await desk.reset()

    assert desk.resets == 0
    assert (desk.last_call.status, desk.last_call.note) == (0, "fault: reset before")
    assert (desk.last_call.bearer.kind, desk.last_call.bearer.who) == ("user", "Ken Ito")


async def test_reset_after_breaks_the_connection_although_it_is_done(desk: FaultDesk):
    desk.fails(to="graph", kind="reset after", match="resetPasscode")

    with pytest.raises(httpx.ReadError):
        await desk.reset()

    assert desk.resets == 1
    assert desk.last_call.note.startswith("fault: reset after; reset ")
    assert desk.last_call.bearer.who == "Ken Ito"


async def test_a_truncated_answer_is_whole_for_http_but_not_for_json(desk: FaultDesk):
    desk.fails(to="slack", kind="truncated", match="chat.postMessage")

    answer = await desk.post()

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.text.startswith('{"ok":true')
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        answer.json()
    assert len(desk.posted) == 1


async def test_an_aborted_answer_ends_in_the_middle(desk: FaultDesk):
    desk.fails(to="slack", kind="aborted", match="chat.postMessage")

    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        await desk.post()

    assert len(desk.posted) == 1


@pytest.mark.parametrize("kind", ["truncated", "aborted"])
async def test_an_answer_without_a_body_is_cut_before_it_begins(desk: FaultDesk, kind: str):
    desk.fails(to="graph", kind=kind, match="resetPasscode")

    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        await desk.reset()

    assert desk.resets == 1


@pytest.mark.parametrize(("after", "resets"), [(False, 0), (True, 1)])
async def test_a_call_hangs_until_the_client_gives_up(desk: FaultDesk, after: bool, resets: int):
    desk.fails(to="graph", kind="hang", match="resetPasscode", after=after)

    with pytest.raises(httpx.ReadTimeout):
        await desk.reset(timeout=0.1)

    assert desk.resets == resets
    assert desk.last_call.note.startswith("fault: hang")


@pytest.mark.parametrize("rule", [{"kind": "hang"}, {"kind": "latency", "seconds": 60}])
async def test_calls_that_wait_do_not_keep_the_sandbox_from_closing(rule: dict[str, object]):
    async with asyncio.timeout(2), httpx.AsyncClient(timeout=10) as http:
        async with serve(Sandbox()) as sandbox:
            desk = FaultDesk(sandbox, http)
            http.base_url = httpx.URL(sandbox.base_url)
            desk.fails(to="graph", match="resetPasscode", **rule)
            struck = asyncio.Event()
            sandbox.faults.on_change.append(struck.set)
            hanging = asyncio.create_task(desk.reset())
            await struck.wait()
        with pytest.raises(httpx.ReadError):
            await hanging
        assert desk.resets == 0


@pytest.mark.parametrize("after", [False, True])
async def test_a_late_answer_is_the_same_answer(desk: FaultDesk, after: bool):
    slept: list[float] = []
    on_arrival: list[int] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        on_arrival.append(desk.resets)

    desk.sandbox.faults.sleep = sleep
    desk.fails(to="graph", kind="latency", seconds=30, match="resetPasscode", after=after)

    assert (await desk.reset()).status_code == 204
    assert (slept, on_arrival, desk.resets) == ([30], [int(after)], 1)
    assert desk.last_call.note.startswith("fault: 30 s late")


async def test_a_late_call_is_carried_out_even_if_the_client_gave_up(desk: FaultDesk):
    gave_up, done = asyncio.Event(), asyncio.Event()
    desk.sandbox.intune.on_change.append(done.set)

    async def sleep(_seconds: float) -> None:
        await gave_up.wait()

    desk.sandbox.faults.sleep = sleep
    desk.fails(to="graph", kind="latency", match="resetPasscode")
    with pytest.raises(httpx.ReadTimeout):
        await desk.reset(timeout=0.1)
    assert desk.resets == 0

    gave_up.set()
    await asyncio.wait_for(done.wait(), 2)

    assert desk.resets == 1


@pytest.mark.parametrize("retry_after", [None, 7])
async def test_429_comes_with_or_without_retry_after(desk: FaultDesk, retry_after: int | None):
    for vendor in ("slack", "entra", "graph"):
        desk.fails(to=vendor, kind="429", retry_after=retry_after)

    slack, graph = await desk.post(), await desk.reset()
    entra = await desk.http.post(f"/entra/{TENANT_ID}/oauth2/v2.0/token")

    assert [answer.status_code for answer in (slack, graph, entra)] == [429] * 3
    expected = None if retry_after is None else "7"
    assert [answer.headers.get("retry-after") for answer in (slack, graph, entra)] == [expected] * 3
    assert slack.json() == {"ok": False, "error": "ratelimited"}
    assert graph.json()["error"]["code"] == "TooManyRequests"
    assert entra.json()["error_codes"] == [90055]
    assert (desk.resets, desk.posted) == (0, [])


@pytest.mark.parametrize(("status", "after", "resets"), [(503, False, 0), (504, True, 1), (599, False, 0)])
async def test_5xx_is_a_page_where_json_was_expected(desk: FaultDesk, status: int, after: bool, resets: int):
    desk.fails(to="graph", kind="5xx", status=status, after=after)

    answer = await desk.reset()

    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert f"HTTP Error {status}" in answer.text
    assert desk.resets == resets
    assert desk.last_call.note.startswith(f"fault: {status}")


async def test_the_connection_is_good_again_afterwards(desk: FaultDesk):
    desk.fails(to="slack", kind="reset before")
    desk.fails(to="slack", kind="5xx")

    with pytest.raises(httpx.ReadError):
        await desk.post()
    assert (await desk.post()).status_code == 503
    assert (await desk.post()).json()["ok"] is True
    assert len(desk.posted) == 1


async def test_many_calls_on_one_connection_break_one_by_one(desk: FaultDesk):
    desk.fails(to="slack", kind="reset after", times=5, skip=5, match="postmessage")
    one = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(base_url=desk.sandbox.base_url, limits=one) as http:
        desk.http = http
        results = await asyncio.gather(*(desk.post() for _ in range(12)), return_exceptions=True)

    assert sum(isinstance(result, httpx.ReadError) for result in results) == 5
    assert len(desk.posted) == 12


async def test_a_response_url_is_faulted_without_its_secret_in_the_journal(desk: FaultDesk):
    desk.fails(to="slack", kind="5xx", match="response_url")

    answer = await desk.http.post("/slack/response/the-secret", json={"text": "done"})

    assert answer.status_code == 503
    assert (desk.last_call.method, desk.last_call.path) == ("response_url", "/slack/response/…")


async def test_the_page_and_its_api_are_never_faulted(desk: FaultDesk):
    for vendor in ("slack", "entra", "graph"):
        desk.fails(to=vendor, kind="reset before", times=None)

    answers = [await desk.http.get(path) for path in ("/", "/page/icon.svg", "/sandbox/state")]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert list(desk.sandbox.faults.hits) == []


async def test_slacks_own_client_sees_a_broken_connection(desk: FaultDesk):
    desk.fails(to="slack", kind="reset before", match="chat.postMessage")

    with pytest.raises(aiohttp.ClientOSError):
        await slack_client(desk).chat_postMessage(channel=ON_CALL, text="card")

    assert desk.posted == []


async def test_slacks_own_client_posts_twice_when_it_retries_after_the_effect(desk: FaultDesk):
    desk.fails(to="slack", kind="reset after", match="chat.postMessage")

    await slack_client(desk, retries=True).chat_postMessage(channel=ON_CALL, text="card")

    assert [message.text for message in desk.posted] == ["card", "card"]


async def test_slacks_own_client_waits_as_it_is_told(desk: FaultDesk):
    desk.fails(to="slack", kind="429", retry_after=0, match="chat.postMessage")

    await slack_client(desk, retries=True).chat_postMessage(channel=ON_CALL, text="card")

    assert [call.status for call in desk.sandbox.journal.calls] == [429, 200]
    assert len(desk.posted) == 1


@pytest.mark.parametrize("kind", ["5xx", "truncated"])
async def test_slacks_own_client_makes_an_error_of_what_is_no_json(desk: FaultDesk, kind: str):
    desk.fails(to="slack", kind=kind, match="chat.postMessage")

    with pytest.raises(SlackApiError):
        await slack_client(desk).chat_postMessage(channel=ON_CALL, text="card")


async def test_slacks_own_client_gives_up_on_a_call_that_hangs(desk: FaultDesk):
    desk.fails(to="slack", kind="hang", match="chat.postMessage")
    client = slack_client(desk)
    client.timeout = 0.1  # type: ignore[assignment]  # aiohttp takes fractions of seconds

    with pytest.raises(TimeoutError):
        await client.chat_postMessage(channel=ON_CALL, text="card")

    assert desk.posted == []


async def test_a_socket_mode_ticket_can_be_refused(desk: FaultDesk):
    desk.fails(to="slack", kind="reset before", match="apps.connections.open")
    desk.sandbox.faults.add(Rule(to="slack", kind="5xx", match="auth.test"))

    with pytest.raises(httpx.ReadError):
        await desk.http.post("/slack/api/apps.connections.open")
    assert (await desk.http.post("/slack/api/auth.test", headers=BOT_AUTH)).status_code == 503
