"""What a hostile name, a hostile id or a hostile answer does to the calls: nothing. Seen in the exact URL."""

import json
import time
from datetime import timedelta
from urllib.parse import parse_qs, unquote

import httpx
import pytest
from bot.domain.errors import ApproverRefused, BadTarget, GraphError, NeverLeft, Unknown
from bot.domain.identifiers import DeviceId
from bot.domain.target import Target, TargetKind, parse_target
from bot.graph.challenge import claims_in
from bot.graph.envelope import LONGEST, read
from graph_stub import IPHONE, TOKEN, GraphStub, page

ADA = parse_target("ada@contoso.com")
CLIMBS = (
    *(
        "../../users",
        "..",
        "%2e%2e/%2e%2e",
        "..%2f..",
        "a/../b",
        "a?b=c",
        "a#b",
        "a;b",
        "a\\..\\b",
        "a b",
        "a%00",
    ),
    *(
        "1') or ('1' eq '1",
        "/resetPasscode",
        "x/wipe?",
        "//evil.example/",
        "@evil.example",
        "a\r\nHost: evil",
        "é",
    ),
)
QUOTES = (
    *(
        "x' or deviceName ne '",
        "' or 1 eq 1 or '",
        "''",
        "'",
        "x'' or '",
        "%27 or 1 eq 1 or %27",
        "x&$top=1",
        "x#",
    ),
    *(
        "x) or (1 eq 1",
        "x\\' or 1 eq 1 or \\'",
        "x%26$select=activationLockBypassCode",
        "x+or+1",
        "x;",
        "ʼ or 1",
    ),
)


def _path(sent: httpx.Request) -> str:
    return sent.url.raw_path.decode().partition("?")[0]


@pytest.mark.parametrize("device", CLIMBS)
async def test_no_id_leaves_its_segment_of_the_path(device: str) -> None:
    graph = GraphStub(httpx.Response(204), httpx.Response(200, json=IPHONE))
    if device == "..":
        with pytest.raises(GraphError):
            await graph.devices.reset(ADA, DeviceId(device), TOKEN, client_request_id="c")
        assert graph.asked == []
        return

    await graph.devices.reset(ADA, DeviceId(device), TOKEN, client_request_id="c")
    await graph.devices.actions(DeviceId(device), TOKEN)

    sent, read_ = graph.asked
    for request, before, after in (
        (sent, "/v1.0/users/ada%40contoso.com/managedDevices/", "/resetPasscode"),
        (read_, "/v1.0/deviceManagement/managedDevices/", ""),
    ):
        segment = _path(request).removeprefix(before).removesuffix(after)
        assert "/" not in segment
        assert unquote(segment) == device
        assert request.url.host == "graph.example"
    assert sent.url.query == b""


@pytest.mark.parametrize("kind", [TargetKind.NAME, TargetKind.SERIAL])
@pytest.mark.parametrize("value", QUOTES)
async def test_no_name_ends_the_literal_of_its_filter(kind: TargetKind, value: str) -> None:
    graph = GraphStub(page())

    await graph.devices.find(Target(kind, value), TOKEN)

    [sent] = graph.asked
    query = parse_qs(sent.url.query.decode(), strict_parsing=True)
    assert set(query) == {"$select", "$filter"}
    field = {"name": "deviceName", "serial": "serialNumber"}[kind]
    literal = query["$filter"][0].removeprefix(f"{field} eq ")
    assert (literal[0], literal[-1]) == ("'", "'")
    assert "'" not in literal[1:-1].replace("''", "")
    assert literal[1:-1].replace("''", "'") == value
    assert sent.url.fragment == ""


@pytest.mark.parametrize("kind", [TargetKind.PERSON, TargetKind.APP, TargetKind.ID])
@pytest.mark.parametrize("value", [value for value in CLIMBS if value != ".."])
async def test_no_person_and_no_app_leaves_its_segment_even_if_the_reading_let_it_through(
    kind: TargetKind, value: str
) -> None:
    graph = GraphStub(page() if kind is not TargetKind.ID else httpx.Response(200, json=IPHONE))

    await graph.devices.find(Target(kind, value), TOKEN)

    [sent] = graph.asked
    depth = {TargetKind.PERSON: 4, TargetKind.APP: 5, TargetKind.ID: 4}[kind]
    assert _path(sent).count("/") == depth
    assert sent.url.host == "graph.example"


@pytest.mark.parametrize(
    "typed", ["serial:x' or '1", "imei:1' or '1", "id:../..", "app:../x", "person:a/b@c.de", "name:"]
)
def test_what_people_type_is_read_more_strictly_still(typed: str) -> None:
    with pytest.raises(BadTarget):
        parse_target(typed)


@pytest.mark.parametrize(
    "link",
    [
        "https://user:password@graph.example/v1.0/more",
        "https://user@graph.example/v1.0/more",
        "https://graph.example\\@evil.example/v1.0/more",
        "https://graph.example%2eevil.example/v1.0/more",
        "https://GRAPH.example.:443/v1.0/more",
        "ftp://graph.example/v1.0/more",
        "https:graph.example/v1.0/more",
        "javascript:alert(1)",
        "https://graph.example/\ud800",
        "https://\udfff",
        "",
        "\x00",
    ],
)
async def test_a_next_link_with_a_trick_in_it_is_not_followed(link: str) -> None:
    first = json.dumps({"value": [], "@odata.nextLink": link}).encode()
    graph = GraphStub(httpx.Response(200, content=first), page(IPHONE))

    with pytest.raises(Unknown) as caught:
        await graph.devices.find(ADA, TOKEN)

    assert caught.value.code == "ForeignNextLink"
    assert len(graph.asked) == 1


DEEP = '{"error":' + "[" * 50_000 + "]" * 50_000 + "}"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
async def test_an_error_nested_too_deeply_to_read_is_sorted_by_its_status(status: int) -> None:
    graph = GraphStub(httpx.Response(status, text=DEEP))

    with pytest.raises(GraphError) as caught:
        await graph.devices.reset(ADA, DeviceId("1"), TOKEN, client_request_id="c")

    assert (caught.value.status, caught.value.code) == (status, "")


def test_what_no_database_stores_is_left_out_of_an_error() -> None:
    said = read(json.dumps({"error": {"code": "a\ud800", "message": "b\x00\udfff"}}).encode())

    assert (said.code, said.message) == ("a", "b")


@pytest.mark.parametrize("charset", ["base64", "zip", "rot13", "utf-16", "no-such"])
async def test_a_charset_that_is_none_breaks_nothing(charset: str) -> None:
    kind = {"content-type": f"application/json; charset={charset}"}
    graph = GraphStub(httpx.Response(403, content=b'{"error": {"code": "Forbidden"}}', headers=kind))

    with pytest.raises(ApproverRefused) as caught:
        await graph.devices.reset(ADA, DeviceId("1"), TOKEN, client_request_id="c")

    assert caught.value.code == "Forbidden"


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("²", None),
        ("٣", timedelta(seconds=3)),
        ("9" * 5000, timedelta(days=1)),
        ("-1", None),
        ("Fri, 31 Dec 9999 23:59:59 -1200", timedelta(days=1)),
        ("Thu, 01 Jan 1970 00:00:00 +99999999999", None),
        ("Wed, 21 Oct 2026 07:28:00 -0000", None),
    ],
)
async def test_a_retry_after_that_is_none_breaks_nothing_and_nobody_waits_for_years(
    text: str, wait: timedelta | None
) -> None:
    message = json.dumps({"Message": "busy", "RetryAfter": text})
    graph = GraphStub(httpx.Response(429, json={"error": {"code": "x", "message": message}}))

    with pytest.raises(NeverLeft) as caught:
        await graph.devices.reset(ADA, DeviceId("1"), TOKEN, client_request_id="c")

    assert caught.value.retry_after == wait


@pytest.mark.parametrize("claims", ["é", "☃", "\ud800", "e30=é"])
def test_claims_that_are_no_ascii_are_none(claims: str) -> None:
    assert claims_in([f'Bearer claims="{claims}"']) is None


LONG = 400_000
FLOODS = [
    "x" * LONG,
    "http" * (LONG // 4),
    " " * LONG,
    "-" * LONG,
    "\n - Operation" * (LONG // 12),
    "a=" * LONG,
]


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: str(flood[:14]))
def test_a_flood_in_an_answer_is_read_in_no_time(flood: str) -> None:
    body = json.dumps({"error": {"code": flood, "message": flood}}).encode()
    began = time.process_time()

    said = read(body)
    claims_in([f"Bearer {flood[:100_000]}"])

    assert time.process_time() - began < 1
    assert len(said.message) <= LONGEST
    assert len(said.code) <= LONGEST
