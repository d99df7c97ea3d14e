"""Graph's answers, changed: lists, the answer to a reset, results; from the review to what is shown."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
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
from tests.proofs.fuzz.openings import (
    Play,
    check_error,
    check_shown,
    check_stored,
    emptied,
    temporary_database,
)
from tests.proofs.fuzz.strategies import Answer, answers
from tests.support.bot import Bot
from tests.support.builders import KEN, TIMING
from tests.support.fakes import token_of
from tests.unit.graph.graph_stub import BASE, fixture

ADAS, ANOTHER = (
    {name: part for name, part in fixture(row).items() if name != "deviceActionResults"}
    for row in ("android_cope_done", "iphone_supervised_pending")
)
"""As in a list: v1.0 gives the results of actions for a single device only."""
FIELDS: Final = {"serial": "serialNumber", "imei": "imei", "name": "deviceName", "id": "id"}
TARGETS: Final = (
    *(ADAS["userPrincipalName"], "app:0000f3d7a1b2"),
    *(f"{kind}:{ADAS[name]}" for kind, name in FIELDS.items()),
)
WRAPPED: Final = {
    **{"_version": 3, "ErrorCode": "Forbidden", "RetryAfter": "2"},
    "Message": "You may not do this. - Operation ID (for customer support): 0 - Activity ID: "
    "5f2e4a0c-1111-4222-8333-444455556666 - Url: https://fef.msua02.manage.example.com/x",
}
ERROR: Final = {
    "error": {"code": "UnknownError", "message": json.dumps(WRAPPED), "innerError": {"date": "d"}}
}


def _device(state: str) -> dict[str, Any]:
    """Ada's phone with a reset of ours, by the clock of the tests."""
    result = {"actionName": "resetPasscode", "actionState": state, "passcode": "84172093"}
    return {**ADAS, "deviceActionResults": [{**result, "startDateTime": "2026-03-02T12:00:01.1234567Z"}]}


DEVICES: Final = answers(*map(_device, ("pending", "done", "done", "failed", "notSupported")), ERROR)
STAGES: Final = {
    "list": answers(
        {"value": [ANOTHER, ADAS]},
        {"value": [ADAS], "@odata.nextLink": f"{BASE}/more"},
        {"value": [{**ADAS, "id": f"{number}-{ADAS['id']}"} for number in range(101)]},
        ERROR,
    ),
    "earlier": DEVICES,
    "before the reset": DEVICES,
    "reset": answers(ERROR, {}, status=204),
    "results": DEVICES,
    "passcode": DEVICES,
}
"""What the bad answer is to: the list, the results before approval and reset, the reset, results after it."""


@dataclass(frozen=True)
class Case:
    """The answer to one stage; every other stage is answered as it should be."""

    stage: str
    answer: Answer | None
    target: str


cases = st.sampled_from([*STAGES]).flatmap(
    lambda stage: st.builds(Case, st.just(stage), STAGES[stage], st.sampled_from(TARGETS))
)


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
        stage = "list" if lists else self.stage
        if request.method == "POST":
            self.reset.append(request.url.raw_path.decode())
            stage = "reset"
        answer = self._case.answer
        if answer and self._case.stage == stage:
            return httpx.Response(answer.status, headers=answer.headers, content=answer.content)
        if request.method == "POST":
            return httpx.Response(204, headers={"request-id": "graphs"})
        single = _device("done") if self.reset else ADAS
        named = not lists or request.url.path.endswith(ADAS["id"])
        return httpx.Response(200, json=single if named else {"value": [ADAS]})


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
            assert case.answer or graph.stage == "seen", "good answers lead to no passcode"
            await check_stored(bot)
            for path in graph.reset:
                _check_listed(path, case)

        with stamina.set_testing(True, attempts=3, cap=True):
            await play(Case("none", None, TARGETS[0]))
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
    graph.stage = "before the reset"
    await bot.advance(request_id)
    graph.stage = "results"
    for _ in range(2):
        bot.clock.advance(timedelta(minutes=1))
        await bot.advance(request_id)
    graph.stage = "passcode"
    passcode = await bot.reveal(request_id)
    check_shown(modals.passcode(await bot.row(request_id), passcode, ENGLISH))
    graph.stage = "seen"


def _check_listed(path: str, case: Case) -> None:
    """The device in the path was listed for the target, by a reading of our own."""
    rows = [ADAS]
    if case.answer and case.stage == "list":
        with suppress(ValueError, RecursionError, AttributeError, TypeError):
            body = json.loads(case.answer.body)
            rows += [row for row in body.get("value", [body]) if isinstance(row, dict)]
    fits = [str(row.get("id")) for row in rows if _fits(row, case.target)]
    assert unquote(path.split("/")[-2]) in fits, f"reset {path}, which was not asked for"


def _fits(row: Mapping[str, object], target: str) -> bool:
    kind, colon, wanted = target.partition(":")
    names = [FIELDS.get(kind, "")] if colon else ["userPrincipalName", "emailAddress"]
    said = [str(row.get(name)).casefold() for name in names]
    plain = ["".join(filter(str.isdigit, text)) for text in said]
    return kind == "app" or (wanted or target).casefold() in (plain if kind == "imei" else said)
