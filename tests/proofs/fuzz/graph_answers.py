"""Graph's answers, changed: lists, the answer to a reset, results; from the review to what is shown."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final
from urllib.parse import unquote

import httpx
import stamina
from bot.domain.errors import UnlatchError
from bot.domain.values import DeviceId
from bot.graph.devices import Intune, graph_client
from bot.slack import modals
from bot.slack.wording import ENGLISH
from bot.use_cases.review import Review
from hypothesis import strategies as st
from tests.proofs.fuzz.checks import check_error, check_shown, check_stored
from tests.proofs.fuzz.ground import Play, emptied, temporary_database
from tests.proofs.fuzz.strategies import NASTY, dumped, json_text, mutated, near, texts_changed
from tests.support.bot import Bot
from tests.support.builders import KEN, TIMING
from tests.support.fakes import token_of
from tests.unit.graph.graph_stub import BASE, fixture

READ: Final = (
    *("deviceName", "model", "manufacturer", "osVersion", "userDisplayName", "complianceState", "id"),
    *("deviceEnrollmentType", "managementState", "userPrincipalName", "serialNumber", "operatingSystem"),
    *("managementAgent", "managedDeviceOwnerType", "emailAddress", "userId", "imei", "lastSyncDateTime"),
)
"""What the bot reads of a device."""
ANDROID, IPHONE, WINDOWS = (
    {name: value for name, value in fixture(row).items() if name in READ}
    for row in ("android_cope_done", "iphone_supervised_pending", "windows_unsupported")
)
ADA: Final = str(ANDROID["userPrincipalName"])
TARGETS: Final = (
    *(ADA, f"serial:{ANDROID['serialNumber']}", f"imei:{ANDROID['imei']}", f"name:{ANDROID['deviceName']}"),
    *(f"id:{ANDROID['id']}", "app:0000f3d7a1b2"),
)
STAGES: Final = ("list", "earlier", "reset", "results", "passcode")
"""What the bad answer is to: the list of devices, the results before the reset, the reset, its results."""
STATUSES: Final = (
    *(200, 200, 200, 201, 204, 301, 400, 401, 403, 404, 408, 409),
    *(412, 418, 423, 429, 500, 502, 503, 504),
)
WRAPPED: Final = {
    "_version": 3,
    "Message": "You may not do this. - Operation ID (for customer support): 0 - Activity ID: "
    "5f2e4a0c-1111-4222-8333-444455556666 - Url: https://fef.msua02.manage.example.com/x",
    "ErrorCode": "Forbidden",
    "RetryAfter": "2",
}
CLAIMS: Final = "eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZX19fQ=="
CHALLENGE: Final = f'Bearer realm="", error="insufficient_claims", claims="{CLAIMS}"'
PAUSES: Final = (
    *("1", "0", "-1", "", "x", "²", "9" * 5000, "1e9", "٣", "Fri, 31 Dec 9999 23:59:59 -1200"),
    *("Wed, 21 Oct 2026 07:28:00 GMT", "Thu, 01 Jan 1970 00:00:00 +99999999999", "Mon, 0 X 0", "-0000"),
)
TIMES: Final = (
    *(
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
        "0001-01-01T00:00:00Z",
        "2026-03-02",
        "",
        "x",
    ),
    *("2026-02-30T00:00:00Z", "2026-03-02T12:00:00.9999999Z", "2999-01-01T00:00:00Z", "20260302T120001Z"),
    *("0002-01-01T00:00:00+23:59", "2026-W10-1T12:00:00Z", "2026-03-02T24:00:00Z", "2026-03-02T12:00:01"),
)
LINKS: Final = (
    *("https://graph.example/v1.0/more", "https://evil.example/v1.0/more", "http://graph.example/v1.0/more"),
    *("https://graph.example:8443/x", "https://ken@graph.example/x", "//evil.example/x"),
    *("https://graph.example@evil.example", "/v1.0/more", "é<#C0TEXT>"),
)
STATES: Final = ("pending", "active", "done", "failed", "notSupported", "canceled", "none", "", "<!channel>")


@dataclass(frozen=True)
class Case:
    """The answer to one stage; every other stage is answered as it should be."""

    stage: str
    body: str
    target: str = ADA
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def device(state: str = "done", *, started: str = "2026-03-02T12:00:01.1234567Z") -> dict[str, Any]:
    """Ada's phone with a reset of ours, by the clock of the tests."""
    result = {
        "@odata.type": "#microsoft.graph.resetPasscodeActionResult",
        "actionName": "resetPasscode",
        "actionState": state,
        "startDateTime": started,
        "lastUpdatedDateTime": "2026-03-02T12:00:02Z",
        "passcode": "84172093",
        "errorCode": -2016341107,
    }
    return {**ANDROID, "deviceActionResults": [result]}


_rows = st.one_of(
    st.sampled_from((ANDROID, ANDROID, IPHONE, WINDOWS)),
    st.sampled_from((ANDROID, IPHONE, WINDOWS)).flatmap(lambda row: texts_changed(row, *READ)),
    st.sampled_from(TIMES).map(lambda at: {**ANDROID, "lastSyncDateTime": at}),
)


def _page(rows: list[Any], link: str | None) -> dict[str, Any]:
    # The list has no results: v1.0 fills `deviceActionResults` for a single device only.
    page: dict[str, Any] = {"value": [{**row, "deviceActionResults": []} for row in rows]}
    return page | ({"@odata.nextLink": link} if link is not None else {})


_many = st.lists(_rows, min_size=1, max_size=3) | st.tuples(_rows, st.sampled_from((12, 101))).map(
    lambda many: [{**many[0], "id": f"{many[0]['id']}-{number}"[:64]} for number in range(many[1])]
)
_pages = st.builds(_page, _many, st.none() | st.none() | st.sampled_from(LINKS) | near(LINKS[0]))
_devices = st.builds(device, st.sampled_from(STATES), started=st.sampled_from((*TIMES, *TIMES[:1] * 5)))


@st.composite
def _errors(draw: st.DrawFn) -> str:
    message = draw(json_text(mutated(WRAPPED))) if draw(st.booleans()) else dumped(WRAPPED)
    for _ in range(draw(st.sampled_from((0, 0, 1, 8)))):
        message = json.dumps({"Message": message})
    inner = {"request-id": "r", "date": "d"}
    error = {"error": {"code": "UnknownError", "message": message, "innerError": inner}}
    return draw(json_text(mutated(error))) if draw(st.booleans()) else dumped(error)


@st.composite
def _cases(draw: st.DrawFn) -> Case:
    stage = draw(st.sampled_from(STAGES))
    good = {"reset": 204}.get(stage, 200)
    status = draw(st.just(good) | st.sampled_from(STATUSES))
    answers = _pages if stage == "list" else _devices
    body = draw(_errors() if status >= 300 else json_text(answers.flatmap(mutated)) | answers.map(dumped))
    headers = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "retry-after": st.sampled_from(PAUSES),
                "www-authenticate": near(CHALLENGE),
                "content-type": near("application/json; charset=utf-16"),
            },
        )
    )
    return Case(stage, body, draw(st.sampled_from(TARGETS)), status, headers)


cases = _cases()
_GRACES: Final = dumped(_page([IPHONE, ANDROID], None))
examples = (
    *(Case("list", _GRACES, target) for target in TARGETS[:5]),
    *(Case("list", dumped(_page([ANDROID], link))) for link in LINKS),
    *(Case("list", dumped(_page([{**ANDROID, "lastSyncDateTime": at}], None))) for at in TIMES[:3]),
    *(Case("results", dumped(device(started=at))) for at in TIMES[:3]),
    Case("passcode", dumped(device(started=TIMES[0]))),
    *(
        Case("list", dumped(_page([{**ANDROID, "id": text}], None)), "app:0000f3d7a1b2")
        for text in NASTY[:12]
    ),
    Case(
        "list", dumped(_page([{**WINDOWS, "complianceState": "é" * 413, "model": "<!channel>"}] * 12, None))
    ),
    Case("results", "[" * 40_000 + "]" * 40_000),
    Case("reset", '{"error": {"message": ' + json.dumps("[" * 40_000) + "}}", status=502),
    *(Case("reset", dumped({}), status=429, headers={"retry-after": pause}) for pause in PAUSES),
    *(
        Case("passcode", dumped({}), status=401, headers={"www-authenticate": f'Bearer claims="{claims}"'})
        for claims in ("é", CLAIMS[1:], f"{CLAIMS}9", "A")
    ),
)


class Graph:
    """Answers well but for one stage; keeps which devices were reset."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self.reset: list[str] = []
        self.stage = "list"

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host == "graph.example", f"the token went to {request.url.host}"
        assert request.url.scheme == "https"
        assert request.headers["authorization"].startswith(f"Bearer {token_of(KEN.id)}")
        lists = request.method == "GET" and "deviceActionResults" not in str(request.url)
        if request.method == "POST":
            self.reset.append(request.url.raw_path.decode())
        if self._case.stage == ("list" if lists else self.stage):
            return self._bad()
        if request.method == "POST":
            return httpx.Response(204)
        if lists:
            single = request.url.path.endswith(str(ANDROID["id"]))
            return httpx.Response(200, json=ANDROID if single else _page([ANDROID], None))
        return httpx.Response(
            200, json=_page([ANDROID], None)["value"][0] if self.stage == "earlier" else device()
        )

    def _bad(self) -> httpx.Response:
        headers = {name: text.encode("utf-8", "replace") for name, text in self._case.headers.items()}
        body = self._case.body.encode("utf-8", "surrogatepass")
        return httpx.Response(
            self._case.status, headers=[("request-id", b"r1"), *headers.items()], content=body
        )


@asynccontextmanager
async def opening() -> AsyncIterator[Play]:
    """A request's whole life against each case's Graph."""
    async with temporary_database() as database:

        async def play(case: Case) -> None:
            graph = Graph(case)
            bot = await emptied(database)
            async with graph_client(TIMING, httpx.MockTransport(graph)) as http:
                intune = Intune(http, BASE, timing=TIMING, now=bot.clock.now)
                bot.deps = replace(bot.deps, intune=intune)
                await _live(bot, graph, case)
            await check_stored(bot)
            for path in graph.reset:
                _check_listed(path, case)

        with stamina.set_testing(True, attempts=3, cap=True):
            yield play


async def _live(bot: Bot, graph: Graph, case: Case) -> None:
    request_id = await bot.pending(target=case.target)
    try:
        review = await bot.review(request_id)
        check_shown(modals.review_form(review, ENGLISH))
        graph.stage = "earlier"
        approved = await bot.approve(request_id, device=_first(review), knowingly=False)
        check_shown(modals.approved(approved, ENGLISH))
        assert await bot.row(request_id) == approved
        graph.stage = "reset"
        await bot.advance(request_id)
        graph.stage = "results"
        for _ in range(2):
            bot.clock.advance(timedelta(minutes=1))
            await bot.advance(request_id)
        graph.stage = "passcode"
        passcode = await bot.reveal(request_id)
        check_shown(modals.passcode(await bot.row(request_id), passcode, ENGLISH))
    except UnlatchError as error:
        check_error(error)


def _first(review: Review) -> DeviceId:
    return review.choices[0].device.id if review.choices else DeviceId("none")


def _check_listed(path: str, case: Case) -> None:
    """The device in the path was listed for the target, by a reading of our own."""
    rows: list[Any] = [ANDROID]
    if case.stage == "list":
        try:
            body = json.loads(case.body)
        except (ValueError, RecursionError):
            body = {}
        found = body.get("value", [body]) if isinstance(body, dict) else []
        rows += found if isinstance(found, list) else []
    name = unquote(path.split("/")[-2])
    fits = [row for row in rows if isinstance(row, dict) and _fits(row, case.target)]
    assert any(str(row.get("id")) == name for row in fits), f"reset {path}, which was not asked for"


def _fits(row: Mapping[str, Any], target: str) -> bool:
    def said(name: str) -> str:
        return str(row.get(name)).casefold()

    match target.casefold().split(":", 1):
        case ["app", _]:
            return True
        case ["imei", wanted]:
            return "".join(filter(str.isdigit, said("imei"))) == wanted
        case [kind, wanted]:
            return said({"serial": "serialNumber", "name": "deviceName", "id": "id"}[kind]) == wanted
    return target in (said("userPrincipalName"), said("emailAddress"))
