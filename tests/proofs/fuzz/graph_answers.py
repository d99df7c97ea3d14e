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
from hypothesis import strategies as st
from tests.proofs.fuzz.checks import check_error, check_shown, check_stored
from tests.proofs.fuzz.ground import Play, emptied, temporary_database
from tests.proofs.fuzz.strategies import NASTY, dumped, json_text, mutated, near
from tests.support.bot import Bot
from tests.support.builders import KEN, TIMING
from tests.support.fakes import token_of
from tests.unit.graph.graph_stub import BASE, fixture

READ: Final = (
    *("id", "deviceName", "model", "manufacturer", "osVersion", "operatingSystem", "complianceState", "imei"),
    *("managementState", "serialNumber", "deviceEnrollmentType", "managementAgent", "managedDeviceOwnerType"),
    *("userPrincipalName", "userDisplayName", "userId", "emailAddress", "lastSyncDateTime"),
)
"""What the bot reads of a device in a list. v1.0 gives `deviceActionResults` for a single device only."""
DEVICES: Final = [
    {name: str(fixture(row)[name]) for name in READ}
    for row in ("android_cope_done", "iphone_supervised_pending", "windows_unsupported")
]
ADAS: Final = DEVICES[0]
TARGETS: Final = (
    *(ADAS["userPrincipalName"], f"serial:{ADAS['serialNumber']}", f"imei:{ADAS['imei']}"),
    *(f"name:{ADAS['deviceName']}", f"id:{ADAS['id']}", "app:0000f3d7a1b2"),
)
STAGES: Final = ("list", "earlier", "reset", "results", "passcode")
"""What the bad answer is to: the list, the results before the reset, the reset, the results after it."""
STATUSES: Final = (200, 201, 204, 301, 400, 401, 403, 404, 408, 409, 412, 423, 429, 500, 502, 503, 504)
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
    *("1", "-1", "", "x", "²", "9" * 5000, "1e9", "٣", "Fri, 31 Dec 9999 23:59:59 -1200", "Mon, 0 X 0"),
    *("Wed, 21 Oct 2026 07:28:00 GMT", "Thu, 01 Jan 1970 00:00:00 +99999999999", "-0000"),
)
TIMES: Final = (
    *("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "0002-01-01T00:00:00+23:59", "", "x"),
    *("0001-01-01T00:00:00Z", "2026-03-02", "2026-02-30T00:00:00Z", "2026-03-02T12:00:00.9999999Z"),
    *("2999-01-01T00:00:00Z", "2026-W10-1T12:00:00Z", "2026-03-02T24:00:00Z", "2026-03-02T12:00:01"),
)
LINKS: Final = (
    *(f"{BASE}/more", "https://evil.example/v1.0/more", "http://graph.example/v1.0/more", "/v1.0/more"),
    *("https://graph.example:8443/x", "https://ken@graph.example/x", "https://graph.example@evil.example"),
    *("//evil.example/x", "é<#C0TEXT>"),
)
STATES: Final = ("pending", "active", "done", "failed", "notSupported", "canceled", "none", "", "<!channel>")


@dataclass(frozen=True)
class Case:
    """The answer to one stage; every other stage is answered as it should be."""

    stage: str
    body: str
    target: str = TARGETS[0]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def page(*rows: Any, link: str | None = None) -> dict[str, Any]:
    return {"value": rows} if link is None else {"value": rows, "@odata.nextLink": link}


def device(state: str = "done", started: str = "2026-03-02T12:00:01.1234567Z") -> dict[str, Any]:
    """Ada's phone with a reset of ours, by the clock of the tests."""
    result = {"actionName": "resetPasscode", "actionState": state, "startDateTime": started}
    return {**ADAS, "deviceActionResults": [{**result, "passcode": "84172093", "errorCode": -2016341107}]}


# What Graph answers


@st.composite
def _rows(draw: st.DrawFn) -> Any:
    """A device whose texts are somebody's choice, or at another time."""
    row = dict(draw(st.sampled_from((ADAS, *DEVICES))))
    for name in draw(st.lists(st.sampled_from(READ), max_size=3)):
        row[name] = draw(st.sampled_from(TIMES) if name.endswith("Time") else near(row[name]))
    return row


@st.composite
def _pages(draw: st.DrawFn) -> Any:
    rows = draw(st.lists(_rows(), min_size=1, max_size=3))
    if draw(st.integers(0, 9)) == 9:  # more than a modal can offer
        rows = [{**rows[0], "id": f"{number}-{rows[0]['id']}"} for number in range(101)]
    return page(*rows, link=draw(st.none() | st.none() | st.sampled_from(LINKS) | near(LINKS[0])))


@st.composite
def _errors(draw: st.DrawFn) -> str:
    message = draw(st.just(dumped(WRAPPED)) | json_text(mutated(WRAPPED)))
    for _ in range(draw(st.sampled_from((0, 0, 1, 8)))):
        message = json.dumps({"Message": message})
    error = {"code": "UnknownError", "message": message, "innerError": {"request-id": "r", "date": "d"}}
    return draw(st.just(dumped({"error": error})) | json_text(mutated({"error": error})))


@st.composite
def _cases(draw: st.DrawFn) -> Case:
    stage = draw(st.sampled_from(STAGES))
    status = draw(st.just(204 if stage == "reset" else 200) | st.sampled_from(STATUSES))
    devices = st.builds(
        device, st.sampled_from(STATES), st.just("2026-03-02T12:00:01Z") | st.sampled_from(TIMES)
    )
    good = _pages() if stage == "list" else devices
    headers = {
        "retry-after": st.sampled_from(PAUSES),
        "www-authenticate": near(CHALLENGE),
        "content-type": near("application/json; charset=utf-16"),
    }
    return Case(
        stage,
        draw(_errors() if status >= 300 else good.map(dumped) | json_text(good.flatmap(mutated))),
        draw(st.sampled_from(TARGETS)),
        status,
        draw(st.fixed_dictionaries({}, optional=headers)),
    )


cases = _cases()
examples = (
    *(Case("list", dumped(page(DEVICES[1], ADAS)), target) for target in TARGETS[:5]),
    *(Case("list", dumped(page(ADAS, link=link))) for link in LINKS[1:6:2]),
    *(Case(stage, dumped(device(started=TIMES[0]))) for stage in STAGES[-2:]),
    *(Case("list", dumped(page({**ADAS, "id": text})), TARGETS[-1]) for text in NASTY[:8]),
    Case("list", dumped(page(*[{**ADAS, "complianceState": "é" * 413, "model": "<!channel>"}] * 12))),
    Case("results", "[" * 40_000 + "]" * 40_000),
    Case("reset", dumped({"error": {"message": "[" * 40_000}}), status=502),
    *(Case("reset", "{}", status=429, headers={"retry-after": pause}) for pause in ("9" * 5000, PAUSES[-2])),
    *(
        Case("passcode", "{}", status=401, headers={"www-authenticate": f'Bearer claims="{claims}"'})
        for claims in ("é", CLAIMS[1:], f"{CLAIMS}9", "A")
    ),
)


# A request's life against it


class Graph:
    """Answers well but for one stage; keeps which devices were reset."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self.reset: list[str] = []
        self.stage = "list"

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert (request.url.scheme, request.url.host) == ("https", "graph.example"), f"called {request.url}"
        assert request.headers["authorization"].startswith(f"Bearer {token_of(KEN.id)}")
        lists = request.method == "GET" and "deviceActionResults" not in str(request.url)
        if request.method == "POST":
            self.reset.append(request.url.raw_path.decode())
        if self._case.stage == ("list" if lists else self.stage):
            headers = {name: text.encode(errors="replace") for name, text in self._case.headers.items()}
            content = self._case.body.encode("utf-8", "surrogatepass")
            return httpx.Response(self._case.status, headers=list(headers.items()), content=content)
        if request.method == "POST":
            return httpx.Response(204)
        single = ADAS if lists or self.stage == "earlier" else device()
        named = not lists or request.url.path.endswith(ADAS["id"])
        return httpx.Response(200, json=single if named else page(ADAS))


@asynccontextmanager
async def opening() -> AsyncIterator[Play]:
    """The use cases over the real adapter, from the request to the passcode."""
    async with temporary_database() as database:

        async def play(case: Case) -> None:
            bot, graph = await emptied(database), Graph(case)
            async with graph_client(TIMING, httpx.MockTransport(graph)) as http:
                intune = Intune(http, BASE, timing=TIMING, now=bot.clock.now)
                bot.deps = replace(bot.deps, intune=intune)
                try:
                    await _live(bot, graph, case)
                except UnlatchError as error:
                    check_error(error)
            await check_stored(bot)
            for path in graph.reset:
                _check_listed(path, case)

        with stamina.set_testing(True, attempts=3, cap=True):
            yield play


async def _live(bot: Bot, graph: Graph, case: Case) -> None:
    request_id = await bot.pending(target=case.target)
    review = await bot.review(request_id)
    check_shown(modals.review_form(review, ENGLISH))
    graph.stage = "earlier"
    device_id = review.choices[0].device.id if review.choices else DeviceId("none")
    approved = await bot.approve(request_id, device=device_id)
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


def _check_listed(path: str, case: Case) -> None:
    """The device in the path was listed for the target, by a reading of our own."""
    rows: list[Any] = [ADAS]
    if case.stage == "list":
        try:
            body = json.loads(case.body)
        except (ValueError, RecursionError):
            body = {}
        found = body.get("value", [body]) if isinstance(body, dict) else []
        rows += found if isinstance(found, list) else []
    name = unquote(path.split("/")[-2])
    fits = [row for row in rows if isinstance(row, dict) and _fits(row, case.target.casefold())]
    assert any(str(row.get("id")) == name for row in fits), f"reset {path}, which was not asked for"


def _fits(row: Mapping[str, Any], target: str) -> bool:
    said = {name: str(row.get(name)).casefold() for name in READ}
    match target.split(":", 1):
        case ["app", _]:
            return True
        case ["imei", wanted]:
            return "".join(filter(str.isdigit, said["imei"])) == wanted
        case [kind, wanted]:
            return said[{"serial": "serialNumber", "name": "deviceName", "id": "id"}[kind]] == wanted
    return target in (said["userPrincipalName"], said["emailAddress"])
