"""A hostile name, id or answer does nothing to a call; seen in the exact URL."""

import json
import time
from urllib.parse import parse_qs, unquote

import pytest
from bot.domain.target import Target, TargetKind
from bot.domain.values import comparable
from bot.graph.errors import MAX_TEXT, ErrorBody, claims_challenge
from tests.unit.graph.graph_stub import ACCEPTED, IPHONE, GraphStub, ok, page

CLIMBS = [
    *("../../users", "%2e%2e/%2e%2e", "..%2f..", "a/../b", "a?b=c", "a#b", "a;b", "a\\..\\b", "a b", "a%00"),
    *("1') or ('1' eq '1", "/resetPasscode", "x/wipe?", "//evil.example/", "@evil.example", "é"),
    "a\r\nHost: evil",
]
QUOTES = [
    *("x' or deviceName ne '", "' or 1 eq 1 or '", "''", "'", "x'' or '", "%27 or 1 eq 1 or %27", "x&$top=1"),
    *("x) or (1 eq 1", "x\\' or 1 eq 1 or \\'", "x%26$select=activationLockBypassCode", "x+or+1", "x;", "x#"),
    "ʼ or 1",
]
USERS, DEVICES = "/v1.0/users/", "/v1.0/deviceManagement/managedDevices/"
APPS = "/v1.0/deviceManagement/detectedApps/"


@pytest.mark.parametrize("value", CLIMBS)
async def test_no_id_and_no_target_leaves_its_segment_of_the_path(value):
    graph = GraphStub(ACCEPTED, ok(IPHONE | {"value": []}))  # every id is found, so none is asked for twice
    await graph.reset(device=value)
    await graph.actions(value)
    for kind in (TargetKind.ID, TargetKind.PERSON, TargetKind.APP):
        await graph.find(Target(kind, value))
    assert graph.requests[0].url.query == b""
    around = [
        (f"{USERS}grace.hopper%40contoso.com/managedDevices/", "/resetPasscode"),
        *((DEVICES, ""), (DEVICES, ""), (USERS, "/managedDevices"), (APPS, "/managedDevices")),
    ]
    for request, (before, after) in zip(graph.requests, around, strict=True):
        path = request.url.raw_path.decode().partition("?")[0]
        segment = path.removeprefix(before).removesuffix(after)
        assert "/" not in segment
        assert (unquote(segment), request.url.host) == (value, "graph.example")


@pytest.mark.parametrize(("kind", "field"), [("name", "deviceName"), ("serial", "serialNumber")])
@pytest.mark.parametrize("value", QUOTES)
async def test_no_name_ends_the_literal_of_its_filter(kind, field, value):
    graph = GraphStub(page())
    await graph.find(Target(TargetKind(kind), value))
    asked = []
    for request in graph.requests:
        query = parse_qs(request.url.query.decode(), strict_parsing=True)
        assert set(query) == {"$select", "$filter"}
        literal = query["$filter"][0].removeprefix(f"{field} eq ")
        assert (literal[0], literal[-1]) == ("'", "'")
        assert "'" not in literal[1:-1].replace("''", "")
        asked.append(literal[1:-1].replace("''", "'"))
        assert request.url.fragment == ""
    assert (asked[0], {comparable(name) for name in asked}) == (value, {comparable(value)})


def test_what_no_database_stores_is_left_out_of_an_error():
    body = ErrorBody.parse(json.dumps({"error": {"code": "a\ud800", "message": "b\x00\udfff"}}).encode())
    assert (body.code, body.message) == ("a", "b")


@pytest.mark.parametrize("unit", ["x", "http", " ", "-", "\n - Operation", "a="], ids=repr)
def test_a_flood_in_an_answer_is_read_in_no_time_and_cut(unit):
    flood = unit * (400_000 // len(unit))
    began = time.process_time()
    body = ErrorBody.parse(json.dumps({"error": {"code": flood, "message": flood}}).encode())
    claims_challenge([f"Bearer {flood[:100_000]}"])
    assert time.process_time() - began < 1
    assert len(body.message) <= MAX_TEXT
    assert len(body.code) <= MAX_TEXT
