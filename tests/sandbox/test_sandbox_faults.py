"""Fault injection: which calls a rule strikes, what the client sees, and whether the call had its effect."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sandbox.app import Sandbox, serve
from sandbox.cast import TENANT_ID
from sandbox.faults import ActiveRule, Rule
from tests.sandbox.conftest import BOT_AUTH
from tests.support.user_actions import IPHONE, KEN_ACCOUNT, ON_CALL

RESET = f"/graph/v1.0/deviceManagement/managedDevices/{IPHONE}/resetPasscode"
ALWAYS: dict[str, Any] = {"to": "slack", "kind": "5xx", "match": "chat.postMessage", "times": None}


class Calls:
    """A sandbox with faults, and two calls that have an effect: a post at Slack, a reset at Graph."""

    def __init__(self, sandbox: Sandbox, http: httpx.AsyncClient) -> None:
        self.sandbox = sandbox
        self.http = http
        self.ken = {"Authorization": f"Bearer {sandbox.entra.access_token(KEN_ACCOUNT)}"}

    def fails(self, **rule: Any) -> ActiveRule:
        return self.sandbox.faults.add(Rule(**rule))

    async def post(self, **more: Any) -> httpx.Response:
        said = {"channel": ON_CALL, "text": "card", **more}
        return await self.http.post("/slack/api/chat.postMessage", json=said, headers=BOT_AUTH)

    async def statuses(self, calls: int) -> list[int]:
        return [(await self.post()).status_code for _ in range(calls)]

    async def reset(self, **options: Any) -> httpx.Response:
        return await self.http.post(RESET, headers=self.ken, **options)

    @property
    def resets(self) -> int:
        return len(self.sandbox.intune.resets)


@pytest.fixture
async def served(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Calls]:
    """Over real sockets. A connection that breaks by a rule leaves the server nothing to log."""
    async with serve(Sandbox()) as sandbox, httpx.AsyncClient(base_url=sandbox.base_url, timeout=5) as http:
        yield Calls(sandbox, http)
    logged = [*caplog.get_records("call"), *caplog.records]
    assert [record for record in logged if record.levelno >= logging.WARNING] == []


EFFECTS: list[tuple[dict[str, Any], type[Exception] | int, int]] = [
    *(({"kind": "reset before"}, httpx.ReadError, 0), ({"kind": "reset after"}, httpx.ReadError, 1)),
    *(({"kind": kind}, httpx.RemoteProtocolError, 1) for kind in ("truncated", "aborted")),
    *(({"kind": "hang"} | more, httpx.ReadTimeout, len(more)) for more in ({}, {"after": True})),
    ({"kind": "5xx"}, 503, 0),
    ({"kind": "5xx", "status": 504, "after": True}, 504, 1),
    ({"kind": "5xx", "status": 599}, 599, 0),
]
"""A rule, what the client sees of its call, and whether the call had its effect."""


@pytest.mark.parametrize(("rule", "expected", "resets"), EFFECTS)
async def test_a_broken_call_has_its_effect_before_or_not_at_all(served, rule, expected, resets):
    served.fails(to="graph", match="resetPasscode", **rule)
    if isinstance(expected, int):  # a page where JSON was expected
        answer = await served.reset()
        assert (answer.status_code, f"HTTP Error {expected}" in answer.text) == (expected, True)
        assert answer.headers["content-type"].startswith("text/html")
    else:
        with pytest.raises(expected):
            await served.reset(timeout=0.3)
    call = served.sandbox.journal.calls[-1]
    assert (served.resets, "reset Ada's iPhone" in call.note) == (resets, bool(resets))
    assert (call.bearer.who, call.note.startswith("fault: ")) == ("Ken Ito", True)


@pytest.mark.parametrize("rule", [{"kind": "hang"}, {"kind": "latency", "seconds": 60}])
async def test_a_call_that_waits_does_not_keep_the_sandbox_from_closing(rule):
    async with asyncio.timeout(20), httpx.AsyncClient(timeout=30) as http:
        async with serve(Sandbox()) as sandbox:
            calls = Calls(sandbox, http)
            http.base_url = httpx.URL(sandbox.base_url)
            calls.fails(to="graph", match="resetPasscode", **rule)
            struck = asyncio.Event()
            sandbox.faults.on_change.append(struck.set)
            waiting = asyncio.create_task(calls.reset())
            await struck.wait()
        with pytest.raises(httpx.ReadError):
            await waiting
        assert calls.resets == 0


@pytest.mark.parametrize("after", [False, True])
async def test_a_late_answer_is_the_same_answer(served, after):
    seen: list[tuple[float, int]] = []

    async def sleep(seconds: float) -> None:
        seen.append((seconds, served.resets))

    served.sandbox.faults.sleep = sleep
    served.fails(to="graph", kind="latency", seconds=30, match="resetPasscode", after=after)
    assert (await served.reset()).status_code == 204
    assert (seen, served.resets) == ([(30, int(after))], 1)


async def test_a_late_call_is_carried_out_even_if_the_client_gave_up(served):
    gave_up, done = asyncio.Event(), asyncio.Event()
    served.sandbox.intune.on_change.append(done.set)
    served.sandbox.faults.sleep = lambda _seconds: gave_up.wait()
    served.fails(to="graph", kind="latency", match="resetPasscode")
    with pytest.raises(httpx.ReadTimeout):
        await served.reset(timeout=0.1)
    assert served.resets == 0
    gave_up.set()
    await asyncio.wait_for(done.wait(), 20)
    assert served.resets == 1


@pytest.mark.parametrize("retry_after", [None, 7])
async def test_429_is_in_the_vendors_own_words(served, retry_after):
    for vendor in ("slack", "entra", "graph"):
        served.fails(to=vendor, kind="429", retry_after=retry_after)
    slack, graph = await served.post(), await served.reset()
    entra = await served.http.post(f"/entra/{TENANT_ID}/oauth2/v2.0/token")
    expected = None if retry_after is None else "7"
    for answer in (slack, graph, entra):
        assert (answer.status_code, answer.headers.get("retry-after")) == (429, expected)
    assert slack.json() == {"ok": False, "error": "ratelimited"}
    assert graph.json()["error"]["code"] == "TooManyRequests"
    assert entra.json()["error_codes"] == [90055]
    assert (served.resets, served.sandbox.slack.messages(ON_CALL)) == (0, [])


async def test_the_page_and_its_api_are_never_faulted_and_a_response_url_is_kept_without_its_secret(served):
    for vendor in ("slack", "entra", "graph"):
        served.fails(to=vendor, kind="5xx", times=None)
    for path in ("/", "/page/icon.svg", "/sandbox/state"):
        assert (await served.http.get(path)).status_code == 200
    answer = await served.http.post("/slack/response/the-secret", json={"text": "done"})
    [call] = served.sandbox.journal.calls
    assert (answer.status_code, call.method, call.path) == (503, "response_url", "/slack/response/…")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"times": 2}, [503, 503, 200, 200]),
        ({"times": 1, "skip": 2}, [200, 200, 503, 200]),
        *(({"match": part}, [503] * 4) for part in ("", "CHAT.POST", "POST /slack/api/chat")),
        *(({"match": part}, [200] * 4) for part in ("GET /slack", "chat.update")),
        ({"to": "graph", "match": ""}, [200] * 4),
    ],
)
async def test_a_rule_strikes_some_calls(served, rule, expected):
    active = served.fails(**ALWAYS | rule)
    assert await served.statuses(4) == expected
    assert active.hits == len(served.sandbox.faults.hits) == expected.count(503)
    assert bool(served.sandbox.faults.rules) is (active.left != 0)


async def test_a_seed_repeats_the_calls_that_a_probability_strikes(served):
    storms = []
    for seed in (1, 1, 2):
        served.fails(**ALWAYS | {"probability": 0.4, "seed": seed})
        storms.append(await served.statuses(40))
        served.sandbox.faults.clear()
    assert storms[0] == storms[1] != storms[2]
    assert 8 <= storms[0].count(503) <= 24


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"to": "intune"}, "to: Input should be 'slack', 'entra' or 'graph'."),
        ({"kind": "bang"}, "kind: Input should be"),
        ({"times": True}, "times: Input should be a valid integer."),
        ({"times": 0}, "times: Input should be greater than or equal to 1."),
        ({"after": "yes"}, "after: Input should be a valid boolean."),
        ({"status": 404}, "status: Input should be greater"),
        ({"retry_after": 3}, "retry_after goes only with 429, 5xx."),
        ({"kind": "reset before", "after": True}, "after goes only with latency, 5xx, hang."),
        ({"how": "badly"}, "how: Extra inputs are not permitted."),
        (None, "Send a JSON object."),
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused_in_a_sentence(served, changes, words):
    rule = [] if changes is None else {"to": "slack", "kind": "hang"} | changes
    answer = await served.http.post("/sandbox/faults", json=rule)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(words)
    assert answer.json()["error"].endswith(".")
    assert served.sandbox.faults.rules == []
