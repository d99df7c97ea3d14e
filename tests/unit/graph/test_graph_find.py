"""Finding devices: the right address, only what was asked for, parsed leniently."""

import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import stamina
import structlog
from bot import __version__
from bot.domain.device import Effect, Platform, effect_of_reset
from bot.domain.errors import DeviceRefused, GraphError, OutcomeUnknown
from bot.domain.target import Target, TargetKind, parse_target
from bot.graph.managed_device import parse_device
from tests.unit.graph.graph_stub import ACCEPTED, ANDROID, GRACE, IPHONE, PHONE, GraphStub, ok, page, said

ALL = "/deviceManagement/managedDevices"
IMEI = "352987101234567"
TAILS = (["7"], [], ["0"])
IMEIS = [mark.join(("35", "298710", "123456", *tail)) for tail in TAILS for mark in ("", " ", "-")]
ENTRA_ID = "aad00000-0000-4000-8000-0000000000a1"
APP = Target(TargetKind.APP, "0000f3d7a1b2")
MORE = "https://graph.example/v1.0/more"
STRANGERS = {"serialNumber": "A-STRANGERS"}
SYSTEM, SYNC = ("operatingSystem", "platform"), ("lastSyncDateTime", "last_sync_at")
AT = datetime(2026, 11, 23, 9, 41, 7, tzinfo=UTC)


@pytest.fixture
def no_pauses():
    """Retry at once; as often as always."""
    with stamina.set_testing(True, attempts=100, cap=True):
        yield


@pytest.mark.parametrize(
    ("target", "collection", "condition"),
    [
        (GRACE, "/users/grace.hopper%40contoso.com/managedDevices", None),
        (parse_target("o'n+it@contoso.com"), "/users/o%27n%2Bit%40contoso.com/managedDevices", None),
        (parse_target("serial:F2LX1234ABCD"), ALL, "serialNumber eq 'F2LX1234ABCD'"),
        (parse_target(f"imei:{IMEI}"), ALL, " or ".join(f"imei eq '{imei}'" for imei in IMEIS)),
        (parse_target("name:R#1/2?+%25"), ALL, "deviceName eq 'R#1/2?+%25'"),
        (parse_target(f"id:{PHONE}"), ALL, None),
        (APP, "/deviceManagement/detectedApps/0000f3d7a1b2/managedDevices", None),
    ],
    ids=lambda value: str(value.kind) if isinstance(value, Target) else None,
)
async def test_a_device_is_reset_below_the_collection_in_which_it_was_found(target, collection, condition):
    single = target.kind is TargetKind.ID
    graph = GraphStub(ok(IPHONE) if single else page(), ACCEPTED)
    await graph.find(target)
    await graph.reset(target)
    found, reset = graph.requests
    path, _, query = found.url.raw_path.decode().partition("?")
    assert (found.method, path) == ("GET", f"/v1.0{collection}" + (f"/{PHONE}" if single else ""))
    assert found.url.params.get("$filter") == condition
    fields = set(found.url.params["$select"].split(","))
    assert {"id", "imei", "userPrincipalName", "lastSyncDateTime"} <= fields
    assert not fields & {"activationLockBypassCode", "deviceActionResults", "phoneNumber"}
    assert "+" not in query, "not every OData reader takes a plus sign for a blank"
    assert (reset.method, reset.url.raw_path.decode()) == ("POST", f"/v1.0{collection}/{PHONE}/resetPasscode")


@pytest.mark.usefixtures("no_pauses")
async def test_every_call_is_the_approvers_with_an_id_of_its_own_and_asks_for_unknown_enum_members():
    """Without the Prefer header Graph answers "unknownFutureValue" for an enrolment that v1.0 lacks."""
    found = page()
    found.headers["Set-Cookie"] = "who=ken; Path=/"
    graph = GraphStub(httpx.ConnectError("no route"), found, ACCEPTED)
    await graph.find()
    await graph.reset()
    assert len({request.headers["client-request-id"] for request in graph.requests}) == 3
    for request in graph.requests:
        assert request.headers["Authorization"] == "Bearer the-approvers-token"
        assert request.headers["Prefer"] == "include-unknown-enum-members"
        assert request.headers["User-Agent"] == f"unlatch/{__version__}"
        assert "cookie" not in request.headers, "it would be another approver's"


def intune(*rows: dict[str, object]) -> GraphStub:
    """As Graph v1.0 filters: texts as they are written, whatever their case; `or` for some properties."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked = re.findall(r"(\w+) eq '((?:[^']|'')*)'", request.url.params["$filter"])
        wanted = {(name, text.replace("''", "'").casefold()) for name, text in asked}
        assert len(wanted) == 1 or {name for name, _ in wanted} == {"imei"}, "Graph would drop a branch"
        name = asked[0][0]
        return page(*(row for row in rows if (name, str(row[name]).casefold()) in wanted))

    return GraphStub(answer)


@pytest.mark.parametrize("typed", ["35693803564380", "356938035643809", "3569380356438012"])
@pytest.mark.parametrize(
    "stored", ["35693803564380", "356938035643809", "35-693803-564380-9", "35 693803 564380 0"]
)
async def test_g08_an_imei_is_found_with_and_without_its_check_digit(typed, stored):
    graph = intune({**IPHONE, "imei": stored}, {**ANDROID, "imei": "356938035643817"})
    found = await graph.find(parse_target(f"imei:{typed}"))
    assert ([device.imei for device in found.devices], len(graph.requests)) == ([stored], 1)


@pytest.mark.parametrize(
    ("stored", "typed"),
    [
        *(("Ada’s iPhone", f"Ada{mark}s iPhone") for mark in ("'", "‘", "ʼ", "&apos;")),
        *((f"Ada{mark}s iPhone", "Ada’s iPhone") for mark in ("'", "&apos;", "&#39;")),
        ("R&amp;D iPad #3 (50%) + spare / O&apos;Hare", "R&D iPad #3 (50%) + spare / O'Hare"),
        *(("José’s iPad", name) for name in ("José's iPad", "Jose\u0301's iPad")),
        *(("Jose\u0301’s iPad", name) for name in ("José's iPad", "JOSÉ’S iPad")),
        *(("iPhone\u00a0de\u00a0Ada", "iPhone de Ada"), ("Field phone", "Field\u00a0\u2009phone")),
        *(("Field phone", "Ｆｉｅｌｄ\u3000phone"), ("Van ❤️", "Van ❤️"), ("Van ❤", "Van ❤️")),
        *(("👩\u200d🔧 van", "👩\u200d🔧 van"), ("Fieldphone", "Field\u200dphone"), ("PAR-LT-1", "PAR–LT–1")),
        ("ada_AndroidForWork_10/6/2024_11:27 PM", "ada_AndroidForWork_10/6/2024_11:27 PM"),
    ],
)
async def test_g10_a_device_is_found_by_each_spelling_of_its_name(stored, typed):
    graph = intune({**IPHONE, "deviceName": stored}, {**ANDROID, "deviceName": f"{stored}2"})
    found = await graph.find(parse_target(f"name:{typed}"))
    assert [device.name for device in found.devices] == [stored]
    assert len(graph.requests) <= 12


async def test_g10_devices_of_one_name_in_two_spellings_are_both_found_and_each_once():
    spelled = {"1": "Ada's phone", "2": "Ada’s phone"}
    rows = [{**IPHONE, "id": id_, "deviceName": name} for id_, name in spelled.items()]
    found = await GraphStub(page(*rows)).find(parse_target("name:ada's phone"))  # the filter is ignored
    assert [device.id for device in found.devices] == ["1", "2"]


async def test_g24_a_device_is_found_by_the_id_that_entra_has_for_it_and_reset_by_intunes():
    theirs = {**IPHONE, "azureADDeviceId": ENTRA_ID.upper()}
    unknown = said(404, "ResourceNotFound")
    graph = GraphStub(unknown, page({**ANDROID, "azureADDeviceId": PHONE}, theirs), ACCEPTED)
    target = parse_target(f"id:{ENTRA_ID}")
    [device] = (await graph.find(target)).devices
    await graph.reset(target, device.id)
    _, asked, reset = graph.requests
    assert asked.url.params["$filter"] == f"azureADDeviceId eq '{ENTRA_ID}'"
    assert reset.url.path == f"/v1.0{ALL}/{IPHONE['id']}/resetPasscode"


def rows(first: int, count: int = 1, **changes: object) -> list[dict[str, object]]:
    return [{**IPHONE, "id": str(first + number), **changes} for number in range(count)]


def pages(size: int, **changes: object) -> list[httpx.Response]:
    return [page(*rows(n * size, size, **changes), next_link=f"{MORE}?{n}") for n in range(30)]


SERIAL = parse_target("serial:F2LX1234ABCD")
CUT = {
    "g12 a filter ignored in a large tenant": (SERIAL, pages(100, **STRANGERS), 0, 10),
    "more pages than are read": (GRACE, pages(1), 20, 20),
    "pages without rows": (GRACE, [page(next_link=f"{MORE}?{n}") for n in range(99)], 0, 20),
    "g06 a page that names itself": (GRACE, [page(*rows(1), next_link=MORE)], 1, 2),
    "g06 two in a ring": (GRACE, [page(*rows(n), next_link=f"{MORE}?{n % 2}") for n in range(9)], 3, 3),
    **{
        f"a link to {link}": (GRACE, [page(*rows(1), next_link=link)], 1, 1)
        for link in (
            *("https://graph.evil.example/v1.0/x", "http://graph.example/v1.0/x", "//graph.evil.example/x"),
            *("https://graph.example:8443/x", "//graph.example@evil.example/x", "https://[", 7, ["x"]),
            *("https://user@graph.example/v1.0/more", "https://graph.example\\@evil.example/v1.0/more"),
        )
    },
}


@pytest.mark.parametrize(("target", "pages", "devices", "requests"), CUT.values(), ids=CUT)
async def test_a_list_that_is_cut_keeps_what_it_has_and_says_so(target, pages, devices, requests):
    """The token follows no link to another origin. Cut is not empty: an operator reads it too."""
    graph = GraphStub(*pages)
    with structlog.testing.capture_logs() as logged:
        found = await graph.find(target)
    assert (len(found.devices), len(graph.requests), found.complete) == (devices, requests, False)
    assert [line["log_level"] for line in logged if line["event"] == "device_search_cut"] == ["warning"]
    assert {request.url.host for request in graph.requests} == {"graph.example"}


@pytest.mark.parametrize(
    ("link", "followed"),
    [
        (f"{MORE}?$skiptoken=2", "/more?$skiptoken=2"),
        ("/v1.0/relative?$skiptoken=2", "/relative?$skiptoken=2"),
        ("?$skiptoken=2", "/users/grace.hopper%40contoso.com/managedDevices?$skiptoken=2"),
        ("https://graph.example:443/v1.0/more", "/more"),
        ("HTTPS://GRAPH.EXAMPLE/v1.0/more?q=R%26D+%233", "/more?q=R%26D+%233"),
    ],
    ids=["absolute", "relative", "query alone", "g16 with the port", "g16 capitals"],
)
async def test_a_next_link_is_followed_however_it_is_written_and_each_request_id_kept(link, followed):
    last = page(*rows(2))
    last.headers["request-id"] = "r2"
    graph = GraphStub(page(*rows(1), next_link=link), last)
    found = await graph.find()
    assert ([device.id for device in found.devices], found.complete) == (["1", "2"], True)
    assert found.request_ids == ["r1", "r2"]
    assert graph.requests[1].url == f"https://graph.example/v1.0{followed}"


@pytest.mark.parametrize("link", ["", None, False])
async def test_an_empty_next_link_ends_the_list(link):
    found = await GraphStub(ok({"value": rows(1), "@odata.nextLink": link})).find()
    assert (len(found.devices), found.complete) == (1, True)


OID = "aaaa1111-0000-4000-8000-0000000000aa"
BELOW = {
    "g05 renamed since": ({"userPrincipalName": "g.murray@contoso.com"}, OID, ""),
    "g05 enrolled by another": ({"userPrincipalName": "enrol@contoso.com", "userId": "other"}, OID, OID),
    "g05 blank": ({"userPrincipalName": "", "emailAddress": None}, OID, ""),
    "g05 nothing but the address": ({"userPrincipalName": None, "emailAddress": "", "userId": ""}, OID, OID),
    "g05 without an id": ({"userId": None}, OID, ""),
    "g05 another's, without an id": ({"userPrincipalName": "enrol@contoso.com", "userId": ""}, OID, OID),
    "g05 listed by the address": ({"userPrincipalName": "enrol@contoso.com"}, "grace@x", GRACE.value),
    "as it should be": ({}, OID.upper(), ""),
}


@pytest.mark.parametrize(("row", "of", "listed_for"), BELOW.values(), ids=BELOW)
async def test_a_row_below_a_person_is_theirs_and_one_that_names_another_owner_is_marked(row, of, listed_for):
    own = {"userId": OID, "userPrincipalName": GRACE.value, "emailAddress": ""}
    [device] = (await GraphStub(page({**IPHONE, **own, **row}, of=of)).find()).devices
    assert device.listed_for == listed_for


@pytest.mark.parametrize(("status", "code"), [(404, "Request_ResourceNotFound"), (400, "ResourceNotFound")])
async def test_what_graph_does_not_know_has_no_device_and_what_it_refuses_is_refused(status, code):
    graph = GraphStub(said(status, code))
    assert ((await graph.find(APP)).devices, len(graph.requests)) == ([], 1)
    assert (await graph.find(GRACE)).devices == []
    with pytest.raises(DeviceRefused):  # whatever the next look-up finds
        await GraphStub(said(400, "BadRequest"), page(IPHONE)).find(GRACE)


async def test_a_person_who_signs_in_by_another_name_is_found_by_their_mail_address():
    """`contains` is the one comparison that Graph documents for it; another one lists everybody's devices."""
    by_mail = {**IPHONE, "userPrincipalName": "g.hopper@contoso.com", "emailAddress": GRACE.value.title()}
    longer = {**by_mail, "emailAddress": f"x{GRACE.value}"}
    unknown = said(404, "Request_ResourceNotFound")
    graph = GraphStub(unknown, page(longer, by_mail, ANDROID))
    found = await graph.find(GRACE)
    assert [device.owner_upn for device in found.devices] == ["g.hopper@contoso.com"]
    assert found.request_ids == ["inner", "r1"]
    asked = graph.requests[1].url
    assert asked.path == f"/v1.0{ALL}"
    assert asked.params["$filter"] == f"contains(emailAddress,'{GRACE.value}')"


@pytest.mark.parametrize(
    "body", ["<html>", "[]", '{"value": 1}', "", f'{{"value": {"[" * 100_000 + "]" * 100_000}}}']
)
async def test_a_success_that_is_not_a_list_is_an_error_that_keeps_nothing_of_it(body):
    graph = GraphStub(httpx.Response(200, text=body, headers={"request-id": "r1"}))
    with pytest.raises(OutcomeUnknown) as caught:
        await graph.find()
    assert (caught.value.code, caught.value.request_id, caught.value.message) == ("Unreadable", "r1", "")
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("answer", "attempts"),
    [
        (httpx.Response(503, text="<html>Service Unavailable</html>"), 3),
        (httpx.Response(503, headers={"Retry-After": "0"}), 3),
        (httpx.Response(503, headers={"Retry-After": "9"}), 1),  # a person waits
        *((httpx.Response(status), 3) for status in (500, 502, 504, 599)),
        (httpx.ConnectError("no route"), 3),
        (httpx.ReadError("reset"), 3),
        (httpx.RemoteProtocolError("cut"), 3),
        (httpx.Response(429, headers={"Retry-After": "0"}), 3),
        (httpx.Response(429, headers={"Retry-After": "9"}), 1),
        (httpx.Response(429), 3),
        (httpx.ReadTimeout("it took its time"), 1),
        *((httpx.Response(status), 1) for status in (400, 501)),
        (said(403, "Forbidden"), 1),
        (httpx.Response(404, text="<html>a proxy's</html>"), 1),
    ],
)
@pytest.mark.usefixtures("no_pauses")
async def test_a_read_is_attempted_three_times_at_most_and_only_where_a_moment_helps(answer, attempts):
    graph = GraphStub(answer)
    with pytest.raises(GraphError) as caught, structlog.testing.capture_logs() as logged:
        await graph.find()
    assert len(graph.requests) == len(logged) == attempts, "stamina's own lines would carry Graph's words"
    assert caught.value.__context__ is None


NO_ID = {
    "g14 a page of HTML": httpx.Response(200, text="<html>Sign in to the network</html>"),
    "g14 a page with an id": httpx.Response(200, html="<html>", headers={"request-id": "r1"}),
    "g15 a refusal on a page with an id": httpx.Response(403, html="<html>", headers={"request-id": "r1"}),
    "g14 JSON": httpx.Response(200, json={"value": [IPHONE]}),
    "g15 a proxy's refusal": httpx.Response(403, text="<html>Blocked</html>"),
    "g15 its own JSON": httpx.Response(403, json={"error": {"code": "blocked", "message": "By policy."}}),
    "g15 nothing found": httpx.Response(404, text="<html>Not found</html>"),
}


@pytest.mark.parametrize("answer", NO_ID.values(), ids=NO_ID)
async def test_an_answer_without_graphs_request_id_is_somebodys_on_the_way_and_not_quoted(answer):
    for read in (GraphStub(answer).find(), GraphStub(answer).actions()):
        with pytest.raises(OutcomeUnknown) as caught:
            await read
        assert caught.value.as_facts() == {"status": str(answer.status_code), "code": "NotGraph"}


async def test_retry_after_is_waited_for_within_the_limit_of_the_whole_read():
    busy = httpx.Response(429, headers={"Retry-After": "8"})
    graph = GraphStub(busy, graph_timeout=timedelta(milliseconds=50))
    with pytest.raises(GraphError) as caught:
        await graph.find()
    assert (len(graph.requests), caught.value.code) == (1, "TimeoutError")


def test_a_whole_phone_is_parsed_with_an_enrolment_that_v1_does_not_list():
    phone = parse_device(IPHONE)
    assert phone.platform is Platform.IOS
    assert (phone.name, phone.serial) == ("Grace's iPhone", "F2LX1234ABCD")
    assert phone.owner_upn == "grace.hopper@contoso.com"
    assert phone.last_sync_at == datetime(2026, 11, 23, 6, 55, 31, tzinfo=UTC)
    assert phone.ownership == "company"
    assert effect_of_reset(phone) is Effect.REMOVES_PASSCODE
    assert effect_of_reset(parse_device(ANDROID)) is Effect.NEW_WORK_PROFILE_PASSCODE


@pytest.mark.parametrize(
    "id_", ["", None, 7, "1" * 65] + [f"{PHONE}{odd}" for odd in ("\x00", "/..", "<mailto:x|y>", " ", "?")]
)
@pytest.mark.parametrize("target", [GRACE, APP], ids=["person", "app"])
async def test_a_row_without_a_plain_id_is_not_a_device(id_, target):
    found = await GraphStub(page({**IPHONE, "id": id_})).find(target)
    assert found.devices == []


@pytest.mark.parametrize(
    ("names", "given", "read"),
    [
        *((SYSTEM, str(platform), platform) for platform in Platform if platform is not Platform.OTHER),
        *((SYSTEM, "AndroidForWork", Platform.ANDROID), (SYSTEM, "Mac OS X", Platform.MACOS)),
        *((SYSTEM, odd, Platform.OTHER) for odd in ("Linux", "")),
        (SYNC, "2026-11-23T09:41:07.1234567Z", AT.replace(microsecond=123456)),
        (SYNC, "2026-11-23T10:41:07+01:00", AT),
        (SYNC, "2026-11-23T09:41:07", AT),
        *((SYNC, f"0001-01-01T00:00:00{zone}", None) for zone in ("Z", "+14:00", "-14:00")),
        *((SYNC, odd, None) for odd in ("9999-12-31T23:59:59-14:00", "soon", None)),
        (("deviceName", "name"), "Ada\ud800's\x00 phone", "Ada's phone"),
        (("serialNumber", "serial"), "\udfff", ""),
        *((("model", "model"), None, ""), (("imei", "imei"), 35, "")),
        (("osVersion", "os_version"), "9" * 5000, "9" * 1000),
        (("managedDeviceOwnerType", "ownership"), "Personal", "Personal"),
        (("enrolledDateTime", "enrolled_at"), "2026-11-23T09:41:07Z", AT),
    ],
)
def test_a_value_is_read_leniently_and_left_out_where_it_is_unset_odd_or_unstorable(names, given, read):
    graphs, ours = names
    assert getattr(parse_device({graphs: given}), ours) == read
