"""Which calls a rule strikes and how often, in this process and over the page's API."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fault_desk import FaultDesk, a_fault_desk
from sandbox.app import Sandbox
from sandbox.faults import Rule
from slack_office import ON_CALL

ALWAYS: dict[str, Any] = {"to": "slack", "kind": "5xx", "match": "chat.postMessage", "times": None}


@pytest.fixture
async def desk() -> AsyncIterator[FaultDesk]:
    """The sandbox in this process."""
    sandbox = Sandbox()
    transport = httpx.ASGITransport(sandbox.asgi)
    async with httpx.AsyncClient(transport=transport, base_url=sandbox.base_url) as http:
        yield FaultDesk(sandbox, http)
    await sandbox.close()


async def statuses(desk: FaultDesk, calls: int) -> list[int]:
    return [(await desk.post()).status_code for _ in range(calls)]


async def test_a_rule_is_used_up(desk: FaultDesk):
    standing = desk.fails(**ALWAYS | {"times": 2})

    assert await statuses(desk, 3) == [503, 503, 200]
    assert (standing.hits, standing.left, desk.sandbox.faults.rules) == (2, 0, [])
    assert [hit.target.method for hit in desk.sandbox.faults.hits] == ["chat.postMessage"] * 2


async def test_a_rule_lets_some_calls_pass_first(desk: FaultDesk):
    desk.fails(**ALWAYS | {"times": 1, "skip": 2})

    await desk.reset()
    assert await statuses(desk, 4) == [200, 200, 503, 200]


async def test_a_rule_for_ever_stands_until_it_is_cleared(desk: FaultDesk):
    standing = desk.fails(**ALWAYS)

    assert await statuses(desk, 5) == [503] * 5
    assert (standing.left, standing.hits) == (None, 5)
    desk.sandbox.faults.clear()
    assert await statuses(desk, 1) == [200]
    assert list(desk.sandbox.faults.hits) == []


async def test_a_call_meets_the_first_rule_that_strikes(desk: FaultDesk):
    desk.fails(**ALWAYS | {"times": 1, "status": 500})
    desk.fails(**ALWAYS | {"times": 1, "status": 502})

    assert await statuses(desk, 3) == [500, 502, 200]


async def test_a_storm_comes_again_with_the_same_seed_and_is_another_with_another(desk: FaultDesk):
    storms = []
    for seed in (1, 1, 2):
        desk.fails(**ALWAYS | {"probability": 0.4, "seed": seed})
        storms.append(await statuses(desk, 40))
        desk.sandbox.faults.clear()

    assert storms[0] == storms[1] != storms[2]
    assert 8 <= storms[0].count(503) <= 24


@pytest.mark.parametrize(
    ("match", "struck"),
    [
        ("", True),
        ("chat.postMessage", True),
        ("CHAT.POST", True),
        ("POST /slack/api/chat", True),
        ("GET /slack", False),
        ("chat.update", False),
    ],
)
async def test_a_rule_names_calls_by_a_part_of_method_and_path(desk: FaultDesk, match: str, struck: bool):
    desk.fails(**ALWAYS | {"match": match})

    assert await statuses(desk, 1) == [503 if struck else 200]


async def test_a_rule_is_for_one_vendor(desk: FaultDesk):
    desk.fails(to="graph", kind="5xx", times=None)

    assert await statuses(desk, 1) == [200]
    assert (await desk.reset()).status_code == 503


@pytest.mark.parametrize(
    ("kind", "error", "posted"),
    [
        ("reset before", httpx.ReadError, 0),
        ("reset after", httpx.ReadError, 1),
        ("aborted", httpx.RemoteProtocolError, 1),
    ],
)
async def test_in_one_process_a_broken_connection_is_httpx_s_own_error(
    desk: FaultDesk, kind: str, error: type[httpx.TransportError], posted: int
):
    desk.fails(**ALWAYS | {"kind": kind})

    with pytest.raises(error) as broken:
        await desk.post()

    assert broken.value.request.url.path == "/slack/api/chat.postMessage"
    assert len(desk.posted) == posted


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"to": "intune"}, "to must be one of: slack, entra, graph."),
        ({"kind": "explodes"}, "kind must be one of"),
        ({"seconds": 0}, "seconds must be above 0"),
        ({"status": 404}, "status must be from 500 to 599."),
        ({"retry_after": 3}, "retry_after goes only with: 429, 5xx."),
        ({"kind": "429", "retry_after": -1}, "retry_after must not be negative."),
        ({"after": True}, "after goes only with: latency, 5xx, hang."),
        ({"times": 0}, "times must be at least 1"),
        ({"skip": -1}, "skip must not be negative."),
        ({"probability": 0}, "probability must be above 0"),
    ],
)
def test_a_rule_that_makes_no_sense_says_why(given: dict[str, Any], words: str):
    with pytest.raises(ValueError, match=words):
        Rule(**{"to": "slack", "kind": "reset before"} | given)


async def test_rules_are_added_listed_and_removed_over_http(desk: FaultDesk):
    rule = {"to": "slack", "kind": "5xx", "match": "chat.postMessage", "status": 502, "times": None}

    added = await desk.http.post("/sandbox/faults", json=rule)
    await desk.post()
    listed = (await desk.http.get("/sandbox/faults")).json()
    removed = await desk.http.delete(f"/sandbox/faults/{added.json()['id']}")
    again = await desk.http.delete(f"/sandbox/faults/{added.json()['id']}")

    assert added.status_code == 201
    assert added.json() == {
        **{"id": 1, "to": "slack", "kind": "5xx", "match": "chat.postMessage", "seconds": 2.0},
        **{"status": 502, "retry_after": None, "after": False, "times": None, "skip": 0},
        **{"probability": 1.0, "seed": 0, "left": None, "hits": 0},
    }
    [hit] = listed["hits"]
    assert listed["faults"] == [added.json() | {"hits": 1}]
    assert (hit["id"], hit["to"], hit["method"], hit["kind"]) == (1, "slack", "chat.postMessage", "5xx")
    assert (removed.status_code, again.status_code) == (200, 404)
    assert again.json()["error"].endswith(".")
    assert (await desk.post()).status_code == 200


async def test_all_rules_are_cleared_over_http(desk: FaultDesk):
    desk.fails(**ALWAYS)
    desk.fails(to="graph", kind="hang")

    await desk.http.delete("/sandbox/faults")

    assert (await desk.http.get("/sandbox/faults")).json() == {"faults": [], "hits": []}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"kind": "hang"}, "to is missing."),
        ({"to": "slack"}, "kind is missing."),
        ({"to": 1, "kind": "hang"}, "to must be a text."),
        ({"to": "slack", "kind": "hang", "times": True}, "times must be a whole number or null."),
        ({"to": "slack", "kind": "hang", "skip": 1.5}, "skip must be a whole number."),
        ({"to": "slack", "kind": "hang", "after": "yes"}, "after must be true or false."),
        ({"to": "slack", "kind": "latency", "seconds": "2"}, "seconds must be a number."),
        ({"to": "slack", "kind": "hang", "how": "badly"}, "There is no field 'how'."),
        ({"to": "slack", "kind": "bang"}, "kind must be one of"),
        ([], "Send a JSON object."),
    ],
)
async def test_what_is_no_rule_is_refused_in_a_sentence(desk: FaultDesk, body: Any, words: str):
    answer = await desk.http.post("/sandbox/faults", json=body)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith(words)
    assert desk.sandbox.faults.rules == []


async def test_the_page_sees_the_rules_and_hears_of_new_ones(desk: FaultDesk):
    change = desk.sandbox.next_change()

    desk.fails(**ALWAYS)

    assert change.is_set()
    [shown] = (await desk.http.get("/sandbox/state")).json()["faults"]
    assert (shown["match"], shown["left"]) == ("chat.postMessage", None)


async def test_what_arrived_can_be_counted_from_outside():
    async with a_fault_desk() as desk:
        desk.fails(to="graph", kind="reset after", match="resetPasscode")
        with pytest.raises(httpx.ReadError):
            await desk.reset(headers={"client-request-id": "R1"})
        metadata = {"event_type": "reset", "event_payload": {"id": "R1"}}
        await desk.post(metadata=metadata)

        [reset] = (await desk.http.get("/sandbox/resets")).json()
        [message] = (await desk.http.get("/sandbox/posted", params={"channel": ON_CALL})).json()
        everywhere = (await desk.http.get("/sandbox/posted")).json()
        nowhere = await desk.http.get("/sandbox/posted", params={"channel": "C0NOWHERE"})

    assert set(reset) == {"device", "form", "oid", "upn", "client_request_id", "at"}
    assert (reset["upn"], reset["client_request_id"]) == ("ken@contoso.com", "R1")
    assert (message["channel"], message["text"], message["by_app"]) == (ON_CALL, "card", True)
    assert message["metadata"] == metadata
    assert everywhere == [message]
    assert nowhere.status_code == 404
