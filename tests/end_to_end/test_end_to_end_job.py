"""The whole job over HTTP and Socket Mode; deliveries twice, or while vendors hang; the process's own end."""

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from bot.domain.audit import Event
from bot.domain.people import Actor
from bot.domain.request import Status
from bot.domain.values import UserId
from bot.slack.wording import CATALOG_EN as ENGLISH
from bot.use_cases.decide import deny
from sandbox.intune.fleet import Traps
from tests.end_to_end.conftest import in_both_modes
from tests.support.app_fixture import ADA, FAST, TOMAS, Bot, running_bot
from tests.support.postgres import free_port
from tests.support.served_bot import served
from tests.support.user_actions import AIKO, DIRECT, FIELD_APP, GALAXY, KEN, ON_CALL, OWN_PHONE, PIXEL

pytestmark = pytest.mark.asyncio(loop_scope="module")

OF_THE_JOB = [
    *(Event.REQUESTED, Event.VERIFIED, Event.REVIEWED, Event.APPROVED, Event.ATTEMPT_STARTED),
    *(Event.ATTEMPT_ANSWERED, Event.DONE, Event.PASSCODE_VIEWED),
]


@pytest.mark.parametrize(
    ("target", "device", "path"),
    [
        ("priya@contoso.com", GALAXY, f"/users/{{owner}}/managedDevices/{GALAXY}"),
        ("serial:59040DLJH001", PIXEL, f"/deviceManagement/managedDevices/{PIXEL}"),
        # Graph knows no reset below a detected app, so the same approval goes on below all devices
        (f"app:{FIELD_APP}", PIXEL, f"/deviceManagement/managedDevices/{PIXEL}"),
    ],
    ids=["user", "device", "app"],
)
@in_both_modes
async def test_a_locked_phone_is_reset_once_as_the_approver_and_opens_with_what_the_requester_reads(
    bot: Bot, target: str, device: str, path: str
):
    people = bot.people
    request_id = await bot.pending(f"{target} locked out in the field")
    before = len(await people.resets())
    assert await bot.review() == ENGLISH["sign_in.title"]
    assert await people.follow_link(KEN) == ENGLISH["review.title"]
    if target.startswith("serial:"):
        assert await people.submit(KEN) == {}
    else:  # of several devices one has to be chosen
        assert await people.submit(KEN) != {}
        assert await people.submit(KEN, device=device) == {}
    assert await people.title_after(KEN, ENGLISH["review.title"]) == ENGLISH["approved.title"]
    await bot.reaches(request_id, Status.DONE)
    await people.until(lambda: "done" in people.card() and "done" in people.receipt())
    for where in (ON_CALL, DIRECT):  # an edit notifies nobody
        told = f"Request {request_id[:6].upper()}"
        [line] = await people.until(lambda at=where, told=told: [x for x in people.lines(at) if told in x])
        assert "*done*" in line
    [reset] = (await people.resets())[before:]
    assert (reset["device"], reset["upn"]) == (device, "ken@contoso.com")
    # The sandbox answers a POST with a body with 400, so a 204 is one without.
    [post] = [call for call in people.calls("/resetPasscode") if call["method"] == "POST"][-1:]
    assert (post["status"], post["bearer"]) == (204, {"kind": "user", "who": "Ken Ito"})
    assert post["path"].removesuffix("/resetPasscode").endswith(path.split("{owner}")[-1])
    assert path.split("{owner}")[0] in post["path"]
    passcode = await people.show_passcode()
    assert await people.unlock(device, passcode)
    rows = await bot.audit_rows()
    job = [event for _, event, _ in rows if event in OF_THE_JOB]
    if target.startswith("app:"):
        assert [job.pop(4), job.pop(4)] == [Event.ATTEMPT_STARTED, Event.ATTEMPT_ANSWERED]
    assert job == OF_THE_JOB
    assert passcode not in str(rows)


@in_both_modes
async def test_g38_another_approver_looks_where_the_first_ones_role_ended(bot: Bot):
    people, intune = bot.people, bot.sandbox.intune
    intune.set_traps(Traps(results_after=3600))
    await people.phone(OWN_PHONE, "completes")
    request_id = await bot.pending("jonas@contoso.com locked out")
    await people.approve()
    await bot.reaches(request_id, Status.SENT)
    await people.role(KEN, may_reset=False)
    await people.until(lambda: "doesn’t let <@U0KEN> read this device" in people.receipt())
    await people.sign_in(AIKO)
    intune.set_traps(Traps())
    assert await people.open(AIKO, "look", request=request_id) == ENGLISH["looked.title"]
    await bot.reaches(request_id, Status.DONE)
    await people.until(lambda: "done" in people.receipt())
    await people.show_passcode()
    assert people.calls(f"/managedDevices/{OWN_PHONE}")[-1]["bearer"]["who"] == "Aiko Mori"
    assert [who for who, event, _ in await bot.audit_rows() if event == Event.LOOKED] == [AIKO]


HANGING = {
    "Entra": ("entra", "", 32),
    "Graph": ("graph", "", 9),
    "Slack's modals": ("slack", "views.open", 9),
}
"""What hangs, for how many at once; more than a small machine has threads for name lookups."""


@pytest.mark.parametrize(("vendor", "match", "many"), HANGING.values(), ids=HANGING)
async def test_requests_cards_and_denials_go_on_while_a_vendor_hangs(tmp_path, vendor, match, many):
    async with running_bot(tmp_path, timing=replace(FAST, grace=timedelta(seconds=1))) as bot:
        people, links = bot.people, []
        waiting = await bot.pending(ADA)
        if vendor == "entra":
            links = [await people.sign_in_link(user) for _ in range(many // 2) for user in (KEN, AIKO)]
        else:
            await people.sign_in()
        await people.fault(vendor, "latency", match, seconds=30, times=None)
        stuck = [asyncio.create_task(bot.http.get(link)) for link in links]
        for _ in range(0 if links else many):
            await people.press(KEN, "approve", request=waiting)
        await people.until(lambda: len(bot.sandbox.faults.hits) >= many, 25)
        async with asyncio.timeout(20):
            await asyncio.get_running_loop().getaddrinfo("localhost", 80)
            request_id = await bot.pending(TOMAS)
            await deny(bot.app.deps, request_id, Actor(user=UserId(AIKO), team=None), "no")
            await people.until(lambda: ENGLISH["status.denied.title"] in people.receipt())
        assert not any(task.done() for task in stuck)
        await people.clear_faults()
        for task in stuck:
            task.cancel()


@in_both_modes
async def test_what_is_delivered_again_makes_one_request_and_one_reset(bot: Bot):
    request_id = await bot.pending(TOMAS)
    for _ in range(2):
        await bot.redeliver()
    before = len(await bot.people.resets())
    await bot.people.approve()
    for _ in range(3):
        await bot.redeliver()
    await bot.reaches(request_id, Status.DONE)
    await bot.redeliver()
    await bot.app.background.drain(grace=FAST.grace)
    assert (len(await bot.rows()), len(await bot.people.resets())) == (1, before + 1)
    assert [event for _, event, _ in await bot.audit_rows()].count(Event.APPROVED) == 1
    assert len(bot.people.calls("auth.test")) <= 1, "who the bot is, is asked at its start"


async def test_sigterm_waits_for_the_reset_in_flight_and_ends_with_0(tmp_path: Path):
    async with served(tmp_path, socket_mode=True) as it:
        await it.pending(TOMAS)
        await it.people.fault("graph", "latency", "resetPasscode", seconds=1.2, after=True)
        await it.people.approve()
        await it.people.until(lambda: not it.people.state["faults"])
        ending = asyncio.create_task(it.end())
        with pytest.raises(TimeoutError):  # with nothing in flight it ends at once
            await asyncio.wait_for(asyncio.shield(ending), timeout=0.6)
        assert await ending == 0
        with closing(sqlite3.connect(tmp_path / "unlatch.sqlite3")) as rows:
            assert rows.execute("SELECT status FROM requests").fetchall() == [("sent",)]
        assert [reset["device"] for reset in await it.people.resets()] == [PIXEL]
        lines = [json.loads(line) for line in it.lines]
        steps = {line["step"]: line for line in lines if line["event"] == "step"}
        assert steps["attempt_answered"].keys() >= {"request", "device", "graph_request_id"}
        assert "message_posted" in {line["event"] for line in lines}
        assert lines[-1]["event"] == "stopped"


@pytest.mark.parametrize("socket_mode", [False, True], ids=["http", "socket"])
async def test_numbers_are_on_a_port_of_their_own_and_name_nobody(tmp_path: Path, socket_mode: bool):
    port = free_port()
    async with (
        served(tmp_path, socket_mode=socket_mode, METRICS_PORT=str(port)) as it,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as scraper,
    ):
        await it.pending("ada@contoso.com locked out")
        text = (await scraper.get("/metrics")).text
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        assert float(values['unlatch_open_requests{status="pending"}']) == 1
        assert float(values['unlatch_ready{check="database"}']) == 1
        assert float(values["unlatch_acknowledgement_seconds_count"]) >= 1
        assert values['unlatch_log_events_total{event="serving",level="info"}'] == "1.0"
        assert "contoso" not in text
        assert (await it.http.get("/metrics")).status_code == 404
        await it.people.until(lambda: ENGLISH["status.pending.title"] in it.people.receipt())
        assert await it.end() == 0
