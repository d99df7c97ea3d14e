"""Graph's side: lists, answers to the reset and results, each changed, from the review to what is shown."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import unquote

import httpx
from bot.domain.errors import LostRace, UnlatchError
from bot.domain.identifiers import DeviceId
from bot.domain.record import Entry
from bot.domain.request import ResetRequest, Status
from bot.graph.devices import GraphDevices
from bot.graph.http import graph_client
from bot.resets.drive import drive
from bot.resets.review import Review
from bot.slack import modals
from bot.slack.cards import card, reminder
from bot.slack.receipts import receipt
from bot.slack.wording import ENGLISH
from bot.store.rows import entry_values, read_request, request_values
from tests.fakes.desk import StaffedDesk, a_desk
from tests.fuzz import mutation
from tests.fuzz.grounds import Case
from tests.fuzz.judge import Wrong, check_message, check_text, check_view

DATA: Final = Path(__file__).parents[1] / "graph" / "data"
DEVICES: Final = [json.loads(path.read_text()) for path in sorted(DATA.glob("*.json"))]
ADA: Final = "ada.byron@contoso.com"
ADAS: Final = next(row for row in DEVICES if row["userPrincipalName"] == ADA)
SERIAL: Final = str(ADAS["serialNumber"])
TARGETS: Final = (
    ADA,
    f"serial:{SERIAL}",
    f"imei:{ADAS['imei']}",
    f"name:{ADAS['deviceName']}",
    f"id:{ADAS['id']}",
    "app:0000f3d7a1b2",
)
STAGES: Final = ("list", "list", "list", "earlier", "reset", "reset", "results", "results", "passcode")
WRAPPED: Final = json.dumps(
    {
        "_version": 3,
        "Message": "You may not do this. - Operation ID (for customer support): 0 - Activity ID: "
        "5f2e4a0c-1111-4222-8333-444455556666 - Url: https://fef.msua02.manage.example.com/x",
        "ErrorCode": "Forbidden",
        "RetryAfter": "2",
    }
)
ERROR: Final = {
    "error": {"code": "UnknownError", "message": WRAPPED, "innerError": {"request-id": "r", "date": "d"}}
}
STATUSES: Final = (
    200,
    200,
    200,
    201,
    204,
    301,
    400,
    401,
    403,
    404,
    408,
    409,
    412,
    418,
    423,
    429,
    500,
    502,
    503,
    504,
)
CLAIMS: Final = "eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZX19fQ=="
LATER: Final = ("1", "0", "-1", "", "x", "²", "9" * 5000, "1e9", "Fri, 31 Dec 9999 23:59:59 -1200", "٣")
DATES: Final = (
    "Wed, 21 Oct 2026 07:28:00 GMT",
    "Thu, 01 Jan 1970 00:00:00 +99999999999",
    "Mon, 0 X 0",
    "-0000",
)
CHOSEN_BY_OTHERS: Final = (
    *("deviceName", "model", "manufacturer", "osVersion", "userDisplayName", "complianceState", "id"),
    *("deviceEnrollmentType", "managementState", "userPrincipalName", "serialNumber", "operatingSystem"),
)
"""By whoever holds the device, or an admin; most of it is shown."""
TIMES: Final = (
    *(
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
        "0001-01-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
    ),
    *(
        "2026-03-02T12:00:00.9999999Z",
        "2999-01-01T00:00:00Z",
        "0002-01-01T00:00:00+23:59",
        "2026-03-02",
        "",
        "x",
    ),
    *(
        "2026-W10-1T12:00:00Z",
        "20260302T120001Z",
        "2026-03-02T24:00:00Z",
        "2026-03-02T12:00:01",
        "٢٠٢٦-03-02",
    ),
)
LINKS: Final = (
    *("https://graph.example/v1.0/more", "https://evil.example/v1.0/more", "http://graph.example/v1.0/more"),
    *(
        "https://graph.example:8443/x",
        "https://ken@graph.example/x",
        "//evil.example/x",
        "https://graph.example@evil.example",
    ),
)
STATES: Final = ("pending", "active", "done", "failed", "notSupported", "canceled", "none", "", "<!channel>")


def draw(dice: Random) -> Case:
    """Where it goes wrong, and with which answer."""
    stage = dice.choice(STAGES)
    status = dice.choice(STATUSES)
    if dice.random() < 0.4:
        status = 204 if stage == "reset" else 200
    return {
        "target": dice.choice(TARGETS),
        "stage": stage,
        "status": status,
        "body": _body(dice, stage, status),
        "headers": _headers(dice),
        "state": dice.choice(STATES),
    }


def _body(dice: Random, stage: str, status: int) -> str:
    if dice.random() < 0.05:
        return mutation.broken(dice, json.dumps(ERROR))
    if status >= 300:
        error = json.loads(json.dumps(ERROR))
        if dice.random() < 0.5:
            inner = mutation.dumped(mutation.value(dice, json.loads(WRAPPED)))
            for _ in range(dice.choice((0, 0, 1, 8))):
                inner = json.dumps({"Message": inner})
            error["error"]["message"] = inner
        return mutation.dumped(mutation.value(dice, error))
    good = _list(dice) if stage == "list" else _device(dice.choice(STATES))
    if (kind := dice.random()) < 0.5:
        return mutation.dumped(_at_another_time(dice, good) if kind < 0.2 else _called_otherwise(dice, good))
    return mutation.dumped(mutation.value(dice, good))


def _at_another_time(dice: Random, good: dict[str, Any]) -> dict[str, Any]:
    """Only a date is changed, so that it gets as far as it can."""
    for row in good.get("value", [good]):
        row["lastSyncDateTime"] = dice.choice(TIMES)
        for result in row["deviceActionResults"]:
            result["startDateTime"] = dice.choice(TIMES)
    return good


def _called_otherwise(dice: Random, good: dict[str, Any]) -> dict[str, Any]:
    """Only names are changed."""
    for row in good.get("value", [good]):
        for name in dice.sample(CHOSEN_BY_OTHERS, dice.choice((1, 1, 2, 4))):
            row[name] = mutation.text(dice, str(row[name]))
    return good


def _list(dice: Random) -> dict[str, Any]:
    rows = [
        dict(dice.choice(DEVICES)) for _ in range(dice.choice((1,) * 30 + (2,) * 15 + (12,) * 4 + (101,)))
    ]
    page: dict[str, Any] = {"value": [{**row, "deviceActionResults": []} for row in rows]}
    if dice.random() < 0.2:
        page["@odata.nextLink"] = mutation.text(dice, LINKS[0]) if dice.random() < 0.5 else dice.choice(LINKS)
    return page


def _device(state: str) -> dict[str, Any]:
    """The device with a reset of ours, as the desk's clock has it."""
    result = {
        "@odata.type": "#microsoft.graph.resetPasscodeActionResult",
        "actionName": "resetPasscode",
        "actionState": state,
        "startDateTime": "2026-03-02T12:00:01.1234567Z",
        "lastUpdatedDateTime": "2026-03-02T12:00:02Z",
        "passcode": "84172093",
        "errorCode": -2016341107,
    }
    return {**ADAS, "deviceActionResults": [result]}


def _headers(dice: Random) -> dict[str, str]:
    """As Latin-1, which is what a header is."""
    headers = {"request-id": "r1"}
    if dice.random() < 0.3:
        headers["retry-after"] = dice.choice((*LATER, *DATES))
    if dice.random() < 0.3:
        challenge = f'Bearer realm="", error="insufficient_claims", claims="{CLAIMS}"'
        headers["www-authenticate"] = mutation.text(dice, challenge)
    if dice.random() < 0.1:
        headers["content-type"] = mutation.text(dice, "application/json; charset=utf-16")
    clean = {
        name: text.replace("\r", "").replace("\n", "").replace("\x00", "") for name, text in headers.items()
    }
    return {name: text.encode("utf-8", "replace").decode("latin-1") for name, text in clean.items()}


class Graph:
    """Answers well but for one stage; keeps which rows it showed and which devices were reset."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self.reset: list[str] = []
        self.stage = "list"

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("authorization") != "Bearer token of U0KEN" and "with" not in str(
            request.headers.get("authorization")
        ):
            raise Wrong("a call without the approver's token")
        if request.url.host != "graph.example":
            raise Wrong(f"the token went to {request.url.host}")
        if request.method == "POST":
            self.reset.append(request.url.raw_path.decode())
        lists = request.method == "GET" and "deviceActionResults" not in str(request.url)
        if self._case["stage"] == ("list" if lists else self.stage):
            return self._bad()
        return self._good(request, lists=lists)

    def _bad(self) -> httpx.Response:
        headers = {name: text.encode("latin-1") for name, text in self._case["headers"].items()}
        body = self._case["body"].encode("utf-8", "surrogatepass")
        return httpx.Response(self._case["status"], headers=list(headers.items()), content=body)

    def _good(self, request: httpx.Request, *, lists: bool) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(204)
        if lists:
            single = str(request.url.path).endswith(str(ADAS["id"]))
            return httpx.Response(200, json=ADAS if single else {"value": [ADAS]})
        if self.stage == "earlier":
            return httpx.Response(200, json={**ADAS, "deviceActionResults": []})
        return httpx.Response(200, json=_device("done"))


async def play(case: Case) -> None:
    """A request's whole life against this Graph; only our own errors, only devices that were asked for."""
    graph, staffed = Graph(case), a_desk()
    async with graph_client(httpx.MockTransport(graph)) as http:
        devices = GraphDevices(http, "https://graph.example/v1.0", staffed.clock, sleep=_at_once)
        staffed.desk = replace(staffed.desk, devices=devices)
        request = await staffed.ask(target=case["target"])
        await _driven(staffed, request)
        review = await _reviewed(staffed, request)
        if review is not None:
            await _decided(staffed, graph, request, review)
    _storable(staffed)
    for path in graph.reset:
        _was_asked_for(path, case)


async def _at_once(_seconds: float) -> None:
    return None


async def _reviewed(staffed: StaffedDesk, request: ResetRequest) -> Review | None:
    try:
        review = await staffed.review(request.id)
    except UnlatchError as error:
        check_text(ENGLISH.refusal(error))
        _shown(staffed.row(request.id))
        return None
    check_view(modals.review_form(review, ENGLISH))
    return review


async def _decided(staffed: StaffedDesk, graph: Graph, request: ResetRequest, review: Review) -> None:
    graph.stage = "earlier"
    device = DeviceId(review.choices[0].device.id)
    try:
        await staffed.approve(request.id, device=device)
    except UnlatchError as error:
        check_text(ENGLISH.refusal(error))
        return
    _shown(staffed.row(request.id))
    graph.stage = "reset"
    await _driven(staffed, request)
    graph.stage = "results"
    for _ in range(2):
        staffed.later(minutes=1)
        await _driven(staffed, request)
    graph.stage = "passcode"
    await _revealed(staffed, request)


async def _driven(staffed: StaffedDesk, request: ResetRequest) -> None:
    try:
        await drive(staffed.desk, staffed.row(request.id))
    except LostRace:
        return
    _shown(staffed.row(request.id))


async def _revealed(staffed: StaffedDesk, request: ResetRequest) -> None:
    try:
        code = await staffed.reveal(request.id)
    except UnlatchError as error:
        check_text(ENGLISH.refusal(error))
        return
    check_view(modals.passcode(staffed.row(request.id), code, ENGLISH))


def _shown(row: ResetRequest) -> None:
    """It is rendered, and comes back from its columns as it was."""
    shown = [card(row, ENGLISH, ["S0ONCALL"]), receipt(row, ENGLISH)]
    if row.status is Status.PENDING:
        shown.append(reminder(row, ENGLISH, ["S0ONCALL"]))
    for message in shown:
        check_message(message.text, message.blocks)
    columns = request_values(row)
    _bindable(columns)
    if read_request(columns) != row:  # type: ignore[arg-type]  # a mapping of columns, as a row is
        raise Wrong("the row comes back from its columns as another")


def _storable(staffed: StaffedDesk) -> None:
    for entry in staffed.record.entries:
        _bindable(_columns(entry))


def _columns(entry: Entry) -> Mapping[str, Any]:
    return entry_values(entry)


def _bindable(columns: Mapping[str, Any]) -> None:
    """A database takes text that is UTF-8 and holds no NUL."""
    for name, value in columns.items():
        if isinstance(value, str):
            value.encode()
            if "\x00" in value:
                raise Wrong(f"{name} holds a NUL")


def _was_asked_for(path: str, case: Case) -> None:
    """The device in the path is one that the list showed as what was asked for, by a reading of our own."""
    shown = [ADAS]
    if case["stage"] == "list":
        try:
            body = json.loads(case["body"])
        except (ValueError, RecursionError):
            body = {}
        rows = body.get("value") if isinstance(body, dict) and "value" in body else [body]
        shown += [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    device = unquote(path.split("/")[-2])
    if not any(str(row.get("id")) == device and _fits(row, case["target"]) for row in shown):
        raise Wrong(f"reset {path}, which nobody asked for")


def _fits(row: Mapping[str, Any], target: str) -> bool:
    def said(name: str) -> str:
        return str(row.get(name)).casefold()

    match target.split(":", 1):
        case ["serial", asked]:
            return said("serialNumber") == asked.casefold()
        case ["imei", asked]:
            return "".join(filter(str.isdigit, said("imei"))) == asked
        case ["name", asked]:
            return said("deviceName") == asked.casefold()
        case ["id", asked]:
            return said("id") == asked.casefold()
        case ["app", _]:
            return True
    return target in (said("userPrincipalName"), said("emailAddress"))
